"""An instrument calibrated on known truths, read backwards: which truths could lie behind a measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from compute.errors import FitError
from compute.numerics.scaling import fit_line

LEAST = 3  # measurements: a line through two leaves nothing to judge its spread by


@dataclass(frozen=True)
class Calibration:
    """The straight line of measurements on truths, and how far single measurements lie from it.

    Attributes
    ----------
    slope, intercept : float
        measured = intercept + slope · truth.
    low, high : float
        95% interval of the slope.
    r_squared : float, in [0, 1]
    residual : float
        Standard deviation of one measurement about the line, n − 2 degrees of freedom.
    mean_truth, sum_of_squares : float
        Of the truths, and Σ (truth − mean)².
    least_truth, largest_truth : float
        Between which the line was seen.
    n : int
        Measurements.
    """

    slope: float
    intercept: float
    low: float
    high: float
    r_squared: float
    residual: float
    mean_truth: float
    sum_of_squares: float
    least_truth: float
    largest_truth: float
    n: int


@dataclass(frozen=True)
class Inverse:
    """The truth that a measurement speaks of.

    Attributes
    ----------
    truth, low, high : float
        Estimate and 95% interval.
    is_inside : bool
        Whether the whole interval lies between the truths that the instrument was tried on.
    """

    truth: float
    low: float
    high: float
    is_inside: bool


def calibrate(truths: ArrayLike, measured: ArrayLike) -> Calibration:
    """Fit measurements against truths by a straight line.

    Parameters
    ----------
    truths : array_like of shape (n_truths,), float
    measured : array_like of shape (n_truths, n_draws), float
        Several measurements of every truth.

    Returns
    -------
    Calibration

    Raises
    ------
    FitError
        Fewer than three measurements, a single truth, or values that are no numbers.

    Notes
    -----
    Ordinary least squares over all n = n_truths · n_draws measurements.

    Examples
    --------
    >>> line = calibrate([1, 2, 3], [[-1.1, -0.9], [-1.6, -1.4], [-2.1, -1.9]])
    >>> round(line.slope, 6), round(line.intercept, 6), round(line.residual, 4)
    (-0.5, -0.5, 0.1225)
    """
    table = np.asarray(measured, np.float64)
    x = np.asarray(truths, np.float64)
    if table.ndim != 2 or x.shape != table.shape[:1]:
        raise FitError(f"a calibration needs one row of measurements a truth, but has {x.shape} and {table.shape}")
    if table.size < LEAST:
        raise FitError(f"{table.size} measurements are too few to calibrate with; it takes at least {LEAST}")
    spread = np.repeat(x, table.shape[1])
    line = fit_line(spread, table.ravel())
    residuals = table.ravel() - line.intercept - line.slope * spread
    return Calibration(
        slope=line.slope,
        intercept=line.intercept,
        low=line.low,
        high=line.high,
        r_squared=line.r_squared,
        residual=math.sqrt(float(residuals @ residuals) / (table.size - 2)),
        mean_truth=float(spread.mean()),
        sum_of_squares=float(np.sum((spread - spread.mean()) ** 2)),
        least_truth=float(x.min()),
        largest_truth=float(x.max()),
        n=int(table.size),
    )


def invert(line: Calibration, measurement: float, standard_error: float = 0.0) -> Inverse:
    """Find the truths that could lie behind one new measurement.

    Parameters
    ----------
    line : Calibration
    measurement : float
    standard_error : float
        The measurement's own, besides the spread that the calibration saw.

    Returns
    -------
    Inverse

    Raises
    ------
    FitError
        The measurement is no number, or the line's slope cannot be told from 0, so that nothing can be read backwards.

    Notes
    -----
    The truths x with (y − a − b x)² ≤ t² (s² (1 + 1/n + (x − x̄)²/S) + e²), t the 97.5% point of Student's distribution
    with n − 2 degrees of freedom: both ends are the roots of one quadratic equation. They lie unevenly about
    (y − a)/b.

    References
    ----------
    Fieller, Journal of the Royal Statistical Society B 16, 175 (1954);
    Draper and Smith, Applied Regression Analysis (1998), section 3.2.

    Examples
    --------
    >>> line = calibrate([1, 2, 3], [[-1.1, -0.9], [-1.6, -1.4], [-2.1, -1.9]])
    >>> found = invert(line, -1.5)
    >>> round(found.truth, 6), found.low < 2 < found.high
    (2.0, True)
    """
    if not (math.isfinite(measurement) and math.isfinite(standard_error) and standard_error >= 0):
        raise FitError(f"{measurement} ± {standard_error} is no measurement; give a number and an error of at least 0")
    t2 = float(stdtrit(line.n - 2, 0.975)) ** 2
    s2 = line.residual**2
    curvature = line.slope**2 - t2 * s2 / line.sum_of_squares
    if not curvature > 0:
        raise FitError(
            f"the measured slope changes by {line.slope:.3g} a unit of the truth, which cannot be told from 0: "
            "no truth can be read backwards from it. Try more draws, or truths further apart"
        )
    away = measurement - line.intercept - line.slope * line.mean_truth
    room = t2 * (s2 * (1 + 1 / line.n) + standard_error**2)
    middle = line.slope * away / curvature
    half = math.sqrt(max(middle**2 - (away**2 - room) / curvature, 0.0))
    low, high = line.mean_truth + middle - half, line.mean_truth + middle + half
    is_inside = line.least_truth <= low and high <= line.largest_truth
    return Inverse((measurement - line.intercept) / line.slope, low, high, is_inside)
