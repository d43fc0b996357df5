"""Loss curves of single tokens over model size: does the loss fall in one step, or gradually?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compute.errors import FitError

STEP_SCALE_BITS = 0.25  # s0: residuals below this are noise, and pull M towards 0
BREAKTHROUGH_CAP = 100.0
FLAT, MONOGENIC, POLYGENIC, MIXED = range(4)
CLASS_NAMES = ("flat", "monogenic", "polygenic", "mixed")

UPPER_FLOORS = np.arange(27, 110, 2) / 10  # nats: 2.7, 2.9 … 10.9
PLATEAU_WIDTH = 0.7
PLATEAU_GAP = 2.0
FLOOR_STEP = 0.2

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CurveScores:
    """Scores of n loss curves over m model sizes; every array has shape (n,).

    Attributes
    ----------
    monogenicity : float32, in [−1, 1)
        M: near 1 where one step explains the curve, near −1 where a line in ln scale does; −1 where
        no split has a lower mean after it.
    amplitude_bits : float32, bits
        Mean before the best step minus mean after it; 0 without a falling split.
    split : int32, in 0..m − 1
        Number of sizes before the best step; 0 without a falling split.
    n_eff : float32, in [1, m − 1], or 0 where the loss never falls
        Effective number of sizes over which the loss falls: the continuous polygenicity.
    largest_step : float32, in [0, 1]
        S1: share of all falls that the largest one makes.
    linearity, breakthroughness : float32
        BIG-bench scores of −loss; negative for a loss that rises, breakthroughness within ±100.
    slope : float32, bits per unit of ln scale
        Of the least-squares line.
    r_squared : float32, in [0, 1]
        Of that line; 0 for a constant curve.
    """

    monogenicity: NDArray[np.float32]
    amplitude_bits: NDArray[np.float32]
    split: NDArray[np.int32]
    n_eff: NDArray[np.float32]
    largest_step: NDArray[np.float32]
    linearity: NDArray[np.float32]
    breakthroughness: NDArray[np.float32]
    slope: NDArray[np.float32]
    r_squared: NDArray[np.float32]


def curve_scores(loss_bits: ArrayLike, ln_scale: ArrayLike, *, chunk: int = 200_000) -> CurveScores:
    """Score loss curves as one step (monogenic) against a gradual fall (polygenic).

    Parameters
    ----------
    loss_bits : array_like of shape (n, m), float
        Loss in bits of n tokens under m >= 3 models, smallest model first; finite.
    ln_scale : array_like of shape (m,), float
        ln of non-embedding parameters, strictly increasing.
    chunk : int
        Curves worked on at a time; bounds memory, changes nothing else.

    Returns
    -------
    CurveScores
        Computed in float64, kept in float32.

    Raises
    ------
    FitError
        Fewer than three sizes, scales that do not increase, or losses that are not finite.

    Notes
    -----
    With s0 = 0.25 bit, SSE_step the least residual of two plateaus over the splits j in 1..m−1 whose mean
    falls, and SSE_lin that of the line in ln scale,
    M = (SSE_lin − SSE_step) / (SSE_lin + SSE_step + m s0²).
    With falls f_i = max(y_i − y_{i+1}, 0) and w_i = f_i / Σ f: n_eff = 1 / Σ w_i², S1 = max w_i.
    BIG-bench, with performance −y and I = sign(argmax − argmin)(max − min) of it:
    linearity = I / √mean(Δ²), breakthroughness = I / √median(Δ²), both 0 for a constant curve.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 4 and Figure 4 (monogenic and polygenic tokens);
    Srivastava et al., Beyond the Imitation Game, arXiv:2206.04615 (linearity, breakthroughness).

    Examples
    --------
    >>> scores = curve_scores([[9, 9, 0, 0], [9, 6, 3, 0]], [0, 1, 2, 3])
    >>> [f"{m:.2f}" for m in scores.monogenicity], scores.n_eff.tolist()
    (['0.98', '-0.97'], [1.0, 3.0])
    """
    losses, x = _curves(loss_bits, ln_scale, at_least=3)
    if chunk < 1:
        raise FitError(f"the chunk must be at least 1 curve, but is {chunk}")
    parts: list[dict[str, NDArray[np.generic]]] = []
    for start in range(0, len(losses), chunk):
        y = losses[start : start + chunk].astype(np.float64)
        _check_finite(y, start)
        parts.append(_score(y, x))
    if not parts:
        parts.append(_score(np.zeros((0, len(x))), x))
    return CurveScores(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def classify(
    scores: CurveScores,
    *,
    min_amplitude_bits: float = 1.0,
    monogenic_above: float = 0.5,
    monogenic_n_eff: float = 2.0,
    polygenic_below: float = -0.5,
    polygenic_n_eff: float = 3.5,
) -> NDArray[np.uint8]:
    """Name each curve flat, monogenic, polygenic or mixed.

    Parameters
    ----------
    scores : CurveScores
        Of n curves.
    min_amplitude_bits : float
        A curve that falls by less is flat.
    monogenic_above, monogenic_n_eff : float
        Monogenic: M above the first and n_eff below the second.
    polygenic_below, polygenic_n_eff : float
        Polygenic: M below the first and n_eff above the second.

    Returns
    -------
    ndarray of shape (n,), uint8
        0 flat, 1 monogenic, 2 polygenic, 3 mixed (see `CLASS_NAMES`).

    Examples
    --------
    >>> classify(curve_scores([[9, 9, 0, 0], [1, 1, 1, 1]], [0, 1, 2, 3])).tolist()
    [1, 0]
    """
    m, n_eff = scores.monogenicity, scores.n_eff
    codes = np.full(len(m), MIXED, dtype=np.uint8)
    codes[(m > monogenic_above) & (n_eff < monogenic_n_eff)] = MONOGENIC
    codes[(m < polygenic_below) & (n_eff > polygenic_n_eff)] = POLYGENIC
    codes[scores.amplitude_bits < min_amplitude_bits] = FLAT
    return codes


def paper_monogenic(loss_nats: ArrayLike, *, above: float = 5.0, below: float = 0.3) -> NDArray[np.int32]:
    """Find the curves that the paper calls monogenic: high at first, then low for good.

    Parameters
    ----------
    loss_nats : array_like of shape (n, m), float
        Loss in nats, smallest model first; finite, m >= 2.
    above, below : float
        Nats: every loss before the step exceeds the first, every one from it on is under the second.

    Returns
    -------
    ndarray of shape (n,), int32
        Number j in 1..m−1 of sizes before the step, or 0 where the curve is not monogenic.

    Raises
    ------
    FitError
        Fewer than two sizes, or losses that are not finite.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 4.

    Examples
    --------
    >>> paper_monogenic([[6, 7, 0.1], [6, 1, 0.1]]).tolist()
    [2, 0]
    """
    y = _losses(loss_nats, at_least=2)
    leading = np.sum(np.logical_and.accumulate(y > above, axis=1), axis=1)
    trailing = np.sum(np.logical_and.accumulate(y[:, ::-1] < below, axis=1), axis=1)
    found = (leading > 0) & (trailing > 0) & (leading + trailing == y.shape[1])
    return np.where(found, leading, 0).astype(np.int32)


def paper_polygenic(
    loss_nats: ArrayLike, ln_scale: ArrayLike, *, max_slope: float = -0.3, min_r_squared: float = 0.98
) -> NDArray[np.bool_]:
    """Find the curves that the paper calls polygenic: a steady fall in ln scale.

    Parameters
    ----------
    loss_nats : array_like of shape (n, m), float
        Loss in nats, smallest model first; finite, m >= 3.
    ln_scale : array_like of shape (m,), float
        Strictly increasing.
    max_slope : float
        Nats per unit of ln scale that the line's slope must be below.
    min_r_squared : float
        That the line's R² must exceed.

    Returns
    -------
    ndarray of shape (n,), bool

    Raises
    ------
    FitError
        As `curve_scores`.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 4.

    Examples
    --------
    >>> paper_polygenic([[9, 6, 3], [9, 9, 0]], [0, 1, 2]).tolist()
    [True, False]
    """
    losses, x = _curves(loss_nats, ln_scale, at_least=3)
    y = losses.astype(np.float64)
    _check_finite(y, 0)
    slope, r_squared, _ = _line(y, x)
    return (slope < max_slope) & (r_squared > min_r_squared)


def plateau_monogenic(loss_nats: ArrayLike) -> NDArray[np.int32]:
    """Find the curves that lie on a high plateau and then on a low one.

    Parameters
    ----------
    loss_nats : array_like of shape (n, m), float
        Loss in nats, smallest model first; finite, m >= 2.

    Returns
    -------
    ndarray of shape (n,), int32
        Number j in 1..m−1 of sizes on the upper plateau, or 0 where there are no two plateaus.

    Raises
    ------
    FitError
        Fewer than two sizes, or losses that are not finite.

    Notes
    -----
    A plateau of floor F holds the losses strictly between F and F + 0.7. Upper floors U are 2.7, 2.9 …
    below 11; lower floors are 0, 0.2 … below U − 2. The upper plateau must hold all sizes before j and the
    lower one all from j on. (The published script tests both on the sizes before j, which nothing can
    satisfy.) Only the highest U that fits matters, since it admits every lower floor that a smaller U does;
    j is unique, because the two plateaus lie at least 1.3 nats apart.

    References
    ----------
    Michaud et al., arXiv:2303.13506, code repository, scripts/find_monogenics.py.

    Examples
    --------
    >>> plateau_monogenic([[6.0, 6.3, 0.1], [6.0, 3.0, 0.1]]).tolist()
    [2, 0]
    """
    y = _losses(loss_nats, at_least=2)
    floors = np.arange(round(UPPER_FLOORS[-1] / FLOOR_STEP) + 1) * 2 / 10
    split = np.zeros(len(y), dtype=np.int32)
    for j in range(1, y.shape[1]):
        before_low, before_high = y[:, :j].min(axis=1), y[:, :j].max(axis=1)
        after_low, after_high = y[:, j:].min(axis=1), y[:, j:].max(axis=1)
        at = np.searchsorted(UPPER_FLOORS, before_low, side="left") - 1  # highest floor below the plateau
        upper = UPPER_FLOORS[np.maximum(at, 0)]
        # lowest floor whose ceiling is above the plateau
        at_lower = np.searchsorted(floors + PLATEAU_WIDTH, after_high, side="right")
        lower = np.append(floors, np.inf)[at_lower]
        holds = (at >= 0) & (before_high < upper + PLATEAU_WIDTH)
        holds &= (lower < after_low) & (lower < upper - PLATEAU_GAP - 1e-9)
        split[holds] = j
    return split


def _score(y: Floats, x: Floats) -> dict[str, NDArray[np.generic]]:
    """Score finite curves y (n, m) in bits over x (m,)."""
    slope, r_squared, sse_line = _line(y, x)
    split, amplitude, sse_step = _best_step(y)
    noise = y.shape[1] * STEP_SCALE_BITS**2
    with np.errstate(invalid="ignore"):  # inf / inf where no split falls
        m = np.where(split > 0, (sse_line - sse_step) / (sse_line + sse_step + noise), -1.0)
    change = np.diff(y, axis=1)
    falls = np.maximum(-change, 0.0)
    total = falls.sum(axis=1, keepdims=True)
    weights = np.divide(falls, total, out=np.zeros_like(falls), where=total > 0)
    squares = np.sum(weights**2, axis=1)
    linearity, breakthroughness = _big_bench(y, change)
    scores = {
        "monogenicity": m,
        "amplitude_bits": amplitude,
        "split": split,
        "n_eff": np.divide(1.0, squares, out=np.zeros_like(squares), where=squares > 0),
        "largest_step": weights.max(axis=1),
        "linearity": linearity,
        "breakthroughness": breakthroughness,
        "slope": slope,
        "r_squared": r_squared,
    }
    return {name: values.astype(np.int32 if name == "split" else np.float32) for name, values in scores.items()}


def _line(y: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
    """Slope, R² and residual sum of squares of each row's least-squares line."""
    dx, dy = x - x.mean(), y - y.mean(axis=1, keepdims=True)
    slope = dy @ dx / (dx @ dx)
    residual = np.sum((dy - slope[:, None] * dx) ** 2, axis=1)
    total = np.sum(dy**2, axis=1)
    share = np.divide(residual, total, out=np.ones_like(total), where=total > 0)
    return slope, np.clip(1.0 - share, 0.0, 1.0), residual


