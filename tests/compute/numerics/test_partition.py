"""Partitions known by pairwise distances alone, against formed centres and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist

from compute.numerics.partition import Partition, refine, squared_distances, ward
from compute.numerics.spectral import agreement

K = 7


@pytest.fixture
def points() -> np.ndarray:
    rng = np.random.default_rng(5)
    return rng.standard_normal((12, 4))[rng.integers(0, 12, 90)] * 3 + rng.standard_normal((90, 4))


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(6).permutation(np.arange(90) % K)


def inertia(points: np.ndarray, labels: np.ndarray) -> float:
    return sum(((points[labels == c] - points[labels == c].mean(axis=0)) ** 2).sum() for c in np.unique(labels))


def test_distances_are_those_between_the_points(points):
    found = squared_distances(points)
    assert found == pytest.approx(cdist(points, points) ** 2, abs=1e-12)
    assert np.array_equal(found, found.T)
    assert not found.diagonal().any()


def test_distances_survive_a_shift_far_from_the_origin(points):
    assert squared_distances(points + 1e5) == pytest.approx(squared_distances(points), rel=1e-8)


def test_float32_points_keep_their_type(points):
    found = squared_distances(points.astype(np.float32))
    assert found.dtype == np.float32
    assert Partition(found, np.arange(90) % K, K).to_centre.dtype == np.float32


def test_distances_to_centres_stay_right_while_points_move(points, labels):
    partition, rng = Partition(squared_distances(points), labels, K), np.random.default_rng(7)
    for _ in range(20):
        moved = rng.choice(90, 5, replace=False)
        partition.move(moved, rng.integers(0, K, 5))
        centres = np.stack([points[partition.labels == c].mean(axis=0) for c in range(K)])
        assert partition.to_centre == pytest.approx(cdist(points, centres) ** 2, abs=1e-10)
        assert partition.inertia == pytest.approx(inertia(points, partition.labels), rel=1e-12)
        assert partition.sizes.tolist() == np.bincount(partition.labels, minlength=K).tolist()


def test_a_moves_gain_is_what_the_inertia_loses(points, labels):
    partition = Partition(squared_distances(points), labels, K)
    gains, to = partition.best_moves()
    for point in range(90):
        after = [inertia(points, np.where(np.arange(90) == point, c, labels)) for c in range(K) if c != labels[point]]
        assert gains[point] == pytest.approx(inertia(points, labels) - min(after), abs=1e-9)
        assert to[point] != labels[point]


def test_refining_ends_where_no_single_move_gains(points, labels):
    found = refine(squared_distances(points), labels, K)
    assert found.inertia == pytest.approx(inertia(points, found.labels), rel=1e-12)
    assert found.inertia < inertia(points, labels)
    assert Partition(squared_distances(points), found.labels, K).best_moves()[0].max() < 1e-6


def test_refining_stops_once_it_has_gained_enough(points, labels):
    start = inertia(points, labels)
    little, all_of_it = (refine(squared_distances(points), labels, K, most_gain=gain) for gain in (0.05, 1.0))
    assert all_of_it.inertia < little.inertia <= 0.95 * start


def test_a_cluster_of_one_keeps_its_point():
    line = squared_distances(np.array([[0.0], [0.1], [0.2], [5.0]]))
    assert np.bincount(refine(line, np.array([0, 1, 1, 2]), 3).labels, minlength=3).all()


def test_wards_tree_is_scipys_where_no_heights_are_equal(points):
    expected = fcluster(linkage(points, "ward"), K, "maxclust")
    assert agreement(ward(squared_distances(points), K), expected) == 1.0


def test_wards_tree_has_every_cluster_even_among_equal_points():
    equal = squared_distances(np.repeat(np.eye(3), 4, axis=0))
    for k in range(1, 13):
        assert sorted(set(ward(equal, k).tolist())) == list(range(k))
