"""Which law a falling loss follows: each is fitted without the largest x and judged by how well it foretells them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compute.errors import FitError
from compute.numerics.bnsl import BrokenFit, BrokenPowerLaw, fit_broken_power_law, n_parameters
from compute.numerics.scaling import PowerLawFit, fit_power_law, positive_points

HELD_OUT_SHARE = 0.2  # of the different x, the largest
AS_LITTLE = 1e-6  # errors that differ by less than rounding in the seventh digit of a loss are the same
LAWS: dict[str, int] = {  # name → numbers it is made of, simplest first
    "power": 2,
    "offset": n_parameters(0),
    "break-1": n_parameters(1),
    "break-2": n_parameters(2),
    "break-3": n_parameters(3),
}


@dataclass(frozen=True)
class Trial:
    """One law, fitted to all points and judged by points that it had not seen.

    Attributes
    ----------
    name : str
        A key of `LAWS`.
    law : BrokenPowerLaw or None
        As fitted to all points (a power law has no floor and no breaks); None where there are too few points.
    intervals : dict from str to tuple of two floats
        95% intervals of its parameters, see `compute.numerics.bnsl.BrokenFit`.
    rms : float
        Root mean square of ln y − ln ŷ over all points; nan without a law.
    held_out_rms : float
        The same over the held-out points, of `judged`; nan without it.
    n_needed : int
        Points that a fit of this law needs: one more than it has numbers.
    judged : BrokenPowerLaw or None
        As fitted without the held-out points; None where the others are too few.
    """

    name: str
    law: BrokenPowerLaw | None
    intervals: dict[str, tuple[float, float]]
    rms: float
    held_out_rms: float
    n_needed: int
    judged: BrokenPowerLaw | None = None


@dataclass(frozen=True)
class Comparison:
    """All laws over the same points.

    Attributes
    ----------
    trials : tuple of Trial
        In the order of `LAWS`.
    n_points, n_held_out : int
        Points in all, and those with the largest x that were kept from the fits that are judged.
    """

    trials: tuple[Trial, ...]
    n_points: int
    n_held_out: int

    @property
    def best(self) -> Trial | None:
        """The law with the smallest error on the held-out points; None where fewer than two laws could be judged.

        Of laws that are wrong by as little, the simplest.
        """
        judged = [trial for trial in self.trials if math.isfinite(trial.held_out_rms)]
        least = min((trial.held_out_rms for trial in judged), default=math.nan)
        return next(t for t in judged if t.held_out_rms <= least + AS_LITTLE) if len(judged) > 1 else None

    @property
    def fitted(self) -> list[Trial]:
        """The trials that have a law."""
        return [trial for trial in self.trials if trial.law]

    def spread_at(self, x: float) -> tuple[float, float] | None:
        """The smallest and the largest value that the fitted laws expect at `x`, in the unit of y."""
        values = [float(trial.law.predict(x)) for trial in self.trials if trial.law]
        return (min(values), max(values)) if values else None


def compare_laws(x: ArrayLike, y: ArrayLike, *, names: Sequence[str] = tuple(LAWS)) -> Comparison:
    """Fit each law to all points, and to all but the largest x to see what it foretells there.

    Parameters
    ----------
    x, y : array_like of shape (n,), float
        Positive and finite: parameters or steps, and mean losses; the order does not matter.
    names : sequence of str
        Keys of `LAWS`.

    Returns
    -------
    Comparison

    Raises
    ------
    FitError
        Fewer than two points, or values that are not positive and finite.

    Notes
    -----
    The largest fifth of the different x, one at least, is held out with all its points. An error within the sample
    always favours the law with more numbers; the error on held-out points of larger x does not. A law is tried where
    there is at least one point more than it has numbers.

    Examples
    --------
    >>> x = np.geomspace(1, 1e4, 20)
    >>> compare_laws(x, 1 + 5 * x**-0.5, names=("power", "offset")).best.name
    'offset'
    """
    x, y = positive_points(x, y, at_least=2)
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    scales = np.unique(x)
    n_held_out = int(np.sum(x >= scales[-max(1, round(HELD_OUT_SHARE * len(scales)))]))
    return Comparison(tuple(_trial(name, x, y, n_held_out) for name in names), len(x), n_held_out)


def _trial(name: str, x: NDArray[np.float64], y: NDArray[np.float64], n_held_out: int) -> Trial:
    n_needed = LAWS[name] + 1
    known = len(x) - n_held_out
    full = _fit(name, x, y, n_needed)
    if full is None:
        return Trial(name, None, {}, math.nan, math.nan, n_needed)
    judged = _fit(name, x[:known], y[:known], n_needed)
    held = _rms(judged.law, x[known:], y[known:]) if judged else math.nan
    return Trial(name, full.law, full.intervals, full.rms, held, n_needed, judged.law if judged else None)


def _fit(name: str, x: NDArray[np.float64], y: NDArray[np.float64], n_needed: int) -> BrokenFit | None:
    if len(x) < n_needed:
        return None
    try:
        if name == "power":
            return _as_broken(fit_power_law(x, y), x, y)
        return fit_broken_power_law(x, y, n_breaks=(LAWS[name] - 3) // 3)
    except FitError:  # fewer different x than numbers
        return None


def _as_broken(fit: PowerLawFit, x: NDArray[np.float64], y: NDArray[np.float64]) -> BrokenFit:
    law = BrokenPowerLaw(0.0, fit.log_amplitude, fit.alpha)
    return BrokenFit(law, {"c0": (fit.low, fit.high)}, _rms(law, x, y), len(x))


def _rms(law: BrokenPowerLaw, x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return math.sqrt(float(np.mean((np.log(y) - law.log_predict(x)) ** 2)))
