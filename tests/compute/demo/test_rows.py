"""Training rows, their order, and the overlap with the training text."""

from __future__ import annotations

import numpy as np
import pytest

from compute.demo.overlap import joined, training_overlap
from compute.demo.recipe import LADDER, Recipe
from compute.demo.rows import row_order, training_rows


def test_every_row_starts_with_its_document():
    rows = training_rows([[1, 2, 3], [4, 5], [6, 7, 8, 9, 10, 11, 12, 13]], length=6)
    assert rows.tolist() == [[1, 2, 3, 0, 4, 5], [4, 5, 0, 6, 7, 8], [6, 7, 8, 9, 10, 11]]


def test_row_order_is_seeded_and_meets_every_row_before_any_again():
    order = row_order(10, 25, seed=3)
    assert np.array_equal(order, row_order(10, 25, seed=3))
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))


def test_learning_rate_rises_then_falls():
    recipe = Recipe(steps=100, warmup=10)
    shares = [recipe.lr_share(s) for s in range(101)]
    assert max(shares) == pytest.approx(shares[10]) == pytest.approx(1.0)
    assert shares[100] == pytest.approx(recipe.final_lr_share)


def test_the_ladder_spans_what_it_must():
    sizes = [n.n_non_embedding for n in LADDER]
    assert sizes == sorted(sizes)
    assert len(sizes) >= 6
    assert np.log10(sizes[-1] / sizes[0]) >= 2.5
    assert sum(len(n.checkpoint_steps(Recipe())) >= 12 for n in LADDER) >= 3


def test_overlap_counts_only_whole_runs_of_the_training_stream():
    stream = joined([list(range(100, 140)), list(range(200, 220))])
    seen, other_answer, short = list(range(105, 121)), list(range(105, 121)), [118, 119, 120]
    found = training_overlap([[7, *seen], other_answer, short], [121, 122, 121], stream)
    assert found.is_seen.tolist() == [True, False, False]
    assert (found.n_seen, found.n_short) == (1, 1)
    assert found.share == pytest.approx(1 / 3)


def test_overlap_of_nothing_is_nothing():
    assert training_overlap([], [], np.arange(40)).share == 0.0
