"""Checkpoints: counted as published, loaded whole or refused."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from compute.errors import CheckpointError
from compute.numerics.checkpoints import (
    PYTHIA_SIZES,
    load_checkpoint,
    non_embedding_of_config,
    pythia_config,
    weights_sha256,
)
from compute.numerics.families import FAMILIES, module_roles
from tests.compute.numerics.networks import Trained, save_toy, toy

NON_EMBEDDING_ONE_EMBEDDING_TOTAL = {
    "pythia-70m": (18_915_328, 44_670_976, 70_426_624),
    "pythia-160m": (85_056_000, 123_689_472, 162_322_944),
    "pythia-410m": (302_311_424, 353_822_720, 405_334_016),
    "pythia-1b": (805_736_448, 908_759_040, 1_011_781_632),
    "pythia-1.4b": (1_208_602_624, 1_311_625_216, 1_414_647_808),
    "pythia-2.8b": (2_517_652_480, 2_646_430_720, 2_775_208_960),
    "pythia-6.9b": (6_444_163_072, 6_650_732_544, 6_857_302_016),
    "pythia-12b": (11_327_027_200, 11_586_549_760, 11_846_072_320),
}
MIDDLE = "gpt_neox.layers.1.mlp.dense_h_to_4h.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, trained: Trained) -> Path:
    """The trained network in half precision."""
    folder = tmp_path_factory.mktemp("checkpoint")
    copy.deepcopy(trained.model).half().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(saved, tmp_path / "network"))


def edit(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    """Save the weights again, changed."""
    tensors = change(load_file(folder / "model.safetensors"))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def rename_head(tensors: Tensors, name: str) -> Tensors:
    """The same weights with the unembedding under one of its two names."""
    return {name if key in ("lm_head.weight", "embed_out.weight") else key: value for key, value in tensors.items()}


@pytest.mark.parametrize("name", PYTHIA_SIZES)
def test_a_pythia_configuration_gives_the_published_counts(name: str) -> None:
    non_embedding, with_unembedding, total = NON_EMBEDDING_ONE_EMBEDDING_TOTAL[name]
    assert non_embedding_of_config(pythia_config(name).to_dict()) == (non_embedding, total)
    assert total - with_unembedding == with_unembedding - non_embedding


def test_a_published_configuration_file_gives_the_published_counts() -> None:
    config = {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "max_position_embeddings": 2048,
        "rotary_emb_base": 10000,
        "rotary_pct": 0.25,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": "4.24.0",
        "vocab_size": 50304,
    }
    assert non_embedding_of_config(config) == (18_915_328, 70_426_624)


@pytest.mark.parametrize(
    "config",
    [{}, {"model_type": "gpt3"}, {"model_type": "gpt2", "n_embd": "wide"}, {"model_type": "gpt2", "n_embd": 7}],
)
def test_a_configuration_of_no_network_has_no_counts(config: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match=r"onfiguration.*\.$"):
        non_embedding_of_config(config)


def test_pythia_sizes_answer_to_their_older_names() -> None:
    assert pythia_config("pythia-19m").hidden_size == pythia_config("pythia-70m-v0").hidden_size == 512
    assert pythia_config("pythia-70m").rope_parameters["partial_rotary_factor"] == 0.25
    with pytest.raises(CheckpointError, match="pythia-70m, pythia-160m"):
        pythia_config("pythia-71m")


def test_half_precision_weights_are_loaded_in_float32_for_evaluation(saved: Path, trained: Trained) -> None:
    model = load_checkpoint(saved)
    assert not model.training
    assert model.config._attn_implementation == "sdpa"
    for (name, parameter), (other, original) in zip(
        model.named_parameters(), trained.model.named_parameters(), strict=True
    ):
        assert name == other
        assert parameter.dtype == torch.float32
        assert not parameter.requires_grad
        assert torch.equal(parameter, original.half().float())


@pytest.mark.parametrize("name", ["lm_head.weight", "embed_out.weight"])
def test_the_unembedding_is_found_under_both_its_names(folder: Path, trained: Trained, name: str) -> None:
    edit(folder, lambda tensors: rename_head(tensors, name))
    assert torch.equal(load_checkpoint(folder).lm_head.weight, trained.model.lm_head.weight.half().float())


@pytest.mark.parametrize("family", FAMILIES)
def test_buffers_of_older_checkpoints_are_passed_over(tmp_path: Path, family: str) -> None:
    roles = module_roles(toy(family, tmp_path))
    stale = {f"{roles.layers}.{layer}.{name}": torch.ones(1) for layer in (0, 1) for name in roles.stale_buffers}
    edit(tmp_path, lambda tensors: {**tensors, **stale})
    assert load_checkpoint(tmp_path).config.model_type == family


@pytest.mark.parametrize("family", FAMILIES)
def test_a_half_precision_body_can_have_an_exact_head_of_its_own(tmp_path: Path, family: str) -> None:
    exact = toy(family, tmp_path, tie_word_embeddings=family != "llama")
    mixed = load_checkpoint(tmp_path, dtype=torch.bfloat16, head_dtype=torch.float32)
    head = mixed.get_submodule(module_roles(mixed).unembedding).weight
    assert head.dtype == torch.float32
    assert torch.equal(head, exact.get_output_embeddings().weight)
    body = mixed.get_submodule(module_roles(mixed).body)
    assert {parameter.dtype for parameter in body.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in mixed.parameters())


@pytest.mark.parametrize("names", [("lm_head.weight", "embed_out.weight"), ("embed_out.weight", "lm_head.weight")])
def test_an_exact_head_is_found_under_both_its_names(tmp_path: Path, names: tuple[str, str]) -> None:
    exact = toy("gpt_neox", tmp_path)
    edit(tmp_path, lambda tensors: rename_head(tensors, names[0]))
    mixed = load_checkpoint(tmp_path, dtype=torch.bfloat16, head_dtype=torch.float32)
    assert torch.equal(mixed.lm_head.weight, exact.lm_head.weight)


def test_a_tied_head_is_found_in_files_without_the_body_prefix(tmp_path: Path) -> None:
    exact = toy("gpt2", tmp_path)
    edit(tmp_path, lambda tensors: {key.removeprefix("transformer."): value for key, value in tensors.items()})
    mixed = load_checkpoint(tmp_path, dtype=torch.bfloat16, head_dtype=torch.float32)
    assert torch.equal(mixed.lm_head.weight, exact.transformer.wte.weight)


def test_half_precision_that_overflows_is_not_loaded(tmp_path: Path) -> None:
    save_toy("gpt_neox", tmp_path)
    for formats in ({"dtype": torch.float16}, {"head_dtype": torch.float16}):
        with pytest.raises(CheckpointError, match="torch.float16.*overflow"):
            load_checkpoint(tmp_path, **formats)


def test_positions_that_change_with_the_length_of_the_text_are_refused(tmp_path: Path) -> None:
    save_toy("llama", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["rope_parameters"] = {**config["rope_parameters"], "rope_type": "longrope"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    refuse(tmp_path, "longrope", "Take a model")


def test_weights_in_several_files_are_loaded(tmp_path: Path, trained: Trained) -> None:
    trained.model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert not (tmp_path / "model.safetensors").exists()
    assert torch.equal(load_checkpoint(tmp_path).lm_head.weight, trained.model.lm_head.weight)
    assert len(weights_sha256(tmp_path)) == 64
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(CheckpointError, match="model-00002"):
        load_checkpoint(tmp_path)


def refuse(folder: Path, *words: str) -> None:
    """Loading names the folder, what is wrong and what to do."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    for word in (str(folder), *words):
        assert word in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path / "nowhere", "no checkpoint folder", "Check the path")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path, "no config.json")


