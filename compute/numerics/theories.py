"""What two theories read in the exponent of one curve: quanta used by a power law, and data on a manifold."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from compute.errors import FitError
from compute.numerics.manifold import Dimension, dimension_of_fit

Over = Literal["parameters", "samples", "steps", "scale"]
_RISES = "The loss does not fall with scale, so neither theory has a reading of this exponent."
OVER: tuple[Over, ...] = get_args(Over)


@dataclass(frozen=True)
class Quanta:
    """The Quantization Model's α: the k-th quantum is used as often as k^−(1+α).

    Attributes
    ----------
    alpha : float
    low, high : float
        Of the exponent's interval; nan where it has none, `high` infinite where that reaches what no α gives.
    """

    alpha: float
    low: float
    high: float


@dataclass(frozen=True)
class TheoryReadings:
    """Both readings; None for a theory that has none, and the sentence that says why."""

    quanta: Quanta | None
    manifold: Dimension | None
    no_quanta: str = ""
    no_manifold: str = ""

    def to_json(self) -> dict[str, Any]:
        """By the names that pages and the API use."""
        return {
            "quanta": None if self.quanta is None else asdict(self.quanta),
            "manifold_dimension": None if self.manifold is None else asdict(self.manifold),
        }


def read_exponent(exponent: float, low: float, high: float, over: Over = "parameters") -> TheoryReadings:
    """Read an exponent as the Quantization Model and as manifold theory do.

    Parameters
    ----------
    exponent : float
        L ∝ x^−exponent.
    low, high : float
        Its interval; nan without one.
    over : Over
        What x is. A "scale" that nobody named is read as parameters.

    Returns
    -------
    TheoryReadings
        `quanta` is None where the loss does not fall, and where it falls over samples or steps as no α lets it (an
        exponent of 1 or more); `manifold` where the loss does not fall, or x is samples or steps, of which that
        theory’s law says nothing.

    Raises
    ------
    FitError
        `over` is none of `OVER`.

    Notes
    -----
    Over parameters the model’s exponent is α. Over samples, and over the steps of one pass, it is α/(1+α), which stays
    below 1; an exponent e there stands for α = e/(1−e).

    References
    ----------
    Michaud, Liu, Girit and Tegmark, The Quantization Model of Neural Scaling, NeurIPS 2023, section 2.

    Examples
    --------
    >>> round(read_exponent(1 / 3, 0.25, 0.4, "samples").quanta.alpha, 6)
    0.5
    >>> read_exponent(0.4, 0.2, 0.8).manifold
    Dimension(value=10.0, low=5.0, high=20.0)
    """
    if over not in OVER:
        raise FitError(f"{over!r} is none of {', '.join(OVER)}")
    if not exponent > 0:
        return TheoryReadings(None, None, _RISES, _RISES)
    if over in ("parameters", "scale"):
        return TheoryReadings(Quanta(exponent, low, high), dimension_of_fit(exponent, low, high))
    no_manifold = f"Manifold theory’s law is one of parameters; it reads nothing in an exponent over {over}."
    if exponent >= 1:
        no_quanta = f"Over {over} the model’s exponent is α/(1+α), which stays below 1: no α gives {exponent:.3g}."
        return TheoryReadings(None, None, no_quanta, no_manifold)
    return TheoryReadings(Quanta(*map(_alpha_behind, (exponent, low, high))), None, "", no_manifold)


def _alpha_behind(exponent: float) -> float:
    """α whose exponent over samples or steps this is; infinite at 1 and above, nan for nan."""
    return math.inf if exponent >= 1 else exponent / (1 - exponent)
