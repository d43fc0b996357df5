"""Tokens by the first size that learns them."""

from __future__ import annotations

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics import persistence as module
from compute.numerics.persistence import persistence

CURVES = np.array(
    [
        [0.1, 0.1, 0.1],  # learned at once, kept
        [0.1, 0.5, 0.1],  # learned at once, lost, learned again
        [0.5, 0.1, 0.2],  # learned at the second size, kept
        [0.5, 0.2, 0.3],  # a loss at the threshold is none below it
        [0.5, 0.5, 0.1],
        [9.0, 9.0, 9.0],  # never
    ],
    np.float32,
)


def test_tokens_are_counted_at_the_first_size_that_learns_them():
    found = persistence(CURVES, threshold=0.3)
    assert found.n_first.tolist() == [2, 2, 1]
    assert found.n_staying.tolist() == [1, 1, 1]


def test_blocks_change_nothing(monkeypatch):
    curves = np.random.default_rng(0).uniform(0, 0.6, (50, 4))
    whole = persistence(curves, threshold=0.3)
    monkeypatch.setattr(module, "ROWS_PER_BLOCK", 7)
    parts = persistence(curves, threshold=0.3)
    assert (whole.n_first == parts.n_first).all()
    assert (whole.n_staying == parts.n_staying).all()


def test_all_learned_tokens_are_counted_once():
    curves = np.random.default_rng(1).uniform(0, 0.6, (200, 5))
    found = persistence(curves, threshold=0.3)
    assert found.n_first.sum() == (curves < 0.3).any(axis=1).sum()
    assert found.n_staying[-1] == found.n_first[-1]


def test_what_is_no_table_of_curves_is_refused():
    with pytest.raises(FitError, match="n_sizes"):
        persistence(np.zeros(4), threshold=0.3)
