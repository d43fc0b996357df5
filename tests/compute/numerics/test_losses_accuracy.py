"""How exact losses are: on the demo's trained weights, in every family, in half precision and on a GPU."""

from __future__ import annotations

import inspect
import textwrap

import numpy as np
import pytest
import tokenizers
import torch

from compute.demo.suite import SUITE_FOLDER, demo_suite
from compute.numerics.checkpoints import load_checkpoint, pythia_config
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.families import FAMILIES
from compute.numerics.losses import document_blocks, token_losses
from tests.compute.numerics.eager import eager_losses
from tests.compute.numerics.networks import CONTEXT, VOCABULARY, Trained, corpus_of, toy

NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
MODULES = (inspect, textwrap)


def python_text(lengths: np.ndarray) -> TokenizedCorpus:
    """Documents of these lengths, cut one after the other from sources of the standard library."""
    tokenizer = tokenizers.Tokenizer.from_file(str(SUITE_FOLDER / "tokenizer.json"))
    ids = tokenizer.encode("\n".join(inspect.getsource(module) for module in MODULES), add_special_tokens=False).ids
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    assert offsets[-1] <= len(ids)
    return TokenizedCorpus(np.array(ids[: offsets[-1]], np.uint16), offsets)


def assert_same_below(losses: np.ndarray, expected: np.ndarray, threshold: float = 0.1) -> None:
    clear = np.abs(expected - threshold) > 1e-4
    assert np.array_equal((losses < threshold)[clear], (expected < threshold)[clear])
    assert (expected < threshold).sum() > 100, "the text must hold small losses"


def test_trained_weights_give_the_losses_of_single_documents_through_eager_attention() -> None:
    model = load_checkpoint(demo_suite(is_checked=False).clustered_model.final)
    corpus = python_text(np.geomspace(2, 256, 200).astype(int))
    losses, expected = token_losses(model, corpus), eager_losses(model, corpus)
    assert np.abs(losses - expected).max() <= 1e-4
    assert_same_below(losses, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_the_same_losses_in_every_batch(family: str, tmp_path) -> None:
    model = toy(family, tmp_path)
    rng = np.random.default_rng(0)
    lengths = [0, 1, 2, CONTEXT, 3, 2, *rng.integers(2, CONTEXT, 20).tolist(), CONTEXT + 1, 0]
    corpus = corpus_of([rng.integers(0, VOCABULARY, n).tolist() for n in lengths])
    expected = eager_losses(model, corpus)
    blocks = document_blocks(corpus, 70)
    for max_batch_tokens in (1, 60, 10**6):
        parts = [token_losses(model, corpus, documents=b, max_batch_tokens=max_batch_tokens) for b in blocks]
        assert np.abs(np.concatenate(parts) - expected).max() <= 1e-5


def test_the_order_of_documents_does_not_matter(trained: Trained) -> None:
    corpus = trained.corpus
    order = np.random.default_rng(0).permutation(corpus.n_documents)
    shuffled = corpus_of([corpus.document_tokens(i).tolist() for i in order])
    losses, again = token_losses(trained.model, corpus), token_losses(trained.model, shuffled)
    for place, document in enumerate(order):
        here = losses[corpus.prediction_starts[document] : corpus.prediction_starts[document + 1]]
        there = again[shuffled.prediction_starts[place] : shuffled.prediction_starts[place + 1]]
        assert np.abs(here - there).max(initial=0) <= 1e-5


def test_chunks_of_the_unembedding_leave_no_seam(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = token_losses(trained.model, trained.corpus)
    monkeypatch.setattr("compute.numerics.losses.CHUNKS", {"cpu": (1, 7, 1 << 20)})
    assert np.abs(token_losses(trained.model, trained.corpus) - usual).max() <= 1e-5


def test_reduced_precision_asked_for_elsewhere_is_not_used(trained: Trained) -> None:
    usual = token_losses(trained.model, trained.corpus)
    torch.set_float32_matmul_precision("medium")
    try:
        assert np.array_equal(token_losses(trained.model, trained.corpus), usual)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_half_precision_body_under_a_full_precision_head_stays_near() -> None:
    path = demo_suite(is_checked=False).models[0].final
    corpus = python_text(np.linspace(2, 256, 60).astype(int))
    exact = token_losses(load_checkpoint(path), corpus)
    mixed = load_checkpoint(path, dtype=torch.bfloat16, head_dtype=torch.float32)
    assert_near(token_losses(mixed, corpus), exact)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_with_a_half_precision_body_and_is_itself_again_afterwards(family: str, tmp_path) -> None:
    exact = toy(family, tmp_path)
    mixed = load_checkpoint(tmp_path, dtype=torch.bfloat16, head_dtype=torch.float32)
    rng = np.random.default_rng(0)
    corpus = corpus_of([rng.integers(0, VOCABULARY, n).tolist() for n in (CONTEXT, 5, 9, 2, CONTEXT)])
    off = np.abs(token_losses(mixed, corpus) - token_losses(exact, corpus))
    assert 0 < off.mean() < 0.02
    assert not any("forward" in vars(module) or module._forward_hooks for module in mixed.modules())


def assert_near(losses: np.ndarray, exact: np.ndarray) -> None:
    off = losses.astype(float) - exact
    assert abs(off.mean()) <= 1e-3
    assert np.quantile(np.abs(off), 0.999) <= 0.05


@pytest.mark.gpu
@NEEDS_GPU
def test_a_gpu_gives_the_losses_of_single_documents_through_eager_attention() -> None:
    model = load_checkpoint(demo_suite(is_checked=False).clustered_model.final)
    corpus = python_text(np.geomspace(2, 256, 200).astype(int))
    expected = eager_losses(model, corpus)
    losses = token_losses(model.cuda(), corpus, device="cuda")
    assert np.abs(losses - expected).max() <= 1e-4
    assert_same_below(losses, expected)


@pytest.mark.gpu
@NEEDS_GPU
def test_half_precision_on_a_gpu_stays_near() -> None:
    path = demo_suite(is_checked=False).models[0].final
    corpus = python_text(np.linspace(2, 256, 60).astype(int))
    exact = token_losses(load_checkpoint(path), corpus)
    mixed = load_checkpoint(path, device="cuda", dtype=torch.bfloat16, head_dtype=torch.float32)
    assert_near(token_losses(mixed, corpus, device="cuda"), exact)


@pytest.mark.gpu
@NEEDS_GPU
def test_means_in_half_precision_on_a_gpu_stay_near_at_every_size() -> None:
    corpus = python_text(np.linspace(2, 256, 200).astype(int))
    for network in demo_suite(is_checked=False).models:
        exact = token_losses(load_checkpoint(network.final, device="cuda"), corpus, device="cuda")
        mixed = load_checkpoint(network.final, device="cuda", dtype=torch.bfloat16, head_dtype=torch.float32)
        off = token_losses(mixed, corpus, device="cuda").astype(float) - exact
        assert abs(off.mean()) <= 1e-3


@pytest.mark.gpu
@NEEDS_GPU
def test_a_gpu_agrees_with_itself_in_small_batches_at_the_size_of_pythia_1b() -> None:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(pythia_config("pythia-1b"), dtype=torch.float32)
    model.eval().requires_grad_(False)
    rng = np.random.default_rng(0)
    corpus = corpus_of([rng.integers(0, 50304, n).tolist() for n in (2, 1024, 700, 33, 1024, 5)])
    losses = token_losses(model, corpus, device="cuda")
    assert np.abs(losses - token_losses(model, corpus, device="cuda", max_batch_tokens=1)).max() <= 1e-4
