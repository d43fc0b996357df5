"""One curve read in every way that is known: scores and class, laws with and without breaks, two theories' readings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from compute.numerics.curves import CLASS_NAMES, classify, curve_scores, paper_monogenic, paper_polygenic
from compute.numerics.laws import Comparison, compare_laws
from compute.numerics.scaling import PowerLawFit, fit_power_law
from compute.numerics.shapes import shape_scores
from compute.numerics.theories import Over, TheoryReadings, read_exponent

LN2 = math.log(2)
LEAST_SCORED = LEAST_FITTED = 3  # different scales
MOST_FITTED = 120  # points that laws are fitted to, so that three breaks take less than a second
SHAPE_BITS = 1.0  # a rise or a peak below this is not called one


@dataclass(frozen=True)
class Shape:
    """What the scores say of one curve; see `compute.numerics.curves` and `compute.numerics.shapes`.

    Attributes
    ----------
    curve_class : str
        One of `CLASS_NAMES`.
    monogenicity, n_eff, largest_step, linearity, breakthroughness, r_squared : float
    amplitude_bits : float
        Bits that the best single step falls by.
    split : int
        Points before that step; 0 without one.
    slope_nats : float
        Of the least-squares line, nats per unit of ln x.
    paper_monogenic_at : int
        Points before the step by the paper's rule; 0 where it does not hold.
    is_paper_polygenic : bool
    rise_bits, peak_bits : float
        Net rise with scale, and prominence of the highest peak.
    peak_at : int
        The peak's place; −1 without one.
    """

    curve_class: str
    monogenicity: float
    amplitude_bits: float
    split: int
    n_eff: float
    largest_step: float
    linearity: float
    breakthroughness: float
    slope_nats: float
    r_squared: float
    paper_monogenic_at: int
    is_paper_polygenic: bool
    rise_bits: float
    peak_bits: float
    peak_at: int

    def to_json(self) -> dict[str, Any]:
        """By name, with what is called a rise or a peak."""
        return asdict(self) | {"rises": self.rises, "has_peak": self.has_peak}

    @property
    def rises(self) -> bool:
        """Whether the loss rises with scale (inverse scaling)."""
        return self.rise_bits > SHAPE_BITS

    @property
    def has_peak(self) -> bool:
        """Whether the loss rises and then falls again (as in double descent)."""
        return self.peak_bits > SHAPE_BITS


@dataclass(frozen=True)
class CurveReading:
    """One curve, read in every way.

    Attributes
    ----------
    x, loss_nats : tuple of float
        As scored: one point a scale, the mean where there were several.
    shape : Shape or None
        None where `no_shape` says why.
    power : PowerLawFit or None
        The plain power law; None where `no_laws` says why.
    laws : Comparison or None
        Power law, with a floor, and with one to three breaks, fitted to the points of `fitted_places`, each as it was
        given.
    no_shape, no_laws, note : str
        Sentences: why there is no shape, why there are no laws, and what to know of the points: that scales stood more
        than once, that laws are fitted to some of them.
    """

    x: tuple[float, ...]
    loss_nats: tuple[float, ...]
    shape: Shape | None
    power: PowerLawFit | None
    laws: Comparison | None
    no_shape: str = ""
    no_laws: str = ""
    note: str = ""

    def theories(self, over: Over = "parameters") -> TheoryReadings:
        """What two theories read in the plain power law's exponent, where x is `over`; neither without a law."""
        power = self.power
        return read_exponent(power.alpha, power.low, power.high, over) if power else TheoryReadings(None, None)

    def to_json(self, over: Over = "parameters") -> dict[str, Any]:
        """The reading as JSON has it: null for what is no number."""
        known = self.shape
        shape = None if known is None else known.to_json()
        return finite(
            {
                "x": list(self.x),
                "loss_nats": list(self.loss_nats),
                "scores": shape,
                "why_no_scores": self.no_shape,
                "power_law": None if self.power is None else asdict(self.power) | {"amplitude": self.power.amplitude},
                "laws": None if self.laws is None else laws_json(self.laws),
                "why_no_laws": self.no_laws,
                **self.theories(over).to_json(),
                "note": self.note,
            }
        )


def read_curve(x: Sequence[float], loss_nats: Sequence[float]) -> CurveReading:
    """Read a curve in every way that its points allow.

    Parameters
    ----------
    x : sequence of float, length n
        Positive, at least two different; any order.
    loss_nats : sequence of float, length n
        Finite, at least 0.

    Returns
    -------
    CurveReading
        What there is none of is said in a sentence, not raised: a zero loss has no logarithm for a law, two points
        have no shape.

    Raises
    ------
    FitError
        Fewer than two different x, or values that are not finite.

    Examples
    --------
    >>> reading = read_curve([1, 10, 100, 1000], [8.0, 7.9, 0.1, 0.1])
    >>> reading.shape.curve_class, reading.shape.split
    ('monogenic', 2)
    >>> read_curve([1, 10, 100], [3.0, 1.0, 0.0]).no_laws[:22]
    'The loss at 100 is 0: '
    """
    own_x, own_y = np.asarray(x, np.float64), np.asarray(loss_nats, np.float64)
    scales, means = mean_curve(own_x, own_y)
    shape, no_shape = curve_shape(scales, means)
    power, laws, no_laws = _laws(own_x, own_y)
    return CurveReading(
        tuple(scales.tolist()), tuple(means.tolist()), shape, power, laws, no_shape, no_laws,
        " ".join(filter(None, (_of_means(len(own_x), len(scales)), _of_some(len(own_x)) if laws else ""))),
    )  # fmt: skip


