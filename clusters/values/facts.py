"""What queries read of a run and charts draw: plain values and the fits through them, known to both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, median, stdev
from typing import Any

import numpy as np

from compute.errors import FitError
from compute.numerics.emergence import BELOW_FROM_START, CROSSED, NEVER
from compute.numerics.ranks import EnvelopeFit, default_window, envelope, fit_envelope
from compute.numerics.scaling import PowerLawFit, fit_power_law

CAVEAT = 0.2  # the paper's own allowance for the slope of an envelope
LOSS_EDGES = (0.0, *(10 ** (-4 + i / 10) for i in range(54)))  # nats: ten bins a decade up to 20, and all below 10⁻⁴
EMERGENCE_NATS = 0.5  # a cluster counts as learned where its mean loss falls below this
EXPONENT_STEP = 0.01  # how finely true exponents are told apart
FEW_TOKENS = 3  # clusters of so few tokens say more about k than about frequency


@dataclass(frozen=True)
class FinalCheckpoint:
    """One network at the end of its training, as a run measured it."""

    lm: str
    revision: str
    n_non_embedding: int
    mean_loss_nats: float
    fraction_below: float
    column: str
    is_clustered: bool
    histogram: tuple[int, ...] = ()  # predictions between LOSS_EDGES


def scaling_fit(finals: Sequence[FinalCheckpoint]) -> PowerLawFit | None:
    """The power law of mean loss in parameters; None where fewer than two sizes or odd losses allow none."""
    try:
        return fit_power_law([one.n_non_embedding for one in finals], [one.mean_loss_nats for one in finals])
    except FitError:
        return None


@dataclass(frozen=True)
class Sizes:
    """One clustering by its clusters' sizes, largest first."""

    k: int
    sizes: list[int]
    n_singletons: int

    @property
    def n_clusters(self) -> int:
        return len(self.sizes)

    @property
    def largest(self) -> int:
        return self.sizes[0] if self.sizes else 0

    @property
    def median(self) -> float:
        return float(median(self.sizes)) if self.sizes else 0.0

    @property
    def n_tied(self) -> int:
        """Clusters that share their size with another."""
        counts = np.unique(self.sizes, return_counts=True)[1]
        return int(counts[counts > 1].sum())

    @property
    def top_tenth_share(self) -> float:
        """Share of all tokens that the largest tenth of the clusters holds."""
        n_top = max(1, round(len(self.sizes) / 10))
        return sum(self.sizes[:n_top]) / max(sum(self.sizes), 1)


@dataclass(frozen=True)
class RankCurves:
    """All clusterings of a run at one affinity, by k."""

    affinity: str
    clusterings: list[Sizes]

    @cached_property
    def envelope(self) -> list[int]:
        """The largest size at every rank over all k, from rank 1."""
        if not self.clusterings:
            return []
        return [int(size) for size in envelope([one.sizes for one in self.clusterings])]

    @cached_property
    def window(self) -> tuple[int, int]:
        """The ranks fitted where nobody states them."""
        return default_window(self.envelope) if self.envelope else (1, 1)

    @property
    def ks(self) -> list[int]:
        return [one.k for one in self.clusterings]

    def at(self, k: int | None) -> Sizes | None:
        return next((one for one in self.clusterings if one.k == k), None)

    def fit(self, first: int, last: int) -> EnvelopeFit:
        """The envelope's power law over ranks `first` to `last`; FitError where the window doesn't suit."""
        if not self.envelope:
            raise FitError(f"the run has no clusterings with {self.affinity} affinity")
        return fit_envelope(self.envelope, first, last)

    def try_fit(self, first: int, last: int) -> EnvelopeFit | None:
        try:
            return self.fit(first, last)
        except FitError:
            return None

    def without_largest_k(self) -> RankCurves:
        return RankCurves(self.affinity, self.clusterings[:-1])

    @property
    def first_small_rank(self) -> int | None:
        """From which rank on the envelope holds at most three tokens."""
        return next((rank for rank, size in enumerate(self.envelope, 1) if size <= FEW_TOKENS), None)


def spread_ks(ks: Sequence[int], most: int = 8) -> list[int]:
    """At most `most` of the ks, evenly over their order on a logarithmic axis, both ends included."""
    if len(ks) <= most:
        return list(ks)
    wanted = np.linspace(np.log(ks[0]), np.log(ks[-1]), most)
    nearest = np.abs(np.log(ks)[:, None] - wanted).argmin(axis=0)
    return [ks[place] for place in sorted(set(nearest.tolist()))]


