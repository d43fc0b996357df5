"""A column's summary: exact, in chunks, and nothing lost from the counts."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from compute.errors import CheckpointError
from compute.numerics import loss_summary as module
from compute.numerics.loss_summary import FINE_EDGES, LOG_EDGES, SHARES, LossSummary, loss_summary


def column(n: int) -> np.ndarray:
    """Losses of every size: zeros, roundings below zero, ties, and a heavy tail."""
    rng = np.random.default_rng(0)
    losses = np.concatenate([rng.lognormal(-1, 4, n), np.zeros(n // 10), np.full(n // 10, 0.5), [-1e-7, -0.0, 1e3]])
    return rng.permutation(losses).astype(np.float32)


def test_quantiles_are_those_of_the_sorted_losses() -> None:
    losses = column(20_001)
    found = loss_summary(losses)
    expected = np.quantile(losses, SHARES, method="inverted_cdf")
    assert found.quantiles == {str(share): float(value) for share, value in zip(SHARES, expected, strict=True)}
    assert found.n == len(losses)


def test_a_single_loss_is_every_quantile() -> None:
    assert set(loss_summary(np.array([-2.5], np.float32)).quantiles.values()) == {-2.5}


def test_the_mean_is_accumulated_in_float64() -> None:
    losses = np.concatenate([np.full(1, 2.0**24, np.float32), np.ones(1000, np.float32)])
    assert loss_summary(losses).mean == (2.0**24 + 1000) / 1001


def test_counts_hold_every_loss_with_those_outside_the_edges_at_the_ends() -> None:
    losses = np.array([-1e-6, 0.0, 1e-8, 1.0, 1.05, 99.0, 100.0, 1e6], np.float32)
    counts = np.array(loss_summary(losses).log_counts)
    assert len(counts) == len(LOG_EDGES) + 1
    assert (counts[0], counts[-1], counts.sum()) == (3, 2, len(losses))
    assert counts[1 + 7 * 20] == 2, "1.0 is the lower edge of its bin"
    assert counts[-2] == 1


def float32_at_or_above(edges: np.ndarray) -> np.ndarray:
    """The smallest number of float32 that a bin with this lower edge holds."""
    nearest = edges.astype(np.float32)
    return np.where(nearest < edges, np.nextafter(nearest, np.float32(np.inf)), nearest)


PAPERS_BINS = [(1000, 18), (3000, 18), (3000, 30)]


@pytest.mark.parametrize(("n_bins", "bits"), PAPERS_BINS)
def test_no_number_of_float32_lies_between_a_merged_edge_and_the_papers(n_bins: int, bits: int) -> None:
    merged = FINE_EDGES[: 500 * bits + 1 : 500 * bits // n_bins]
    papers = np.linspace(0, bits, n_bins + 1) * math.log(2)
    assert np.array_equal(float32_at_or_above(merged), float32_at_or_above(papers))


@pytest.mark.parametrize(("n_bins", "bits"), PAPERS_BINS)
def test_fine_counts_merge_to_the_papers(n_bins: int, bits: int) -> None:
    papers = np.linspace(0, bits, n_bins + 1) * math.log(2)
    on_edges = papers.astype(np.float32)
    beside = [np.nextafter(on_edges, np.float32(end)) for end in (np.inf, -1)]
    rng = np.random.default_rng(1)
    losses = np.concatenate([on_edges, *beside, rng.gamma(1, 4, 50_000), rng.lognormal(-6, 2, 9000), [0, 1e3]])
    losses = np.maximum(losses, 0).astype(np.float32)
    fine = np.array(loss_summary(losses).fine_counts)
    merged = fine[: 500 * bits].reshape(n_bins, -1).sum(axis=1)
    assert merged.tolist() == np.histogram(losses, papers)[0].tolist()
    assert fine[-1] == np.count_nonzero(losses > papers[-1] * 30 / bits) > 0
    assert fine.sum() == len(losses)


def test_fine_bins_are_0_002_bits_wide_and_hold_what_rounding_brought_below_zero() -> None:
    assert len(FINE_EDGES) == 15_001
    assert np.diff(FINE_EDGES) == pytest.approx(0.002 * math.log(2), rel=1e-9)
    counts = loss_summary(np.array([-1e-7, 0.0, 0.001, 0.0014, 30 * math.log(2) - 1e-4, 21], np.float32)).fine_counts
    assert (counts[0], counts[1], counts[-2], counts[-1], sum(counts)) == (3, 1, 1, 1, 6)


def test_chunks_of_a_memory_map_make_no_difference(tmp_path, monkeypatch) -> None:
    losses = column(5000)
    np.save(tmp_path / "losses.npy", losses)
    whole = loss_summary(losses)
    monkeypatch.setattr(module, "VALUES_PER_CHUNK", 777)
    pieces = loss_summary(np.load(tmp_path / "losses.npy", mmap_mode="r"))
    assert pieces.quantiles == whole.quantiles
    assert pieces.log_counts == whole.log_counts
    assert pieces.fine_counts == whole.fine_counts
    assert pieces.mean == pytest.approx(whole.mean, rel=1e-14)


def test_a_summary_survives_json() -> None:
    found = loss_summary(column(100))
    assert LossSummary(**json.loads(json.dumps(dataclasses.asdict(found)))) == found


def test_no_losses_and_losses_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(CheckpointError, match="no losses"):
        loss_summary(np.empty(0, np.float32))
    with pytest.raises(CheckpointError, match="flat index 1 is inf"):
        loss_summary(np.array([1.0, np.inf, np.nan], np.float32))
