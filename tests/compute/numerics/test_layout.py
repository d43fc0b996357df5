"""Maps of tokens: neighbours with known answers, features that compare level and shape, the same bits twice."""

from __future__ import annotations

import numpy as np
import pytest

from compute.errors import ClusteringError
from compute.numerics.layout import (
    curve_features,
    layout,
    nearest_by_cosine,
    nearest_points,
    principal_axes,
    principal_axes_of_cosines,
)


@pytest.fixture(scope="module")
def groups() -> np.ndarray:
    """Unit vectors in three far directions, twenty each."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(3, 30), 20, axis=0) + 0.1 * rng.standard_normal((60, 30))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_neighbours_by_cosine_are_those_of_the_angles(groups):
    indices, distances = nearest_by_cosine(groups @ groups.T, 5)
    angles = np.arccos(np.clip(groups @ groups.T, -1, 1)) / np.pi
    np.fill_diagonal(angles, -1)
    assert np.array_equal(indices, np.argsort(angles, axis=1)[:, :5])
    assert distances[:, 1:] == pytest.approx(np.sort(angles, axis=1)[:, 1:5], abs=1e-6)
    assert (distances[:, 0] < 1e-3).all()


def test_a_token_is_its_own_first_neighbour_even_among_its_doubles():
    indices, _ = nearest_by_cosine(np.ones((4, 4)), 3)
    assert indices.tolist() == [[0, 1, 2], [1, 0, 2], [2, 0, 1], [3, 0, 1]]
    assert nearest_points(np.zeros((4, 2)), 3)[0][:, 0].tolist() == [0, 1, 2, 3]


def test_neighbours_of_points_are_those_of_all_distances():
    points = np.random.default_rng(1).standard_normal((300, 4)).astype(np.float32)
    whole = np.linalg.norm(points[:, None] - points[None], axis=2)
    indices, distances = nearest_points(points, 6)
    assert np.array_equal(indices, np.argsort(whole, axis=1)[:, :6])
    assert distances == pytest.approx(np.sort(whole, axis=1)[:, :6], abs=1e-5)


@pytest.mark.parametrize("nearest", [nearest_by_cosine, nearest_points])
def test_more_neighbours_than_points_are_refused(nearest):
    with pytest.raises(ClusteringError, match="5 neighbours"):
        nearest(np.eye(4), 5)


def test_level_and_shape_count_alike():
    sizes = np.random.default_rng(2).uniform(0, 9, (500, 6))
    features = curve_features([sizes, sizes[:, ::-1], sizes**2])
    assert features[:, 0].var() == pytest.approx(1, rel=1e-4)
    assert features[:, 1:].var(axis=0).sum() == pytest.approx(1, rel=1e-4)


def test_sizes_weigh_as_much_as_all_steps_together():
    """The same curve over size and over the steps of two networks: half of the shape, and a quarter each."""
    table = np.random.default_rng(3).uniform(0, 9, (400, 4))
    shape = curve_features([table, table, table])[:, 1:].var(axis=0)
    assert shape[:4].sum() == pytest.approx(2 * shape[4:8].sum(), rel=1e-4)
    assert shape[:4].sum() == pytest.approx(0.5, rel=1e-4)


def test_losses_far_below_the_floor_are_alike():
    table = np.array([[5.0, 1e-2], [5.0, 1e-6], [5.0, 2.0]])
    low, lower, high = curve_features([table])
    assert np.linalg.norm(low - lower) < 0.1 * np.linalg.norm(low - high)


def test_curves_that_are_all_the_same_lie_in_one_place():
    assert np.ptp(curve_features([np.full((5, 3), 2.0)]), axis=0).max() == 0


def test_tables_of_different_lengths_are_refused():
    with pytest.raises(ClusteringError, match=r"\[3, 4\]"):
        curve_features([np.ones((3, 2)), np.ones((4, 2))])


def test_axes_of_cosines_are_those_of_the_vectors(groups):
    of_cosines, of_vectors = principal_axes_of_cosines(groups @ groups.T), principal_axes(groups)
    assert of_cosines == pytest.approx(of_vectors, abs=1e-4)


def test_a_layout_is_the_same_twice_and_keeps_groups_apart(groups):
    neighbours, start = nearest_by_cosine(groups @ groups.T, 8), principal_axes(groups)
    places = layout(neighbours, start, seed=3)
    assert places.tobytes() == layout(neighbours, start, seed=3).tobytes()
    assert places.tobytes() != layout(neighbours, start, seed=4).tobytes()
    assert np.abs(places.mean(axis=0)).max() < 1e-4
    near = nearest_points(places, 8)[0]
    assert (near // 20 == np.arange(60)[:, None] // 20).all()


def test_a_start_of_another_length_is_refused(groups):
    with pytest.raises(ClusteringError, match="60 points"):
        layout(nearest_by_cosine(groups @ groups.T, 8), np.zeros((5, 2), np.float32))
