"""Broken neural scaling laws: power laws above a floor whose exponent changes at breaks, fitted in logs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult, least_squares
from scipy.special import expit, stdtrit

from compute.errors import FitError
from compute.numerics.scaling import exp_if_held, positive_points, power_of_e

MOST_BREAKS = 4
FLOOR_STARTS = (0.0, 0.5, 0.9, 0.98)  # the floor's share of the smallest y at each start
FLOORS_ALONE = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97, 0.99)  # the same without breaks
WIDTH_STARTS = (0.15, 0.5, 1.5)  # in ln x
N_PLACES = 8  # breaks start on so many places, even in ln x
STEEPEST = 20.0  # largest exponent or change of exponent that is looked for
NARROWEST, WIDEST = 0.02, 10.0  # of a break, in ln x
ROUNDS = ((6, 15, 1e-9), (2, 60, 1e-9), (1, 120, 1e-12))  # so many of the best go on: most evaluations, tolerance
VAGUE = 100.0  # an interval of a place or a width that spans more than this factor tells nothing
WIDE = 2.0  # nor does one of an exponent that is wider than this
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Break:
    """Where a power law changes its exponent.

    Attributes
    ----------
    at : float
        d, in the unit of x.
    change : float
        c, added to the exponent far beyond the break; negative where the fall slows down.
    width : float
        f, in units of ln x: the exponent changes over a few times this; small is sharp.
    """

    at: float
    change: float
    width: float


@dataclass(frozen=True)
class BrokenPowerLaw:
    """y = a + b x^(−c₀) Π (1 + (x/dᵢ)^(1/fᵢ))^(−cᵢ fᵢ).

    Attributes
    ----------
    offset : float
        a >= 0, in the unit of y.
    log_amplitude : float
        ln b.
    exponent : float
        c₀, positive where y falls before the first break.
    breaks : tuple of Break
        In order of their places; none makes a power law above a floor.
    """

    offset: float
    log_amplitude: float
    exponent: float
    breaks: tuple[Break, ...] = ()

    @property
    def parameters(self) -> dict[str, float]:
        """By the names of `BrokenFit.intervals`: a, b, c0, and c, d, f of every break with its number.

        b is nan where no float holds it, as of a steep law far from x = 1.
        """
        b = exp_if_held(self.log_amplitude)
        found = {"a": self.offset, "b": math.nan if b is None else b, "c0": self.exponent}
        for i, one in enumerate(self.breaks, 1):
            found |= {f"c{i}": one.change, f"d{i}": one.at, f"f{i}": one.width}
        return found

    def predict(self, x: ArrayLike) -> Floats:
        """Evaluate the law at `x` (any shape, positive); returns the unit of y."""
        return self.offset + power_of_e(self._fall(x))

    def log_predict(self, x: ArrayLike) -> Floats:
        """ln of the law at `x` (any shape, positive), also where no float holds the law itself."""
        return self._fall(x) if self.offset == 0 else np.logaddexp(math.log(self.offset), self._fall(x))

    def _fall(self, x: ArrayLike) -> Floats:
        """ln(y − a) = ln b − c₀ ln x − Σ cᵢ fᵢ ln(1 + exp((ln x − ln dᵢ)/fᵢ)), so that no power overflows."""
        u = np.log(np.asarray(x, dtype=np.float64))
        fall = self.log_amplitude - self.exponent * u
        for one in self.breaks:
            fall = fall - one.change * one.width * np.logaddexp(0.0, (u - math.log(one.at)) / one.width)
        return fall


@dataclass(frozen=True)
class BrokenFit:
    """A fitted broken power law.

    Attributes
    ----------
    law : BrokenPowerLaw
    intervals : dict from str to tuple of two floats
        95% intervals of "a", "b", "c0", "c1", "f1", "d1", "c2", …; nan where no degree of freedom is left.
    rms : float
        Root mean square of the residuals in ln y.
    n_points : int
    """

    law: BrokenPowerLaw
    intervals: dict[str, tuple[float, float]]
    rms: float
    n_points: int


def is_determined(name: str, low: float, high: float) -> bool:
    """Whether an interval of `BrokenFit.intervals` says anything of its parameter: not that it is nearly anything."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return False
    if name[0] in "df":
        return low > 0 and high / low <= VAGUE
    return name[0] != "c" or high - low <= WIDE


def is_sharp(width: float) -> bool:
    """Whether a break is as sharp as is looked for, so that its width is no measurement."""
    return width <= 1.2 * NARROWEST


