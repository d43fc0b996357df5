"""Laws fitted to mean losses: what queries keep of them and charts draw."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from compute.numerics.bnsl import Break, BrokenPowerLaw
from compute.numerics.laws import LAWS, Comparison, Trial
from compute.numerics.manifold import Dimension, dimension_of_fit
from compute.numerics.scaling import PowerLawFit

NEXT = 10.0  # how many times the largest x the laws are asked about
PAPER_STEPS = (11_000, 100_000)  # the window of the paper's Figure 11
LAW_NAMES = {
    "power": "power law",
    "offset": "with a floor",
    "break-1": "one break",
    "break-2": "two breaks",
    "break-3": "three breaks",
}


@dataclass(frozen=True)
class Point:
    """A mean loss at one size or step."""

    x: float
    mean_nats: float
    name: str


@dataclass(frozen=True)
class Window:
    """Which x are fitted, both ends included."""

    first: float
    last: float

    def holds(self, x: float) -> bool:
        return self.first <= x <= self.last


@dataclass(frozen=True)
class Fitted:
    """All laws over the points within a window."""

    points: tuple[Point, ...]  # by x, also those outside the window
    window: Window
    comparison: Comparison

    @cached_property
    def inside(self) -> list[Point]:
        return [point for point in self.points if self.window.holds(point.x)]

    @property
    def is_whole(self) -> bool:
        """Whether every law was tried."""
        return len(self.comparison.trials) == len(LAWS)

    @property
    def known(self) -> list[Point]:
        """The points that the judged fits had seen; all of them where none could be judged."""
        return self.inside[: len(self.inside) - len(self.held_out)]

    @property
    def held_out(self) -> list[Point]:
        """The points that the judged fits were asked about."""
        return self.inside[-self.comparison.n_held_out :] if self.judged else []

    @property
    def judged(self) -> list[Trial]:
        """The trials that have a fit without the held-out points."""
        return [trial for trial in self.comparison.trials if trial.judged]

    @property
    def next_x(self) -> float:
        return NEXT * self.inside[-1].x

    @property
    def manifold(self) -> Dimension | None:
        """What the rival theory reads in the plain power law, of laws over parameters."""
        power = self.comparison.trials[0]
        if power.law is None:
            return None
        return dimension_of_fit(power.law.exponent, *power.intervals.get("c0", (math.nan, math.nan)))


@dataclass(frozen=True)
class NetworkLaw:
    """How one network's mean loss falls over its steps."""

    lm: str
    n_non_embedding: int
    points: tuple[Point, ...]
    window: Window
    fit: PowerLawFit | None


@dataclass(frozen=True)
class QuantileLaw:
    """How one quantile of the losses falls over size."""

    share: str  # "0.5"
    points: tuple[Point, ...]
    fit: PowerLawFit | None

    @property
    def name(self) -> str:
        return "median" if self.share == "0.5" else f"p{100 * float(self.share):g}"


@dataclass(frozen=True, eq=False)
class ClusterLaws:
    """A power law for every cluster of one clustering, by rank."""

    affinity: str
    k: int
    labels: list[int]
    sizes: list[int]
    alpha: np.ndarray  # float64 (n_clusters,), nan where a mean is not positive
    low: np.ndarray
    high: np.ndarray
    r_squared: np.ndarray

    @cached_property
    def known(self) -> np.ndarray:
        """Places of the clusters that have an exponent."""
        return np.flatnonzero(np.isfinite(self.alpha))


def default_steps(steps: Sequence[float]) -> Window:
    """The largest two thirds of the positive steps in the logarithm."""
    known = sorted(step for step in steps if step > 0)
    since = known[0] ** (2 / 3) * known[-1] ** (1 / 3)
    return Window(next((step for step in known if step >= since), known[-1]), known[-1])


def packed(comparison: Comparison) -> np.ndarray:
    """A comparison as bytes, to be kept."""
    return np.frombuffer(json.dumps(asdict(comparison)).encode(), np.uint8)


def unpacked(kept: np.ndarray) -> Comparison:
    """What `packed` made."""
    stated = json.loads(bytes(kept))
    trials = []
    for entry in stated["trials"]:
        law, judged = _law(entry.pop("law")), _law(entry.pop("judged"))
        intervals = {name: (low, high) for name, (low, high) in entry.pop("intervals").items()}
        trials.append(Trial(**entry, law=law, intervals=intervals, judged=judged))
    return Comparison(tuple(trials), stated["n_points"], stated["n_held_out"])


def _law(stated: dict[str, Any] | None) -> BrokenPowerLaw | None:
    if stated is None:
        return None
    return BrokenPowerLaw(**stated | {"breaks": tuple(Break(**one) for one in stated["breaks"])})
