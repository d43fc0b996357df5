"""Families: every parameter has one declared role, and counts are those worked out by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoConfig, GPTNeoXForCausalLM

from compute.errors import CheckpointError
from compute.numerics.checkpoints import load_checkpoint
from compute.numerics.families import FAMILIES, ParameterCount, count_parameters, layer_modules, module_roles
from tests.compute.numerics.networks import CONTEXT, save_toy, small_config, toy

TOKENS, POSITIONS = 48 * 16, CONTEXT * 16
# d = 16, two layers; for the last four q and o are 16 x 16, k and v 8 x 16, and the MLP 24 wide.
NON_EMBEDDING = {
    "gpt_neox": 2 * (12 * 256 + 9 * 16 + 4 * 16) + 32,
    "gpt_neo": 2 * (12 * 256 + 6 * 16 + 4 * 16) + 32,  # no biases of q, k and v
    "gpt2": 2 * (12 * 256 + 9 * 16 + 4 * 16) + 32,
    "llama": 2 * (2 * 256 + 2 * 128 + 3 * 384 + 2 * 16) + 16,
    "mistral": 2 * (2 * 256 + 2 * 128 + 3 * 384 + 2 * 16) + 16,
    "qwen2": 2 * (2 * 256 + 2 * 128 + 3 * 384 + 2 * 16 + 16 + 8 + 8) + 16,
    "qwen3": 2 * (2 * 256 + 2 * 128 + 3 * 384 + 2 * 16 + 4 + 4) + 16,
}
INPUT_EMBEDDING_AND_UNEMBEDDING = {
    "gpt_neox": (TOKENS, TOKENS),
    "gpt_neo": (TOKENS + POSITIONS, 0),
    "gpt2": (TOKENS + POSITIONS, 0),
    "llama": (TOKENS, TOKENS),
    "mistral": (TOKENS, TOKENS),
    "qwen2": (TOKENS, TOKENS),
    "qwen3": (TOKENS, 0),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_has_exactly_one_role(family: str, tmp_path: Path) -> None:
    model = toy(family, tmp_path, tie_word_embeddings=False)
    roles = module_roles(model)
    owners = Counter(
        [
            *roles.embeddings,
            roles.unembedding,
            roles.final_norm,
            *layer_modules(model, roles.layer_linears),
            *layer_modules(model, roles.layer_norms),
        ]
    )
    assert set(owners.values()) == {1}
    assert set(owners) == {name.rpartition(".")[0] for name, _ in model.named_parameters()}
    assert {roles.attention_output, roles.mlp_down} < set(roles.layer_linears)
    assert roles.mlp_norm in roles.layer_norms


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_are_those_worked_out_by_hand(family: str, tmp_path: Path) -> None:
    embedding, unembedding = INPUT_EMBEDDING_AND_UNEMBEDDING[family]
    total = NON_EMBEDDING[family] + embedding + unembedding
    expected = ParameterCount(total, embedding, unembedding, NON_EMBEDDING[family])
    assert count_parameters(toy(family, tmp_path)) == expected


def test_tinystories_33m_has_its_published_parameters() -> None:
    config = GPTNeoConfig(
        hidden_size=768, num_layers=4, num_heads=16, attention_types=[[["global", "local"], 2]], vocab_size=50257
    )
    with torch.device("meta"):
        count = count_parameters(AutoModelForCausalLM.from_config(config, attn_implementation="eager"))
    norms = (2 * 4 + 1) * 2 * 768
    assert count.non_embedding == 28_329_984 + norms
    assert count.input_embedding == (50257 + 2048) * 768
    assert count.unembedding == 0


def test_a_tied_unembedding_is_counted_once() -> None:
    config = small_config()
    config.tie_word_embeddings = True
    assert count_parameters(GPTNeoXForCausalLM(config)) == ParameterCount(27_008, 48 * 32, 0, 25_472)


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(CheckpointError, match="Linear.*it knows gpt_neox, gpt_neo, gpt2, llama"):
        count_parameters(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_reads_as_many_tokens_as_its_configuration_says(family: str, tmp_path: Path) -> None:
    model = toy(family, tmp_path)
    ids = torch.randint(0, 48, (1, CONTEXT), generator=torch.Generator().manual_seed(0))
    assert model.config.max_position_embeddings == CONTEXT
    logits = model(input_ids=ids).logits
    assert torch.isfinite(logits).all()
    shorter = model(input_ids=ids[:, : CONTEXT // 2]).logits
    torch.testing.assert_close(logits[:, : CONTEXT // 2], shorter, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_declared_attention_agrees_with_the_plain_one(family: str, tmp_path: Path) -> None:
    save_toy(family, tmp_path)
    ids = torch.arange(CONTEXT)[None]
    found = load_checkpoint(tmp_path)
    assert found.config._attn_implementation == ("eager" if family == "gpt_neo" else "sdpa")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager").eval()
    torch.testing.assert_close(found(input_ids=ids).logits, plain(input_ids=ids).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_network_in_several_files_loads(family: str, tmp_path: Path) -> None:
    whole = toy(family, tmp_path / "whole")
    whole.save_pretrained(tmp_path / "split", max_shard_size="8KB")
    assert len(list((tmp_path / "split").glob("*.safetensors"))) > 1
    again = load_checkpoint(tmp_path / "split")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
