"""Vectors of tokens: of the declared length, alike however they are batched, and refused when they are no numbers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoConfig, GPTNeoXForCausalLM

from compute.errors import CheckpointError, CorpusError, GradientError
from compute.numerics import vectors
from compute.numerics.checkpoints import pythia_config
from compute.numerics.families import FAMILIES
from compute.numerics.gradients import gradient_rows, gradients
from compute.numerics.vectors import KINDS, n_entries, row_norms, shared_texts, vector_batches
from tests.compute.numerics.networks import CONTEXT, TOY_SETTINGS, VOCABULARY, Trained, corpus_of, toy


def collected(model: torch.nn.Module, corpus: Any, flat: np.ndarray, **settings: Any) -> np.ndarray:
    """All vectors in the order of the indices, float64."""
    found = np.full((len(flat), n_entries(model, **settings)), np.nan)
    for places, rows, norms in vector_batches(model, corpus, flat, **settings):
        found[places] = rows.double().numpy()
        np.testing.assert_allclose(norms, np.linalg.norm(found[places], axis=1), rtol=1e-6)
    return found


def relative_errors(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)


def test_pythia_70m_has_the_published_lengths() -> None:
    with torch.device("meta"):
        model = GPTNeoXForCausalLM(pythia_config("pythia-70m"))
    assert n_entries(model) == n_entries(model, kind="sparsified") == 18_902_016
    assert n_entries(model, scope="as-published") == 18_903_040
    assert n_entries(model, scope="all") == 70_426_624
    assert n_entries(model, kind="activations") == 12_288


def test_tinystories_33m_has_the_published_length() -> None:
    config = GPTNeoConfig(
        hidden_size=768, num_layers=4, num_heads=16, attention_types=[[["global", "local"], 2]], vocab_size=50257
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    assert n_entries(model) == 28_329_984


def test_targets_share_a_text_from_two_thirds_of_the_longest_on() -> None:
    documents = np.array([0, 0, 0, 0, 1, 1, 0, 1])
    positions = np.array([30, 90, 61, 60, 5, 5, 89, 4])
    assert shared_texts(documents, positions, 2 / 3, 9) == [[1, 6, 2], [5, 7], [3], [0], [4]]
    assert shared_texts(documents, positions, 2 / 3, 2) == [[1, 6], [2, 3], [5, 7], [0], [4]]
    assert shared_texts(documents, positions, 0.0, 9) == [[1, 6, 2, 3, 0], [5, 7], [4]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scope", ["default", "all"])
def test_vectors_that_share_a_text_equal_those_alone(trained: Trained, kind: str, scope: str) -> None:
    start = int(trained.corpus.prediction_starts[3])
    flat = np.array([start + 94, start + 70, start + 90, start + 93, start + 70, start, start + 30, start + 400])
    together = collected(trained.model, trained.corpus, flat, kind=kind, scope=scope)
    alone = [collected(trained.model, trained.corpus, flat[i : i + 1], kind=kind, scope=scope)[0] for i in range(8)]
    assert relative_errors(together, np.array(alone)).max() < 1e-5


@pytest.mark.parametrize("n_tokens", [1, 100, 1000])
def test_vectors_do_not_depend_on_the_size_of_batches(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, n_tokens: int
) -> None:
    flat = np.random.default_rng(5).choice(trained.corpus.n_predictions, 60, replace=False)
    expected = collected(trained.model, trained.corpus, flat)
    monkeypatch.setitem(vectors.BATCH_TOKENS, "cpu", n_tokens)
    monkeypatch.setitem(vectors.BATCH_BYTES, "cpu", n_tokens * 100_000)
    monkeypatch.setitem(vectors.SHARED_BYTES, "cpu", n_tokens * 100_000)
    assert relative_errors(collected(trained.model, trained.corpus, flat), expected).max() < 1e-5


def test_activations_are_what_enters_the_last_map_of_every_mlp(trained: Trained) -> None:
    flat = np.array([0, 40, 95, 300, 301])
    found = collected(trained.model, trained.corpus, flat, kind="activations")
    assert found.shape == (5, 2 * 128)
    model = copy.deepcopy(trained.model)
    for row, index in zip(found, flat, strict=True):
        document, position = trained.corpus.locate(int(index))
        ids = torch.from_numpy(trained.corpus.document_tokens(document)[:position].astype(np.int64))[None]
        streams = model(input_ids=ids, output_hidden_states=True).hidden_states
        expected = [
            layer.mlp.act(layer.mlp.dense_h_to_4h(layer.post_attention_layernorm(stream[0, -1])))
            for layer, stream in zip(model.gpt_neox.layers, streams, strict=False)
        ]
        np.testing.assert_allclose(row, torch.cat(expected).numpy(), atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_activations(tmp_path: Path, family: str) -> None:
    model = toy(family, tmp_path)
    width = TOY_SETTINGS[family].get("intermediate_size", 64)
    corpus = corpus_of([list(range(CONTEXT)), list(range(10, 20))])
    found = collected(model, corpus, np.array([3, CONTEXT - 2, CONTEXT + 1]), kind="activations")
    assert found.shape == (3, 2 * width)
    assert np.linalg.matrix_rank(found) == 3


def test_sparsified_gradients_keep_large_entries_of_unit_gradients(trained: Trained) -> None:
    flat = np.arange(0, 2000, 100)
    exact = np.array(list(gradients(trained.model, trained.corpus, flat)), np.float64)
    unit = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    expected = np.where(np.abs(unit) < 7e-3, 0, unit)
    found = collected(trained.model, trained.corpus, flat, kind="sparsified")
    assert 0 < np.count_nonzero(found) < found.size / 2
    sure = np.abs(np.abs(unit) - 7e-3) > 1e-6
    np.testing.assert_allclose(found[sure], expected[sure], atol=1e-6)


def test_sparsified_rows_are_unit_vectors_again(trained: Trained) -> None:
    rows, norms = gradient_rows(trained.model, trained.corpus, np.arange(0, 2000, 100), kind="sparsified")
    np.testing.assert_allclose(np.linalg.norm(rows.astype(np.float64), axis=1), rows.shape[1] ** 0.5, rtol=1e-3)
    assert (norms < 1).all()


def test_norms_of_tiny_and_huge_rows_are_kept() -> None:
    rows = torch.ones(3, 10_000) * torch.tensor([1e-25, 1.0, 1e15])[:, None]
    np.testing.assert_allclose(row_norms(rows), [1e-23, 1e2, 1e17], rtol=1e-6)
    assert not np.isfinite(row_norms(torch.full((1, 5), torch.nan)))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_that_are_no_numbers_are_refused_with_the_flat_index(trained: Trained, kind: str) -> None:
    model = copy.deepcopy(trained.model)
    model.gpt_neox.embed_in.weight[:] = torch.inf
    with pytest.raises(GradientError, match="flat index 7 .*not finite"):
        list(vector_batches(model, trained.corpus, np.array([7]), kind=kind))


def test_unknown_kinds_predictions_and_half_precision_are_refused(trained: Trained) -> None:
    with pytest.raises(GradientError, match="'hessians'.*sparsified"):
        n_entries(trained.model, kind="hessians")
    with pytest.raises(CorpusError):
        list(vector_batches(trained.model, trained.corpus, np.array([-1]), kind="activations"))
    half = copy.deepcopy(trained.model).bfloat16()
    with pytest.raises(GradientError, match="bfloat16"):
        list(vector_batches(half, trained.corpus, np.array([1]), kind="activations"))


def test_a_text_that_the_network_cannot_read_is_refused(tmp_path: Path) -> None:
    model = toy("gpt2", tmp_path)
    corpus = corpus_of([[1] * (CONTEXT + 5), [1, VOCABULARY]])
    with pytest.raises(CheckpointError, match=f"reads {CONTEXT}"):
        list(vector_batches(model, corpus, np.array([CONTEXT + 3])))
    with pytest.raises(CheckpointError, match=f"token {VOCABULARY}"):
        list(vector_batches(model, corpus, np.array([CONTEXT + 4])))


def test_progress_counts_vectors(trained: Trained) -> None:
    seen: list[int] = []
    list(vector_batches(trained.model, trained.corpus, np.arange(0, 500, 10), progress=seen.append))
    assert seen == sorted(seen)
    assert seen[-1] == 50


def short_of_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Let memory hold so many texts at a time; a list of what was tried."""
    tried: list[int] = []
    real = vectors.pad_contexts

    def pad(texts: list[np.ndarray], *rest: Any) -> Any:
        tried.append(len(texts))
        if len(texts) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(texts, *rest)

    monkeypatch.setattr(vectors, "pad_contexts", pad)
    return tried


def test_batches_are_halved_when_memory_runs_out(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    flat = np.array([int(start) for start in trained.corpus.prediction_starts[3:60]])
    expected = collected(trained.model, trained.corpus, flat)
    tried = short_of_memory(monkeypatch, 20)
    assert relative_errors(collected(trained.model, trained.corpus, flat), expected).max() < 1e-5
    assert max(tried) > 20


def test_memory_that_runs_out_three_times_is_explained(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(monkeypatch, 1)
    flat = np.array([int(start) for start in trained.corpus.prediction_starts[3:60]])
    with pytest.raises(CheckpointError, match="Memory ran out"):
        collected(trained.model, trained.corpus, flat)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_gives_the_same_vectors(trained: Trained, kind: str) -> None:
    flat = np.random.default_rng(5).choice(trained.corpus.n_predictions, 60, replace=False)
    expected = collected(trained.model, trained.corpus, flat, kind=kind)
    model = copy.deepcopy(trained.model).cuda()
    for places, rows, _ in vector_batches(model, trained.corpus, flat, kind=kind, device="cuda"):
        assert relative_errors(rows.double().cpu().numpy(), expected[places]).max() < 1e-4