def _best_step(y: Floats) -> tuple[NDArray[np.int32], Floats, Floats]:
    """Split, amplitude and residual of each row's best falling step; 0, 0, inf without one."""
    n, m = y.shape
    split, amplitude = np.zeros(n, dtype=np.int32), np.zeros(n)
    least = np.full(n, np.inf)
    for j in range(1, m):
        before, after = y[:, :j].mean(axis=1), y[:, j:].mean(axis=1)
        residual = np.sum((y[:, :j] - before[:, None]) ** 2, axis=1)
        residual += np.sum((y[:, j:] - after[:, None]) ** 2, axis=1)
        better = (before > after) & (residual < least)
        split[better], least[better] = j, residual[better]
        amplitude[better] = (before - after)[better]
    return split, amplitude, least


def _big_bench(y: Floats, change: Floats) -> tuple[Floats, Floats]:
    """Linearity and breakthroughness of the performance −y."""
    improvement = np.sign(y.argmin(axis=1) - y.argmax(axis=1)) * (y.max(axis=1) - y.min(axis=1))
    squares = change**2
    mean, median = np.sqrt(squares.mean(axis=1)), np.sqrt(np.median(squares, axis=1))
    linearity = np.divide(improvement, mean, out=np.zeros_like(mean), where=mean > 0)
    limit = np.sign(improvement) * BREAKTHROUGH_CAP
    breakthroughness = np.divide(improvement, median, out=limit, where=median > 0)
    return linearity, np.clip(breakthroughness, -BREAKTHROUGH_CAP, BREAKTHROUGH_CAP)


