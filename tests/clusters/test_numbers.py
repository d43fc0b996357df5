"""Numbers never say more than what they stand for."""

from __future__ import annotations

import pytest

from clusters.charts.numbers import percent


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
