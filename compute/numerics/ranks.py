"""Clusters by size: their order, the rank-frequency envelope, its exponent; agreement of two partitions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compute.errors import FitError
from compute.numerics.scaling import exp_if_held, fit_log_line, power_of_e

PAPER_WINDOW = (101, 1000)  # the published fit's 0-based slice 100:1000 (the paper says ranks 100-1000)
SMALL_WINDOW_FIRST = 5
SMALL_WINDOW_SIZE = 3  # below this size an envelope is a staircase of ones and twos
MIN_RANKS = 3


@dataclass(frozen=True)
class EnvelopeFit:
    """A power law through a window of a rank-frequency envelope: ln size ≈ log_intercept + slope · ln rank.

    Attributes
    ----------
    slope : float
        Of ln size on ln rank; negative.
    log_intercept : float
        ln of the tokens at rank 1.
    r_squared : float
        In ln size, in [0, 1].
    standard_error, low, high : float
        Of the slope and its 95% least-squares interval. Envelope points are not independent, so this
        is far too narrow as a statement about quanta: the paper calls ±0.2 the least one should grant.
    first_rank, last_rank, n_ranks : int
        The window, counted from 1, both ends included.
    """

    slope: float
    log_intercept: float
    r_squared: float
    standard_error: float
    low: float
    high: float
    first_rank: int
    last_rank: int
    n_ranks: int

    @property
    def intercept(self) -> float | None:
        """The constant in intercept · rank^slope, in tokens; None where no float holds it."""
        return exp_if_held(self.log_intercept)

    def size_at(self, rank: float) -> float:
        """Tokens that the law expects of the cluster at a rank, from 1 on."""
        return float(power_of_e(np.asarray(self.log_intercept + self.slope * math.log(rank))))


def cluster_order(labels: ArrayLike) -> NDArray[np.int64]:
    """Order cluster labels by size, largest first, ties by first appearance.

    Parameters
    ----------
    labels : array_like of shape (n_tokens,), int

    Returns
    -------
    ndarray of shape (n_clusters,), int64
        Labels; position r holds the label of (0-based) rank r.

    Raises
    ------
    ValueError
        `labels` is not a list of integers.

    Examples
    --------
    >>> cluster_order([7, 2, 2, 5, 7, 1]).tolist()
    [7, 2, 5, 1]
    """
    names, first, counts = np.unique(_labels(labels), return_index=True, return_counts=True)
    return names[np.lexsort((first, -counts))].astype(np.int64)


def sizes_by_rank(labels: ArrayLike) -> NDArray[np.int64]:
    """Count the tokens of every cluster, largest cluster first.

    Parameters
    ----------
    labels : array_like of shape (n_tokens,), int

    Returns
    -------
    ndarray of shape (n_clusters,), int64
        Sizes in tokens, descending; they sum to n_tokens.

    Raises
    ------
    ValueError
        `labels` is not a list of integers.

    Examples
    --------
    >>> sizes_by_rank([7, 2, 2, 5, 7, 1]).tolist()
    [2, 2, 1, 1]
    """
    counts = np.unique(_labels(labels), return_counts=True)[1]
    return np.sort(counts)[::-1].astype(np.int64)


def envelope(sizes: Iterable[ArrayLike]) -> NDArray[np.int64]:
    """Take, at every rank, the largest cluster over all clusterings that have that many clusters.

    Parameters
    ----------
    sizes : iterable of array_like of shape (k,), int
        Sizes in tokens, descending, one array a clustering; k may differ.

    Returns
    -------
    ndarray of shape (max k,), int64
        Sizes in tokens, descending; position r − 1 belongs to rank r.

    Raises
    ------
    FitError
        No clustering was given.

    Notes
    -----
    E(r) = max over k >= r of size_k(r).

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 5.

    Examples
    --------
    >>> envelope([[5, 1], [3, 2, 1]]).tolist()
    [5, 2, 1]
    """
    arrays = [np.asarray(one, dtype=np.int64) for one in sizes]
    if not arrays:
        raise FitError("an envelope needs at least one clustering")
    result = np.zeros(max(len(one) for one in arrays), dtype=np.int64)
    for one in arrays:
        np.maximum(result[: len(one)], one, out=result[: len(one)])
    return result


def default_window(envelope: ArrayLike) -> tuple[int, int]:
    """Choose the ranks over which an envelope is fitted when nobody states them.

    Parameters
    ----------
    envelope : array_like of shape (n_ranks,), int
        Sizes in tokens, descending.

    Returns
    -------
    first_rank, last_rank : int
        Counted from 1, both included.

    Notes
    -----
    The paper's ranks 101-1000 when the envelope has at least 1000 ranks. Otherwise from rank 5 (the first
    few clusters are what spectral clustering could not tell apart) to the last rank whose size is still 3
    or more (below, sizes are ones and twos whose run lengths say how many clusters were asked for). Where
    that leaves fewer than three ranks, all ranks.

    Examples
    --------
    >>> default_window([90, 50, 30, 20, 9, 8, 7, 3, 2, 1])
    (5, 8)
    """
    sizes = np.asarray(envelope)
    if len(sizes) >= PAPER_WINDOW[1]:
        return PAPER_WINDOW
    last = int(np.count_nonzero(sizes >= SMALL_WINDOW_SIZE))
    if last - SMALL_WINDOW_FIRST + 1 < MIN_RANKS:
        return 1, len(sizes)
    return SMALL_WINDOW_FIRST, last


def fit_envelope(envelope: ArrayLike, first_rank: int, last_rank: int) -> EnvelopeFit:
    """Fit size = C · rank^slope to a window of an envelope by least squares in logarithms.

    Parameters
    ----------
    envelope : array_like of shape (n_ranks,), int
        Sizes in tokens, descending, positive.
    first_rank, last_rank : int
        Window counted from 1, both ends included.

    Returns
    -------
    EnvelopeFit

    Raises
    ------
    FitError
        The window lies outside the envelope, holds fewer than three ranks, or a size in it is not positive.

    Notes
    -----
    ln E(r) = ln C + slope · ln r. The model's reading is slope = −(alpha + 1). The published labels give
    −1.2374 over ranks 101-1000; without the largest k it is −1.3269.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 5.

    Examples
    --------
    >>> round(fit_envelope([8, 4, 2, 2, 1], 1, 4).slope, 2)
    -1.08
    """
    sizes = np.asarray(envelope, dtype=np.float64)
    if not 1 <= first_rank <= last_rank <= len(sizes):
        raise FitError(f"ranks {first_rank} to {last_rank} do not lie within the envelope's ranks 1 to {len(sizes)}")
    n_ranks = last_rank - first_rank + 1
    if n_ranks < MIN_RANKS:
        raise FitError(f"ranks {first_rank} to {last_rank} are {n_ranks}; a slope needs at least {MIN_RANKS}")
    window = sizes[first_rank - 1 : last_rank]
    bad = np.flatnonzero(~(window > 0))
    if len(bad):
        raise FitError(f"the envelope is {window[bad[0]]:g} at rank {first_rank + bad[0]}, not positive")
    line = fit_log_line(np.arange(first_rank, last_rank + 1, dtype=np.float64), window)
    return EnvelopeFit(
        slope=line.slope,
        log_intercept=line.intercept,
        r_squared=line.r_squared,
        standard_error=line.standard_error,
        low=line.low,
        high=line.high,
        first_rank=first_rank,
        last_rank=last_rank,
        n_ranks=n_ranks,
    )


def adjusted_rand_index(labels_a: ArrayLike, labels_b: ArrayLike) -> float:
    """Measure how far two partitions of the same tokens agree, corrected for chance.

    Parameters
    ----------
    labels_a, labels_b : array_like of shape (n_tokens,), int

    Returns
    -------
    float
        1 for equal partitions (whatever their labels are called), about 0 for unrelated ones; may be negative.

    Raises
    ------
    ValueError
        The partitions label different numbers of tokens.

    Notes
    -----
    With pair counts t₁₁ (together in both), t₀₀ (apart in both), t₁₀ and t₀₁:
    ARI = 2 (t₁₁ t₀₀ − t₁₀ t₀₁) / ((t₁₁ + t₁₀)(t₁₀ + t₀₀) + (t₁₁ + t₀₁)(t₀₁ + t₀₀)).

    References
    ----------
    Hubert and Arabie, Comparing partitions, Journal of Classification 2, 193-218 (1985).

    Examples
    --------
    >>> adjusted_rand_index([0, 0, 1, 1], [5, 5, 3, 3])
    1.0
    """
    a = np.unique(_labels(labels_a), return_inverse=True)[1].astype(np.int64)
    b = np.unique(_labels(labels_b), return_inverse=True)[1].astype(np.int64)
    if len(a) != len(b):
        raise ValueError(f"the partitions label {len(a)} and {len(b)} tokens; they must label the same ones")
    cells = np.unique(a * (b.max(initial=0) + 1) + b, return_counts=True)[1]
    both, in_a, in_b = (_pairs(counts) for counts in (cells, np.bincount(a), np.bincount(b)))
    only_a, only_b = in_a - both, in_b - both
    if only_a == 0 and only_b == 0:
        return 1.0
    neither = len(a) * (len(a) - 1) // 2 - both - only_a - only_b
    top = 2 * (both * neither - only_a * only_b)
    return top / ((both + only_a) * (only_a + neither) + (both + only_b) * (only_b + neither))


def _pairs(counts: NDArray[np.int64]) -> int:
    """Return Σ c(c − 1)/2 as a Python integer, which cannot overflow in products."""
    wide = counts.astype(np.int64)
    return int(np.sum(wide * (wide - 1) // 2))


def _labels(labels: ArrayLike) -> NDArray[np.integer]:
    array = np.asarray(labels)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise ValueError(f"labels must be a list of integers, but have shape {array.shape} of {array.dtype}")
    return array if array.size else array.astype(np.int64)
