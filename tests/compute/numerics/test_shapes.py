"""Rises and peaks of loss curves: by hand, and by looking at every triple of points."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics.shapes import shape_scores, stages

RISING = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0]
TWICE = [9.0, 2.0, 6.0, 7.0, 3.0, 1.0, 0.5]
FALLING = [9.0, 8.0, 6.0, 5.0, 3.0, 2.0, 1.0]


def by_triples(y: np.ndarray) -> float:
    return max(
        (max(min(y[j] - y[i], y[j] - y[k]), 0.0) for i, j, k in itertools.combinations(range(len(y)), 3)), default=0.0
    )


def test_shapes_by_hand():
    scores = shape_scores([RISING, TWICE, FALLING])
    assert scores.rise.tolist() == pytest.approx([5.5 - 1.25, 0.75 - 5.5, 1.5 - 8.5])
    assert scores.peak.tolist() == pytest.approx([0.0, 5.0, 0.0])
    assert scores.peak_at.tolist() == [-1, 3, -1]


def test_the_highest_peak_is_that_of_the_best_triple():
    curves = np.random.default_rng(0).normal(3, 2, (200, 7))
    assert shape_scores(curves).peak == pytest.approx([by_triples(y) for y in curves], abs=1e-5)


def test_a_curve_read_backwards_has_the_same_peak_and_falls_as_far_as_it_rose():
    curves = np.random.default_rng(1).normal(3, 2, (100, 9))
    one, other = shape_scores(curves), shape_scores(curves[:, ::-1])
    assert one.peak == pytest.approx(other.peak, abs=1e-6)
    assert one.rise == pytest.approx(-other.rise, abs=1e-6)


def test_a_shifted_curve_keeps_its_shape_and_a_stretched_one_stretches_it():
    curves = np.random.default_rng(2).normal(3, 2, (100, 6))
    one, shifted, stretched = shape_scores(curves), shape_scores(curves + 5), shape_scores(2 * curves)
    assert shifted.peak == pytest.approx(one.peak, abs=1e-5)
    assert stretched.rise == pytest.approx(2 * one.rise, abs=1e-5)


def test_the_chunk_changes_nothing():
    curves = np.random.default_rng(3).normal(3, 2, (101, 7))
    one, other = shape_scores(curves), shape_scores(curves, chunk=10)
    assert np.array_equal(one.peak, other.peak)
    assert np.array_equal(one.rise, other.rise)
    assert np.array_equal(one.peak_at, other.peak_at)


def test_a_loss_that_is_no_number_leaves_its_curve_unscored():
    scores = shape_scores([[1.0, np.nan, 2.0], FALLING[:3]])
    assert np.isnan(scores.rise[0])
    assert np.isnan(scores.peak[0])
    assert scores.peak_at.tolist() == [-1, -1]
    assert scores.rise[1] == pytest.approx(-3.0)


def test_half_precision_and_no_curves_are_taken():
    assert shape_scores(np.array([TWICE], np.float16)).peak.tolist() == [5.0]
    assert shape_scores(np.empty((0, 4))).peak.shape == (0,)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [(np.zeros((2, 2)), "3 or more points, but the curves have 2"), (np.zeros(4), "a table of tokens by points")],
)
def test_what_has_no_shape_is_refused(table, sentence):
    with pytest.raises(FitError, match=sentence):
        shape_scores(table)


def test_stages_average_checkpoints_evenly_in_the_logarithm():
    steps = [0, *range(1000, 144_000, 1000)]
    weights = stages(steps)
    assert weights.sum(axis=0) == pytest.approx(np.ones(weights.shape[1]))
    assert not weights[0].any()
    assert (np.count_nonzero(weights, axis=1)[1:] == 1).all()
    means = np.log(np.maximum(steps, 1)) @ weights
    assert (np.diff(means) > 0).all()


def test_a_peak_of_noise_shrinks_in_stages():
    rng = np.random.default_rng(4)
    steps = np.arange(1000, 144_000, 1000)
    flat = rng.normal(3, 1, (300, len(steps)))
    assert shape_scores(flat @ stages(steps)).peak.mean() < 0.5 * shape_scores(flat).peak.mean()


def test_training_without_a_step_has_no_stages():
    with pytest.raises(FitError, match="a checkpoint after step 0"):
        stages([0])
