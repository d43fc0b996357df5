"""Laws judged by what they foretell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics.bnsl import Break, BrokenPowerLaw
from compute.numerics.laws import LAWS, compare_laws
from compute.numerics.scaling import fit_power_law

X = np.geomspace(10, 1e5, 30)
BROKEN = BrokenPowerLaw(0.5, math.log(4), 0.02, (Break(300.0, 0.4, 0.5),))


@pytest.mark.parametrize(
    ("y", "best"),
    [(2 + 9 * X**-0.4, "offset"), (BROKEN.predict(X), "break-1")],
)
def test_the_law_that_made_the_points_foretells_them_best(y, best):
    noise = np.exp(np.random.default_rng(0).normal(0, 1e-4, len(X)))
    assert compare_laws(X, y * noise, names=("power", "offset", "break-1")).best.name == best


def test_more_numbers_never_fit_the_sample_worse():
    y = BROKEN.predict(X) * np.exp(np.random.default_rng(1).normal(0, 0.02, len(X)))
    errors = [trial.rms for trial in compare_laws(X, y).trials]
    assert errors == sorted(errors, reverse=True)


def test_a_fifth_with_the_largest_x_is_held_out_whatever_the_order():
    y, order = 9 * X**-0.4, np.random.default_rng(2).permutation(30)
    bent = y * np.repeat([1, 2], [24, 6])  # only the held-out points are off the law
    found = compare_laws(X[order], bent[order], names=("power",))
    assert found.n_held_out == 6
    assert found.trials[0].held_out_rms == pytest.approx(math.log(2))


def test_six_sizes_are_too_few_for_a_break_and_two_for_any_judgement():
    six = compare_laws(X[:6], 9 * X[:6] ** -0.4)
    assert [trial.law is not None for trial in six.trials] == [True, True, False, False, False]
    assert six.trials[2].n_needed == LAWS["break-1"] + 1 == 7
    two = compare_laws(X[:2], 9 * X[:2] ** -0.4)
    assert two.best is None
    assert two.fitted == []


def test_the_laws_agree_where_they_were_fitted_and_spread_beyond():
    y = 2 + 9 * X**-0.4
    found = compare_laws(X, y, names=("power", "offset"))
    low, high = found.spread_at(1e7)
    assert high == pytest.approx(2 + 9 * 1e7**-0.4, rel=1e-4)
    assert low < high


def test_points_that_no_power_law_has_are_refused():
    with pytest.raises(FitError, match="positive"):
        compare_laws([1, 2, 3], [1, 0, 1])


def test_the_best_of_one_law_is_no_choice():
    found = compare_laws([1e4, 4e4, 2e5, 8e5], [4.0, 3.0, 2.4, 1.9])
    assert [trial.name for trial in found.trials if np.isfinite(trial.held_out_rms)] == ["power"]
    assert found.best is None


def test_of_laws_that_foretell_alike_the_simplest_is_best():
    x = np.geomspace(1, 1e6, 40)
    found = compare_laws(x, 5 * x**-0.3)
    assert found.trials[1].held_out_rms < 1e-6  # a floor of nothing
    assert found.best.name == "power"


SEEDS_X = np.repeat([1e3, 1e4, 1e5, 1e6], 3)
SEEDS_Y = np.array([2.178, 1.812, 2.041, 1.418, 1.425, 1.438, 1.015, 1.09, 1.063, 1.003, 0.887, 0.866])


def test_a_scale_that_stands_several_times_is_held_out_whole_whatever_the_order():
    rng = np.random.default_rng(3)
    orders = [np.arange(12), np.arange(12)[::-1], *(rng.permutation(12) for _ in range(3))]
    found = [compare_laws(SEEDS_X[order], SEEDS_Y[order], names=("power", "offset")) for order in orders]
    assert {one.n_held_out for one in found} == {3}
    assert len({(one.best.name, *(trial.held_out_rms for trial in one.trials)) for one in found}) == 1
    assert found[0].trials[0].judged.predict(1e5) == pytest.approx(fit_power_law(SEEDS_X[:9], SEEDS_Y[:9]).predict(1e5))


@pytest.mark.parametrize("y", [[4, 3.9, 3.7, 3.6, 3.5], [3.5, 3.6, 3.7, 3.9, 4]])
def test_steep_curves_are_compared_in_logarithms(y):
    found = compare_laws(100_000 + np.arange(5.0), y)
    power = found.trials[0]
    assert abs(power.law.exponent) > 3000
    assert math.isnan(power.law.parameters["b"])
    assert power.rms < 0.02
    assert power.held_out_rms < 0.05
    assert power.law.log_predict(1e6) == pytest.approx(-power.law.exponent * math.log(10), rel=0.01)
