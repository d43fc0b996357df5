"""Power laws fitted the way the paper fits them: ordinary least squares of ln y on ln x."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from scipy.special import stdtrit

from compute.errors import FitError

OFFSET_STARTS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.97, 0.995)  # the floor's share of the smallest y at each start
OFFSET_BOUNDS = ([-np.inf, -np.inf, 0.0], [np.inf, np.inf, 1.0 - 1e-9])  # of ln A, alpha, that share
OFFSET_TOLERANCES = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 300}
ROUNDING = 8 * float(np.finfo(np.float64).eps)  # of a number relative to its size: less is no difference


@dataclass(frozen=True)
class LineFit:
    """A straight line through points, with the interval of its slope.

    Attributes
    ----------
    slope, intercept : float
        Of y = intercept + slope x.
    r_squared : float
        Share of the variance explained, in [0, 1]; 0 for y without variance.
    standard_error : float
        Of the slope; nan where two points leave no degree of freedom.
    low, high : float
        95% interval of the slope (Student's t); nan where standard_error is.
    n_points : int
    """

    slope: float
    intercept: float
    r_squared: float
    standard_error: float
    low: float
    high: float
    n_points: int


@dataclass(frozen=True)
class PowerLawFit:
    """A power law ln y = log_amplitude − alpha · ln x, with the interval of alpha.

    Attributes
    ----------
    alpha : float
        Exponent, positive where y falls with x.
    log_amplitude : float
        ln y at x = 1.
    r_squared : float
        In ln y, in [0, 1]; 0 for y without variance.
    standard_error, low, high : float
        Of alpha, and its 95% interval; nan where no degree of freedom is left.
    n_points : int
    """

    alpha: float
    log_amplitude: float
    r_squared: float
    standard_error: float
    low: float
    high: float
    n_points: int

    @property
    def amplitude(self) -> float | None:
        """y at x = 1, in the unit of y; None where no float holds it, as of a steep law far from 1."""
        return exp_if_held(self.log_amplitude)

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """Evaluate the law at `x` (any shape, positive); returns the unit of y."""
        return power_of_e(self.log_amplitude - self.alpha * np.log(np.asarray(x, dtype=np.float64)))


@dataclass(frozen=True)
class OffsetPowerLawFit(PowerLawFit):
    """A power law above a floor, ln (y − offset) = log_amplitude − alpha · ln x.

    Attributes
    ----------
    offset : float
        The floor E, at least 0 and below the smallest y, in the unit of y; the others as in `PowerLawFit`.
    """

    offset: float = 0.0

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """Evaluate the law at `x` (any shape, positive); returns the unit of y."""
        return self.offset + super().predict(x)


def fit_line(x: ArrayLike, y: ArrayLike) -> LineFit:
    """Fit a straight line by ordinary least squares.

    Parameters
    ----------
    x, y : array_like of shape (n,), float
        Finite, at least two different x.

    Returns
    -------
    LineFit

    Raises
    ------
    FitError
        Fewer than two points, values that are not finite, shapes that differ, or one x only.

    Examples
    --------
    >>> fit_line([0, 1, 2], [1, 3, 5]).slope
    2.0
    """
    x, y = _points(x, y, at_least=2)
    return _fit_line(x, y, float(np.abs(x).max()), float(np.abs(y).max()))


def fit_power_law(x: ArrayLike, y: ArrayLike) -> PowerLawFit:
    """Fit y = A x^(−alpha) by ordinary least squares of ln y on ln x.

    Parameters
    ----------
    x : array_like of shape (n,), float
        Positive: parameters, samples or steps.
    y : array_like of shape (n,), float
        Positive: mean loss in nats or bits (alpha does not depend on the unit).

    Returns
    -------
    PowerLawFit

    Raises
    ------
    FitError
        Fewer than two points, values that are not positive and finite, or one x only.

    Notes
    -----
    ln y = ln A − alpha ln x. No irreducible loss is subtracted, as in the paper's Figure 3. A slope that rounding
    alone would make is 0.

    References
    ----------
    Michaud et al., The Quantization Model of Neural Scaling, arXiv:2303.13506, Figure 3.

    Examples
    --------
    >>> round(fit_power_law([1, 10, 100], [8, 4, 2]).alpha, 3)
    0.301
    """
    x, y = positive_points(x, y, at_least=2)
    line = fit_log_line(x, y)
    return PowerLawFit(
        alpha=0.0 - line.slope,
        log_amplitude=line.intercept,
        r_squared=line.r_squared,
        standard_error=line.standard_error,
        low=0.0 - line.high,
        high=0.0 - line.low,
        n_points=line.n_points,
    )


def fit_log_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> LineFit:
    """Fit ln y = intercept + slope ln x to positive points of shape (n,); FitError as `fit_line`."""
    u, v = _points(np.log(x), np.log(y), at_least=2)
    # a rounding of x is one of ln x by as much, however near to 0 ln x is
    return _fit_line(u, v, max(1.0, float(np.abs(u).max())), max(1.0, float(np.abs(v).max())))


@dataclass(frozen=True, eq=False)
class PowerLawFits:
    """Power laws of many curves over the same x.

    Attributes
    ----------
    alpha, low, high, r_squared : ndarray of shape (n,), float64
        As in `PowerLawFit`; nan for curves that have a value which is not positive and finite.
    """

    alpha: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    r_squared: NDArray[np.float64]


def fit_power_laws(x: ArrayLike, y: ArrayLike) -> PowerLawFits:
    """Fit a power law to every row of `y` at once, as `fit_power_law` does to one.

    Parameters
    ----------
    x : array_like of shape (m,), float
        Positive, at least two different.
    y : array_like of shape (n, m), float
        Any rows; those that no power law has get nan.

    Raises
    ------
    FitError
        Fewer than two x, one x only, x that are not positive and finite, or rows of another length.

    Examples
    --------
    >>> fit_power_laws([1, 10, 100], [[8, 4, 2], [1, 1, 0]]).alpha.round(3)
    array([0.301,   nan])
    """
    x, _ = positive_points(x, x, at_least=2)
    y = np.asarray(y, dtype=np.float64)
    if y.ndim != 2 or y.shape[1] != len(x):
        raise FitError(f"every curve needs one value for each of {len(x)} x, but y has the shape {y.shape}")
    ln_x = np.log(x)
    u = ln_x - ln_x.mean()
    sxx = float(u @ u)
    if sxx == 0:
        raise FitError(f"a power law needs at least two different x, but all {len(x)} are {x[0]:g}")
    with np.errstate(divide="ignore", invalid="ignore"):
        v = np.log(np.where(y > 0, y, np.nan))
        size = np.maximum(1.0, np.abs(v).max(axis=1))
        v = _deviations(v, size)
        slope = _slopes(u, v, max(1.0, float(np.abs(ln_x).max())), size)
        residual, total = np.sum((v - np.outer(slope, u)) ** 2, axis=1), np.sum(v**2, axis=1)
        r_squared = np.where(total == 0, 0.0, np.clip(1 - residual / total, 0, 1))
    slope[~np.isfinite(slope)] = np.nan
    r_squared[np.isnan(slope)] = np.nan
    freedom = len(x) - 2
    half = (
        np.full(len(y), np.nan) if freedom < 1 else float(stdtrit(freedom, 0.975)) * np.sqrt(residual / sxx / freedom)
    )
    return PowerLawFits(0.0 - slope, 0.0 - slope - half, 0.0 - slope + half, r_squared)


def fit_power_law_with_offset(x: ArrayLike, y: ArrayLike) -> OffsetPowerLawFit:
    """Fit y = E + A x^(−alpha) with a floor E >= 0 by least squares in ln y.

    Parameters
    ----------
    x, y : array_like of shape (n,), float
        Positive and finite; at least three different x.

    Returns
    -------
    OffsetPowerLawFit
        Its interval of alpha is that of the linearised fit, with n − 3 degrees of freedom.

    Raises
    ------
    FitError
        Fewer than three points or different x, or values that are not positive and finite.

    Notes
    -----
    Minimises Σ (ln y − ln(E + A x^(−alpha)))² over ln A, alpha and E in [0, min y), from several
    starting floors, each with A and alpha of the plain fit to y − E. With few or noisy points the
    floor is barely determined: look at the interval.

    References
    ----------
    Hoffmann et al., Training Compute-Optimal Large Language Models, arXiv:2203.15556, equation 2.

    Examples
    --------
    >>> x = np.array([1.0, 10, 100, 1000])
    >>> round(fit_power_law_with_offset(x, 1 + 2 * x**-0.5).offset, 4)
    1.0
    """
    x, y = positive_points(x, y, at_least=3)
    if len(np.unique(x)) < 3:
        raise FitError("a power law with an offset needs at least three different x")
    centre, floor = float(np.log(x).mean()), float(y.min())
    u, ln_y = np.log(x) - centre, np.log(y)

    def residuals(theta: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(theta[2] * floor + np.exp(theta[0] - theta[1] * u)) - ln_y

    fits = []
    for share in OFFSET_STARTS:
        line = fit_line(u, np.log(y - share * floor))
        start = np.array([line.intercept, -line.slope, max(share, 1e-6)])
        fits.append(least_squares(residuals, start, bounds=OFFSET_BOUNDS, **OFFSET_TOLERANCES))
    best = min(fits, key=lambda fit: fit.cost)
    ln_a, alpha, share = (float(v) for v in best.x)
    residual, spread = float(2 * best.cost), ln_y - ln_y.mean()
    unscaled = _inverse_information(best.jac)
    error, low, high = _slope_interval(alpha, residual * unscaled, len(x) - 3)
    total = float(spread @ spread)
    return OffsetPowerLawFit(
        alpha=alpha,
        log_amplitude=ln_a + alpha * centre,
        r_squared=max(0.0, 1.0 - residual / total) if total else 0.0,
        standard_error=error,
        low=low,
        high=high,
        n_points=len(x),
        offset=share * floor if share > 1e-9 else 0.0,
    )


def power_of_e(exponents: NDArray[np.float64]) -> NDArray[np.float64]:
    """e to these powers (any shape): infinite beyond the largest float, 0 below the smallest."""
    with np.errstate(over="ignore"):
        return np.exp(exponents)


def exp_if_held(exponent: float) -> float | None:
    """e to this power; None where it is beyond the largest float or below the smallest."""
    value = float(power_of_e(np.asarray(exponent)))
    return value if 0 < value < math.inf else None


def _fit_line(x: NDArray[np.float64], y: NDArray[np.float64], x_size: float, y_size: float) -> LineFit:
    """The least-squares line, given the sizes that x and y are rounded at."""
    dx, dy = x - x.mean(), _deviations(y[None], np.array([y_size]))[0]
    sxx, syy = float(dx @ dx), float(dy @ dy)
    if sxx == 0:
        raise FitError(f"a line needs at least two different x, but all {len(x)} are {x[0]:g}")
    slope = float(_slopes(dx, dy[None], x_size, np.array([y_size]))[0])
    residual = float(np.sum((dy - slope * dx) ** 2))
    r_squared = max(0.0, 1.0 - residual / syy) if syy else 0.0
    error, low, high = _slope_interval(slope, residual / sxx, len(x) - 2)
    return LineFit(slope, float(y.mean() - slope * x.mean()), r_squared, error, low, high, len(x))


def _deviations(y: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row of y (n, m) less its mean; 0 in rows that vary by rounding at their size (n,) alone."""
    is_level = np.ptp(y, axis=1) <= ROUNDING * sizes
    return np.where(is_level[:, None], 0.0, y - y.mean(axis=1, keepdims=True))


def _slopes(
    dx: NDArray[np.float64], dy: NDArray[np.float64], x_size: float, y_sizes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Slope of each row of dy (n, m) on dx (m,), both about their means; 0 where it is made of rounding."""
    sxy = dy @ dx
    rounding = ROUNDING * (x_size * np.abs(dy).sum(axis=1) + y_sizes * np.abs(dx).sum())
    return np.where(np.abs(sxy) <= rounding, 0.0, sxy) / float(dx @ dx)


def _inverse_information(jacobian: NDArray[np.float64]) -> float:
    """Return alpha's entry of (JᵀJ)⁻¹, from the pseudo-inverse (a floor at its bound may be flat)."""
    return float(np.linalg.pinv(jacobian.T @ jacobian)[1, 1])


def _slope_interval(slope: float, variance_sum: float, freedom: int) -> tuple[float, float, float]:
    """Standard error of a slope and its 95% Student interval; nan without a degree of freedom."""
    if freedom < 1:
        return math.nan, math.nan, math.nan
    error = math.sqrt(variance_sum / freedom)
    half = float(stdtrit(freedom, 0.975)) * error
    return error, slope - half, slope + half


def _points(x: ArrayLike, y: ArrayLike, *, at_least: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise FitError(f"x and y must be lists of equal length, but have shapes {x.shape} and {y.shape}")
    if len(x) < at_least:
        raise FitError(f"this fit needs at least {at_least} points, but was given {len(x)}")
    for name, values in (("x", x), ("y", y)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise FitError(f"{name}[{bad[0]}] is {values[bad[0]]}: a fit needs finite values")
    return x, y


def positive_points(x: ArrayLike, y: ArrayLike, *, at_least: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both as float64 of shape (n,); FitError where a power law cannot be fitted to them."""
    x, y = _points(x, y, at_least=at_least)
    for name, values in (("x", x), ("y", y)):
        bad = np.flatnonzero(values <= 0)
        if len(bad):
            raise FitError(f"{name}[{bad[0]}] is {values[bad[0]]:g}: a power law needs positive values")
    return x, y
