"""Losses: as batch-1 eager gives them, whatever the batch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from compute.errors import CheckpointError, CorpusError
from compute.numerics.losses import document_blocks, mean_loss, token_losses
from tests.compute.numerics.eager import eager_losses
from tests.compute.numerics.networks import Trained, corpus_of


def test_losses_agree_with_single_documents_through_eager_attention(trained: Trained) -> None:
    corpus = trained.corpus
    expected = eager_losses(trained.model, corpus)
    losses = token_losses(trained.model, corpus)
    assert (losses.dtype, losses.shape) == (np.float32, (corpus.n_predictions,))
    assert np.abs(losses - expected).max() <= 1e-4
    clear = np.abs(expected - 0.1) > 1e-4
    assert np.array_equal((losses < 0.1)[clear], (expected < 0.1)[clear])
    assert ((expected > 1e-4) & (expected < 0.1)).sum() > 1000, "the fixture must hold small losses"


@pytest.mark.parametrize("max_batch_tokens", [1, 100, 500, 10**6])
def test_losses_do_not_depend_on_batch_mates(trained: Trained, max_batch_tokens: int) -> None:
    usual = token_losses(trained.model, trained.corpus)
    other = token_losses(trained.model, trained.corpus, max_batch_tokens=max_batch_tokens)
    assert np.abs(usual - other).max() <= 1e-5


def test_blocks_of_documents_join_to_the_whole(trained: Trained) -> None:
    corpus = trained.corpus
    blocks = document_blocks(corpus, 700)
    joined = np.concatenate([token_losses(trained.model, corpus, documents=block) for block in blocks])
    assert len(blocks) > 5
    assert np.abs(joined - token_losses(trained.model, corpus)).max() <= 1e-5


def test_blocks_hold_every_document_once_and_at_most_so_many_predictions() -> None:
    corpus = corpus_of([[1] * n for n in (0, 4, 4, 1, 20, 2, 0, 3, 0)])
    blocks = document_blocks(corpus, 6)
    assert [i for block in blocks for i in block] == list(range(9))
    assert [int(corpus.prediction_starts[b.stop] - corpus.prediction_starts[b.start]) for b in blocks] == [6, 19, 3]
    with pytest.raises(CorpusError):
        document_blocks(corpus, 0)


def test_documents_without_predictions_give_no_losses(trained: Trained) -> None:
    assert token_losses(trained.model, trained.corpus, documents=range(0, 2)).shape == (0,)
    with pytest.raises(CorpusError, match="no run of documents"):
        token_losses(trained.model, trained.corpus, documents=range(0, 10**6))


def test_progress_counts_up_to_all_predictions(trained: Trained) -> None:
    seen: list[int] = []
    token_losses(trained.model, trained.corpus, max_batch_tokens=500, progress=seen.append)
    assert seen == sorted(set(seen))
    assert seen[-1] == trained.corpus.n_predictions


def short_of_memory(monkeypatch: pytest.MonkeyPatch, model: torch.nn.Module, most: int) -> list[int]:
    """A network that can read so many tokens at a time; the numbers of documents tried."""
    tried: list[int] = []
    plain = model.gpt_neox.forward

    def forward(input_ids: torch.Tensor, **settings: object) -> object:
        tried.append(len(input_ids))
        if input_ids.numel() > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return plain(input_ids=input_ids, **settings)

    monkeypatch.setattr(model.gpt_neox, "forward", forward)
    return tried


def test_batches_shrink_when_memory_runs_out_and_losses_stay_the_same(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = token_losses(trained.model, trained.corpus)
    tried = short_of_memory(monkeypatch, trained.model, 96 * 3)
    found = token_losses(trained.model, trained.corpus, max_batch_tokens=96 * 8)
    assert tried[:3] == [8, 4, 2]
    assert np.abs(found - usual).max() <= 1e-5


def test_memory_that_runs_out_with_quarter_batches_is_explained(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(monkeypatch, trained.model, 96)
    with pytest.raises(CheckpointError, match="8, then 4, then 2 texts at a time"):
        token_losses(trained.model, trained.corpus, max_batch_tokens=96 * 8)


def test_losses_that_are_no_numbers_are_refused_with_the_flat_index(trained: Trained) -> None:
    model = copy.deepcopy(trained.model)
    model.lm_head.weight[0] = torch.nan
    with pytest.raises(CheckpointError, match="flat index 0"):
        token_losses(model, trained.corpus)


def test_text_that_the_model_cannot_read_is_refused(trained: Trained) -> None:
    with pytest.raises(CheckpointError, match="token 60"):
        token_losses(trained.model, corpus_of([[1, 60]]))
    with pytest.raises(CheckpointError, match="at most 96 tokens"):
        token_losses(trained.model, corpus_of([[1] * 200]))


def test_the_mean_is_accumulated_in_float64() -> None:
    losses = np.concatenate([np.full(1, 2.0**24, np.float32), np.ones(1000, np.float32)])
    assert mean_loss(losses) == pytest.approx((2.0**24 + 1000) / 1001, rel=1e-15)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_mean_over_no_numbers_is_refused(wrong: float) -> None:
    with pytest.raises(CheckpointError, match="flat index 2"):
        mean_loss(np.array([1.0, 2.0, wrong, wrong], np.float32))


def test_a_mean_over_nothing_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no losses"):
        mean_loss(np.empty(0, np.float32))
