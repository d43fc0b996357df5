"""Measurements read backwards."""

from __future__ import annotations

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics.calibration import calibrate, invert

TRUTHS = np.linspace(0.8, 1.5, 8)


def measured(rng: np.random.Generator, sd: float = 0.05, n: int = 10) -> np.ndarray:
    return -0.6 * TRUTHS[:, None] - 0.6 + sd * rng.standard_normal((len(TRUTHS), n))


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng, n_inside = np.random.default_rng(0), 0
    for _ in range(400):
        found = invert(calibrate(TRUTHS, measured(rng)), -0.6 * 1.1 - 0.6 + 0.05 * rng.standard_normal())
        n_inside += found.low <= 1.1 <= found.high
    assert n_inside / 400 == pytest.approx(0.95, abs=0.03)


def test_both_ends_are_measurements_just_within_reach_of_the_line():
    line = calibrate(TRUTHS, measured(np.random.default_rng(1)))
    found = invert(line, -1.3, 0.02)
    for truth in (found.low, found.high):
        away = -1.3 - line.intercept - line.slope * truth
        room = line.residual**2 * (1 + 1 / line.n + (truth - line.mean_truth) ** 2 / line.sum_of_squares) + 0.02**2
        assert abs(away) / np.sqrt(room) == pytest.approx(1.9908, abs=1e-3)  # Student's t at 78 degrees of freedom


def test_a_measurement_s_own_error_widens_the_interval():
    line = calibrate(TRUTHS, measured(np.random.default_rng(2)))
    sharp, blunt = invert(line, -1.3), invert(line, -1.3, 0.1)
    assert blunt.high - blunt.low > sharp.high - sharp.low
    assert sharp.truth == blunt.truth


def test_an_interval_that_leaves_the_truths_that_were_tried_says_so():
    line = calibrate(TRUTHS, measured(np.random.default_rng(3)))
    assert invert(line, -1.26).is_inside
    assert not invert(line, -2.5).is_inside


def test_an_instrument_that_does_not_respond_cannot_be_read_backwards():
    flat = np.random.default_rng(4).standard_normal((8, 10))
    with pytest.raises(FitError, match="cannot be told from 0"):
        invert(calibrate(TRUTHS, flat), -1.0)


def test_too_few_measurements_or_none_are_refused():
    with pytest.raises(FitError, match="at least 3"):
        calibrate([1.0, 2.0], [[0.0], [1.0]])
    with pytest.raises(FitError, match="one row"):
        calibrate([1.0], [[0.0], [1.0]])
    with pytest.raises(FitError, match="no measurement"):
        invert(calibrate(TRUTHS, measured(np.random.default_rng(5))), float("nan"))
