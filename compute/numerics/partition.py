"""Points in clusters by their pairwise distances alone: no centre is formed, and moving a point is cheap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.sparse import csr_matrix
from scipy.spatial.distance import squareform
from threadpoolctl import threadpool_limits

__all__ = ["Partition", "Result", "refine", "squared_distances", "ward"]

RELATIVE_GAIN = 1e-9  # of the inertia of one cluster; a smaller one is rounding


@dataclass(frozen=True)
class Result:
    """One clustering and its inertia.

    Attributes
    ----------
    labels : ndarray of shape (n_points,), int32
    inertia : float
        Sum of squared distances to the nearest centre.
    """

    labels: NDArray[np.int32]
    inertia: float


class Partition:
    """Points in clusters, with every point's squared distance to every centre kept up to date.

    Parameters
    ----------
    distances : ndarray of shape (n_points, n_points), float32 or float64
        Squared, with a zero diagonal (`squared_distances`).
    labels : ndarray of shape (n_points,), int
        In 0..k−1; no cluster is empty.
    k : int

    Attributes
    ----------
    labels : ndarray of shape (n_points,), int32
    sizes : ndarray of shape (k,), float64
    to_centre : ndarray of shape (n_points, k), float64
        Squared distance of each point to each cluster's mean.

    Notes
    -----
    With S_ic = Σ_{j∈c} D_ij and W_c = ½ Σ_{i,j∈c} D_ij, the distance to the mean is S_ic/|c| − W_c/|c|², and the
    inertia is Σ_c W_c/|c|. No centre is ever formed: a new assignment costs n additions for each point that moves
    instead of n·k multiplications for each dimension.

    Examples
    --------
    >>> line = Partition(squared_distances(np.array([[0.0], [2.0], [9.0]])), np.array([0, 0, 1]), 2)
    >>> line.to_centre[:, 0].round(9).tolist()
    [1.0, 1.0, 64.0]
    """

    def __init__(self, distances: NDArray[np.floating], labels: NDArray[np.integer], k: int) -> None:
        self.distances, self.k = distances, k
        self.labels = labels.astype(np.int32)
        self.sizes = np.bincount(labels, minlength=k).astype(np.float64)
        points = np.arange(len(labels))
        ones = np.ones(len(labels), dtype=distances.dtype)
        members = csr_matrix((ones, (labels, points)), shape=(k, len(labels)))
        self._sums = np.ascontiguousarray((members @ distances).T)
        self.within = self._within()
        self.to_centre = self._to_centre(slice(None))

    @property
    def inertia(self) -> float:
        """Sum of squared distances of points to their own cluster's mean."""
        return float((self.within / self.sizes).sum())

    def move(self, points: NDArray[np.integer], to: NDArray[np.integer]) -> None:
        """Put points into other clusters; none may become empty."""
        come_from = self.labels[points]
        changed, place = np.unique(np.concatenate([come_from, to]), return_inverse=True)
        signs = np.repeat(np.array([-1, 1], dtype=self.distances.dtype), len(points))
        moves = csr_matrix((signs, (place, np.tile(points, 2))), shape=(len(changed), len(self.labels)))
        self._sums[:, changed] += (moves @ self.distances).T
        self.labels[points] = to
        self.sizes += np.bincount(to, minlength=self.k) - np.bincount(come_from, minlength=self.k)
        self.within = self._within()
        self.to_centre[:, changed] = self._to_centre(changed)

    def best_moves(self) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
        """By how much the inertia falls when one point moves to its best other cluster, and to which."""
        points, sizes = np.arange(len(self.labels)), self.sizes[self.labels]
        own = self.to_centre[points, self.labels]
        saved = own * sizes / np.maximum(sizes - 1, 1) * (sizes > 1)  # a cluster's last point stays
        cost = self.to_centre * (self.sizes / (self.sizes + 1))
        cost[points, self.labels] = np.inf
        to = cost.argmin(axis=1)
        return saved - cost[points, to], to

    def _to_centre(self, clusters: slice | NDArray[np.integer]) -> NDArray[np.floating]:
        """Squared distance of every point to the means of some clusters."""
        sizes, kind = self.sizes[clusters], self.distances.dtype
        return self._sums[:, clusters] / sizes.astype(kind) - (self.within[clusters] / sizes**2).astype(kind)

    def _within(self) -> NDArray[np.floating]:
        own = self._sums[np.arange(len(self.labels)), self.labels]
        return np.bincount(self.labels, weights=own, minlength=self.k) / 2


