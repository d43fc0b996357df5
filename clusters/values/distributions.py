"""How losses of one checkpoint are spread: what queries read of it and charts draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

LN2 = math.log(2)
PEAK_WINDOW = 50  # a peak is looked for in a window of a 50th of the coarser bins: narrower ones would find noise
DECADE = 25  # bins a decade, at most, where losses are drawn on a logarithmic axis
EVEN = 84  # bins, at most, where they are drawn on an even axis
FINE_EDGES = np.arange(15_001) * 0.002 * LN2  # nats: of the bundle's fine bins, 500 a bit up to 30 bits
BITS_18 = 9_000  # fine bins


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins to count losses in, each some of the bundle's own."""

    edges: np.ndarray  # float64 (n_bins + 1,), nats
    places: np.ndarray  # int64 (n_bins + 1,), of the edges among the bundle's own
    n_drawn: int = EVEN
    n_window: int = 1  # bins over which a peak is looked for

    def __len__(self) -> int:
        return len(self.edges) - 1

    @cached_property
    def widths(self) -> np.ndarray:
        return np.diff(self.edges)

    @cached_property
    def middles(self) -> np.ndarray:
        return (self.edges[1:] + self.edges[:-1]) / 2

    @cached_property
    def by_decade(self) -> Bins:
        """These as they are drawn on a logarithmic axis."""
        return self.merged(log_places(self.edges))

    @cached_property
    def evenly(self) -> Bins:
        """These as they are drawn on an even axis."""
        return self.merged(even_places(len(self), self.n_drawn))

    def merged(self, begins: Sequence[int]) -> Bins:
        """Fewer bins, which begin at these."""
        ends = [*begins, len(self)]
        return Bins(self.edges[ends], self.places[ends])


