"""What two theories read in an exponent, over parameters, samples and steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics.fits import read_curve
from compute.numerics.theories import OVER, read_exponent
from compute.numerics.theory import exponents


@pytest.mark.parametrize("alpha", [0.083, 0.4, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("over", ["samples", "steps"])
def test_the_model_s_own_exponents_lead_back_to_its_alpha(alpha: float, over: str) -> None:
    known = exponents(alpha)
    exponent = {"samples": known.data, "steps": known.steps}[over]
    found = read_exponent(exponent, math.nan, math.nan, over)
    assert found.quanta.alpha == pytest.approx(alpha, rel=1e-12)
    assert found.manifold is None
    assert over in found.no_manifold


@pytest.mark.parametrize("over", ["parameters", "scale"])
def test_over_parameters_the_exponent_is_alpha(over: str) -> None:
    found = read_exponent(0.083, 0.08, 0.086, over)
    assert (found.quanta.alpha, found.quanta.low, found.quanta.high) == (0.083, 0.08, 0.086)
    assert found.manifold.value == pytest.approx(48.2, abs=0.05)


def test_an_interval_goes_with_its_exponent() -> None:
    found = read_exponent(0.5, 0.2, 1.3, "samples").quanta
    assert (found.alpha, found.low, found.high) == (1.0, pytest.approx(0.25), math.inf)


@pytest.mark.parametrize("exponent", [1.0, 1.7])
def test_what_no_alpha_gives_is_said(exponent: float) -> None:
    found = read_exponent(exponent, 0.9, 2.0, "samples")
    assert found.quanta is None
    assert "stays below 1" in found.no_quanta
    assert read_exponent(exponent, 0.9, 2.0, "parameters").quanta.alpha == exponent


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("exponent", [0.0, -0.3, math.nan])
def test_a_loss_that_does_not_fall_has_no_reading(exponent: float, over: str) -> None:
    found = read_exponent(exponent, math.nan, math.nan, over)
    assert (found.quanta, found.manifold) == (None, None)
    assert "does not fall" in found.no_quanta


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(FitError, match="'epochs' is none of"):
        read_exponent(0.3, 0.2, 0.4, "epochs")


def test_a_curve_over_samples_reads_as_the_model_has_it() -> None:
    x = np.geomspace(1e3, 1e6, 8)
    told = read_curve(x, 4 * x ** (-1 / 3)).to_json("samples")
    assert told["quanta"]["alpha"] == pytest.approx(0.5)
    assert told["manifold_dimension"] is None
