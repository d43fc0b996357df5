"""Agreement of two partitions: known values, invariances, definitions written out."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import (
    adjusted_rand_score,
    completeness_score,
    homogeneity_score,
    mutual_info_score,
    normalized_mutual_info_score,
)

from compute.numerics.agreement import (
    FATES,
    adjusted_rand,
    by_chance,
    contingency,
    fates,
    information,
    matching,
    parts_within,
    spread_over_halves,
)
from compute.numerics.ranks import adjusted_rand_index


def labels(seed: int, n: int = 400, k: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, k, n)


def nmi(table) -> float:
    return information(table).normalized


def test_cells_count_shared_tokens():
    a, b = labels(0), labels(1)
    table = contingency(a, b)
    dense = np.zeros((12, 12), int)
    np.add.at(dense, (a, b), 1)
    assert table.shared.sum() == table.n_tokens == 400
    np.testing.assert_array_equal(dense[table.a, table.b], table.shared)
    assert len(table.shared) == np.count_nonzero(dense)


@pytest.mark.parametrize(("a", "b"), [(labels(0), labels(1)), (labels(2), (labels(2) + labels(3, k=3)) % 12)])
def test_measures_agree_with_scikit_learn(a, b):
    table, found = contingency(a, b), information(contingency(a, b))
    assert adjusted_rand(table) == pytest.approx(adjusted_rand_score(a, b))
    assert adjusted_rand(table) == pytest.approx(adjusted_rand_index(a, b))
    assert found.mutual_nats == pytest.approx(mutual_info_score(a, b))
    assert found.normalized == pytest.approx(normalized_mutual_info_score(a, b))
    assert found.homogeneity == pytest.approx(homogeneity_score(a, b))
    assert found.completeness == pytest.approx(completeness_score(a, b))


def test_equal_partitions_agree_wholly_whatever_their_labels():
    a = labels(4)
    renamed = np.random.default_rng(5).permutation(12)[a]
    table = contingency(a, renamed)
    assert adjusted_rand(table) == 1.0
    assert nmi(table) == pytest.approx(1.0)
    assert set(fates(table)) == {FATES.index("kept")}


def test_measures_are_symmetric():
    a, b = labels(6), labels(7, k=5)
    assert adjusted_rand(contingency(a, b)) == pytest.approx(adjusted_rand(contingency(b, a)))
    assert nmi(contingency(a, b)) == pytest.approx(nmi(contingency(b, a)))
    assert information(contingency(a, b)).homogeneity == pytest.approx(information(contingency(b, a)).completeness)


def test_one_cluster_each_agrees():
    assert nmi(contingency([0, 0, 0], [0, 0, 0])) == 1.0
    assert adjusted_rand(contingency([0, 0, 0], [0, 0, 0])) == 1.0


def test_chance_gives_no_rand_index_but_much_information_between_many_small_clusters():
    a, b = labels(8, 600, 150), labels(9, 600, 150)
    assert abs(adjusted_rand(contingency(a, b))) < 0.02
    assert nmi(contingency(a, b)) == pytest.approx(by_chance(nmi, a, b), abs=0.01)
    assert by_chance(nmi, a, b) > 0.5


def test_the_spread_over_halves_is_that_of_new_draws():
    rng = np.random.default_rng(10)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        a = rng.integers(0, 8, 800)
        return a, np.where(rng.random(800) < 0.5, a, rng.integers(0, 8, 800))

    drawn = [draw() for _ in range(60)]
    among = np.std([adjusted_rand(contingency(a, b)) for a, b in drawn], ddof=1)
    stated = np.mean([spread_over_halves(adjusted_rand, a, b) for a, b in drawn[:20]])
    assert stated == pytest.approx(among, rel=0.35)


def test_too_few_tokens_have_no_spread():
    assert np.isnan(spread_over_halves(adjusted_rand, [0, 1, 1], [0, 0, 1]))


@pytest.mark.parametrize("seed", range(6))
def test_the_matching_is_the_best_of_all(seed):
    a, b = labels(seed, 40, 5), labels(seed + 50, 40, 5)
    table = contingency(a, b, 5, 5)
    dense = np.zeros((5, 5), int)
    np.add.at(dense, (a, b), 1)
    best = max(sum(dense[i, p[i]] for i in range(5)) for p in permutations(range(5)))
    cells = matching(table)
    assert table.shared[cells].sum() == best
    assert len(set(table.a[cells])) == len(set(table.b[cells])) == len(cells)
    assert (np.diff(table.shared[cells]) <= 0).all()


def test_clusters_without_a_partner_stay_alone():
    table = contingency([0, 1, 2], [0, 0, 0])
    assert len(matching(table)) == 1


def test_of_equal_overlaps_the_more_exclusive_pair_is_taken():
    # cluster 0 shares two tokens with both; cluster 1 of b holds nothing else
    table = contingency([0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0])
    cells = matching(table)
    assert {(int(table.a[c]), int(table.b[c])) for c in cells} == {(0, 1), (1, 0)}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0] * 4, [0, 0, 1, 1], ["split"]),
        ([0, 0, 1, 1], [0] * 4, ["merged", "merged"]),
        ([0] * 5, [0] * 4 + [1], ["kept"]),
        # a third of cluster 0 in each of three clusters that lie mostly elsewhere
        ([0, 0, 0] + [1] * 2 + [2] * 2 + [3] * 2, [0, 1, 2, 0, 0, 1, 1, 2, 2], ["scattered", "kept", "kept", "kept"]),
    ],
)
def test_what_became_of_clusters(a, b, expected):
    assert [FATES[f] for f in fates(contingency(a, b))] == expected


def test_split_seen_from_one_side_is_merged_seen_from_the_other():
    table = contingency([0] * 6 + [1] * 3, [0] * 3 + [1] * 3 + [2] * 3)
    assert [FATES[f] for f in fates(table)] == ["split", "kept"]
    assert [FATES[f] for f in fates(table.swapped())] == ["merged", "merged", "kept"]
    assert sorted(table.b[parts_within(table, 0)].tolist()) == [0, 1]


def test_what_merges_into_a_kept_cluster_is_not_merged():
    # nine of ten tokens make the whole; the tenth's cluster is scattered, since the whole is kept
    table = contingency([0] * 9 + [1], [0] * 10)
    assert [FATES[f] for f in fates(table)] == ["kept", "scattered"]
    assert [FATES[f] for f in fates(table.swapped())] == ["kept"]


@pytest.mark.parametrize("seed", range(4))
def test_every_merged_cluster_lies_in_one_that_is_split_from_the_other_side(seed):
    table = contingency(labels(seed, 300, 30), labels(seed, 300, 30) // 3)
    other = fates(table.swapped())
    merged = np.flatnonzero(fates(table) == FATES.index("merged"))
    assert len(merged) > 15
    for cluster in merged:
        cells = np.flatnonzero(table.a == cluster)
        assert FATES[other[table.b[cells[np.argmax(table.shared[cells])]]]] == "split"


def test_a_cluster_without_tokens_has_no_fate():
    assert fates(contingency([1, 1], [0, 0], 2, 1)).tolist() == [-1, 0]


def test_partitions_of_different_tokens_are_refused():
    with pytest.raises(ValueError, match="same ones"):
        contingency([0, 1], [0])
    with pytest.raises(ValueError, match="from 0"):
        contingency([-1, 0], [0, 0])
