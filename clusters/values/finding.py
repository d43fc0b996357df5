"""What one may look for among a run's predictions: plain values that forms read, queries test and charts draw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

BAND_EDGES_NATS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 12.0)  # the edges of the shades, open at the top
N_BANDS = len(BAND_EDGES_NATS)
LEAST_SIZES = 3  # a curve over fewer sizes has no scores
HIGH_NATS, LOW_NATS = 5.0, 0.3  # the paper's: not learned, learned
STEEP, STRAIGHT = -0.3, 0.98  # the paper's: slope in nats per unit of ln N, and R², of a polygenic curve
SHAPE_BITS = 1.0  # a rise or a peak that is higher is called one
NEVER_SIZES = 3  # so many of the largest sizes must fail on a token that is never learned


class Score(NamedTuple):
    """A number that every prediction has, by the name that addresses use."""

    name: str  # column of the bundle
    text: str
    unit: str
    digits: int


SCORES: Mapping[str, Score] = {
    "m": Score("monogenicity", "M", "", 2),
    "n": Score("n_eff", "effective steps", "", 1),
    "a": Score("amplitude_bits", "amplitude", "bits", 1),
    "l": Score("linearity", "linearity", "", 1),
    "b": Score("breakthroughness", "breakthroughness", "", 1),
    "slope": Score("slope", "slope", "nats per ln N", 2),
    "r2": Score("r_squared", "R²", "", 3),
}


SHAPES: Mapping[str, Score] = {  # worked out of the losses once, not in the bundle
    "rise": Score("rise_bits", "rise with size", "bits", 1),
    "peak": Score("peak_bits", "peak over size", "bits", 1),
    "step_rise": Score("step_rise_bits", "rise over training", "bits", 1),
    "step_peak": Score("step_peak_bits", "peak over training", "bits", 1),
}
MEASURES: Mapping[str, Score] = {**SCORES, **SHAPES}


class Bounds(NamedTuple):
    """An open interval: a value passes that is above the one and below the other; no number never passes."""

    above: float | None = None
    below: float | None = None


@dataclass(frozen=True)
class Plane:
    """Two scores against each other, with the part of the paper that their chart shows."""

    key: str
    x: str
    y: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    is_log_y: bool = False

    def place_y(self, value: float) -> float:
        """A value of y in the coordinate that is even on paper."""
        return math.log(value) if self.is_log_y else value

    @property
    def y_ends(self) -> tuple[float, float]:
        """The ends of y in that coordinate."""
        return self.place_y(self.y_range[0]), self.place_y(self.y_range[1])


def planes(n_sizes: int) -> dict[str, Plane]:
    """The planes of a run with so many sizes."""
    most = float(max(n_sizes - 1, 2))
    return {
        "mn": Plane("mn", "m", "n", (-1.0, 1.0), (1.0, most)),
        "lb": Plane("lb", "l", "b", (1.0, most), (1.0, 100.0), is_log_y=True),
    }


LASSO_STEPS = 4095  # a lasso's corners stand on a grid of so many steps each way
MOST_CORNERS = 64


@dataclass(frozen=True)
class Lasso:
    """A polygon drawn on a plane, its corners in steps of the plane's ranges."""

    plane: str
    corners: tuple[tuple[int, int], ...]

    def on(self, plane: Plane) -> list[tuple[float, float]]:
        """The corners in the plane's even coordinates."""
        (x0, x1), (y0, y1) = plane.x_range, plane.y_ends
        return [(x0 + (x1 - x0) * i / LASSO_STEPS, y0 + (y1 - y0) * j / LASSO_STEPS) for i, j in self.corners]


@dataclass(frozen=True)
class Criteria:
    """What a prediction must be like to be found; every part must hold, and within a facet any of its values."""

    bounds: tuple[tuple[str, Bounds], ...] = ()  # by name, sorted: a score, or s1, s2 … for the losses in nats
    lasso: Lasso | None = None
    answer: str = ""
    is_whole: bool = False
    answer_id: int | None = None
    classes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    bands: tuple[int, ...] = ()
    induced: bool | None = None
    clustered: bool | None = None

    @property
    def base(self) -> Criteria:
        """The same without facets: what thresholds, lasso and answer say."""
        return replace(self, classes=(), kinds=(), bands=(), induced=None, clustered=None)

    @property
    def has_facets(self) -> bool:
        return self.base != self

    @property
    def is_all(self) -> bool:
        return self == Criteria()

    def bound(self, name: str) -> Bounds:
        return dict(self.bounds).get(name, Bounds())

    def with_bounds(self, changes: Mapping[str, Bounds]) -> Criteria:
        """The same with some bounds replaced; an empty one takes a bound out."""
        kept = dict(self.bounds) | dict(changes)
        return replace(self, bounds=tuple(sorted((n, b) for n, b in kept.items() if b != Bounds())))


def made(**bounds: Bounds) -> Criteria:
    return Criteria().with_bounds(bounds)


