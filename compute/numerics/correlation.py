"""Rank correlation with an interval and a p-value that assume no distribution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compute.errors import FitError

N_RESAMPLES = 400
N_PERMUTATIONS = 999
LEAST = 3
ROUNDING = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's ρ of n pairs.

    Attributes
    ----------
    rho : float, in [−1, 1]
    low, high : float
        95% bootstrap percentile interval over pairs; nan where no resample was asked for.
    p_value : float
        Two-sided, of a permutation test; nan where no permutation was asked for.
    n : int
    """

    rho: float
    low: float
    high: float
    p_value: float
    n: int


def midranks(values: ArrayLike) -> Floats:
    """Rank values from 1, equal ones sharing the mean of their ranks.

    Parameters
    ----------
    values : array_like of shape (n,), float
        May hold infinities, not nan.

    Returns
    -------
    ndarray of shape (n,), float64

    Examples
    --------
    >>> midranks([10, 30, 10, 20]).tolist()
    [1.5, 4.0, 1.5, 3.0]
    """
    _, place, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Correlate the ranks of two lists of values.

    Parameters
    ----------
    x, y : array_like of shape (n,), float
        n >= 3; may hold infinities (values known only to lie beyond all others), not nan.

    Returns
    -------
    float
        In [−1, 1].

    Raises
    ------
    FitError
        Fewer than three pairs, lists of different lengths, nan, or a list of equal values.

    Notes
    -----
    Pearson's correlation of the midranks.

    Examples
    --------
    >>> round(spearman([1, 2, 3, 4], [1, 4, 9, 16]), 6)
    1.0
    """
    a, b = (_centred(midranks(values)) for values in _checked(x, y))
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def rank_correlation(
    x: ArrayLike, y: ArrayLike, *, n_resamples: int = N_RESAMPLES, n_permutations: int = N_PERMUTATIONS, seed: int = 0
) -> RankCorrelation:
    """Correlate the ranks of two lists, with an interval and a test.

    Parameters
    ----------
    x, y : array_like of shape (n,), float
        As for `spearman`.
    n_resamples, n_permutations : int
        0 leaves the interval, or the test, out.
    seed : int

    Returns
    -------
    RankCorrelation

    Raises
    ------
    FitError
        As for `spearman`.

    Notes
    -----
    The interval holds 95% of the ρ of pairs drawn with replacement. A draw is kept as counts w of the pairs, and the
    midrank of a value is (weight below it) + (its own weight + 1)/2, so that nothing is sorted twice. The p-value is
    (1 + #{|ρ*| >= |ρ|}) / (1 + n_permutations) over permutations of y.

    Censored values enter as −∞ or ∞: they tie with each other beyond all the rest, which is all that is known of them.
    Ties pull ρ towards 0, never across it.

    References
    ----------
    Spearman, American Journal of Psychology 15, 72 (1904); Davison and Hinkley, Bootstrap Methods (1997), chapter 4.

    Examples
    --------
    >>> found = rank_correlation(range(20), [1, 0, *range(2, 20)])
    >>> round(found.rho, 3), found.low > 0.9, found.p_value
    (0.998, True, 0.001)
    """
    a, b = _checked(x, y)
    rho = spearman(a, b)
    low, high = np.nan, np.nan
    if n_resamples:
        low, high = np.nanpercentile(_resampled(a, b, _draws(len(a), n_resamples, seed)), [2.5, 97.5])
    p_value = _p_value(rho, a, b, _permutations(len(a), n_permutations, seed)) if n_permutations else np.nan
    return RankCorrelation(rho, float(low), float(high), float(p_value), len(a))


def _resampled(a: Floats, b: Floats, draws: Floats) -> Floats:
    """ρ of every draw; nan where a draw holds one value only."""
    n = draws.shape[1]
    ranks = [_weighted_midranks(values, draws) for values in (a, b)]
    ranks = [one - np.einsum("ij,ij->i", draws, one)[:, None] / n for one in ranks]
    weighted = draws * ranks[0]
    both = np.einsum("ij,ij->i", weighted, ranks[1])
    spread = np.einsum("ij,ij->i", weighted, ranks[0]) * np.einsum("ij,ij,ij->i", draws, ranks[1], ranks[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, both / np.sqrt(spread), np.nan)


def _weighted_midranks(values: Floats, draws: Floats) -> Floats:
    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    weight = np.add.reduceat(draws[:, order], starts, axis=1)  # (n_resamples, n_values)
    middle = np.cumsum(weight, axis=1) - (weight - 1) / 2
    return middle[:, place]


def _p_value(rho: float, a: Floats, b: Floats, permutations: NDArray[np.int32]) -> float:
    ranks = [_centred(midranks(values)) for values in (a, b)]
    scale = np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1]))
    found = ranks[1][permutations] @ ranks[0] / scale
    n_as_far = int(np.count_nonzero(np.abs(found) >= abs(rho) - ROUNDING))
    return (1 + n_as_far) / (1 + len(permutations))


@lru_cache(maxsize=4)  # the same for all lists of one length; 5 MB at 1,500 pairs
def _draws(n: int, n_resamples: int, seed: int) -> Floats:
    drawn = np.random.default_rng(seed).integers(0, n, (n_resamples, n))
    drawn += np.arange(n_resamples)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=n_resamples * n).reshape(n_resamples, n).astype(np.float64)


@lru_cache(maxsize=4)  # 6 MB at 1,500 pairs
def _permutations(n: int, n_permutations: int, seed: int) -> NDArray[np.int32]:
    in_order = np.tile(np.arange(n, dtype=np.int32), (n_permutations, 1))
    return np.random.default_rng([seed, 1]).permuted(in_order, axis=1)


def _centred(values: Floats) -> Floats:
    return values - values.mean()


def _checked(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise FitError(
            f"a rank correlation needs two lists of one length, but these have shapes {a.shape} and {b.shape}"
        )
    if len(a) < LEAST:
        raise FitError(f"{len(a)} pairs are too few for a rank correlation; it needs at least {LEAST}")
    for values in (a, b):
        if np.isnan(values).any():
            raise FitError("a rank correlation cannot place nan")
        if (values == values[0]).all():
            raise FitError(f"all {len(values)} values are {values[0]:g}, so there is no order to compare")
    return a, b
