"""Gradients: the right parameters, each token its own, as float64 autograd on the whole document gives them."""

from __future__ import annotations

import copy
import heapq
import inspect
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import GPTNeoXForCausalLM

from compute.errors import CheckpointError, CorpusError, GradientError
from compute.numerics.checkpoints import PYTHIA_SIZES, load_checkpoint, pythia_config
from compute.numerics.corpus import tokenize
from compute.numerics.families import FAMILIES
from compute.numerics.gradients import gradient_parameters, gradient_rows, gradients, token_gradient
from compute.numerics.losses import token_losses
from tests.compute.numerics.networks import CONTEXT, VOCABULARY, Trained, corpus_of, small_config, toy

SUITE = Path(__file__).parents[3] / "compute/demo/suite"
P_DEFAULT_AND_PUBLISHED = {
    "pythia-70m": (18_902_016, 18_903_040),
    "pythia-160m": (85_017_600, 85_019_136),
    "pythia-410m": (302_211_072, 302_213_120),
    "pythia-1b": (805_601_280, 805_605_376),
    "pythia-1.4b": (1_208_401_920, 1_208_406_016),
    "pythia-2.8b": (2_517_319_680, 2_517_324_800),
    "pythia-6.9b": (6_443_630_592, 6_443_638_784),
    "pythia-12b": (11_326_279_680, 11_326_289_920),
}


def full_document_gradient(model: torch.nn.Module, ids: np.ndarray, position: int, scope: str) -> np.ndarray:
    """Float64 autograd with every logit of the whole document: the definition, without any shortcut."""
    model = copy.deepcopy(model).double().requires_grad_(True)
    logits = model(input_ids=torch.from_numpy(ids.astype(np.int64))[None]).logits[0, position - 1]
    loss = torch.nn.functional.cross_entropy(logits[None], torch.tensor([int(ids[position])]))
    grads = torch.autograd.grad(loss, [parameter for _, parameter in gradient_parameters(model, scope)])
    return torch.cat([grad.flatten() for grad in grads]).numpy()


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def of_small_loss(losses: np.ndarray, edges: tuple[float, ...], n_each: int) -> np.ndarray:
    """Flat indices of a few losses between each two edges."""
    chosen = [np.flatnonzero((losses > low) & (losses < high))[:n_each] for low, high in pairwise(edges)]
    return np.concatenate(chosen)


@pytest.mark.parametrize("name", PYTHIA_SIZES)
def test_pythia_gradients_have_the_published_lengths(name: str) -> None:
    with torch.device("meta"):
        model = GPTNeoXForCausalLM(pythia_config(name))
    counts = tuple(
        sum(p.numel() for _, p in gradient_parameters(model, scope)) for scope in ("default", "as-published")
    )
    assert counts == P_DEFAULT_AND_PUBLISHED[name]


def test_embeddings_and_normalisations_are_left_out_and_biases_kept(trained: Trained) -> None:
    names = [name for name, _ in gradient_parameters(trained.model)]
    assert len(names) == 2 * 4 * 2  # layers x linears x (weight, bias)
    assert not [name for name in names if "embed" in name or "norm" in name or "lm_head" in name]
    published = {name for name, _ in gradient_parameters(trained.model, "as-published")}
    assert published - set(names) == {"gpt_neox.final_layer_norm.weight", "gpt_neox.final_layer_norm.bias"}


