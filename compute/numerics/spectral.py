"""Spectral clustering at every number of clusters from one eigendecomposition."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from compute.errors import ClusteringError
from compute.numerics.eigen import lowest_eigenvectors
from compute.numerics.kmeans import Progress, best_start
from compute.numerics.partition import Result, refine, squared_distances, ward
from compute.numerics.ranks import adjusted_rand_index

__all__ = ["Embedding", "Mode", "agreement", "cluster_every_k", "cluster_k", "spectral_embedding"]

SYMMETRY_TOLERANCE = 1e-6
CHECKED_ROWS = 512  # at a time, so that checking 10,000 tokens takes 0.1 GB
FAST_STARTS = 2 / 3  # share of the starts that fast mode makes where clusters are not large
FAST_GAIN = 0.01  # share of the inertia that fast mode takes off its best start
LARGE = 20  # tokens a cluster; below, Ward's tree gives partitions of another kind than k-means++

Mode = Literal["parity", "fast"]


@dataclass(frozen=True)
class Embedding:
    """Tokens in the space of the smoothest functions on the affinity graph.

    Attributes
    ----------
    vectors : ndarray of shape (n_tokens, n_components), float64
        Column c is the c-th eigenvector of the symmetric normalised Laplacian divided by √degree; the first
        k columns are what k clusters are found in.
    eigenvalues : ndarray of shape (n_components,), float64, in [0, 2]
        Ascending.
    """

    vectors: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]


def spectral_embedding(affinity: NDArray[np.floating], n_components: int, *, device: str = "cpu") -> Embedding:
    """Compute the first eigenvectors of the normalised Laplacian, once for all numbers of clusters.

    Parameters
    ----------
    affinity : ndarray of shape (n_tokens, n_tokens), float32 or float64
        Symmetric, not negative, finite; the diagonal is not used.
    n_components : int
        Largest number of clusters wanted, 1 <= n_components <= n_tokens.
    device : str
        "cpu", or a torch device with room for four float64 matrices of n_tokens².

    Returns
    -------
    Embedding

    Raises
    ------
    ClusteringError
        More components than tokens, or an affinity that is not square, finite, symmetric and >= 0.

    Notes
    -----
    L = I − D^(−½) A D^(−½) with zero diagonal of A; columns are D^(−½) v, each signed so that its largest
    entry is positive. Calculated in float64 by a dense solver, in 24 n_tokens² bytes besides the affinity.

    Embeddings for fewer clusters are prefixes of this one, unless equal eigenvalues straddle the cut: their vectors
    are then any basis of a common space, and which of them come first is chance, in scikit-learn as here. A graph in
    several components has as many eigenvalues of zero, so this matters below that number of clusters.

    A token without affinity to any other counts as one of degree 1, as in scikit-learn: its own eigenvalue is then 1,
    and until that is reached its row is zero.

    References
    ----------
    von Luxburg, A Tutorial on Spectral Clustering, arXiv:0711.0189;
    Michaud et al., arXiv:2303.13506, section 5.

    Examples
    --------
    >>> pair = np.array([[1, .9, .1, .1], [.9, 1, .1, .1], [.1, .1, 1, .9], [.1, .1, .9, 1]])
    >>> spectral_embedding(pair, 2).vectors.shape
    (4, 2)
    """
    _check_affinity(affinity)
    n = len(affinity)
    if not 1 <= n_components <= n:
        raise ClusteringError(f"{n} tokens cannot be split into {n_components} clusters; ask for fewer")
    laplacian, root_degree = _normalised_laplacian(affinity)
    values, vectors = lowest_eigenvectors(laplacian, n_components, device=device)
    vectors = np.ascontiguousarray(vectors)
    vectors /= root_degree[:, None]
    largest = np.abs(vectors).argmax(axis=0)
    vectors *= np.where(vectors[largest, np.arange(n_components)] < 0, -1.0, 1.0)
    return Embedding(vectors, values)


def cluster_k(
    embedding: Embedding,
    k: int,
    *,
    n_init: int = 30,
    seed: int = 0,
    mode: Mode = "parity",
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> NDArray[np.int32]:
    """Find k clusters by k-means on the first k columns of an embedding.

    Parameters
    ----------
    embedding : Embedding
        Of at least k components.
    k : int
        2 <= k <= n_tokens.
    n_init : int
        Starts of k-means; the one of least inertia is kept.
    seed : int
        Labels depend on the embedding, k, n_init, seed and mode, and on nothing else.
    mode : {"parity", "fast"}
        "parity" gives scikit-learn's labels. "fast" makes the starts in float32, and where clusters are not large
        (20 tokens or fewer on average) two thirds of them; moves of single tokens make up for the rest.
    n_jobs : int
        Threads among which the starts are shared; the labels are the same for any number.
    progress : callable (n_done, n_total), optional
        Called after every start; what it raises stops the work.

    Returns
    -------
    ndarray of shape (n_tokens,), int32
        Labels in 0..k−1.

    Raises
    ------
    ClusteringError
        k out of range, no start, or an unknown mode.

    Notes
    -----
    Labels in parity mode are those of scikit-learn's SpectralClustering on the same affinity and random state: its
    eigensolver draws n_tokens uniform numbers before k-means starts, so as many are drawn here, and `best_start`
    follows its k-means.

    Fast mode lowers the inertia of its best start by at most 1% through moves of single tokens, which is more than
    what the starts left out would have gained; while clusters are large, Ward's tree is a start too. Moving on until
    nothing gains, or starting from Ward's tree at any k, would lower it by up to a tenth, but to partitions of
    another kind: Lloyd's algorithm from k-means++ leaves many single outlying tokens and a few large clusters, which
    such moves level out.

    References
    ----------
    Arthur and Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007;
    Hartigan, Clustering Algorithms, Wiley 1975.

    Examples
    --------
    >>> pair = np.array([[1, .9, .1, .1], [.9, 1, .1, .1], [.1, .1, 1, .9], [.1, .1, .9, 1]])
    >>> len(set(cluster_k(spectral_embedding(pair, 2), 2, n_init=2).tolist()))
    2
    """
    n, n_components = embedding.vectors.shape
    _check_ks([k], n)
    _check_starts(n_init, mode)
    if k > n_components:
        raise ClusteringError(f"an embedding of {n_components} components cannot give {k} clusters")
    points = np.ascontiguousarray(embedding.vectors[:, :k])
    random_state = np.random.RandomState(seed)
    random_state.random_sample(n)
    starts = partial(best_start, n_starts=_n_starts(n, k, n_init, mode), n_jobs=n_jobs, progress=progress)
    return (starts(points, k, random_state) if mode == "parity" else _fast(points, k, random_state, starts)).labels


def cluster_every_k(
    affinity: NDArray[np.floating] | Embedding,
    ks: Iterable[int],
    *,
    n_init: int = 30,
    seed: int = 0,
    mode: Mode = "parity",
    n_jobs: int = 1,
    on_k: Callable[[int, NDArray[np.int32]], None] | None = None,
    progress: Progress | None = None,
    skip: Collection[int] = (),
) -> dict[int, NDArray[np.int32]]:
    """Cluster tokens at every number of clusters from one eigendecomposition.

    Parameters
    ----------
    affinity : ndarray of shape (n_tokens, n_tokens), float32 or float64, or Embedding
        Symmetric, not negative, finite; or its embedding of at least max(ks) components.
    ks : iterable of int
        Numbers of clusters, each 2 <= k <= n_tokens.
    n_init : int
        Starts of k-means for each k.
    seed : int
        Each k starts from this seed anew, so its labels do not depend on the other ks.
    mode, n_jobs
        See `cluster_k`.
    on_k : callable (k, labels), optional
        Called after every k.
    progress : callable (n_done, n_total), optional
        Called after every start, with the starts done and wanted for all ks together.
    skip : collection of int
        Ks that are known already; they are left out of the result.

    Returns
    -------
    dict of int to ndarray of shape (n_tokens,), int32
        Labels in 0..k−1, by ascending k; in parity mode equal to those of scikit-learn's
        SpectralClustering(k, affinity="precomputed", n_init=n_init, random_state=seed).

    Raises
    ------
    ClusteringError
        A k out of range, or an unsuitable affinity (see `spectral_embedding`).

    Notes
    -----
    Where k-means itself meets an exact tie, rounding decides, in scikit-learn as here: two tokens that are each
    other's only neighbours are equally good starts for k-means++. Such ties need clusters of two, so k of a fifth
    of the tokens or more, and few starts; scikit-learn's own labels then change when its eigenvectors are moved by
    1e-15, and no other eigensolver can follow them. None was met with thirty starts.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 5.

    Examples
    --------
    >>> pair = np.array([[1, .9, .1, .1], [.9, 1, .1, .1], [.1, .1, 1, .9], [.1, .1, .9, 1]])
    >>> sorted(cluster_every_k(pair, [2, 3], n_init=2))
    [2, 3]
    """
    wanted = sorted({int(k) for k in ks})
    n = len(affinity.vectors if isinstance(affinity, Embedding) else affinity)
    _check_ks(wanted, n)
    missing = [k for k in wanted if k not in skip]
    if not missing:
        return {}
    embedding = affinity if isinstance(affinity, Embedding) else spectral_embedding(affinity, max(missing))
    n_starts, result = [_n_starts(n, k, n_init, mode) for k in missing], {}
    for place, k in enumerate(missing):
        told = progress and partial(_tell, progress, sum(n_starts[:place]), sum(n_starts))
        result[k] = cluster_k(embedding, k, n_init=n_init, seed=seed, mode=mode, n_jobs=n_jobs, progress=told)
        if on_k is not None:
            on_k(k, result[k])
    return result


def agreement(labels_a: NDArray[np.integer], labels_b: NDArray[np.integer]) -> float:
    """Adjusted Rand index of two clusterings of the same tokens (see `ranks.adjusted_rand_index`).

    Parameters
    ----------
    labels_a, labels_b : ndarray of shape (n_tokens,), int

    Returns
    -------
    float
        1 for equal partitions, about 0 for unrelated ones.

    Raises
    ------
    ClusteringError
        They label different numbers of tokens.

    Examples
    --------
    >>> agreement(np.array([0, 0, 1]), np.array([1, 1, 0]))
    1.0
    """
    if len(labels_a) != len(labels_b):
        raise ClusteringError(f"the clusterings label {len(labels_a)} and {len(labels_b)} tokens")
    return adjusted_rand_index(labels_a, labels_b)


def _check_ks(ks: list[int], n_tokens: int) -> None:
    for k in ks:
        if k < 2:
            raise ClusteringError(f"{k} clusters are no clustering; ask for at least 2")
        if k > n_tokens:
            raise ClusteringError(f"{n_tokens} tokens cannot be split into {k} clusters; ask for fewer")


def _check_affinity(affinity: NDArray[np.floating]) -> None:
    if affinity.ndim != 2 or affinity.shape[0] != affinity.shape[1]:
        raise ClusteringError(f"an affinity must be a square matrix, but has shape {affinity.shape}")
    for first in range(0, len(affinity), CHECKED_ROWS):
        _check_rows(affinity, first, affinity[first : first + CHECKED_ROWS])


def _check_rows(affinity: NDArray[np.floating], first: int, rows: NDArray[np.floating]) -> None:
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise ClusteringError(f"the affinity of tokens {first + row} and {column} is {rows[row, column]}")
    if rows.min() < 0:
        row, column = np.unravel_index(rows.argmin(), rows.shape)
        raise ClusteringError(f"tokens {first + row} and {column} have the negative affinity {rows[row, column]:g}")
    gap = np.abs(rows - affinity[:, first : first + len(rows)].T)
    if gap.max() > SYMMETRY_TOLERANCE:
        row, column = np.unravel_index(gap.argmax(), gap.shape)
        raise ClusteringError(
            f"the affinity is not symmetric: tokens {first + row} and {column} have {rows[row, column]:g}, "
            f"but {column} and {first + row} have {affinity[column, first + row]:g}"
        )


def _check_starts(n_init: int, mode: str) -> None:
    if n_init < 1:
        raise ClusteringError(f"k-means needs at least one start, but {n_init} were asked for")
    if mode not in get_args(Mode):
        raise ClusteringError(f"there is no mode {mode!r} of k-means; choose from {', '.join(get_args(Mode))}")


def _normalised_laplacian(affinity: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The matrix I − D^(−½) A D^(−½) and √degree, in no more memory than the matrix takes."""
    laplacian = affinity.astype(np.float64, order="C")
    np.fill_diagonal(laplacian, 0)
    degree = laplacian.sum(axis=0)
    root_degree = np.sqrt(np.where(degree == 0, 1, degree))
    laplacian /= -root_degree
    laplacian /= root_degree[:, None]
    np.fill_diagonal(laplacian, 1)
    return laplacian, root_degree


def _n_starts(n_tokens: int, k: int, n_init: int, mode: str) -> int:
    return n_init if mode == "parity" or k * LARGE < n_tokens else math.ceil(n_init * FAST_STARTS)


def _fast(
    points: NDArray[np.float64], k: int, random_state: np.random.RandomState, starts: Callable[..., Result]
) -> Result:
    best = starts(points.astype(np.float32), k, random_state)
    distances = squared_distances(points)
    candidates = [best.labels] if np.bincount(best.labels, minlength=k).all() else []
    if not candidates or k * LARGE < len(points):
        candidates.append(ward(distances, k))
    refined = [refine(distances, labels, k, most_gain=FAST_GAIN) for labels in candidates]
    return min(refined, key=lambda result: result.inertia)


def _tell(progress: Progress, n_before: int, n_total: int, n_done: int, _: int) -> None:
    progress(n_before + n_done, n_total)
