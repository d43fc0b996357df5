"""What a benchmark says follows from its times."""

from __future__ import annotations

import time

import pytest
import torch

from benchmarks.case import Case
from benchmarks.measure import Measured, measure
from benchmarks.probe import product_seconds


def measured(**changes: object) -> Measured:
    times = {"reference_s": [9.0, 8.0, 10.0], "ours_s": [3.0, 4.0, 2.0], "bound_s": [2.7, 2.0, 1.5]}
    facts = {"name": "losses", "about": "text", "difference": "none", "load": 0.0, "stolen": None}
    return Measured(**{**facts, **times, "reference_bound_s": [3.0, 6.0, 4.0], **changes})


def test_ratio_and_shares_are_medians_over_turns_with_their_range() -> None:
    text = measured().as_text()
    assert "ratio 3.00× (2.00–5.00)" in text
    assert "ours at 75% (50%–90%) of the bound" in text


def test_a_reference_below_half_of_its_bound_is_called_a_straw_man() -> None:
    assert "A STRAW MAN" in measured().as_text()
    assert "A STRAW MAN" not in measured(reference_bound_s=[5.0, 6.0, 7.0]).as_text()


def test_json_holds_every_turn_and_the_medians() -> None:
    found = measured().as_json()
    assert found["ours_s"] == [3.0, 4.0, 2.0]
    assert (found["median_ratio"], found["median_share"]) == (3.0, 0.75)
    assert measured(bound_s=[]).as_json()["median_share"] is None


def test_the_first_turn_warms_up_and_is_not_timed() -> None:
    turns: list[int] = []

    def ours() -> int:
        turns.append(len(turns))
        time.sleep(0.2 if len(turns) == 1 else 0.0)
        return 5

    found = measure("x", Case("", lambda: 3, ours, lambda a, b: f"{b - a} apart", bound=lambda: 1.0), repeats=3)
    assert len(turns) == 4
    assert (len(found.ours_s), len(found.reference_s), found.bound_s) == (3, 3, [1.0, 1.0, 1.0])
    assert max(found.ours_s) < 0.2
    assert found.reference_bound_s == found.bound_s
    assert found.difference == "2 apart"


def test_slow_cases_run_as_often_as_they_say_and_without_a_reference_if_they_have_none() -> None:
    found = measure("x", Case("", None, lambda: 3, lambda a, b: f"{a} {b}", repeats=1), repeats=5)
    assert (len(found.ours_s), found.reference_s, found.ratio, found.difference) == (1, [], [], "None 3")


def test_equal_products_are_timed_once_and_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[tuple[int, int, int]] = []
    monkeypatch.setattr("benchmarks.probe._one_product", lambda m, k, n, dtype: timed.append((m, k, n)) or 0.5)
    assert product_seconds([(1, 2, 3, 4), (1, 2, 3, 1.5), (2, 2, 2, 1)]) == pytest.approx(0.5 * 6.5)
    assert timed == [(1, 2, 3), (2, 2, 2)]


def test_products_take_time_in_either_number_format() -> None:
    assert 0 < product_seconds([(8, 8, 8, 1)]) < 1
    assert 0 < product_seconds([(8, 8, 8, 1)], torch.float64) < 1
