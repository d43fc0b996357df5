"""Loss curves that do not simply fall: those that rise with scale, and those that rise and then fall again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compute.errors import FitError

LEAST_POINTS = 3  # a rise and a fall need three
N_STAGES = 12  # of training: losses of single checkpoints are too noisy to tell a peak from
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ShapeScores:
    """How far n curves rise, and how high their highest peak stands; in the unit of the losses.

    Attributes
    ----------
    rise : ndarray of shape (n,), float32
        Mean over the last third of the points minus mean over the first: positive for inverse scaling.
    peak : ndarray of shape (n,), float32, at least 0
        Prominence of the highest peak: how far the loss rises to it and falls again after it, whichever is less.
    peak_at : ndarray of shape (n,), int32
        The peak's place among the points; −1 where no loss is higher than one before and one after it.
    """

    rise: Floats
    peak: Floats
    peak_at: NDArray[np.int32]


def shape_scores(losses: ArrayLike, *, chunk: int = 200_000) -> ShapeScores:
    """Score curves for inverse scaling (the loss rises) and double descent (it rises and then falls).

    Parameters
    ----------
    losses : array_like of shape (n, m), float
        Losses of n curves at m >= 3 points by rising scale, in nats or bits. A curve with a value that is not
        finite scores nan and has no peak.
    chunk : int
        Curves worked on at a time; bounds memory, changes nothing else.

    Returns
    -------
    ShapeScores
        Computed and kept in float32.

    Raises
    ------
    FitError
        Fewer than three points, or something that is no table.

    Notes
    -----
    With thirds of t = max(1, ⌊m/3⌋) points, rise = mean(y_{m−t+1..m}) − mean(y_{1..t}).
    peak = max_j min(y_j − min_{i<j} y_i, y_j − min_{k>j} y_k), at least 0: the height that would have to be filled
    up for the curve to fall all the way.

    References
    ----------
    McKenzie et al., Inverse Scaling: When Bigger Isn't Better, arXiv:2306.09479;
    Nakkiran et al., Deep Double Descent, arXiv:1912.02292.

    Examples
    --------
    >>> scores = shape_scores([[1, 2, 4], [1, 3, 0], [9, 5, 1]])
    >>> scores.rise.tolist(), scores.peak.tolist()
    ([3.0, -1.0, -8.0], [0.0, 2.0, 0.0])
    """
    table = np.asarray(losses)
    if table.ndim != 2:
        raise FitError(f"curves must be a table of tokens by points, but have shape {table.shape}")
    if table.shape[1] < LEAST_POINTS:
        raise FitError(f"a shape needs losses at {LEAST_POINTS} or more points, but the curves have {table.shape[1]}")
    if chunk < 1:
        raise FitError(f"the chunk must be at least 1 curve, but is {chunk}")
    n = len(table)
    scores = ShapeScores(np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.int32))
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        y = np.asarray(table[rows], np.float32)
        scores.rise[rows] = _rise(y)
        scores.peak[rows], scores.peak_at[rows] = _peak(y)
    return scores


def stages(steps: ArrayLike, *, most: int = N_STAGES) -> NDArray[np.float32]:
    """Weights that average checkpoints into stages of training, even in the logarithm of the step.

    Parameters
    ----------
    steps : array_like of shape (m,), float
        Rising training steps; step 0 belongs to no stage.
    most : int
        Stages at most; those that no checkpoint falls into are left out.

    Returns
    -------
    ndarray of shape (m, n_stages), float32
        ``losses @ stages(steps)`` are the means of every stage; columns sum to 1.

    Raises
    ------
    FitError
        No step above 0.

    Examples
    --------
    >>> stages([0, 1, 2, 4, 8], most=2).tolist()
    [[0.0, 0.0], [0.5, 0.0], [0.5, 0.0], [0.0, 0.5], [0.0, 0.5]]
    """
    x = np.asarray(steps, np.float64)
    known = x > 0
    if not known.any():
        raise FitError("stages of training need a checkpoint after step 0, but there is none")
    u = np.log(x[known])
    width = (u.max() - u.min()) / most or 1.0
    place = np.minimum(((u - u.min()) / width + 1e-9).astype(int), most - 1)
    weights = np.zeros((len(x), most), np.float32)
    weights[np.flatnonzero(known), place] = 1.0
    weights = weights[:, weights.any(axis=0)]
    return weights / weights.sum(axis=0)


def _rise(y: Floats) -> Floats:
    third = max(1, y.shape[1] // 3)
    with np.errstate(invalid="ignore"):
        rise = y[:, -third:].mean(axis=1) - y[:, :third].mean(axis=1)
        return np.where(np.isfinite(y).all(axis=1), rise, np.nan)


def _peak(y: Floats) -> tuple[Floats, NDArray[np.int32]]:
    """Prominence and place of the highest peak of every row."""
    before = np.minimum.accumulate(y, axis=1)
    after = np.minimum.accumulate(y[:, ::-1], axis=1)[:, ::-1]
    with np.errstate(invalid="ignore"):
        above = y - np.maximum(before, after)
    place = above.argmax(axis=1)
    peak = np.take_along_axis(above, place[:, None], axis=1)[:, 0]
    whole = np.isfinite(y).all(axis=1)
    at = np.where(whole & (peak > 0), place, -1)
    return np.where(whole, peak, np.float32(np.nan)), at.astype(np.int32)
