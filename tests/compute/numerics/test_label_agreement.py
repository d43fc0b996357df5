"""Agreement of labelers against published and hand-worked values, and what must not change it."""

from __future__ import annotations

import math

import krippendorff
import numpy as np
import pytest

from compute.numerics import label_agreement as la

# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C: four observers, twelve units
FOUR_OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
PUBLISHED = la.counts_of([list(unit) for unit in zip(*FOUR_OBSERVERS, strict=True)], [1, 2, 3, 4, 5])


@pytest.mark.parametrize(("level", "expected"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_the_published_example_has_its_published_values(level, expected):
    found = la.alpha(PUBLISHED, level=level)
    assert found.alpha == pytest.approx(expected, abs=5e-4)
    assert (found.n_units, found.n_values) == (11, 40)


def test_two_observers_by_hand():
    """Section A of the same paper: two observers, ten units, 14 zeros and 6 ones, 4 units where they differ."""
    a, b = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    found = la.alpha(la.counts_of(list(zip(a, b, strict=True)), [0, 1]))
    assert found.alpha == pytest.approx(1 - (20 - 1) * 4 / (6 * 14))
    assert found.alpha == pytest.approx(0.095, abs=5e-4)


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
@pytest.mark.parametrize("seed", range(5))
def test_resamples_form_the_sums_that_the_package_forms(level, seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, (12, 4))
    weights = rng.multinomial(12, np.full(12, 1 / 12), size=6)
    kept = counts[counts.sum(axis=1) >= 2]
    own = la._alphas(weights[:, : len(kept)], kept.astype(float), level, None)
    for row, value in zip(weights[:, : len(kept)], own, strict=True):
        copies = np.repeat(kept, row, axis=0)
        assert value == pytest.approx(krippendorff.alpha(value_counts=copies, level_of_measurement=level))


def test_a_given_distance_of_likes_and_unlikes_is_the_nominal_level():
    given = la.alpha(PUBLISHED, distances=1 - np.eye(5))
    assert given.alpha == pytest.approx(la.alpha(PUBLISHED).alpha)
    assert (given.low, given.high) == pytest.approx((la.alpha(PUBLISHED).low, la.alpha(PUBLISHED).high))


def test_many_values_are_measured_as_few_are():
    """Beyond the package's reach the same sums are formed here."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(3, np.full(40, 1 / 40), size=30)
    assert la.alpha(counts).alpha == pytest.approx(
        krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")
    )


def test_perfect_agreement_is_one_and_its_interval_too():
    found = la.alpha([[3, 0]] * 8 + [[0, 3]] * 8)
    assert (found.alpha, found.low, found.high) == (1.0, 1.0, 1.0)


def test_chance_gives_about_nothing():
    rng = np.random.default_rng(1)
    values = rng.integers(0, 3, (4000, 2)).tolist()
    assert abs(la.alpha(la.counts_of(values, [0, 1, 2])).alpha) < 0.05


@pytest.mark.parametrize("counts", [[[1, 0], [0, 1]], [[0, 0]], np.zeros((0, 3))])
def test_nobody_who_shares_a_unit_leaves_it_undefined(counts):
    found = la.alpha(counts)
    assert (found.alpha, found.low, found.reason) == (None, None, "no pairs")


def test_one_value_for_everything_leaves_it_undefined():
    found = la.alpha([[2, 0], [3, 0], [2, 0]])
    assert (found.alpha, found.reason, found.n_units) == (None, "no variation", 3)


def test_few_units_have_no_interval():
    found = la.alpha([[2, 0], [0, 2], [1, 1]])
    assert found.alpha is not None
    assert (found.low, found.high) == (None, None)


def test_a_value_that_hardly_varies_has_no_interval():
    """Most resamples lack the one unit that differs: they say nothing."""
    found = la.alpha([[1, 1]] + [[2, 0]] * 20)
    assert found.alpha is not None
    assert found.low is None


def test_an_interval_is_seeded_and_holds_its_point():
    one, same, other = la.alpha(PUBLISHED), la.alpha(PUBLISHED), la.alpha(PUBLISHED, seed=1)
    assert one == same
    assert (one.low, one.high) != (other.low, other.high)
    assert one.low <= one.alpha <= one.high


def test_more_units_make_the_interval_narrower():
    few, many = la.alpha(PUBLISHED), la.alpha(np.tile(PUBLISHED, (20, 1)))
    assert many.high - many.low < (few.high - few.low) / 3


def test_units_of_one_group_are_resampled_together():
    """Twenty copies of each unit are no more evidence where the copies belong together."""
    copies, groups = np.repeat(PUBLISHED, 20, axis=0), np.repeat(np.arange(12), 20)
    together, apart = la.alpha(copies, groups=groups), la.alpha(copies)
    assert together.alpha == pytest.approx(apart.alpha)
    assert together.high - together.low > 3 * (apart.high - apart.low)


@pytest.mark.parametrize("counts", [[1, 2], [[-1, 2]]])
def test_what_is_no_table_of_counts_is_refused(counts):
    with pytest.raises(ValueError, match="counts must be a table"):
        la.alpha(counts)


def test_distances_must_be_distances():
    with pytest.raises(ValueError, match="symmetric"):
        la.alpha([[1, 1]], distances=[[0, 1], [2, 0]])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("", "", 0),
        ("ab", "ab", 0),
        ("a", "b", 1),
        ("", "a", 1),
        ("a", "ab", 2 / 3),
        ("ab", "bc", 1 - 1 / 9),
    ],
)
def test_masi_distance_by_hand(a, b, expected):
    assert la.masi_distance(frozenset(a), frozenset(b)) == pytest.approx(expected)
    assert la.masi_distance(frozenset(b), frozenset(a)) == pytest.approx(expected)


def test_sets_of_one_tag_agree_as_the_tags_do():
    values = [["a", "a"], ["b", "b"], ["a", "b"], ["a", "a"]]
    sets = [[frozenset(tag) for tag in unit] for unit in values]
    assert la.alpha_of_sets(sets).alpha == pytest.approx(la.alpha(la.counts_of(values, ["a", "b"])).alpha)


def test_half_alike_sets_count_for_something():
    near = [[frozenset("a"), frozenset("ab")], [frozenset("c"), frozenset("c")]] * 4
    far = [[frozenset("a"), frozenset("b")], [frozenset("c"), frozenset("c")]] * 4
    assert la.alpha_of_sets(near).alpha > la.alpha_of_sets(far).alpha


def test_no_sets_at_all_are_undefined():
    assert la.alpha_of_sets([]).reason == "no pairs"


def test_words_are_counted_once_and_in_small_letters():
    assert la.words_of("The colon; THE “Colon” after 2 spaces") == {"the", "colon", "after", "2", "spaces"}


def test_overlap_counts_every_unit_once_and_stands_beside_chance():
    same, other = frozenset({"x", "y"}), frozenset({"p", "q"})
    found = la.overlap([[same, same, same], [other, other]])
    assert (found.mean, found.n_units) == (1.0, 2)
    assert found.chance == 0.0
    half = la.overlap([[same, other, same], [other, other]])
    assert half.mean == pytest.approx((1 / 3 + 1) / 2)


def test_overlap_needs_two_people():
    found = la.overlap([[frozenset("a")], []])
    assert (found.mean, found.low, found.chance, found.n_units) == (None, None, None, 0)


def test_the_interval_of_a_mean_is_about_two_standard_errors():
    values = np.random.default_rng(0).normal(size=400)
    low, high = la.interval_of_mean(values)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(400), rel=0.1)
