"""How losses of one checkpoint are spread: what queries read of it and charts draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

LN2 = math.log(2)
PEAK_BINS = 50  # a peak is looked for in so many bins: finer ones would find noise
DECADE = 25  # bins a decade, at most, where losses are drawn on a logarithmic axis

EVEN = 84  # bins, at most, where they are drawn on an even axis


@dataclass(frozen=True, eq=False)
class Distribution:
    """One checkpoint's losses, counted in bins; none where the bundle holds no histogram."""

    lm: str
    revision: str
    step: int | None
    n_non_embedding: int
    is_final: bool
    is_clustered: bool
    mean_nats: float
    fraction_below: float  # share of all predictions under the run's threshold
    quantiles_nats: dict[str, float] = field(default_factory=dict)  # share → loss
    n_predictions: int = 0
    edges: np.ndarray = field(default_factory=lambda: np.empty(0))  # float64 (n_bins + 1,), nats
    counts: np.ndarray = field(default_factory=lambda: np.empty(0))  # int64 (n_bins,)

    @property
    def name(self) -> str:
        return f"{self.lm} {self.revision}"

    @cached_property
    def n_inside(self) -> int:
        """Predictions within the bins, over which densities are normalised."""
        return int(self.counts.sum())

    @property
    def n_outside(self) -> int:
        """Predictions whose loss lies beyond the last bin (none lies below 0)."""
        return max(self.n_predictions - self.n_inside, 0)

    @property
    def has_counts(self) -> bool:
        return self.n_inside > 0

    @cached_property
    def density(self) -> np.ndarray:
        """p(L) in every bin, per nat: its integral over the bins is 1."""
        return self.counts / (self.n_inside * np.diff(self.edges))

    @cached_property
    def first_share(self) -> float:
        """Share of the counted predictions in the first bin."""
        return float(self.counts[0]) / self.n_inside if self.has_counts else math.nan

    @property
    def first_is_densest(self) -> bool:
        return bool(self.density.argmax() == 0)

    def curve(self, places: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Middles in nats and p(L) per nat of bins merged from one place to the next."""
        edges = self.edges[[*places, len(self.counts)]]
        merged = np.add.reduceat(self.counts, places) / (self.n_inside * np.diff(edges))
        return (edges[1:] + edges[:-1]) / 2, merged

    @cached_property
    def integrand_peak(self) -> tuple[float, float]:
        """Where L·p(L) is largest, in nats, and half the width of the bins in which it was looked for."""
        places = even_places(len(self.counts), PEAK_BINS)
        middles, p = self.curve(places)
        at = int((middles * p).argmax())
        stop = [*places, len(self.counts)][at + 1]
        return float(middles[at]), float(self.edges[stop] - self.edges[places[at]]) / 2

    @cached_property
    def integrand_top(self) -> float:
        """The largest L·p(L) in bins as they are drawn; it is the same number in every unit."""
        middles, p = self.curve(even_places(len(self.counts)))
        return float((middles * p).max())

    @cached_property
    def half_mass(self) -> float:
        """The loss in nats above which lies half of the area under L·p(L)."""
        middles = (self.edges[1:] + self.edges[:-1]) / 2
        area = np.cumsum(middles * self.counts)
        return float(middles[np.searchsorted(area, area[-1] / 2)])

    def mass_below(self, loss_nats: float) -> float:
        """Share of the area under L·p(L) that losses below this add, to the nearest bin."""
        middles = (self.edges[1:] + self.edges[:-1]) / 2
        area = middles * self.counts
        return float(area[self.edges[1:] <= loss_nats * (1 + 1e-9)].sum() / area.sum())


def even_places(n_bins: int, most: int = EVEN) -> list[int]:
    """Where merged bins begin so that there are at most `most`, all equally many bins wide (but the last)."""
    return list(range(0, n_bins, max(1, -(-n_bins // most))))


def log_places(edges: np.ndarray, decade: int = DECADE) -> list[int]:
    """Where merged bins begin so that there are at most `decade` of them in a decade; the first bin stays alone."""
    slots = np.floor(decade * np.log10(np.maximum(edges[1:-1], 1e-12)) + 1e-9)
    return [0, *(np.unique(slots, return_index=True)[1] + 1).tolist()]


@dataclass(frozen=True)
class Learned:
    """Tokens first learned at one size: how many there are, and how many stay so at every larger size."""

    lm: str
    n_non_embedding: int
    n_first: int
    n_staying: int

    @property
    def share(self) -> float:
        """Of those first learned here, how many stay learned; nan where there are none."""
        return self.n_staying / self.n_first if self.n_first else math.nan
