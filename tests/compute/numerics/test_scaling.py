"""Power-law fits, against exact laws and published means."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics.manifold import dimension_of_fit
from compute.numerics.scaling import fit_line, fit_power_law, fit_power_law_with_offset, fit_power_laws

NON_EMBEDDING = np.array([18915328, 85056000, 302311424, 805736448, 1208602624, 2517652480, 6444163072])
MEAN_BITS = np.array([4.222, 3.672, 3.296, 3.074, 2.983, 2.806, 2.692])  # Figure 3, read from pixels


def test_an_exact_power_law_is_recovered():
    x = np.geomspace(1e4, 1e9, 9)
    fit = fit_power_law(x, 12 * x**-0.083)
    assert (fit.alpha, fit.amplitude, fit.r_squared) == pytest.approx((0.083, 12, 1))
    assert fit.low == pytest.approx(fit.high)
    assert fit.n_points == 9
    assert fit.predict(x) == pytest.approx(12 * x**-0.083)


def test_a_rising_law_has_a_negative_alpha():
    assert fit_power_law([1, 2, 4], [1, 4, 16]).alpha == pytest.approx(-2)


def test_the_papers_mean_losses_fall_with_exponent_0_083_over_the_first_six_models():
    fit = fit_power_law(NON_EMBEDDING[:6], MEAN_BITS[:6])
    assert fit.alpha == pytest.approx(0.0825, abs=1e-4)
    assert fit.predict(NON_EMBEDDING[6]) == pytest.approx(2.587, abs=0.01)
    assert fit_power_law(NON_EMBEDDING, MEAN_BITS).alpha == pytest.approx(0.078, abs=5e-4)


def test_the_exponent_depends_on_no_unit():
    in_bits = fit_power_law(NON_EMBEDDING, MEAN_BITS)
    in_nats = fit_power_law(NON_EMBEDDING / 1e6, MEAN_BITS * math.log(2))
    assert in_nats.alpha == pytest.approx(in_bits.alpha, rel=1e-10)
    assert in_nats.standard_error == pytest.approx(in_bits.standard_error, rel=1e-9)


def test_the_interval_is_students():
    # hand case: x = 1, 2, 3 in ln; residuals -e, 2e, -e with e = 0.1: s² = 6e², Sxx = 2, t(1) = 12.706
    ln_x, ln_y = np.array([1.0, 2, 3]), np.array([-0.1, 0.2, -0.1])
    fit = fit_power_law(np.exp(ln_x), np.exp(ln_y))
    assert fit.standard_error == pytest.approx(math.sqrt(0.06 / 2))
    assert fit.high == pytest.approx(12.7062 * fit.standard_error, rel=1e-5)
    assert fit.low == pytest.approx(-fit.high)
    assert fit.r_squared == pytest.approx(0)


def test_the_interval_covers_the_truth_19_times_in_20():
    rng = np.random.default_rng(0)
    x = np.geomspace(1, 1e3, 7)
    fits = [fit_power_law(x, x**-0.3 * np.exp(rng.normal(0, 0.05, 7))) for _ in range(400)]
    assert 0.91 < np.mean([fit.low <= 0.3 <= fit.high for fit in fits]) < 0.985


def test_two_points_have_a_slope_but_no_interval():
    fit = fit_power_law([1, 100], [10, 1])
    assert fit.alpha == pytest.approx(0.5)
    assert math.isnan(fit.standard_error)
    assert math.isnan(fit.low)


def test_a_constant_is_a_law_of_exponent_zero():
    fit = fit_power_law([1, 2, 3], [4, 4, 4])
    assert (fit.alpha, fit.amplitude, fit.r_squared) == (0, pytest.approx(4), 0)


def test_a_line_is_recovered():
    fit = fit_line([0, 1, 4], [3, 1, -5])
    assert (fit.slope, fit.intercept, fit.n_points) == pytest.approx((-2, 3, 3))


@pytest.mark.parametrize(("offset", "alpha"), [(1.69, 0.34), (0.2, 0.8), (2.0, 0.15)])
def test_an_exact_law_with_offset_is_recovered(offset, alpha):
    x = np.geomspace(1e6, 1e11, 12)
    fit = fit_power_law_with_offset(x, offset + 400 * x**-alpha)
    assert fit.alpha == pytest.approx(alpha, rel=1e-3)
    assert fit.offset == pytest.approx(offset, rel=1e-3)
    assert fit.amplitude == pytest.approx(400, rel=1e-2)
    assert fit.predict(x) == pytest.approx(offset + 400 * x**-alpha, rel=1e-5)


def test_a_law_without_floor_gets_none():
    x = np.geomspace(1, 1e4, 8)
    fit = fit_power_law_with_offset(x, 5 * x**-0.4)
    assert fit.offset == pytest.approx(0, abs=1e-4)
    assert fit.alpha == pytest.approx(0.4, rel=1e-3)


def test_a_floor_never_fits_worse_than_none_and_lies_below_every_point():
    plain, floored = (fit(NON_EMBEDDING, MEAN_BITS) for fit in (fit_power_law, fit_power_law_with_offset))
    assert floored.r_squared >= plain.r_squared
    assert 0 <= floored.offset < MEAN_BITS.min()
    assert floored.alpha >= plain.alpha


def test_three_points_determine_a_law_with_offset_without_interval():
    x = np.array([1.0, 10, 100])
    fit = fit_power_law_with_offset(x, 1 + x**-0.5)
    assert fit.offset == pytest.approx(1, rel=1e-3)
    assert math.isnan(fit.standard_error)


@pytest.mark.parametrize(
    ("fit", "x", "y", "sentence"),
    [
        (fit_power_law, [1], [1], "at least 2 points, but was given 1"),
        (fit_power_law, [], [], "given 0"),
        (fit_power_law_with_offset, [1, 2], [2, 1], "at least 3 points, but was given 2"),
        (fit_power_law_with_offset, [1, 2, 2], [3, 2, 2], "three different x"),
        (fit_power_law, [1, 2], [0, 1], r"y\[0\] is 0"),
        (fit_power_law, [1, -2], [1, 1], r"x\[1\] is -2"),
        (fit_power_law, [1, 2, 3], [1, np.nan, 1], r"y\[1\] is nan"),
        (fit_power_law, [3, 3], [1, 2], "two different x"),
        (fit_power_law, [1, 2, 3], [1, 2], r"\(3,\) and \(2,\)"),
    ],
)
def test_unsuitable_points_are_refused_with_the_reason(fit, x, y, sentence):
    with pytest.raises(FitError, match=sentence):
        fit(x, y)


def test_many_curves_at_once_are_fitted_as_each_alone():
    rng = np.random.default_rng(5)
    curves = rng.uniform(0.5, 3, (4, 7))
    fits = fit_power_laws(NON_EMBEDDING, curves)
    for i, curve in enumerate(curves):
        alone = fit_power_law(NON_EMBEDDING, curve)
        assert (fits.alpha[i], fits.low[i], fits.high[i], fits.r_squared[i]) == pytest.approx(
            (alone.alpha, alone.low, alone.high, alone.r_squared)
        )


def test_a_curve_that_no_power_law_has_leaves_the_others_alone():
    fits = fit_power_laws([1, 10, 100], [[8, 4, 2], [1, 0, 1], [1, np.nan, 2]])
    assert fits.alpha[0] == pytest.approx(math.log10(2))
    assert np.isnan(fits.alpha[1:]).all()
    assert np.isnan(fits.r_squared[1:]).all()


@pytest.mark.parametrize(("x", "y"), [([1, 1], [[1, 2]]), ([1, 2], [[1, 2, 3]]), ([1, -2], [[1, 2]])])
def test_many_curves_need_one_suitable_x(x, y):
    with pytest.raises(FitError):
        fit_power_laws(x, y)


@pytest.mark.parametrize(
    ("x", "y", "alpha"),
    [
        ([100_000, 100_001, 100_002, 100_003], [4, 3.9, 3.7, 3.6], 3687.3),
        ([100_000, 100_001, 100_002, 100_003], [3.6, 3.7, 3.9, 4], -3687.3),
        ([1e6, 1.1e6, 1.2e6, 1.3e6], [5, 4, 1, 1e-7], 60.771),
        ([1e29, 1.001e29, 1.002e29], [1, 1e-3, 1e-6], 6914.7),
    ],
)
def test_a_steep_law_has_an_exponent_and_a_line_where_no_float_holds_its_amplitude(x, y, alpha):
    fit = fit_power_law(x, y)
    middle = math.exp(np.log(x).mean())
    assert fit.alpha == pytest.approx(alpha, rel=1e-5)
    assert fit.amplitude is None
    assert fit.predict(middle) == pytest.approx(math.exp(np.log(y).mean()), rel=1e-6)
    assert fit.predict([middle / 10, middle * 10]).tolist() in ([math.inf, 0], [0, math.inf]) or abs(alpha) < 100


def test_a_steep_law_above_a_floor_is_fitted_too():
    x = np.linspace(1, 1.001, 9) * 1e5
    fit = fit_power_law_with_offset(x, 1 + (x / 1e5) ** -2000.0)
    assert fit.amplitude is None
    assert (fit.alpha, fit.offset) == pytest.approx((2000, 1), rel=1e-3)


LEVEL_X = np.geomspace(1e6, 1e9, 11).round(-3)
FLAT = {
    **{f"constant {y}": (LEVEL_X, np.full(11, y)) for y in (0.6, 0.7, 1.0, 2.7, 3.3, 1e-9, 1e9)},
    "last digit": (LEVEL_X, np.where(np.arange(11) % 3, 1.0, 1 - 2**-53)),
    "as much up as down": ([1e5, 1e6, 1e7], [1.3, 2.9, 1.3]),
    "the same over a narrow range": ([1e5, 1e5 * 1.0001, 1e5 * 1.0001**2], [1.3, 2.9, 1.3]),
}


@pytest.mark.parametrize(("x", "y"), FLAT.values(), ids=FLAT)
def test_a_slope_of_rounding_is_none(x, y):
    fit = fit_power_law(x, y)
    many = fit_power_laws(x, [y, y])
    assert (fit.alpha, fit.r_squared) == (0, pytest.approx(0, abs=1e-6))
    assert many.alpha.tolist() == [0, 0]
    assert many.r_squared == pytest.approx([0, 0], abs=1e-6)
    assert dimension_of_fit(fit.alpha, fit.low, fit.high) is None
    assert fit_line(np.log(x), y).slope == 0


def test_a_slope_beyond_rounding_is_kept():
    assert fit_power_law(LEVEL_X, LEVEL_X**-1e-12).alpha == pytest.approx(1e-12, rel=1e-2)
    assert fit_line([0, 1, 2], [0, 1e-20, 2e-20]).slope == pytest.approx(1e-20)