@dataclass(frozen=True)
class ToySlopes:
    """Slopes that QDG measures on toy data of known exponents: a row an exponent, a column a draw."""

    exponents: list[float]
    slopes: list[list[float]]
    setting: dict[str, Any]

    @cached_property
    def means(self) -> list[float]:
        return [mean(row) for row in self.slopes]

    @cached_property
    def spreads(self) -> list[float]:
        """Standard deviation over draws."""
        return [stdev(row) for row in self.slopes]

    def compatible(self, slope: float, standard_error: float = 0.0) -> tuple[float, float] | None:
        """The least and the largest true exponent whose toys measure such a slope; None where none does.

        Within two standard deviations, the toy's spread over draws and the slope's own error taken together.
        """
        n = round((self.exponents[-1] - self.exponents[0]) / EXPONENT_STEP) + 1
        fine = np.linspace(self.exponents[0], self.exponents[-1], n)
        expected = np.interp(fine, self.exponents, self.means)
        spread = np.hypot(np.interp(fine, self.exponents, self.spreads), standard_error)
        inside = fine[np.abs(slope - expected) <= 2 * spread]
        return (float(inside[0]), float(inside[-1])) if len(inside) else None


@dataclass(frozen=True)
class Scale:
    """What networks grow by: parameters at the end of training, or training steps of one network."""

    over: str  # "parameters" or "steps"
    lm: str  # of the steps; empty for parameters
    values: tuple[float, ...]  # ascending

    @property
    def noun(self) -> str:
        return "non-embedding parameters" if self.over == "parameters" else "training step"


@dataclass(frozen=True)
class LearnedCluster:
    """A cluster with the scale at which its mean loss falls below a threshold; nan unless `state` is CROSSED."""

    label: int
    rank: int
    size: int
    dominant_share: float
    answer: str
    scale: float
    state: int  # of compute.numerics.emergence
    last_nats: float  # mean loss at the largest scale

    @property
    def known_scale(self) -> float | None:
        return self.scale if self.state == CROSSED else None

    @property
    def place(self) -> float:
        """The scale for ordering: what lies outside the scales measured lies beyond all of them."""
        return {CROSSED: self.scale, BELOW_FROM_START: -math.inf, NEVER: math.inf}[self.state]


@dataclass(frozen=True)
class Emergence:
    """Clusters of one clustering by rank, and where on a scale each is learned."""

    scale: Scale
    threshold_nats: float
    clusters: list[LearnedCluster]

    def keep(self, least_tokens: int = 1, most_share: float = 1.0) -> Emergence:
        """Only clusters of so many tokens whose commonest answer is no larger a share."""
        if least_tokens <= 1 and most_share >= 1:
            return self
        kept = [one for one in self.clusters if one.size >= least_tokens and one.dominant_share <= most_share]
        return Emergence(self.scale, self.threshold_nats, kept)

    @cached_property
    def by_state(self) -> dict[int, list[LearnedCluster]]:
        found: dict[int, list[LearnedCluster]] = {CROSSED: [], BELOW_FROM_START: [], NEVER: []}
        for one in self.clusters:
            found[one.state].append(one)
        return found

    @property
    def ordered_by_frequency(self) -> tuple[float, ...]:
        """Grows as clusters get rarer; clusters of one size are equals."""
        return tuple(-float(one.size) for one in self.clusters)

    @property
    def ordered_by_scale(self) -> tuple[float, ...]:
        return tuple(one.place for one in self.clusters)

    def theory_constant(self, exponent: float) -> float | None:
        """C of the line scale = C · rank^exponent with as many crossings above as below; None without any."""
        crossed = [one for one in self.by_state[CROSSED] if one.scale > 0]
        if not crossed:
            return None
        return math.exp(median(math.log(one.scale) - exponent * math.log(one.rank) for one in crossed))

    def medians(self, most: int = 9, least: int = 5) -> list[tuple[float, float]]:
        """(rank, median scale) of clusters between powers of two of rank; medians beyond the scales are left out."""
        bins: dict[int, list[LearnedCluster]] = {}
        for one in self.clusters:
            bins.setdefault(min(int(math.log2(one.rank)), most), []).append(one)
        found = []
        for members in bins.values():
            middle = median(one.place for one in members) if len(members) >= least else math.nan
            if math.isfinite(middle) and middle > 0:
                found.append((math.exp(mean(math.log(one.rank) for one in members)), middle))
        return found
