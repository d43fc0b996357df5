"""Spectral clustering at every number of clusters from one eigendecomposition."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.csgraph import laplacian as graph_laplacian
from sklearn.cluster import k_means

from compute.errors import ClusteringError
from compute.numerics.ranks import adjusted_rand_index

__all__ = ["Embedding", "agreement", "cluster_every_k", "cluster_k", "spectral_embedding"]

SYMMETRY_TOLERANCE = 1e-6


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


def spectral_embedding(affinity: NDArray[np.floating], n_components: int) -> Embedding:
    """Compute the first eigenvectors of the normalised Laplacian, once for all numbers of clusters.

    Parameters
    ----------
    affinity : ndarray of shape (n_tokens, n_tokens), float32 or float64
        Symmetric, not negative, finite; the diagonal is not used.
    n_components : int
        Largest number of clusters wanted, 1 <= n_components <= n_tokens.

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
    entry is positive. Calculated in float64 by a dense solver. Embeddings for fewer clusters are prefixes of this
    one, unless equal eigenvalues straddle the cut.

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
    laplacian, root_degree = graph_laplacian(affinity.astype(np.float64), normed=True, return_diag=True)
    np.fill_diagonal(laplacian, 1.0)
    values, vectors = eigh(laplacian, subset_by_index=[0, n_components - 1], overwrite_a=True, check_finite=False)
    vectors /= root_degree[:, None]
    largest = np.abs(vectors).argmax(axis=0)
    vectors *= np.where(vectors[largest, np.arange(n_components)] < 0, -1.0, 1.0)
    return Embedding(vectors, values)


def cluster_k(embedding: Embedding, k: int, *, n_init: int = 30, seed: int = 0) -> NDArray[np.int32]:
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

    Returns
    -------
    ndarray of shape (n_tokens,), int32
        Labels in 0..k−1.

    Raises
    ------
    ClusteringError
        k out of range.

    Notes
    -----
    Labels are those of scikit-learn's SpectralClustering on the same affinity and random state: its
    eigensolver draws n_tokens uniform numbers before k-means starts, so as many are drawn here.

    Examples
    --------
    >>> pair = np.array([[1, .9, .1, .1], [.9, 1, .1, .1], [.1, .1, 1, .9], [.1, .1, .9, 1]])
    >>> len(set(cluster_k(spectral_embedding(pair, 2), 2, n_init=2).tolist()))
    2
    """
    n, n_components = embedding.vectors.shape
    _check_ks([k], n)
    if k > n_components:
        raise ClusteringError(f"an embedding of {n_components} components cannot give {k} clusters")
    random_state = np.random.RandomState(seed)
    random_state.uniform(-1, 1, n)
    points = np.ascontiguousarray(embedding.vectors[:, :k])
    return k_means(points, k, random_state=random_state, n_init=n_init)[1].astype(np.int32)


def cluster_every_k(
    affinity: NDArray[np.floating] | Embedding,
    ks: Iterable[int],
    *,
    n_init: int = 30,
    seed: int = 0,
    on_k: Callable[[int, NDArray[np.int32]], None] | None = None,
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
    on_k : callable (k, labels), optional
        Called after every k.
    skip : collection of int
        Ks that are known already; they are left out of the result.

    Returns
    -------
    dict of int to ndarray of shape (n_tokens,), int32
        Labels in 0..k−1, by ascending k; equal to those of scikit-learn's
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
    result = {}
    for k in missing:
        result[k] = cluster_k(embedding, k, n_init=n_init, seed=seed)
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
    if not np.isfinite(affinity).all():
        row, column = np.argwhere(~np.isfinite(affinity))[0]
        raise ClusteringError(f"the affinity of tokens {row} and {column} is {affinity[row, column]}")
    if affinity.size and affinity.min() < 0:
        row, column = np.unravel_index(affinity.argmin(), affinity.shape)
        raise ClusteringError(f"tokens {row} and {column} have the negative affinity {affinity[row, column]:g}")
    gap = np.abs(affinity - affinity.T)
    if affinity.size and gap.max() > SYMMETRY_TOLERANCE:
        row, column = np.unravel_index(gap.argmax(), gap.shape)
        raise ClusteringError(
            f"the affinity is not symmetric: tokens {row} and {column} have {affinity[row, column]:g}, "
            f"but {column} and {row} have {affinity[column, row]:g}"
        )
