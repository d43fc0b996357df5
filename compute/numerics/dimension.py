"""Intrinsic dimension of points from how fast their neighbours grow in number with the radius."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from compute.errors import FitError

LOW_SHARE, HIGH_SHARE = 0.01, 0.10  # of all other points: the radii between which neighbours are counted
N_RADII = 9
LEAST_POINTS = 20
MOST_POINTS = 10_000  # every pair's distance is held at once
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DimensionFit:
    """A dimension read from neighbour counts.

    Attributes
    ----------
    dimension : float
        d̂, the slope of ln(neighbours) on ln(radius).
    low, high : float
        95% interval of the jackknife over points (Student's t).
    radii : ndarray of shape (n_radii,), float64
        In the unit of the distances, even in the logarithm.
    neighbours : ndarray of shape (n_radii,), float64
        Mean number of other points within each radius.
    n_points : int
    """

    dimension: float
    low: float
    high: float
    radii: Floats
    neighbours: Floats
    n_points: int


def dimension_of_points(points: ArrayLike) -> DimensionFit:
    """Estimate the intrinsic dimension of points by their Euclidean distances.

    Parameters
    ----------
    points : array_like of shape (n, width), float
        Finite; 20 to 10,000 points.

    Returns
    -------
    DimensionFit
        See `dimension_of_distances`.

    Raises
    ------
    FitError
        Another number of points, values that are not finite, or points that lie on one another.

    Examples
    --------
    >>> line = np.random.default_rng(0).random((500, 1)) * np.ones((1, 7))
    >>> round(dimension_of_points(line).dimension, 1)
    1.0
    """
    x = np.asarray(points, np.float64)
    if x.ndim != 2:
        raise FitError(f"points must be a table of points by coordinates, but have shape {x.shape}")
    _check_number(len(x))
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise FitError(f"point {row} has the coordinate {x[row, column]} at place {column}, which is not finite")
    x = x - x.mean(axis=0)
    squares = np.sum(x**2, axis=1)
    return dimension_of_distances(np.sqrt(np.maximum(squares[:, None] + squares - 2 * (x @ x.T), 0.0)))


def dimension_of_cosines(cosines: ArrayLike) -> DimensionFit:
    """Estimate the intrinsic dimension of unit vectors, given their cosines.

    Parameters
    ----------
    cosines : array_like of shape (n, n), float
        Symmetric; clipped to [−1, 1].

    Returns
    -------
    DimensionFit
        Radii are lengths of chords between the vectors' ends, r² = 2 − 2 cos.

    Raises
    ------
    FitError
        As `dimension_of_distances`.

    Examples
    --------
    >>> turn = np.random.default_rng(0).uniform(0, 2 * np.pi, 500)
    >>> round(dimension_of_cosines(np.cos(turn[:, None] - turn)).dimension, 1)
    1.0
    """
    return dimension_of_distances(np.sqrt(np.maximum(2.0 - 2.0 * np.asarray(cosines, np.float64), 0.0)))


def dimension_of_distances(distances: ArrayLike) -> DimensionFit:
    """Estimate the intrinsic dimension of points, given the distance of every pair.

    Parameters
    ----------
    distances : array_like of shape (n, n), float
        Symmetric and at least 0; the diagonal is not read. 20 to 10,000 points.

    Returns
    -------
    DimensionFit

    Raises
    ------
    FitError
        No square table, another number of points, distances that are not finite or are below 0, or so many equal
        ones that neighbours do not grow in number.

    Notes
    -----
    With N(r) the mean number of other points within r, d̂ = Δ ln N / Δ ln r: the least-squares slope over nine radii,
    even in ln r, between those that hold 1% and 10% of all pairs. A point is no neighbour of its own. The radii
    stay; without point i the pairs within r are Σ_j n_j(r) − 2 n_i(r), from which the jackknife has its interval.
    Points near an edge have fewer neighbours, which lowers d̂; so does curvature that the larger radius sees.

    References
    ----------
    Grassberger and Procaccia, Measuring the strangeness of strange attractors, Physica D 9 (1983) 189.

    Examples
    --------
    >>> ring = np.random.default_rng(0).random(500)
    >>> apart = np.abs(ring[:, None] - ring)
    >>> round(dimension_of_distances(np.minimum(apart, 1 - apart)).dimension, 1)
    1.0
    """
    d = np.asarray(distances, np.float64)
    if d.ndim != 2 or d.shape[0] != d.shape[1]:
        raise FitError(f"distances must be a square table, but have shape {d.shape}")
    _check_number(len(d))
    pairs = d[np.triu_indices(len(d), 1)]
    if not (np.isfinite(pairs).all() and pairs.min() >= 0):
        raise FitError("distances must be finite and at least 0, but some are not")
    low, high = np.quantile(pairs, (LOW_SHARE, HIGH_SHARE))
    if not 0 < low < high:
        raise FitError(
            f"the radii that hold {LOW_SHARE:.0%} and {HIGH_SHARE:.0%} of all pairs are {low:g} and {high:g}: too many "
            "points lie on one another or equally far apart to count neighbours between them"
        )
    radii = np.geomspace(low, high, N_RADII)
    counts = np.stack([_counts(d, radius) for radius in radii], axis=1)  # (n, n_radii)
    total = counts.sum(axis=0)
    slope = float(_slopes(np.log(radii), total[None, :])[0])
    left_out = _slopes(np.log(radii), total - 2 * counts)
    n = len(d)
    spread = math.sqrt((n - 1) / n * float(np.sum((left_out - left_out.mean()) ** 2)))
    half = float(stdtrit(n - 1, 0.975)) * spread
    return DimensionFit(slope, slope - half, slope + half, radii, total / n, n)


def _counts(distances: Floats, radius: float) -> Floats:
    """Other points within the radius of each."""
    within = np.count_nonzero(distances <= radius, axis=1) - (np.diagonal(distances) <= radius)
    return within.astype(np.float64)


def _slopes(ln_radii: Floats, counts: Floats) -> Floats:
    """Slope of ln counts on ln radii of every row."""
    u = ln_radii - ln_radii.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(counts) @ u / float(u @ u)


def _check_number(n: int) -> None:
    if not LEAST_POINTS <= n <= MOST_POINTS:
        raise FitError(f"a dimension needs {LEAST_POINTS} to {MOST_POINTS:,} points, but there are {n:,}; sample them")
