"""How runs learn over training: exponents over steps beside the theory's, and clusters by rank and step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clusters.values.laws import NetworkLaw, Point
from compute.numerics.scaling import PowerLawFit


@dataclass(frozen=True)
class Published:
    """An exponent over steps 11,000 to 100,000 that others state of the same weights."""

    alpha: float
    source: str


_FIGURE = "the paper, Figure 11"
_CURVES = "a fit to published mean losses"
# by the network's name on the Hub: weights from before January 2023 (v0) and later ones are different trainings
PUBLISHED: Mapping[str, Published] = {
    "pythia-160m-v0": Published(0.03682, _FIGURE),
    "pythia-410m-v0": Published(0.05155, _FIGURE),
    "pythia-1b-v0": Published(0.04889, _FIGURE),
    "pythia-1.4b-v0": Published(0.06044, _FIGURE),
    "pythia-70m": Published(0.00311, _CURVES),
    "pythia-160m": Published(0.02391, _CURVES),
    "pythia-410m": Published(0.04369, _CURVES),
}


@dataclass(frozen=True)
class Expected:
    """The exponent over steps that the theory expects of a measured one over parameters: α_N / (1 + α_N)."""

    alpha_n: PowerLawFit

    @property
    def alpha(self) -> float:
        return over_steps(self.alpha_n.alpha)

    @property
    def low(self) -> float:
        return over_steps(self.alpha_n.low)

    @property
    def high(self) -> float:
        return over_steps(self.alpha_n.high)

    @property
    def has_interval(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


def over_steps(alpha: float) -> float:
    """α / (1 + α): it grows with α, so that the ends of an interval stay its ends; nan from −1 on."""
    return alpha / (1 + alpha) if alpha > -1 else math.nan


def expected_of(alpha_n: PowerLawFit | None) -> Expected | None:
    """None where losses do not fall over size: then there is no α of quanta."""
    return Expected(alpha_n) if alpha_n and alpha_n.alpha > 0 else None


def last_of(law: NetworkLaw) -> Point:
    return law.points[-1]


def lowest_of(law: NetworkLaw) -> Point:
    return min(law.points, key=lambda point: point.mean_nats)


def above_law(law: NetworkLaw) -> float | None:
    """How far the last mean loss lies above what the law expects there, as a share; None where it expects nothing."""
    last = last_of(law)
    expected = float(law.fit.predict(last.x)) if law.fit else 0.0
    return last.mean_nats / expected - 1 if expected else None


@dataclass(frozen=True, eq=False)
class Heat:
    """Mean loss of every cluster of one clustering over the steps of one network."""

    ranks: list[int]  # rising from 1
    labels: list[int]
    sizes: np.ndarray  # int64 (k,)
    steps: np.ndarray  # rising, all above 0
    means: np.ndarray  # nats, float32 (k, n_steps)

    def grouped(self, edges: list[int]) -> np.ndarray:
        """Mean loss over the tokens of neighbours by rank, float64 (len(edges) − 1, n_steps); edges count from 0."""
        weights = self.sizes.astype(np.float64)
        sums = np.add.reduceat(self.means * weights[:, None], edges[:-1], axis=0)
        return np.asarray(sums / np.add.reduceat(weights, edges[:-1])[:, None])