def _losses(losses: ArrayLike, *, at_least: int) -> Floats:
    y = np.asarray(losses, dtype=np.float64)
    _check_shape(y, at_least)
    _check_finite(y, 0)
    return y


def _curves(losses: ArrayLike, ln_scale: ArrayLike, *, at_least: int) -> tuple[NDArray[np.floating], Floats]:
    y, x = np.asarray(losses), np.asarray(ln_scale, dtype=np.float64)
    _check_shape(y, at_least)
    if x.shape != (y.shape[1],):
        raise FitError(f"curves of {y.shape[1]} sizes need as many scales, but those have shape {x.shape}")
    if not (np.all(np.isfinite(x)) and np.all(np.diff(x) > 0)):
        raise FitError(f"scales must be finite and increase from model to model, but are {x.tolist()}")
    return y, x


def _check_shape(y: NDArray[np.generic], at_least: int) -> None:
    if y.ndim != 2:
        raise FitError(f"curves must be a table of tokens by sizes, but have shape {y.shape}")
    if y.shape[1] < at_least:
        raise FitError(f"a curve needs losses at {at_least} or more model sizes, but has {y.shape[1]}")


def _check_finite(y: Floats, start: int) -> None:
    if not np.isfinite(y).all():
        row, column = np.argwhere(~np.isfinite(y))[0]
        raise FitError(f"curve {start + row} has the loss {y[row, column]} at size {column}, which is not finite")