@dataclass(frozen=True)
class Offer:
    """What one may ask of a run."""

    size_names: tuple[str, ...]  # smallest first; none without their losses
    scores: frozenset[str]
    shapes: frozenset[str]
    planes: Mapping[str, Plane]
    kinds: tuple[str, ...]
    orders: tuple[str, ...]
    has_class: bool
    has_induced: bool
    has_clustered: bool
    has_loss: bool

    @property
    def thresholds(self) -> list[str]:
        """The names that may have bounds: scores and shapes, then the losses by size."""
        known = self.scores | self.shapes
        return [*(key for key in MEASURES if key in known), *(f"s{i + 1}" for i in range(len(self.size_names)))]


class Preset(NamedTuple):
    """A rule with a name: criteria and what they say in words."""

    key: str
    group: str
    text: str
    meaning: str
    criteria: Criteria
    sort: str = ""  # the order that shows it best; "" keeps the one that is there


def presets(offer: Offer) -> Iterator[Preset]:
    """The rules that a run's numbers allow: ours, the paper's own, and two for what networks get wrong."""
    n = len(offer.size_names)
    if offer.has_class:
        yield Preset("monogenic", "our classes", "monogenic", "M above 0.5, fewer than 2 effective steps, at least "
                     "1 bit lost", Criteria(classes=("monogenic",)))  # fmt: skip
        yield Preset("polygenic", "our classes", "polygenic", "M below −0.5, more than 3.5 effective steps, at least "
                     "1 bit lost", Criteria(classes=("polygenic",)))  # fmt: skip
    for j in range(1, n):
        high = {f"s{i}": Bounds(above=HIGH_NATS) for i in range(1, j + 1)}
        low = {f"s{i}": Bounds(below=LOW_NATS) for i in range(j + 1, n + 1)}
        yield Preset(f"step-{j}", "the paper’s monogenic, learned at", offer.size_names[j],
                     f"every loss before it above {HIGH_NATS:g} nats, every loss from it on below {LOW_NATS:g}",
                     made(**high, **low))  # fmt: skip
    if {"slope", "r2"} <= offer.scores:
        yield Preset("line", "the paper’s", "polygenic", f"slope below −{-STEEP:g} nats per ln N, R² above {STRAIGHT}",
                     made(slope=Bounds(below=STEEP), r2=Bounds(above=STRAIGHT)))  # fmt: skip
    yield from _shapes(offer.shapes)
    if n >= LEAST_SIZES:
        yield _never(n)


def _shapes(there: frozenset[str]) -> Iterator[Preset]:
    """Losses that do not simply fall."""
    bound = Bounds(above=SHAPE_BITS)
    if "rise" in there:
        yield Preset("inverse", "shape over size", "rises", f"inverse scaling: the mean loss of the largest third of "
                     f"the sizes lies more than {SHAPE_BITS:g} bit above that of the smallest", made(rise=bound),
                     "rise")  # fmt: skip
        yield Preset("double", "shape over size", "rises, then falls", "as in double descent: the loss rises by more "
                     f"than {SHAPE_BITS:g} bit and then falls again by more than that; losses of single tokens wobble "
                     "from network to network, so raise the bound for the clear ones", made(peak=bound),
                     "peak")  # fmt: skip
    if "step_rise" in there:
        yield Preset("step-inverse", "shape over training", "rises", f"forgotten: the mean loss of the last third of "
                     f"training, in ln step, lies more than {SHAPE_BITS:g} bit above that of the first",
                     made(step_rise=bound), "step-rise")  # fmt: skip
        yield Preset("step-double", "shape over training", "rises, then falls", "the loss, averaged over stages of "
                     f"training even in ln step, rises by more than {SHAPE_BITS:g} bit and then falls again by more "
                     "than that", made(step_peak=bound), "step-peak")  # fmt: skip


def _never(n: int) -> Preset:
    n_never = min(NEVER_SIZES, n)
    never = {f"s{i}": Bounds(above=HIGH_NATS) for i in range(n - n_never + 1, n + 1)}
    return Preset("never", "not learned", "never learned",
                  f"the loss at each of the {n_never} largest sizes stays above {HIGH_NATS:g} nats",
                  made(**never))  # fmt: skip


class Order(NamedTuple):
    """A way to sort: by a column ("" is the place in the corpus), rising or falling."""

    text: str
    column: str  # a score, "loss" of the clustered network, or ""
    falls: bool


ORDERS: Mapping[str, Order] = {
    "monogenic": Order("M, one step first", "m", True),
    "polygenic": Order("−M, a line first", "m", False),
    "steps": Order("effective steps, most first", "n", True),
    "amplitude": Order("amplitude, most bits lost first", "a", True),
    "breakthroughness": Order("breakthroughness, most sudden first", "b", True),
    "linearity": Order("linearity, most even first", "l", True),
    "rise": Order("rise with size, highest first", "rise", True),
    "peak": Order("peak over size, highest first", "peak", True),
    "step-rise": Order("rise over training, highest first", "step_rise", True),
    "step-peak": Order("peak over training, highest first", "step_peak", True),
    "rising": Order("slope, steepest rise first", "slope", True),
    "falling": Order("slope, steepest fall first", "slope", False),
    "loss": Order("loss, lowest first", "loss", False),
    "loss-high": Order("loss, highest first", "loss", True),
    "index": Order("place in the corpus", "", False),
}


@dataclass(frozen=True)
class Cursor:
    """The last token of a page: the next one begins after it."""

    key: float  # what it was sorted by; −∞ (falling) or ∞ (rising) for no number, which comes last
    index: int
