"""Intrinsic dimension: tori whose dimension is known, and what changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics.dimension import dimension_of_cosines, dimension_of_distances, dimension_of_points


def torus_distances(n: int, d: int, seed: int) -> np.ndarray:
    """Of points spread evenly over a flat torus: across the edges where that is shorter."""
    x = np.random.default_rng(seed).random((n, d))
    squares = np.zeros((n, n))
    for axis in x.T:
        apart = np.abs(axis[:, None] - axis)
        squares += np.minimum(apart, 1 - apart) ** 2
    return np.sqrt(squares)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_a_flat_torus_has_its_own_dimension(d):
    fit = dimension_of_distances(torus_distances(2000, d, seed=d))
    assert fit.dimension == pytest.approx(d, rel=0.1)
    assert fit.low < d < fit.high
    assert fit.n_points == 2000


def test_intervals_cover_the_truth_about_19_times_in_20():
    fits = [dimension_of_distances(torus_distances(150, 2, seed)) for seed in range(40)]
    assert sum(fit.low < 2 < fit.high for fit in fits) >= 34


def test_an_orthogonal_map_into_more_axes_changes_nothing():
    rng = np.random.default_rng(0)
    points = rng.random((400, 3))
    basis, _ = np.linalg.qr(rng.standard_normal((20, 20)))
    flat, turned = dimension_of_points(points), dimension_of_points(points @ basis[:3] + 7)
    assert turned.dimension == pytest.approx(flat.dimension, rel=1e-9)
    assert (turned.low, turned.high) == pytest.approx((flat.low, flat.high), rel=1e-9)


def test_the_unit_of_distance_does_not_matter():
    apart = torus_distances(300, 2, seed=1)
    one, other = dimension_of_distances(apart), dimension_of_distances(1000 * apart)
    assert one.dimension == pytest.approx(other.dimension, rel=1e-9)
    assert other.radii == pytest.approx(1000 * one.radii)


def test_cosines_are_read_as_chords_of_unit_vectors():
    vectors = np.random.default_rng(2).standard_normal((500, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    by_cosine, by_place = dimension_of_cosines(vectors @ vectors.T), dimension_of_points(vectors)
    assert by_cosine.dimension == pytest.approx(by_place.dimension, rel=1e-6)
    assert by_cosine.dimension == pytest.approx(2, rel=0.1)  # a sphere


def test_a_point_is_no_neighbour_of_its_own_and_the_radii_hold_1_and_10_percent():
    fit = dimension_of_distances(torus_distances(1000, 2, seed=3))
    assert fit.neighbours[0] == pytest.approx(0.01 * 999, rel=0.02)
    assert fit.neighbours[-1] == pytest.approx(0.10 * 999, rel=0.02)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (np.zeros((30, 29)), "square table, but have shape \\(30, 29\\)"),
        (np.ones((5, 5)), "20 to 10,000 points, but there are 5"),
        (np.full((30, 30), np.nan), "finite and at least 0"),
        (-np.ones((30, 30)), "finite and at least 0"),
        (np.zeros((30, 30)), "lie on one another"),
        (np.ones((30, 30)), "equally far apart"),
    ],
)
def test_distances_without_a_dimension_are_refused(table, sentence):
    with pytest.raises(FitError, match=sentence):
        dimension_of_distances(table)


def test_points_that_are_not_finite_are_named():
    points = np.random.default_rng(0).random((30, 2))
    points[4, 1] = np.inf
    with pytest.raises(FitError, match="point 4 has the coordinate inf at place 1"):
        dimension_of_points(points)