@pytest.mark.parametrize("scope", ["default", "as-published"])
def test_gradients_equal_float64_autograd_on_the_full_document(trained: Trained, scope: str) -> None:
    losses = token_losses(trained.model, trained.corpus)
    flat = of_small_loss(losses, (1e-4, 1e-3, 1e-2, 0.1, 20.0), 6)
    assert len(flat) == 24
    found = gradients(trained.model, trained.corpus, flat, scope=scope)
    errors = []
    for index, gradient in zip(flat, found, strict=True):
        document, position = trained.corpus.locate(int(index))
        ids = trained.corpus.document_tokens(document)
        errors.append(relative_error(gradient, full_document_gradient(trained.model, ids, position, scope)))
    assert max(errors) <= 1e-5


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("scope", ["default", "all"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_exact_gradients(tmp_path: Path, family: str, scope: str, tied: bool) -> None:
    model = toy(family, tmp_path, tie_word_embeddings=tied)
    rng = np.random.default_rng(3)
    corpus = corpus_of([rng.integers(0, VOCABULARY, n).tolist() for n in (CONTEXT, 2, 9, CONTEXT, 17)])
    flat = np.array([CONTEXT - 2, 0, CONTEXT - 4, 5, CONTEXT - 1, CONTEXT + 3, CONTEXT + 25, CONTEXT + 30])
    for index, gradient in zip(flat, gradients(model, corpus, flat, scope=scope), strict=True):
        document, position = corpus.locate(int(index))
        expected = full_document_gradient(model, corpus.document_tokens(document), position, scope)
        assert relative_error(gradient, expected) <= 1e-5


def test_another_attention_gives_the_same_gradients(trained: Trained) -> None:
    model = copy.deepcopy(trained.model)
    model.config._attn_implementation = "eager"
    flat = np.arange(0, 4000, 200)
    for a, b in zip(
        gradients(model, trained.corpus, flat), gradients(trained.model, trained.corpus, flat), strict=True
    ):
        assert relative_error(a, b) < 1e-5


def test_gradients_do_not_depend_on_their_batch_mates(trained: Trained) -> None:
    flat = np.random.default_rng(0).choice(trained.corpus.n_predictions, 40, replace=False)
    parameters = gradient_parameters(trained.model)
    for index, gradient in zip(flat, gradients(trained.model, trained.corpus, flat), strict=True):
        document, position = trained.corpus.locate(int(index))
        alone, _ = token_gradient(trained.model, trained.corpus.document_tokens(document)[: position + 1], parameters)
        assert relative_error(gradient, alone) < 1e-5


def test_a_gradient_agrees_with_finite_differences(trained: Trained) -> None:
    ids = trained.corpus.document_tokens(3)[:20]
    model = copy.deepcopy(trained.model).double()
    parameters = gradient_parameters(model)
    gradient, _ = token_gradient(trained.model, ids, gradient_parameters(trained.model))
    direction = np.random.default_rng(1).normal(size=gradient.shape)

    def loss(step: float) -> float:
        start = 0
        moved = copy.deepcopy(model)
        for name, parameter in parameters:
            piece = direction[start : start + parameter.numel()].reshape(parameter.shape)
            moved.get_parameter(name).add_(torch.from_numpy(piece), alpha=step)
            start += parameter.numel()
        return token_gradient(moved, ids, gradient_parameters(moved))[1]

    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    assert slope == pytest.approx(float(gradient @ direction), rel=1e-3)


def test_token_gradient_gives_the_loss_of_the_answer(trained: Trained) -> None:
    losses = token_losses(trained.model, trained.corpus)
    parameters = gradient_parameters(trained.model)
    for index in (0, 10, 100):
        document, position = trained.corpus.locate(index)
        ids = trained.corpus.document_tokens(document)[: position + 1]
        assert token_gradient(trained.model, ids, parameters)[1] == pytest.approx(losses[index], abs=1e-4)


def test_rows_are_unit_gradients_times_the_root_of_their_length(trained: Trained) -> None:
    flat = np.arange(0, 400, 40)
    seen: list[int] = []
    rows, norms = gradient_rows(trained.model, trained.corpus, flat, progress=seen.append)
    exact = np.array(list(gradients(trained.model, trained.corpus, flat)), np.float64)
    assert (rows.dtype, norms.dtype) == (np.float16, np.float64)
    np.testing.assert_allclose(norms, np.linalg.norm(exact, axis=1), rtol=1e-6)
    unit = rows.astype(np.float64) / np.sqrt(rows.shape[1])
    assert np.abs(unit @ unit.T - (exact / norms[:, None]) @ (exact / norms[:, None]).T).max() < 5e-4
    assert seen[-1] == len(flat)


def test_the_parameters_of_the_model_are_left_as_they_were(trained: Trained) -> None:
    model = copy.deepcopy(trained.model).requires_grad_(True)
    gradient_rows(model, trained.corpus, np.arange(3))
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]
    assert model.config._attn_implementation == "sdpa"


def test_a_gradient_of_zeros_gives_a_row_of_zeros() -> None:
    model = GPTNeoXForCausalLM._from_config(small_config(), attn_implementation="sdpa", dtype=torch.float32).eval()
    torch.nn.init.zeros_(model.lm_head.weight)
    rows, norms = gradient_rows(model, corpus_of([[1, 2, 3]]), np.array([0, 1]))
    assert not rows.any()
    assert norms.tolist() == [0.0, 0.0]


def test_nan_weights_are_refused_with_the_flat_index(trained: Trained) -> None:
    model = copy.deepcopy(trained.model)
    model.gpt_neox.layers[1].mlp.dense_4h_to_h.weight[0, 0] = torch.nan
    with pytest.raises(GradientError, match="flat index 7"):
        gradient_rows(model, trained.corpus, np.array([7]))


def test_a_token_without_context_is_refused(trained: Trained) -> None:
    with pytest.raises(GradientError, match="at least 2 tokens"):
        token_gradient(trained.model, np.array([3]), gradient_parameters(trained.model))


def test_a_prediction_outside_the_corpus_is_refused(trained: Trained) -> None:
    with pytest.raises(CorpusError):
        gradient_rows(trained.model, trained.corpus, np.array([trained.corpus.n_predictions]))


def test_no_predictions_give_no_rows(trained: Trained) -> None:
    rows, norms = gradient_rows(trained.model, trained.corpus, np.array([], np.int64))
    assert (len(rows), len(norms)) == (0, 0)


def test_weights_in_half_precision_are_refused(trained: Trained) -> None:
    model = copy.deepcopy(trained.model).bfloat16()
    with pytest.raises(GradientError, match="bfloat16.*dtype=torch.float32"):
        gradient_rows(model, trained.corpus, np.array([7]))
    with pytest.raises(GradientError, match="bfloat16"):
        token_gradient(model, np.array([3, 4]), gradient_parameters(model))


def test_the_published_scope_belongs_to_gpt_neox(tmp_path: Path) -> None:
    with pytest.raises(GradientError, match="'gpt2'.*'default'"):
        gradient_parameters(toy("gpt2", tmp_path), "as-published")


def test_biases_of_queries_keys_and_values_are_kept(tmp_path: Path) -> None:
    names = [name for name, _ in gradient_parameters(toy("qwen2", tmp_path))]
    assert [name for name in names if name.endswith("bias")] == [
        f"model.layers.{layer}.self_attn.{kind}_proj.bias" for layer in (0, 1) for kind in "qkv"
    ]


def test_an_unknown_scope_or_family_is_refused(trained: Trained) -> None:
    with pytest.raises(GradientError, match="as-published"):
        gradient_parameters(trained.model, "most")
    with pytest.raises(CheckpointError, match="Linear"):
        gradient_parameters(torch.nn.Linear(2, 2))


def test_the_shipped_clustered_network_has_exact_gradients_on_real_text() -> None:
    folder = max((SUITE / "demo-793k").glob("step*"), key=lambda path: int(path.name.removeprefix("step")))
    tokenizer = Tokenizer.from_file(str(SUITE / "tokenizer.json"))
    text = inspect.getsource(heapq)
    corpus = tokenize(
        [text[i : i + 700] for i in range(0, 14_000, 700)],
        lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(texts)],
        max_length=256,
        n_vocabulary=4096,
    )
    model = load_checkpoint(folder)
    flat = of_small_loss(token_losses(model, corpus), (1e-4, 2e-2, 0.1), 3)
    assert len(flat) >= 4
    flat = np.append(flat, flat[-1] - 1)  # two targets that share a text
    for index, gradient in zip(flat, gradients(model, corpus, flat), strict=True):
        document, position = corpus.locate(int(index))
        expected = full_document_gradient(model, corpus.document_tokens(document), position, "default")
        assert len(gradient) == 791_040
        assert relative_error(gradient, expected) <= 1e-5
