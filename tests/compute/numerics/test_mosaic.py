"""The matrix in the order of its clusters: parts, block means and codes against sums written out."""

from __future__ import annotations

import numpy as np
import pytest

from compute.numerics.mosaic import (
    OVERVIEW_LEVEL,
    affinity_of,
    block_means,
    cluster_means,
    decode,
    encode,
    n_levels,
    overview_means,
    part,
    same,
    spread,
    width_at,
)


def cosines(n: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, 12))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    table = (rows @ rows.T).astype(np.float32)
    np.fill_diagonal(table, 1)
    return table


def mean_without_selves(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Mean over the pairs of places i in rows and j in columns with i ≠ j; the value itself where that is all."""
    pairs = [(i, j) for i in rows for j in columns if i != j] or [(rows[0], columns[0])]
    return float(np.mean([values[i, j] for i, j in pairs]))


def test_a_part_is_what_indexing_gives():
    table, order = cosines(30), np.random.default_rng(1).permutation(30)
    np.testing.assert_array_equal(part(table, order[3:9], order[20:30]), table[np.ix_(order[3:9], order[20:30])])


@pytest.mark.parametrize(("first_row", "first_column"), [(0, 0), (8, 8), (0, 16), (16, 8)])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_block_means_leave_out_a_token_s_pair_with_itself(factor, first_row, first_column):
    table = cosines(37)
    rows, columns = np.arange(first_row, 37), np.arange(first_column, 33)
    found = block_means(table[np.ix_(rows, columns)], factor, first_row, first_column)
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            expected = mean_without_selves(
                table, rows[i * factor : (i + 1) * factor], columns[j * factor : (j + 1) * factor]
            )
            assert found[i, j] == pytest.approx(expected, abs=1e-6)


def test_a_last_block_of_one_token_has_its_own_value():
    assert block_means(cosines(9), 8)[1, 1] == 1.0


@pytest.mark.parametrize("transform", [same, affinity_of])
def test_overview_levels_are_the_means_of_their_blocks(transform):
    n = 1100
    table, order = cosines(n), np.random.default_rng(2).permutation(n)
    levels = overview_means(table, order, transform)
    ordered = transform(table[np.ix_(order, order)])
    assert [len(level) for level in levels] == [width_at(n, level) for level in range(OVERVIEW_LEVEL, n_levels(n))]
    for level, found in enumerate(levels, OVERVIEW_LEVEL):
        np.testing.assert_allclose(found, block_means(ordered, 1 << level), atol=2e-6)


def test_a_small_matrix_needs_no_overview():
    assert overview_means(cosines(50), np.arange(50)) == []


def test_the_coarsest_level_fits_one_tile():
    for n in (1, 255, 256, 257, 3000, 10_000):
        assert width_at(n, n_levels(n) - 1) <= 256
        assert n_levels(n) == 1 or width_at(n, n_levels(n) - 2) > 256


@pytest.mark.parametrize("transform", [same, affinity_of])
def test_means_between_clusters_are_those_of_their_pairs(transform):
    table, order = cosines(23), np.random.default_rng(3).permutation(23)
    starts = np.array([0, 11, 18, 22])
    ends = [*starts[1:], 23]
    found = cluster_means(table, order, starts, transform)
    values = transform(table)
    for a in range(4):
        for b in range(4):
            rows, columns = order[starts[a] : ends[a]], order[starts[b] : ends[b]]
            if a == b == 3:
                assert np.isnan(found[a, b])
            else:
                assert found[a, b] == pytest.approx(mean_without_selves(values, rows, columns), abs=1e-6)


def test_means_do_not_depend_on_the_order_within_a_cluster():
    table, starts = cosines(20), np.array([0, 8])
    order = np.arange(20)
    shuffled = np.concatenate([np.random.default_rng(4).permutation(8), np.arange(8, 20)])
    np.testing.assert_allclose(cluster_means(table, order, starts), cluster_means(table, shuffled, starts), atol=1e-6)


def test_the_ends_are_those_of_different_tokens():
    table = cosines(40)
    off = table[~np.eye(40, dtype=bool)]
    found = spread(table, np.array([0.1, 0.9]))
    np.testing.assert_allclose(found[[0, -1]], [off.min(), off.max()], atol=1e-7)
    np.testing.assert_allclose(found[1:3], np.quantile(off, [0.1, 0.9]), atol=0.05)


@pytest.mark.parametrize("kind", ["signed", "unsigned"])
def test_codes_keep_values_and_are_finest_around_zero(kind):
    values = np.linspace(-1 if kind == "signed" else 0, 1, 2001)
    found = decode(kind)[encode(values, kind)]
    assert np.abs(found - values).max() < 0.01
    small = np.abs(values) < 0.01
    assert np.abs(found - values)[small].max() < 0.001


@pytest.mark.parametrize("kind", ["signed", "unsigned"])
def test_every_code_stands_for_itself(kind):
    np.testing.assert_array_equal(encode(decode(kind)[1:], kind), np.arange(1, 256))


def test_what_is_no_number_has_the_code_of_nothing():
    assert encode(np.array([np.nan]), "signed").tolist() == [0]
    assert np.isnan(decode("signed")[0])


def test_the_affinity_is_the_angle_s():
    angles = np.array([0, np.pi / 3, np.pi / 2, np.pi])
    np.testing.assert_allclose(affinity_of(np.cos(angles)), 1 - angles / np.pi, atol=1e-7)
    assert affinity_of(np.array([1.0000001])).tolist() == [1.0]
