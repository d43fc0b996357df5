"""How far a share of few trials can be trusted."""

import math

import pytest

from compute.numerics.proportions import at_least, wilson


def test_seventeen_of_twenty_lies_between_64_and_95_percent():
    assert wilson(17, 20) == pytest.approx((0.640, 0.948), abs=0.001)


def test_the_ends_solve_the_equation_of_the_score_interval():
    for end in wilson(3, 11):
        assert abs(3 / 11 - end) == pytest.approx(1.959963984540054 * math.sqrt(end * (1 - end) / 11))


def test_none_and_all_right_reach_the_ends_and_mirror_each_other():
    low, high = wilson(0, 6)
    assert low == 0
    assert wilson(6, 6) == pytest.approx((1 - high, 1))


@pytest.mark.parametrize(("n_right", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_impossible_counts_are_refused(n_right, n):
    with pytest.raises(ValueError, match="at least one trial"):
        wilson(n_right, n)


@pytest.mark.parametrize(("n_right", "n", "chance", "expected"), [
    (1, 1, 0.2, 0.2), (2, 2, 0.2, 0.04), (0, 7, 0.3, 1.0), (2, 3, 0.5, 0.5), (3, 4, 0.2, 4 * 0.008 * 0.8 + 0.0016),
])  # fmt: skip
def test_the_chance_of_guessing_right_as_often_is_the_binomial_s_tail(n_right, n, chance, expected):
    assert at_least(n_right, n, chance) == pytest.approx(expected)


def test_many_answers_do_no_harm():
    assert at_least(2_100, 10_000, 0.2) == pytest.approx(0.0066, abs=0.001)
