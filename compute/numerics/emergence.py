"""Where a loss curve falls below a threshold for good: the scale at which something is learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compute.errors import FitError

CROSSED, BELOW_FROM_START, NEVER = range(3)
STATE_NAMES = ("crossed", "below from the start", "never")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Crossings:
    """Where n curves fall below a threshold and stay there.

    Attributes
    ----------
    scale : float64 of shape (n,)
        In the unit of the scales given (parameters, training steps); nan where `state` is not CROSSED.
    state : uint8 of shape (n,)
        CROSSED 0; BELOW_FROM_START 1: the fall lies before the smallest scale, if anywhere (left-censored);
        NEVER 2: it lies after the largest (right-censored).
    """

    scale: Floats
    state: NDArray[np.uint8]


def crossings(curves: ArrayLike, scale: ArrayLike, threshold: float) -> Crossings:
    """Find the scale at which each curve falls below a threshold and stays there.

    Parameters
    ----------
    curves : array_like of shape (n, m), float
        Loss of n tokens or clusters (usually in nats) at m >= 1 scales; finite.
    scale : array_like of shape (m,), float
        Non-embedding parameters or training steps, strictly increasing; the first may be 0.
    threshold : float
        In the unit of `curves`; finite.

    Returns
    -------
    Crossings

    Raises
    ------
    FitError
        Shapes that do not fit, a loss or threshold that is no finite number, scales that are negative or
        not increasing.

    Notes
    -----
    Measured curves are noisy: near the threshold c they may pass it several times. Of all falls through c the
    one is taken at which the falling (antitonic) least-squares fit of the curve passes c. Its place needs no fit:

        j* = argmax_j S_j,   S_j = sum over i <= j of (y_i − c),   S_0 = 0   (the last j where several are equal)

    so that a return above c counts only if it outweighs, in area, the stay below c before it. j* = 0: below from the
    start. j* = m: never below for good. Else y_j* >= c > y_(j*+1), and the crossing lies between these two
    neighbours, linear in x = ln scale, or in x = ln(1 + scale) where the first scale is 0 (an untrained network):

        x = x_j* + (y_j* − c) / (y_j* − y_(j*+1)) · (x_(j*+1) − x_j*)

    A curve that passes c once has its crossing there, whatever else it does.

    References
    ----------
    Barlow, Bartholomew, Bremner and Brunk, Statistical inference under order restrictions (1972), chapter 1.

    Examples
    --------
    >>> found = crossings([[3, 1, 0.2], [0.4, 0.3, 0.1], [3, 2, 1]], [1, 100, 10_000], 0.5)
    >>> [round(float(one), 1) for one in found.scale], found.state.tolist()
    ([1778.3, nan, nan], [0, 1, 2])
    """
    losses, scales = _checked(curves, scale, threshold)
    n, m = losses.shape
    area = np.zeros((n, m + 1))
    np.cumsum(losses - threshold, axis=1, out=area[:, 1:])
    n_above = m - np.argmax(area[:, ::-1], axis=1)  # of the last of equal maxima
    state = np.select([n_above == 0, n_above == m], [BELOW_FROM_START, NEVER], CROSSED).astype(np.uint8)
    found = np.full(n, np.nan)
    rows = np.flatnonzero(state == CROSSED)
    after = n_above[rows]
    found[rows] = _between(losses[rows, after - 1], losses[rows, after], scales, after, threshold)
    return Crossings(found, state)


def _between(high: Floats, low: Floats, scales: Floats, after: NDArray[np.int64], threshold: float) -> Floats:
    """Interpolate the scale at which a fall from `high` to `low`, at scale number `after`, passes the threshold."""
    has_zero = scales[0] == 0
    x = np.log1p(scales) if has_zero else np.log(scales)
    share = (high - threshold) / (high - low)
    at = x[after - 1] + share * (x[after] - x[after - 1])
    return np.expm1(at) if has_zero else np.exp(at)


def _checked(curves: ArrayLike, scale: ArrayLike, threshold: float) -> tuple[Floats, Floats]:
    losses, scales = np.asarray(curves, np.float64), np.asarray(scale, np.float64)
    if losses.ndim != 2 or scales.ndim != 1 or losses.shape[1] != len(scales) or not len(scales):
        raise FitError(f"curves have shape {losses.shape} and scales {scales.shape}; they must be (n, m) and (m,)")
    if not np.isfinite(threshold):
        raise FitError(f"the threshold is {threshold}, not a finite loss")
    if not np.isfinite(losses).all():
        row = int(np.flatnonzero(~np.isfinite(losses).all(axis=1))[0])
        raise FitError(f"curve {row} holds a loss that is no finite number")
    if not np.isfinite(scales).all() or scales[0] < 0 or (np.diff(scales) <= 0).any():
        raise FitError(f"scales must increase from 0 or more, but are {scales[:8].tolist()}")
    return losses, scales
