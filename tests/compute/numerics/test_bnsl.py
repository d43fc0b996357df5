"""Broken power laws: exact ones come back, extreme ones stay finite."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics.bnsl import Break, BrokenPowerLaw, fit_broken_power_law
from compute.numerics.scaling import fit_power_law_with_offset

X = np.geomspace(1, 1e6, 50)
ONE_BREAK = BrokenPowerLaw(0.5, math.log(4), 0.1, (Break(at=1e3, change=0.4, width=0.5),))


@pytest.mark.parametrize(
    "law",
    [
        ONE_BREAK,
        BrokenPowerLaw(0.0, math.log(10), 0.3, (Break(at=3e4, change=-0.25, width=0.2),)),
        BrokenPowerLaw(1.7, math.log(2), 0.05, (Break(at=200, change=0.6, width=1.0),)),
    ],
)
def test_a_noiseless_break_is_recovered_to_a_hundredth(law):
    fit = fit_broken_power_law(X, law.predict(X), n_breaks=1)
    found, true = fit.law.breaks[0], law.breaks[0]
    assert (found.at, found.change, found.width) == pytest.approx((true.at, true.change, true.width), rel=0.01)
    assert (math.exp(fit.law.log_amplitude), fit.law.exponent) == pytest.approx(
        (math.exp(law.log_amplitude), law.exponent), rel=0.01
    )
    assert fit.law.offset == pytest.approx(law.offset, rel=0.01, abs=1e-3)


def test_two_breaks_are_recovered_in_order():
    law = BrokenPowerLaw(1.0, math.log(5), 0.02, (Break(100, 0.5, 0.4), Break(1e4, -0.4, 0.6)))
    found = fit_broken_power_law(X, law.predict(X), n_breaks=2).law.breaks
    assert [one.at for one in found] == pytest.approx([100, 1e4], rel=0.01)
    assert [one.change for one in found] == pytest.approx([0.5, -0.4], rel=0.01)


def test_without_breaks_it_is_a_power_law_above_a_floor():
    rng = np.random.default_rng(1)
    y = (1.5 + 8 * X**-0.3) * np.exp(rng.normal(0, 0.01, len(X)))
    plain, broken = fit_power_law_with_offset(X, y), fit_broken_power_law(X, y, n_breaks=0)
    assert (broken.law.offset, broken.law.parameters["b"], broken.law.exponent) == pytest.approx(
        (plain.offset, plain.amplitude, plain.alpha), rel=1e-5
    )
    assert broken.intervals["c0"] == pytest.approx((plain.low, plain.high), rel=1e-3)


def test_the_definition_holds_far_from_the_breaks():
    # before d: b x^(−c0); after it: b x^(−c0−c1) d^c1
    law = BrokenPowerLaw(0.0, math.log(3), 0.2, (Break(at=1e6, change=0.5, width=0.1),))
    assert law.predict(1.0) == pytest.approx(3.0)
    assert law.predict(1e12) == pytest.approx(3.0 * 1e12**-0.7 * 1e6**0.5)


def test_sharp_breaks_and_large_numbers_do_not_overflow():
    law = BrokenPowerLaw(0.1, math.log(1e60), 2.0, (Break(at=1e-30, change=-3.0, width=1e-6),))
    with np.errstate(over="raise", invalid="raise"):
        values = law.predict(np.array([1e-30, 1.0, 1e30]))  # (x/d)^(1/f) would be 1e60000000
    # beyond the break: b x^(3 − 2) d^(−3)
    assert np.log(values) == pytest.approx(np.log([1e120, 1e150, 1e180]), rel=1e-4)


def test_a_slope_may_change_its_sign():
    law = BrokenPowerLaw(0.0, math.log(2), 0.3, (Break(at=1e3, change=-0.6, width=0.3),))
    found = fit_broken_power_law(X, law.predict(X), n_breaks=1).law
    assert found.exponent + found.breaks[0].change == pytest.approx(-0.3, rel=0.01)


def test_the_floor_lies_at_zero_or_above_and_below_every_loss():
    rng = np.random.default_rng(2)
    for n_breaks in (0, 1, 2):
        y = np.exp(rng.normal(0, 0.1, 30))
        fit = fit_broken_power_law(np.geomspace(1, 1e4, 30), y, n_breaks=n_breaks)
        assert 0 <= fit.law.offset < y.min()


def test_intervals_cover_the_truth_about_19_times_in_20():
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(60):
        y = ONE_BREAK.predict(X) * np.exp(rng.normal(0, 0.002, len(X)))
        low, high = fit_broken_power_law(X, y, n_breaks=1).intervals["c0"]
        covered.append(low <= ONE_BREAK.exponent <= high)
    assert np.mean(covered) > 0.85


def test_as_many_points_as_numbers_leave_no_interval():
    x = np.geomspace(1, 1e5, 6)
    fit = fit_broken_power_law(x, ONE_BREAK.predict(x), n_breaks=1)
    assert all(math.isnan(low) for low, _ in fit.intervals.values())


@pytest.mark.parametrize(
    ("x", "y", "n_breaks", "words"),
    [
        ([1, 2, 3], [3, 2, 1], 1, "at least 6 points, but was given 3"),
        ([1, 1, 2], [3, 2, 1], 0, "as many different x, but there are 2"),
        ([1, 2, 3], [3, -2, 1], 0, r"y\[1\] is -2"),
        ([1, 2, 3], [3, 2, 1], 5, "from 0 to 4"),
    ],
)
def test_what_cannot_be_fitted_is_named(x, y, n_breaks, words):
    with pytest.raises(FitError, match=words):
        fit_broken_power_law(x, y, n_breaks=n_breaks)
