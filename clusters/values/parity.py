"""Multitask sparse parity as pages read it: trained networks, laws fitted to them, one α of a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

from clusters.values.readings import Unit
from compute.numerics.scaling import PowerLawFit

LN2 = math.log(2)  # nats: the loss of a guess between two labels
Resource = Literal["N", "S", "D"]
RESOURCES: tuple[Resource, ...] = ("N", "S", "D")
NOUNS: Mapping[Resource, str] = {"N": "parameters", "S": "training steps", "D": "training samples"}


@dataclass(frozen=True)
class Network:
    """One network of an experiment: row `index` of its arrays."""

    index: int
    alpha: float
    width: int
    n_parameters: int
    n_samples: int | None  # None: every batch is new
    seed: int
    test_loss_nats: float | None
    best_test_loss_nats: float | None
    best_step: int | None
    n_learned: int
    diverged_at: int | None

    @property
    def is_sound(self) -> bool:
        return self.diverged_at is None and self.test_loss_nats is not None


@dataclass(frozen=True)
class Law:
    """A straight line in logarithms, as the experiment fitted it; `reason` says why there is none."""

    alpha: float
    seed: int | None = None  # None: all seeds together
    exponent: float = math.nan
    low: float | None = None
    high: float | None = None
    theory: float | None = None
    finite_k: float | None = None
    first: float | None = None
    last: float | None = None
    n_points: int = 0
    r_squared: float | None = None
    width: int | None = None
    n_samples: int | None = None
    reason: str = ""

    @property
    def is_fitted(self) -> bool:
        return math.isfinite(self.exponent)

    @property
    def has_interval(self) -> bool:
        return self.low is not None and self.high is not None

    @property
    def agrees(self) -> bool | None:
        """Whether the interval holds the theory's exponent; None where one of them is missing."""
        if self.low is None or self.high is None or self.theory is None:
            return None
        return self.low <= self.theory <= self.high


@dataclass(frozen=True)
class Sweep:
    """All that an experiment found, as its row says it."""

    n_tasks: int
    networks: tuple[Network, ...]
    laws: Mapping[str, tuple[Law, ...]]  # by "N", "S", "D", "n_of_D", "convergence"
    correlations: tuple[Mapping[str, Any], ...]
    thresholds: tuple[Mapping[str, Any], ...]  # τ: samples of a task until it was learned

    @cached_property
    def alphas(self) -> tuple[float, ...]:
        """In the order of the experiment's settings, which is that of its frequencies."""
        return tuple(dict.fromkeys(one.alpha for one in self.networks))

    def at(self, alpha: float) -> tuple[Network, ...]:
        return tuple(one for one in self.networks if one.alpha == alpha)

    def law(self, name: str, alpha: float) -> Law | None:
        """The law over all seeds of one α; a single seed's where nothing was put together."""
        known = [one for one in self.laws.get(name, ()) if one.alpha == alpha]
        return min(known, key=lambda one: one.seed is not None, default=None)

    def tau(self, resource: Resource, alpha: float) -> Mapping[str, Any] | None:
        """Median, low and high number of samples that a task took until it was learned."""
        known = (one for one in self.thresholds if one.get("resource") == resource and one.get("alpha") == alpha)
        return next((one for one in known if one.get("median") is not None), None)

    def rho(self, network: Network) -> float | None:
        """Spearman's ρ of frequency and order of learning in one network."""
        found = next((one.get("rho") for one in self.correlations if one.get("run") == network.index), None)
        return float(found) if found is not None else None


@dataclass(frozen=True)
class Window:
    """Which x are fitted, both ends included."""

    first: float
    last: float

    def holds(self, x: float) -> bool:
        return self.first <= x <= self.last


@dataclass(frozen=True)
class Point:
    """A loss, or a number of learned tasks, at one size, step or number of samples."""

    x: float
    y: float
    name: str


@dataclass(frozen=True)
class Measured:
    """One law of the page: its points, the window that was fitted, and what came out."""

    resource: Resource
    points: tuple[Point, ...]
    window: Window | None
    law: Law
    fit: PowerLawFit | None
    is_typed: bool = False  # whether somebody chose the window

    @property
    def inside(self) -> tuple[Point, ...]:
        window = self.window
        return tuple(one for one in self.points if window is not None and window.holds(one.x))


def sweep_of(found: Mapping[str, Any], n_tasks: int) -> Sweep:
    """What an experiment's row holds."""
    networks = tuple(
        Network(index=i, **{name: one.get(name) for name in _OF_NETWORK}) for i, one in enumerate(found["runs"])
    )
    laws = {
        name: tuple(Law(**{key: value for key, value in one.items() if key in _OF_LAW and value is not None})
                    for one in entries)
        for name, entries in found.get("fits", {}).items()
    }  # fmt: skip
    return Sweep(n_tasks, networks, laws, tuple(found.get("spearman", ())), tuple(found.get("tau", ())))


_OF_NETWORK = [one.name for one in fields(Network) if one.name != "index"]
_OF_LAW = {one.name for one in fields(Law)}


def network_name(network: Network, among: Sequence[Network] = ()) -> str:
    """What tells a network from the others: width, samples, seed, as far as those differ."""
    parts = [f"width {network.width:,}"]
    if network.n_samples is not None or len({one.n_samples for one in among}) > 1:
        parts.append("new batches" if network.n_samples is None else f"{network.n_samples:,} samples")
    if len({one.seed for one in among}) > 1:
        parts.append(f"seed {network.seed}")
    return ", ".join(parts)


def unit_factor(unit: Unit) -> float:
    """From nats."""
    return 1 / LN2 if unit == "bits" else 1.0
