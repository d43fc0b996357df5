"""Two-dimensional maps of tokens: near each other where their gradients, or their loss curves, are alike."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compute.errors import ClusteringError

FLOOR_NATS = 0.1  # losses far below it are alike: the token is known
_ROWS = 1000  # of a matrix worked on at a time

Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]


def nearest_by_cosine(cosine: NDArray[np.floating], n_neighbors: int) -> Neighbours:
    """Find each token's nearest others by the angle between gradients.

    Parameters
    ----------
    cosine : ndarray of shape (n, n), float
        Similarities in [−1, 1], symmetric.
    n_neighbors : int
        How many to give of each, itself among them; at most n.

    Returns
    -------
    indices : ndarray of shape (n, n_neighbors), int64
        The token itself, then the others by falling similarity, equal ones by index.
    distances : ndarray of shape (n, n_neighbors), float32, in [0, 1]
        arccos(c) / π: 0 for the token itself, 1 for opposite gradients.

    Raises
    ------
    ClusteringError
        Fewer tokens than neighbours.

    Examples
    --------
    >>> indices, distances = nearest_by_cosine(np.array([[1, 0, 1], [0, 1, -1], [1, -1, 1.0]]), 2)
    >>> indices.tolist(), distances[:, 1].tolist()
    ([[0, 2], [1, 0], [2, 0]], [0.0, 0.5, 0.0])
    """
    n = len(cosine)
    _refuse_few(n, n_neighbors)
    indices = np.empty((n, n_neighbors), np.int64)
    distances = np.empty((n, n_neighbors), np.float32)
    for first in range(0, n, _ROWS):
        rows = np.array(cosine[first : first + _ROWS], np.float64)
        own = np.arange(first, first + len(rows))
        rows[np.arange(len(rows)), own] = np.inf  # itself first, before others in the same direction
        order = np.argsort(-rows, axis=1, kind="stable")[:, :n_neighbors]
        near = np.clip(np.take_along_axis(rows, order, axis=1), -1.0, 1.0)
        indices[own], distances[own] = order, np.arccos(near) / np.pi
    return indices, distances


def nearest_points(points: NDArray[np.floating], n_neighbors: int) -> Neighbours:
    """Find each point's nearest others by Euclidean distance, all of them exactly.

    Parameters
    ----------
    points : ndarray of shape (n, d), float
    n_neighbors : int
        How many to give of each, itself among them; at most n.

    Returns
    -------
    indices : ndarray of shape (n, n_neighbors), int64
        The point itself, then the others by rising distance.
    distances : ndarray of shape (n, n_neighbors), float32

    Raises
    ------
    ClusteringError
        Fewer points than neighbours.

    Examples
    --------
    >>> nearest_points(np.array([[0.0], [1.0], [3.0]]), 2)[0].tolist()
    [[0, 1], [1, 0], [2, 1]]
    """
    from sklearn.neighbors import NearestNeighbors

    n = len(points)
    _refuse_few(n, n_neighbors)
    found = NearestNeighbors(n_neighbors=n_neighbors - 1, algorithm="brute").fit(points)
    distances, others = found.kneighbors()  # without the point itself
    indices = np.column_stack([np.arange(n), others]).astype(np.int64)
    return indices, np.column_stack([np.zeros(n), distances]).astype(np.float32)


def curve_features(blocks: Sequence[NDArray[np.floating]], *, floor_nats: float = FLOOR_NATS) -> NDArray[np.float32]:
    """Turn loss curves into points whose distances compare level and shape.

    Parameters
    ----------
    blocks : sequence of ndarray of shape (n, m_b), float
        Losses in nats of n tokens, finite: over model sizes, and over the training steps of each network. The first
        block counts as much as all others together.
    floor_nats : float
        See Notes.

    Returns
    -------
    ndarray of shape (n, 1 + Σ m_b), float32
        The level, then the shape column by column.

    Raises
    ------
    ClusteringError
        No block, or blocks of different lengths.

    Notes
    -----
    y = ln(L + 0.1 nats): a loss is compared by ratio while it matters, and 0.01 and 0.0001 nats are both "known"
    rather than a factor of a hundred apart. With weights w_c that add up to one (half for the sizes, half for the
    steps, evenly within a block), the level is Σ w_c y_c and the shape √w_c (y_c − level). Levels differ far more
    than shapes do (they hold nine tenths of the variance in the demo), so both are divided by the root of their total
    variance over the tokens: two tokens are near where their curves have the same level and the same shape, each
    counting half.

    Examples
    --------
    >>> curve_features([np.array([[3.0, 1.0], [3.0, 1.0], [1.0, 3.0]])]).shape
    (3, 3)
    """
    if not blocks or len({len(block) for block in blocks}) != 1:
        raise ClusteringError(f"curves need tables of equally many tokens, but have {[len(b) for b in blocks]}")
    share = [1.0] if len(blocks) == 1 else [0.5] + [0.5 / (len(blocks) - 1)] * (len(blocks) - 1)
    weights = np.concatenate([np.full(b.shape[1], s / b.shape[1]) for b, s in zip(blocks, share, strict=True)])
    y = np.log(np.concatenate(blocks, axis=1, dtype=np.float64) + floor_nats)
    level = y @ weights
    shape = (y - level[:, None]) * np.sqrt(weights)
    spreads = (float(level.var()), float(shape.var(axis=0).sum()))
    scales = [1 / np.sqrt(spread) if spread > 0 else 0.0 for spread in spreads]
    return np.column_stack([level * scales[0], shape * scales[1]]).astype(np.float32)


def principal_axes_of_cosines(cosine: NDArray[np.floating]) -> NDArray[np.float32]:
    """Place unit gradients along the two directions in which they differ most.

    Parameters
    ----------
    cosine : ndarray of shape (n, n), float
        Symmetric; n of at least 4.

    Returns
    -------
    ndarray of shape (n, 2), float32
        First principal component and second, of the gradients themselves: the leading eigenvectors of the doubly
        centred matrix times the root of their eigenvalues. The entry largest in size is positive.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh
    from threadpoolctl import threadpool_limits

    n = len(cosine)
    matrix = np.asarray(cosine)

    def centred(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        vector = np.ravel(vector)
        product = matrix @ (vector - vector.mean()).astype(matrix.dtype)
        return np.asarray(product - product.mean(), np.float64)

    start = np.random.default_rng(0).standard_normal(n)
    with threadpool_limits(1):
        values, vectors = eigsh(LinearOperator((n, n), matvec=centred, dtype=np.float64), k=2, v0=start)
    return _axes(vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0.0)))


