"""Crossings of a threshold: hand cases, noise against an antitonic fit, step 0, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from compute.errors import FitError
from compute.numerics.emergence import BELOW_FROM_START, CROSSED, NEVER, crossings

SCALE = [1e3, 1e4, 1e5, 1e6]


def test_a_fall_is_placed_between_its_neighbours_linearly_in_ln_scale():
    found = crossings([[2.0, 1.0, 0.0, 0.0]], SCALE, 0.5)
    assert found.state.tolist() == [CROSSED]
    assert found.scale[0] == pytest.approx(10**4.5)


def test_a_curve_below_from_the_start_and_one_that_never_falls_are_told_apart():
    found = crossings([[0.4, 0.3, 0.2, 0.1], [3, 2, 1, 0.6], [0.1, 0.2, 0.3, 4.0]], SCALE, 0.5)
    assert found.state.tolist() == [BELOW_FROM_START, NEVER, NEVER]
    assert np.isnan(found.scale).all()
    assert (found.scale.dtype, found.state.dtype) == (np.float64, np.uint8)


def test_a_loss_equal_to_the_threshold_is_not_below_it():
    found = crossings([[0.5, 0.5, 0.1, 0.1]], SCALE, 0.5)
    assert found.scale[0] == pytest.approx(1e4)
    assert crossings([[0.5, 0.5, 0.5, 0.5]], SCALE, 0.5).state.tolist() == [NEVER]


def test_a_long_return_above_the_threshold_moves_the_crossing_behind_it():
    assert crossings([[5, 0.1, 5, 0.0]], SCALE, 0.5).scale[0] > 1e5


def test_a_slight_return_that_does_not_last_is_taken_for_noise():
    assert crossings([[5, 0.1, 0.52, 0.1]], SCALE, 0.5).scale[0] < 1e4


def test_one_dip_of_a_curve_that_stays_above_is_no_crossing():
    curve = np.full(40, 0.55)
    curve[3] = 0.49
    assert crossings([curve], np.arange(1, 41), 0.5).state.tolist() == [NEVER]


def test_the_fall_taken_is_that_of_the_antitonic_least_squares_fit():
    rng = np.random.default_rng(4)
    scale = np.geomspace(1, 1e5, 60)
    curves = np.linspace(2, 0, 60) * rng.uniform(0.5, 2, (200, 1)) + rng.normal(0, 0.4, (200, 60))
    found = crossings(curves, scale, 0.5)
    for curve, at, state in zip(curves, found.scale, found.state, strict=True):
        n_above = int((IsotonicRegression(increasing=False).fit_transform(np.arange(60), curve) >= 0.5).sum())
        if state == CROSSED:
            assert scale[n_above - 1] <= at <= scale[n_above]
        else:
            assert n_above == (0 if state == BELOW_FROM_START else 60)


def test_step_0_has_a_place_before_the_first_step():
    found = crossings([[10.0, 0.0]], [0, 1000], 5.0)
    assert found.scale[0] == pytest.approx(np.expm1(0.5 * np.log1p(1000)))
    assert 0 < found.scale[0] < 1000


def test_a_higher_threshold_is_crossed_no_later():
    rng = np.random.default_rng(1)
    curves = 6 * np.exp(-np.linspace(0, 3, 20) * rng.uniform(0.5, 2, (50, 1))) + rng.normal(0, 0.1, (50, 20))
    scale = np.geomspace(1, 1e4, 20)
    low, high = (crossings(curves, scale, threshold) for threshold in (0.5, 1.0))
    both = (low.state == CROSSED) & (high.state == CROSSED)
    assert both.sum() > 20
    assert (high.scale[both] <= low.scale[both]).all()


def test_no_curves_give_no_crossings():
    assert len(crossings(np.empty((0, 4)), SCALE, 0.5).scale) == 0


@pytest.mark.parametrize(
    ("curves", "scale", "threshold", "sentence"),
    [
        ([[1, 2]], [1, 2, 3], 0.5, "must be"),
        ([1, 2], [1, 2], 0.5, "must be"),
        ([[1, np.nan]], [1, 2], 0.5, "curve 0"),
        ([[1, 2]], [2, 1], 0.5, "must increase"),
        ([[1, 2]], [-1, 1], 0.5, "must increase"),
        ([[1, 2]], [1, 2], np.inf, "threshold"),
    ],
)
def test_what_cannot_be_placed_is_refused_with_a_sentence(curves, scale, threshold, sentence):
    with pytest.raises(FitError, match=sentence):
        crossings(curves, scale, threshold)