def squared_distances(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Squared Euclidean distances between all pairs of points.

    Parameters
    ----------
    points : ndarray of shape (n_points, n_dimensions), float32 or float64

    Returns
    -------
    ndarray of shape (n_points, n_points), of the same type, >= 0
        Symmetric, with a zero diagonal; the same bits for any number of threads.

    Examples
    --------
    >>> squared_distances(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 25.0], [25.0, 0.0]]
    """
    centred = points - points.mean(axis=0)
    with threadpool_limits(1, user_api="blas"):
        distances = centred @ centred.T
    squares = distances.diagonal().copy()
    for row, square in zip(distances, squares, strict=True):
        row *= -2
        row += squares + square  # in one sum, so that both triangles get the same bits
    np.maximum(distances, 0, out=distances)
    np.fill_diagonal(distances, 0)
    return distances


def refine(distances: NDArray[np.floating], labels: NDArray[np.integer], k: int, *, most_gain: float = 1.0) -> Result:
    """Move single points between clusters while that lowers the inertia.

    Parameters
    ----------
    distances : ndarray of shape (n_points, n_points), float32 or float64
        Squared.
    labels : ndarray of shape (n_points,), int
        In 0..k−1; no cluster is empty.
    k : int
    most_gain : float
        Stop once the inertia has fallen by this share of what it was; 1 goes on until no move lowers it.

    Returns
    -------
    Result
        Of no more inertia than the labels given; still no cluster is empty.

    Notes
    -----
    Moving a point of cluster a at squared distance d_a to cluster b changes the inertia by
    d_b |b|/(|b| + 1) − d_a |a|/(|a| − 1). Each round makes the best moves of which no two touch the same cluster,
    so that their gains add up. Where no move is left, Lloyd's algorithm would find none either, but not the reverse.

    References
    ----------
    Hartigan, Clustering Algorithms, Wiley 1975; Telgarsky and Vattani, Hartigan's method, AISTATS 2010.

    Examples
    --------
    >>> line = squared_distances(np.array([[0.0], [1.0], [8.0], [9.0]]))
    >>> refine(line, np.array([0, 1, 1, 1]), 2).labels.tolist()
    [0, 0, 1, 1]
    """
    partition = Partition(distances, labels, k)
    target, least = (1 - most_gain) * partition.inertia, RELATIVE_GAIN * partition.inertia / k
    while partition.inertia > target:
        gains, to = partition.best_moves()
        points = np.flatnonzero(gains > least)
        if not len(points):
            break
        points = points[np.argsort(-gains[points], kind="stable")]
        chosen = _disjoint(partition.labels[points], to[points], k)
        partition.move(points[chosen], to[points[chosen]])
    return Result(partition.labels, partition.inertia)


def ward(distances: NDArray[np.floating], k: int) -> NDArray[np.int32]:
    """Cut Ward's tree into k clusters: each step joins the two whose union adds least inertia.

    Parameters
    ----------
    distances : ndarray of shape (n_points, n_points), float32 or float64
        Squared.
    k : int
        1 <= k <= n_points.

    Returns
    -------
    ndarray of shape (n_points,), int32
        Labels in 0..k−1, every one of them used.

    References
    ----------
    Ward, Hierarchical grouping to optimize an objective function, JASA 58, 1963.

    Examples
    --------
    >>> line = squared_distances(np.array([[0.0], [1.0], [8.0], [9.0]]))
    >>> ward(line, 2).tolist()
    [0, 0, 1, 1]
    """
    n = len(distances)
    heights = squareform(distances, checks=False).astype(np.float64)
    np.sqrt(heights, out=heights)
    joined = linkage(heights, "ward")[: n - k, :2].astype(np.intp)
    root = np.arange(2 * n - k)
    for step in range(n - k - 1, -1, -1):
        root[joined[step]] = root[n + step]
    return np.unique(root[:n], return_inverse=True)[1].astype(np.int32)


def _disjoint(come_from: NDArray[np.integer], to: NDArray[np.integer], k: int) -> list[int]:
    """Places of moves, first come first served, of which no two touch the same cluster."""
    is_touched, chosen = [False] * k, []
    for place, (a, b) in enumerate(zip(come_from.tolist(), to.tolist(), strict=True)):
        if not (is_touched[a] or is_touched[b]):
            is_touched[a] = is_touched[b] = True
            chosen.append(place)
    return chosen
