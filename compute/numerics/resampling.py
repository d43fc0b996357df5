"""How far an envelope's slope depends on which tokens were drawn: a bootstrap over tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compute.errors import FitError
from compute.numerics.ranks import MIN_RANKS

N_RESAMPLES = 400
NORMAL_95 = 1.959964

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SlopeInterval:
    """What resampled tokens say about an envelope's slope.

    Attributes
    ----------
    low, high : float
        slope ± 1.96 standard errors: the 95% interval around the slope of the tokens themselves.
    standard_error : float
        Standard deviation of the resampled slopes.
    mean : float
        Of the resampled slopes.
    shift : float
        mean − slope: how far resampling alone moves the slope. A draw loses small clusters and spreads the sizes of
        those it keeps, so a window over clusters of few tokens shifts, and by more than its interval is wide.
    n_resamples : int
        Draws that kept enough ranks.
    """

    low: float
    high: float
    standard_error: float
    mean: float
    shift: float
    n_resamples: int


def resampled_envelopes(
    labels_by_k: Iterable[ArrayLike], *, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> NDArray[np.int32]:
    """Draw tokens with replacement and take the envelope of their clusters, many times.

    Parameters
    ----------
    labels_by_k : iterable of array_like of shape (n_tokens,), int
        Labels of the same tokens under every clustering.
    n_resamples : int
    seed : int

    Returns
    -------
    ndarray of shape (n_resamples, max k), int32
        Sizes in tokens by rank, descending; 0 where a draw holds fewer clusters.

    Raises
    ------
    FitError
        No clustering, no token, or labels of different lengths.

    Notes
    -----
    Tokens keep their labels (nothing is clustered anew), and one draw serves every k, so the sizes of a clustering
    are multinomial and the clusterings stay as dependent as they are. With draw counts W of shape
    (n_tokens, n_resamples), the sizes at one k are the sums of W over the tokens of each label.

    Examples
    --------
    >>> resampled_envelopes([[0, 0, 0, 1]], n_resamples=3, seed=1).sum(axis=1).tolist()
    [4, 4, 4]
    """
    columns = [np.asarray(labels) for labels in labels_by_k]
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or not min(lengths):
        raise FitError(f"resampling needs clusterings of the same tokens, but these label {sorted(lengths)} of them")
    n_tokens, rng = lengths.pop(), np.random.default_rng(seed)
    draws = np.empty((n_tokens, n_resamples), np.int32)
    for column in range(n_resamples):
        draws[:, column] = np.bincount(rng.integers(0, n_tokens, n_tokens), minlength=n_tokens)
    result = np.zeros((0, n_resamples), np.int32)
    for labels in columns:
        sizes = _sizes(labels, draws)
        if len(sizes) > len(result):
            result = np.vstack([result, np.zeros((len(sizes) - len(result), n_resamples), np.int32)])
        np.maximum(result[: len(sizes)], sizes, out=result[: len(sizes)])
    return np.ascontiguousarray(result.T)


def resampled_slopes(envelopes: NDArray[np.integer], first_rank: int, last_rank: int) -> Floats:
    """Fit every resampled envelope over the same window.

    Parameters
    ----------
    envelopes : ndarray of shape (n_resamples, n_ranks), int
        As from `resampled_envelopes`.
    first_rank, last_rank : int
        Counted from 1, both included.

    Returns
    -------
    ndarray of shape (n_resamples,), float64
        Least-squares slopes of ln size on ln rank; nan where a draw keeps fewer than three ranks of the window.

    Raises
    ------
    FitError
        The window lies outside the envelopes.

    Notes
    -----
    A draw that holds fewer clusters than the window has ranks is fitted up to its own last rank.

    Examples
    --------
    >>> resampled_slopes(np.array([[8, 4, 2, 2], [6, 3, 2, 0]]), 1, 4).round(2).tolist()
    [-1.08, -1.0]
    """
    if not 1 <= first_rank <= last_rank <= envelopes.shape[1]:
        raise FitError(f"ranks {first_rank} to {last_rank} do not lie within ranks 1 to {envelopes.shape[1]}")
    sizes = envelopes[:, first_rank - 1 : last_rank]
    there = (sizes > 0).astype(np.float64)
    x = np.log(np.arange(first_rank, last_rank + 1)) - np.log(first_rank)
    y = np.log(np.maximum(sizes, 1))  # 0 where there is no cluster
    n, sum_x, sum_y = there.sum(axis=1), there @ x, y.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = (n * (y @ x) - sum_x * sum_y) / (n * (there @ x**2) - sum_x**2)
    return np.where(n >= MIN_RANKS, slopes, np.nan)


def slope_interval(slope: float, envelopes: NDArray[np.integer], first_rank: int, last_rank: int) -> SlopeInterval:
    """Put a bootstrap interval around an envelope's slope.

    Parameters
    ----------
    slope : float
        Of the tokens themselves over this window.
    envelopes : ndarray of shape (n_resamples, n_ranks), int
        As from `resampled_envelopes`.
    first_rank, last_rank : int
        Counted from 1, both included.

    Returns
    -------
    SlopeInterval

    Raises
    ------
    FitError
        The window lies outside the envelopes, or fewer than two draws keep three of its ranks.

    Notes
    -----
    The normal bootstrap interval slope ± 1.96 s with s the standard deviation of the resampled slopes. Percentiles of
    those slopes are no interval around this slope: their mean is shifted (see `SlopeInterval.shift`), by −0.2 in the
    paper's window over the published clusters. The interval knows of the draw of tokens alone, neither of the window
    nor of the clustering, for which the paper grants ±0.2.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Examples
    --------
    >>> draws = resampled_envelopes([np.repeat([0, 1, 2], [60, 30, 20])], n_resamples=50)
    >>> found = slope_interval(-1.0, draws, 1, 3)
    >>> found.low < -1.0 < found.high
    True
    """
    slopes = resampled_slopes(envelopes, first_rank, last_rank)
    kept = slopes[np.isfinite(slopes)]
    if len(kept) < 2:
        raise FitError(
            f"resampled tokens keep fewer than {MIN_RANKS} clusters from rank {first_rank} on; start earlier"
        )
    error, mean = float(kept.std(ddof=1)), float(kept.mean())
    reach = NORMAL_95 * error
    return SlopeInterval(slope - reach, slope + reach, error, mean, mean - slope, len(kept))


def _sizes(labels: NDArray[np.integer], draws: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sizes of the clusters in every draw, descending down each column: shape (k, n_resamples)."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order[0]] - 1))
    sizes = np.add.reduceat(draws[order], starts, axis=0)
    sizes.sort(axis=0)
    return sizes[::-1]