def principal_axes(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Place points along the two directions in which they differ most.

    Parameters
    ----------
    points : ndarray of shape (n, d), float

    Returns
    -------
    ndarray of shape (n, 2), float32
        First principal component and second; the entry largest in size is positive.
    """
    from threadpoolctl import threadpool_limits

    centred = np.asarray(points, np.float64) - np.mean(points, axis=0, dtype=np.float64)
    with threadpool_limits(1):
        _, axes = np.linalg.eigh(centred.T @ centred)
        return _axes(centred @ axes[:, :-3:-1])


def layout(
    neighbours: Neighbours, start: NDArray[np.float32], *, min_dist: float = 0.1, seed: int = 0
) -> NDArray[np.float32]:
    """Lay points out in the plane so that neighbours stay neighbours (UMAP).

    Parameters
    ----------
    neighbours : (indices, distances)
        As `nearest_by_cosine` and `nearest_points` give them.
    start : ndarray of shape (n, 2), float32
        Where the points are put at first; it decides how the parts of the map lie to each other.
    min_dist : float, in [0, 1)
        How near points may come.
    seed : int
        In [0, 2³²).

    Returns
    -------
    ndarray of shape (n, 2), float32
        Centred; only distances mean something, and of these the small ones most.

    Raises
    ------
    ClusteringError
        A start of another length.

    Notes
    -----
    One thread and one seed: the same bits every time on one machine. The start is the principal components, not
    eigenvectors of the graph of neighbours: that graph may fall apart, and the overall arrangement is as good.

    References
    ----------
    McInnes, Healy, Melville, UMAP, arXiv:1802.03426; Kobak and Linderman, Initialization is critical for preserving
    global data structure in both t-SNE and UMAP, Nature Biotechnology 39, 2021.
    """
    indices, distances = neighbours
    if start.shape != (len(indices), 2):
        raise ClusteringError(f"{len(indices)} points need as many places to start from, not {start.shape}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts that are not used: other back ends, placing new points
        import umap

        made = umap.UMAP(
            n_neighbors=indices.shape[1],
            min_dist=min_dist,
            random_state=seed,
            n_jobs=1,
            init=start,
            precomputed_knn=(indices, distances),
        ).fit_transform(start)
    return np.asarray(made - made.mean(axis=0), np.float32)


def _refuse_few(n: int, n_neighbors: int) -> None:
    if not 2 <= n_neighbors <= n:
        raise ClusteringError(f"{n_neighbors} neighbours, the point itself among them, cannot be found of {n} points")


def _axes(axes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Eigenvectors with a sign that does not depend on the library."""
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return np.asarray(axes * np.where(largest < 0, -1.0, 1.0), np.float32)