def test_a_file_in_place_of_a_folder_is_refused(folder: Path) -> None:
    refuse(folder / "model.safetensors", "no checkpoint folder")


def test_a_configuration_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refuse(folder, "holds no weights", "Copy the checkpoint again")


def test_pickled_weights_are_not_read(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    refuse(folder, "convert its weights to safetensors")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model_type": 3}', '{"model_type": "gpt3"}'])
def test_a_configuration_that_cannot_be_read_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    refuse(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_attention_heads", 3),
        ("num_attention_heads", "four"),
        ("hidden_size", 64),
        ("vocab_size", 47),
        ("num_hidden_layers", 1),
        ("num_hidden_layers", 3),
        ("hidden_act", "nothing"),
    ],
)
def test_a_configuration_of_another_network_is_refused(folder: Path, key: str, value: int | str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    refuse(folder, "opy the checkpoint again")


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 5000, -1])
def test_weights_cut_short_are_refused(folder: Path, kept: int) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:kept])
    refuse(folder, "damaged or cut short")


@pytest.mark.parametrize("place", [0, 3, 7, 8, 9, 40, 100, 300, 500, 1000])
def test_a_flipped_bit_in_the_header_is_refused(folder: Path, place: int) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[place] ^= 0x10
    (folder / "model.safetensors").write_bytes(content)
    refuse(folder, "opy the checkpoint again")


@pytest.mark.parametrize("dropped", [MIDDLE, "embed_out.weight", "gpt_neox.embed_in.weight"])
def test_a_missing_tensor_is_refused_not_filled_at_random(folder: Path, dropped: str) -> None:
    edit(folder, lambda tensors: {k: v for k, v in rename_head(tensors, "embed_out.weight").items() if k != dropped})
    refuse(folder, "lack", dropped.replace("embed_out", "lm_head"))


def test_an_unexpected_tensor_is_refused(folder: Path) -> None:
    edit(folder, lambda tensors: {**tensors, "gpt_neox.layers.1.mlp.gate.weight": torch.zeros(2)})
    refuse(folder, "unexpected gpt_neox.layers.1.mlp.gate.weight")


def test_a_tensor_of_the_wrong_shape_is_refused(folder: Path) -> None:
    edit(folder, lambda tensors: {**tensors, MIDDLE: torch.zeros(3, 3)})
    refuse(folder, "wrong shape", MIDDLE)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(folder: Path, wrong: float) -> None:
    edit(folder, lambda tensors: {**tensors, MIDDLE: torch.full_like(tensors[MIDDLE], wrong)})
    refuse(folder, MIDDLE, "NaN or infinity")


def test_the_hash_of_one_file_is_that_of_its_content(folder: Path) -> None:
    before = weights_sha256(folder)
    assert before == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    edit(folder, lambda tensors: {**tensors, MIDDLE: tensors[MIDDLE] + 1})
    assert weights_sha256(folder) != before


def test_a_folder_without_weights_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no weights"):
        weights_sha256(tmp_path)