def n_parameters(n_breaks: int) -> int:
    """Numbers that a law with so many breaks is made of."""
    return 3 * n_breaks + 3


def fit_broken_power_law(x: ArrayLike, y: ArrayLike, *, n_breaks: int) -> BrokenFit:
    """Fit a broken power law by least squares in ln y.

    Parameters
    ----------
    x, y : array_like of shape (n,), float
        Positive and finite, at least 3 n_breaks + 3 different x.
    n_breaks : int
        0 to 4; 0 is a power law above a floor.

    Returns
    -------
    BrokenFit

    Raises
    ------
    FitError
        Too few points or different x, values that are not positive and finite, or another number of breaks.

    Notes
    -----
    Minimises Σ (ln y − ln ŷ)² over a in [0, min y), ln b, c₀ and every cᵢ, ln fᵢ, ln dᵢ, with dᵢ inside the range of
    x. Starts lie on a grid of floors, widths and places; given these, ln b and all exponents follow by linear least
    squares. The best starts are fitted a little, the best of those further, the best to the end. Intervals are those
    of the linearised fit (in ln for b, f and d): with few points or a break near an end they are wide, and say so.

    References
    ----------
    Caballero et al., Broken Neural Scaling Laws, arXiv:2210.14891, equation 1.

    Examples
    --------
    >>> x = np.geomspace(1, 1e6, 40)
    >>> law = BrokenPowerLaw(0.5, math.log(4), 0.1, (Break(at=1e3, change=0.4, width=0.5),))
    >>> fitted = fit_broken_power_law(x, law.predict(x), n_breaks=1).law.breaks[0]
    >>> round(fitted.at), round(fitted.change, 3)
    (1000, 0.4)
    """
    if n_breaks not in range(MOST_BREAKS + 1):
        raise FitError(f"n_breaks is {n_breaks}; it must be from 0 to {MOST_BREAKS}")
    at_least = n_parameters(n_breaks)
    x, y = positive_points(x, y, at_least=at_least)
    if len(np.unique(x)) < at_least:
        raise FitError(f"a law of {at_least} numbers needs as many different x, but there are {len(np.unique(x))}")
    problem = _Problem(np.log(x), np.log(y), n_breaks)
    starts = sorted(problem.starts(), key=problem.cost)
    for n, n_evaluations, tolerance in ROUNDS if n_breaks else ROUNDS[-1:]:
        found = sorted((problem.solve(s, n_evaluations, tolerance) for s in starts[:n]), key=lambda one: one.cost)
        starts = [one.x for one in found]
    return problem.read(found[0])


