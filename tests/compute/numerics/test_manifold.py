"""Dimension of the data manifold that an exponent stands for."""

from __future__ import annotations

import math

import pytest

from compute.errors import FitError
from compute.numerics.manifold import dimension


@pytest.mark.parametrize(("alpha", "expected"), [(0.083, 48.2), (0.076, 52.6)])
def test_published_exponents(alpha, expected):
    assert dimension(alpha).value == pytest.approx(expected, abs=0.05)


def test_the_interval_changes_its_ends():
    found = dimension(0.4, 0.2, 0.8)
    assert (found.value, found.low, found.high) == (10, 5, 20)
    assert dimension(0.4, -0.1, 0.8).high == math.inf
    assert math.isnan(dimension(0.4).low)
    assert math.isnan(dimension(0.4).high)


def test_other_losses_have_other_powers():
    assert dimension(0.5, p=1.0).value == 4
    assert dimension(0.5, p=2.0).value == 8


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ({"alpha": 0.0}, "exponent is 0; a dimension needs one that is positive"),
        ({"alpha": -0.1}, "exponent is -0.1"),
        ({"alpha": math.inf}, "exponent is inf"),
        ({"alpha": 0.1, "p": 0.0}, "power p is 0"),
        ({"alpha": 0.1, "low": 0.2, "high": 0.3}, "0.2 to 0.3 does not hold the exponent 0.1"),
    ],
)
def test_what_has_no_dimension_is_refused(numbers, sentence):
    with pytest.raises(FitError, match=sentence):
        dimension(**numbers)