@dataclass(frozen=True)
class Peak:
    """Where L·p(L) is largest: the middle of a window, in nats, between the ends of what counting cannot tell apart."""

    at: float
    low: float
    high: float
    window: float


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many losses lie in each of some bins."""

    bins: Bins
    row: np.ndarray  # counts in the bundle's own bins

    @cached_property
    def counts(self) -> np.ndarray:
        """int64 (n_bins,)"""
        places = self.bins.places
        return np.add.reduceat(self.row[: places[-1]], places[:-1], dtype=np.int64)

    @cached_property
    def n_inside(self) -> int:
        """Predictions within the bins, over which densities are normalised."""
        return int(self.counts.sum())

    @property
    def by_decade(self) -> Histogram:
        """As it is drawn on a logarithmic axis."""
        return Histogram(self.bins.by_decade, self.row)

    @cached_property
    def evenly(self) -> Histogram:
        """As it is drawn on an even axis."""
        return Histogram(self.bins.evenly, self.row)

    @cached_property
    def density(self) -> np.ndarray:
        """p(L) in every bin, per nat: its integral over the bins is 1."""
        return self.counts / (self.n_inside * self.bins.widths)

    @cached_property
    def integrand(self) -> np.ndarray:
        """L·p(L) in every bin; it is the same number in every unit."""
        return self.bins.middles * self.density

    @cached_property
    def reached(self) -> np.ndarray:
        """The area under L·p(L) up to every edge, in nats: the mean loss of those inside at the last."""
        return np.concatenate([[0.0], np.cumsum(self.bins.middles * self.counts)]) / self.n_inside

    @property
    def first_share(self) -> float:
        """Share of the counted predictions in the first bin."""
        return float(self.counts[0]) / self.n_inside

    @cached_property
    def peak(self) -> Peak:
        """Where L·p(L) is largest.

        The window is moved bin by bin. Single bins would not do: around its top L·p(L) is flat over bits, where bins
        that are counted by chance a little higher are far from each other. For the same reason so are its ends: they
        enclose the windows whose height differs from the largest by less than twice the error of counting both.
        """
        n, edges = min(self.bins.n_window, len(self.bins)), self.bins.edges
        below = np.concatenate([[0], np.cumsum(self.counts)])
        height = (self.reached[n:] - self.reached[:-n]) / (edges[n:] - edges[:-n])
        variance = height**2 / np.maximum(below[n:] - below[:-n], 1)
        at = int(height.argmax())
        near = np.flatnonzero(height[at] - height <= 2 * np.sqrt(variance[at] + variance))
        middles = (edges[n:] + edges[:-n]) / 2
        low, high = float(middles[near[0]]), float(middles[near[-1]])
        return Peak(float(middles[at]), low, high, window=float(edges[at + n] - edges[at]))

    @cached_property
    def top(self) -> float:
        """The largest L·p(L) in bins as they are drawn."""
        return float(self.evenly.integrand.max())

    @cached_property
    def half_mass(self) -> float:
        """The loss in nats above which lies half of the area under L·p(L)."""
        return float(self.bins.middles[np.searchsorted(self.reached[1:], self.reached[-1] / 2)])

    def mass_below(self, loss_nats: float) -> float:
        """Share of the area under L·p(L) that losses below this add; within a bin it grows evenly."""
        return float(np.interp(loss_nats, self.bins.edges, self.reached) / self.reached[-1])


@dataclass(frozen=True, eq=False)
class Binning:
    """The bins of each figure, shared by all checkpoints of a bundle."""

    by_size: Bins  # p(L) of final checkpoints
    by_step: Bins  # p(L) over training
    integrand: Bins  # L·p(L)
    is_fine: bool  # as the paper's; in older bundles all three are the same bins

    @classmethod
    def fine(cls, edges: np.ndarray) -> Binning:
        """1,000 and 3,000 bins on [0, 18] bits, and 3,000 on [0, 30]: 9, 3 and 5 of the bundle's fine ones."""
        nine, three, five = (np.arange(0, last + 1, n) for n, last in ((9, BITS_18), (3, BITS_18), (5, len(edges) - 1)))
        integrand = Bins(edges[five], five, n_drawn=100, n_window=36)
        return cls(Bins(edges[nine], nine), Bins(edges[three], three), integrand, is_fine=True)

    @classmethod
    def plain(cls, edges: np.ndarray) -> Binning:
        """The bundle's bins as they are."""
        bins = Bins(edges, np.arange(len(edges)), n_window=-(-(len(edges) - 1) // PEAK_WINDOW))
        return cls(bins, bins, bins, is_fine=False)


class Heights(NamedTuple):
    """How high a checkpoint's lines reach in the bins that are drawn; 0 without a histogram."""

    density: float  # p(L) over training, per nat
    integrand: float  # L·p(L)


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
    binning: Binning | None = None
    row: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # counts in the bundle's own bins
    known_heights: Heights | None = None  # what `heights` would find; hundreds of checkpoints take long

    @property
    def name(self) -> str:
        return f"{self.lm} {self.revision}"

    @cached_property
    def heights(self) -> Heights:
        if self.known_heights is not None:
            return self.known_heights
        if not self.has_counts:
            return Heights(0.0, 0.0)
        return Heights(float(self.by_step.by_decade.density.max()), self.integrand.top)

    @cached_property
    def has_counts(self) -> bool:
        return self.binning is not None and bool(self.row[: self._bins.by_size.places[-1]].any())

    @cached_property
    def by_size(self) -> Histogram:
        """For p(L) of final checkpoints, and the share in its first bin."""
        return Histogram(self._bins.by_size, self.row)

    @cached_property
    def by_step(self) -> Histogram:
        """For p(L) over training."""
        return Histogram(self._bins.by_step, self.row)

    @cached_property
    def integrand(self) -> Histogram:
        """For L·p(L)."""
        return Histogram(self._bins.integrand, self.row)

    @property
    def is_fine(self) -> bool:
        return self._bins.is_fine

    @property
    def n_outside(self) -> int:
        """Predictions whose loss lies beyond the bins of p(L) (none lies below 0)."""
        return max(self.n_predictions - self.by_size.n_inside, 0)

    @property
    def first_share(self) -> float:
        """Share of the predictions counted for p(L) in its first bin: under 0.018 bits as the paper counts."""
        return self.by_size.first_share

    @property
    def first_is_densest(self) -> bool:
        return bool(self.by_size.density.argmax() == 0)

    @property
    def _bins(self) -> Binning:
        if self.binning is None:
            raise LookupError(f"{self.name} has no histogram; ask has_counts first.")
        return self.binning


def even_places(n_bins: int, most: int) -> list[int]:
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