class _Problem:
    """Residuals in ln y of θ = (floor's share, level at the middle, c₀, then c, ln f, ln d of every break)."""

    def __init__(self, u: Floats, ln_y: Floats, n_breaks: int) -> None:
        self.u, self.ln_y, self.n_breaks = u, ln_y, n_breaks
        self.middle, self.floor = float(u.mean()), float(np.exp(ln_y.min()))
        low = [0.0, -np.inf, -STEEPEST] + [-STEEPEST, math.log(NARROWEST), float(u.min())] * n_breaks
        high = [1 - 1e-9, np.inf, STEEPEST] + [STEEPEST, math.log(WIDEST), float(u.max())] * n_breaks
        self.bounds = (np.array(low), np.array(high))

    def starts(self) -> Iterator[Floats]:
        places = np.linspace(self.u.min(), self.u.max(), N_PLACES + 2)[1:-1]
        widths = WIDTH_STARTS if self.n_breaks else WIDTH_STARTS[:1]
        floors = FLOOR_STARTS if self.n_breaks else FLOORS_ALONE
        for where in itertools.combinations(places, self.n_breaks):
            for width, share in itertools.product(widths, floors):
                yield self._start(share, width, where)

    def _start(self, share: float, width: float, where: tuple[float, ...]) -> Floats:
        """Level and exponents by linear least squares, given the floor and where and how wide the breaks are."""
        above = np.exp(self.ln_y) - share * self.floor
        weight = above / np.exp(self.ln_y)  # d ln y = weight · d ln(y − a)
        columns = [np.ones_like(self.u), self.middle - self.u]
        columns += [-width * np.logaddexp(0.0, (self.u - place) / width) for place in where]
        design = np.stack(columns, 1)
        found = np.linalg.lstsq(design * weight[:, None], np.log(above) * weight, rcond=None)[0]
        theta = [share, *found[:2]]
        for change, place in zip(found[2:], where, strict=True):
            theta += [change, math.log(width), place]
        return np.clip(theta, *self.bounds)

    def _parts(self, theta: Floats) -> tuple[Floats, list[tuple[Floats, Floats]]]:
        """ln(y − a), and of every break f·ln(1 + e^z) and the sigmoid of z."""
        fall = theta[1] - theta[2] * (self.u - self.middle)
        parts = []
        for change, ln_width, place in theta[3:].reshape(-1, 3):
            width = math.exp(ln_width)
            z = (self.u - place) / width
            bend = width * np.logaddexp(0.0, z)
            parts.append((bend, expit(z)))
            fall = fall - change * bend
        return fall, parts

    def residuals(self, theta: Floats) -> Floats:
        return np.logaddexp(self._parts(theta)[0], math.log(max(theta[0] * self.floor, 1e-300))) - self.ln_y

    def jacobian(self, theta: Floats) -> Floats:
        fall, parts = self._parts(theta)
        ln_floor = math.log(max(theta[0] * self.floor, 1e-300))
        ln_total = np.logaddexp(fall, ln_floor)
        weight = np.exp(fall - ln_total)
        columns = [self.floor * np.exp(-ln_total), weight, -weight * (self.u - self.middle)]
        for (change, _, place), (bend, slope) in zip(theta[3:].reshape(-1, 3), parts, strict=True):
            by_width = -change * (bend - (self.u - place) * slope)  # ∂/∂ ln f
            columns += [-weight * bend, weight * by_width, weight * change * slope]
        return np.stack(columns, 1)

    def cost(self, theta: Floats) -> float:
        residual = self.residuals(theta)
        return float(residual @ residual)

    def solve(self, start: Floats, n_evaluations: int, tolerance: float) -> OptimizeResult:
        low, high = self.bounds
        inside = np.clip(
            start, np.where(np.isfinite(low), low + 1e-7, low), np.where(np.isfinite(high), high - 1e-7, high)
        )
        return least_squares(
            self.residuals, inside, jac=self.jacobian, bounds=self.bounds, x_scale="jac", max_nfev=n_evaluations,
            xtol=tolerance, ftol=tolerance, gtol=tolerance,
        )  # fmt: skip

    def read(self, found: OptimizeResult) -> BrokenFit:
        """The law and its intervals, breaks in order of their places."""
        theta = found.x
        triples = theta[3:].reshape(-1, 3)
        order = np.argsort(triples[:, 2], kind="stable")
        ln_b = theta[1] + theta[2] * self.middle
        share = theta[0] if theta[0] > 1e-6 else 0.0
        breaks = tuple(Break(math.exp(d), float(c), math.exp(f)) for c, f, d in triples[order])
        law = BrokenPowerLaw(float(share * self.floor), float(ln_b), float(theta[2]), breaks)
        half = self._half_widths(found)
        intervals = {"a": _around(law.offset, half[0] * self.floor), "b": _around_ln(ln_b, half[1])}
        intervals["c0"] = _around(law.exponent, half[2])
        for place, i in enumerate(order.tolist(), 1):
            c, f, d = (3 + 3 * i + j for j in range(3))
            intervals[f"c{place}"] = _around(theta[c], half[c])
            intervals[f"f{place}"] = _around_ln(theta[f], half[f])
            intervals[f"d{place}"] = _around_ln(theta[d], half[d])
        rms = math.sqrt(2 * found.cost / len(self.u))
        return BrokenFit(law, intervals, rms, len(self.u))

    def _half_widths(self, found: OptimizeResult) -> Floats:
        """Half of every 95% interval, of θ with ln b in the level's place; nan without a degree of freedom."""
        freedom = len(self.u) - len(found.x)
        if freedom < 1:
            return np.full(len(found.x), np.nan)
        change = np.eye(len(found.x))
        change[1, 2] = self.middle
        covariance = change @ np.linalg.pinv(found.jac.T @ found.jac) @ change.T
        variance = np.maximum(np.diagonal(covariance), 0) * 2 * found.cost / freedom
        return float(stdtrit(freedom, 0.975)) * np.sqrt(variance)


def _around(value: float, half: float) -> tuple[float, float]:
    return float(value - half), float(value + half)


def _around_ln(ln_value: float, half: float) -> tuple[float, float]:
    with np.errstate(over="ignore"):
        return float(np.exp(ln_value - half)), float(np.exp(ln_value + half))