def mean_curve(x: ArrayLike, loss_nats: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The different scales, rising, and the mean loss at each; both of shape (n_scales,)."""
    scales, place = np.unique(np.asarray(x, np.float64), return_inverse=True)
    return scales, np.bincount(place, weights=np.asarray(loss_nats, np.float64)) / np.bincount(place)


def curve_shape(x: np.ndarray, loss_nats: np.ndarray) -> tuple[Shape | None, str]:
    """Scores and class of a mean curve; without them, the sentence that says why."""
    if len(x) < LEAST_SCORED:
        return None, f"Scores need {LEAST_SCORED} different scales or more; here are {len(x)}."
    ln_x, curve = np.log(x), loss_nats[None, :]
    bits = curve / LN2
    scores, shapes = curve_scores(bits, ln_x), shape_scores(bits)
    return Shape(
        curve_class=CLASS_NAMES[int(classify(scores)[0])],
        monogenicity=float(scores.monogenicity[0]),
        amplitude_bits=float(scores.amplitude_bits[0]),
        split=int(scores.split[0]),
        n_eff=float(scores.n_eff[0]),
        largest_step=float(scores.largest_step[0]),
        linearity=float(scores.linearity[0]),
        breakthroughness=float(scores.breakthroughness[0]),
        slope_nats=float(scores.slope[0]) * LN2,
        r_squared=float(scores.r_squared[0]),
        paper_monogenic_at=int(paper_monogenic(curve)[0]),
        is_paper_polygenic=bool(paper_polygenic(curve, ln_x)[0]),
        rise_bits=float(shapes.rise[0]),
        peak_bits=float(shapes.peak[0]),
        peak_at=int(shapes.peak_at[0]),
    ), ""


def _laws(x: np.ndarray, loss_nats: np.ndarray) -> tuple[PowerLawFit | None, Comparison | None, str]:
    zero = np.flatnonzero(loss_nats == 0)
    if len(zero):
        return None, None, (
            f"The loss at {x[zero[0]]:g} is 0: laws are fitted to logarithms, and 0 has none. Leave the point out to "
            "have laws."
        )  # fmt: skip
    power = fit_power_law(x, loss_nats)
    if len(np.unique(x)) < LEAST_FITTED:
        return power, None, (
            f"Two scales always lie on a power law, here with exponent {power.alpha:.3g}; from {LEAST_FITTED} on it "
            "can be seen whether one holds."
        )  # fmt: skip
    places = fitted_places(x)
    return power, compare_laws(x[places], loss_nats[places]), ""


def fitted_places(x: ArrayLike) -> np.ndarray:
    """Choose the points that laws are fitted to: all, or `MOST_FITTED` of more.

    Parameters
    ----------
    x : array_like of shape (n,), float
        Positive; any order.

    Returns
    -------
    ndarray of shape (min(n, MOST_FITTED),), int64
        Places among x, rising.

    Notes
    -----
    Those nearest to places evenly in ln x, both ends among them. Where several of these places share a point, others
    are filled in, evenly among those that are left.

    Examples
    --------
    >>> places = fitted_places(np.arange(1, 501))
    >>> len(places), places[:3].tolist(), int(places[-1])
    (120, [0, 1, 2], 499)
    """
    x = np.asarray(x, np.float64)
    if len(x) <= MOST_FITTED:
        return np.arange(len(x))
    order = np.argsort(x, kind="stable")
    ln_x = np.log(x[order])
    even = np.linspace(ln_x[0], ln_x[-1], MOST_FITTED)
    chosen = np.unique(np.abs(ln_x[:, None] - even).argmin(axis=0))
    left = np.setdiff1d(np.arange(len(x)), chosen)
    filled = np.linspace(0, len(left) - 1, MOST_FITTED - len(chosen)).round().astype(np.int64)
    return np.sort(order[np.concatenate([chosen, left[filled]])])


def _of_means(n_points: int, n_scales: int) -> str:
    if n_points == n_scales:
        return ""
    return (
        f"{n_points - n_scales} of {n_points} points share their scale with another: scores are of the mean at every "
        "scale, laws of all points."
    )


def _of_some(n_points: int) -> str:
    if n_points <= MOST_FITTED:
        return ""
    return (
        f"Laws are fitted to {MOST_FITTED} of the {n_points} points, spread evenly over the logarithm of the scale, "
        "both ends among them; the exponent that theories read is of all points."
    )


def laws_json(laws: Comparison) -> dict[str, Any]:
    """Every law with its parameters, intervals and errors, and which foretold best."""
    best = laws.best
    return {
        "best": best.name if best else None,
        "n_points": laws.n_points,
        "n_held_out": laws.n_held_out,
        "laws": [
            {
                "name": trial.name, "n_needed": trial.n_needed,
                "parameters": trial.law.parameters if trial.law else {},
                "intervals": {name: list(ends) for name, ends in trial.intervals.items()},
                "rms": trial.rms, "held_out_rms": trial.held_out_rms,
            }
            for trial in laws.trials
        ],
    }  # fmt: skip


def finite(value: Any) -> Any:
    """The same with None for numbers that JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return value
