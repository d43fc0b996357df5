"""Numbers never say more than what they stand for."""

from __future__ import annotations

import pytest

from clusters.charts.numbers import compact, percent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (434_603 / 434_605, "over 99.9%"), (2 / 434_605, "under 0.1%"), (0.999, "99.9%"), (0.99949, "over 99.9%"),
        (0.001, "0.1%"), (0.983, "98.3%"), (1.0, "100%"), (0.0, "0%"), (1.2, "120%"), (-0.33, "−33%"),
        (-1e-5, "over −0.1%"), (float("nan"), "–"),
    ],
)  # fmt: skip
def test_a_share_is_nothing_or_all_only_where_it_is(value, text):
    assert percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (999.4, "999"), (793_000, "793 k"), (1e9, "1 B"), (999.4e9, "999 B"), (999.6e9, "1 T"), (1e12, "1 T"),
        (-2.5e12, "−2.5 T"), (1e15, "10¹⁵"), (-1.5e30, "−1.5·10³⁰"), (None, "–"),
    ],
)  # fmt: skip
def test_a_large_number_has_a_unit_of_its_size(value, text):
    assert compact(value) == text
