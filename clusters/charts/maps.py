"""What a map draws: the colour of every point with its legend, and how the points lie, counted by cells."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from clusters.charts.numbers import count, fixed, percent

REST = 255  # code of the points that no colour of the legend is for
CATEGORY_MARKS = tuple(
    (f"c{colour}", shape)
    for colour, shape in (
        (1, "dot"), (2, "diamond"), (3, "square"), (4, "triangle"), (5, "dot"),
        (1, "square"), (2, "triangle"), (3, "dot"), (4, "diamond"), (5, "square"),
    )
)  # fmt: skip
CLASS_MARKS = {"monogenic": ("c1", "dot"), "polygenic": ("c2", "square"), "mixed": ("c3", "diamond")}
EDGES = {
    "loss": (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0),
    "monogenicity": (-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75),
    "n_eff": (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0),
}
N_SHADES = 8
ASPECT = 1.5  # of the paper
MOST_COMPARED = 20_000  # points whose neighbours' values are compared
FEW = 10  # points; of fewer the title states nothing
SIMILAR, SOMEWHAT = 0.5, 0.2  # rank correlations from which neighbours are called similar


@dataclass(frozen=True)
class Swatch:
    """One entry of a map's legend."""

    code: int
    css: str
    shape: str
    text: str
    n: int
    label: str = ""  # beside the points themselves
    at: tuple[float, float] | None = None
    href: str = ""


@dataclass(frozen=True)
class Colouring:
    """A code for every point, and what the codes mean."""

    codes: np.ndarray  # uint8 (n,)
    swatches: list[Swatch]
    what: str
    title: str = ""
    reading: str = ""
    unit: str = ""
    is_ordered: bool = False  # shades of one measure, and no categories


@dataclass(frozen=True)
class Category:
    """A kind of point that has a colour of its own."""

    value: int
    text: str
    label: str = ""
    href: str = ""
    mark: tuple[str, str] | None = None


@dataclass(frozen=True)
class Neighbours:
    """How much points that stand side by side have in common: a share of 1 or a correlation, with its interval."""

    value: float
    low: float
    high: float
    n: int
    by_chance: float = 0.0


def categories(values: np.ndarray, shown: Sequence[Category], points: np.ndarray, *, what: str, rest: str) -> Colouring:
    """Colour the shown categories; all other values are one grey rest."""
    codes = np.full(len(values), REST, np.uint8)
    swatches = []
    for code, category in enumerate(shown):
        own = np.flatnonzero(values == category.value)
        codes[own] = code
        css, shape = category.mark or CATEGORY_MARKS[code % len(CATEGORY_MARKS)]
        at = np.median(points[own], axis=0) if len(own) else None
        place = (float(at[0]), float(at[1])) if at is not None else None
        swatches.append(Swatch(code, css, shape, category.text, len(own), category.label, place, category.href))
    return Colouring(codes, _with_rest(codes, swatches, rest), what)


def shades(
    values: np.ndarray, edges: Sequence[float], *, what: str, rest: str = "unknown", unit: str = ""
) -> Colouring:
    """Colour by size: eight shades of viridis between fixed edges."""
    known = np.isfinite(values)
    codes = np.where(known, np.searchsorted(np.asarray(edges), values, side="right"), REST).astype(np.uint8)
    counts = np.bincount(codes[known], minlength=len(edges) + 1)
    texts = [f"below {edges[0]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(edges))]
    texts.append(f"{edges[-1]:g} and more")
    step = (N_SHADES - 1) / max(len(edges), 1)
    swatches = [
        Swatch(i, f"v{round(i * step)}", "dot", text.replace("-", "−"), int(counts[i])) for i, text in enumerate(texts)
    ]
    return Colouring(codes, _with_rest(codes, swatches, rest), what, unit=unit, is_ordered=True)


def rank_edges(n_clusters: int) -> tuple[float, ...]:
    """Ranks at which the shade changes, evenly on a logarithmic axis."""
    edges = np.unique(np.geomspace(1, n_clusters + 1, N_SHADES + 1).round())[1:-1]
    return tuple(edges.tolist()) or (2.0,)


def told_apart(texts: Sequence[tuple[Sequence[Sequence[Any]], Sequence[Sequence[Any]]]]) -> list[str]:
    """The commonest answer of every cluster; where several share one, with the token that mostly stands before it.

    >>> told_apart([([["s", 4]], [["it", 3]]), ([["_", 2]], [["a", 2]]), ([["_", 2]], [["b", 1]])])
    ['s', 'a ▸ _', 'b ▸ _']
    """
    answers = [str(answer[0][0]) if answer else "" for answer, _ in texts]
    alike = Counter(answers)
    return [
        f"{last[0][0]} ▸ {answer}" if alike[answer] > 1 and last else answer
        for answer, (_, last) in zip(answers, texts, strict=True)
    ]


def agreement(labels: np.ndarray, nearest: np.ndarray) -> Neighbours | None:
    """How often a point's nearest neighbour has its label, with a Wilson interval; labels below 0 are left out.

    By chance, labels dealt at random over the same points would agree in Σ p² of the pairs.
    """
    own = np.flatnonzero((labels >= 0) & (labels[nearest] >= 0))
    if not len(own):
        return None
    n, share = len(own), float(np.mean(labels[own] == labels[nearest[own]]))
    shares = np.bincount(labels[own].astype(np.int64)) / n
    z = 1.96
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Neighbours(share, (middle - half) / scale, (middle + half) / scale, n, float(np.sum(shares**2)))


def correlation(values: np.ndarray, nearest: np.ndarray) -> Neighbours | None:
    """Rank correlation of a point's value with that of its nearest neighbour, with Fisher's interval.

    Of many points, MOST_COMPARED that are spread evenly over the corpus.
    """
    own = np.flatnonzero(np.isfinite(values) & np.isfinite(values[nearest]))
    if len(own) > MOST_COMPARED:
        own = own[np.linspace(0, len(own) - 1, MOST_COMPARED).round().astype(np.int64)]
    if len(own) < 4:
        return None
    a, b = _ranks(values[own]), _ranks(values[nearest[own]])
    if a.std() == 0 or b.std() == 0:
        return None
    r = float(np.clip(np.corrcoef(a, b)[0, 1], -0.999999, 0.999999))
    half = 1.96 / math.sqrt(len(own) - 3)
    return Neighbours(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half), len(own))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def agreement_words(found: Neighbours | None, what: str, n_points: int) -> tuple[str, str]:
    """Title and reading of a map coloured by category; points without one are not counted."""
    if found is None:
        return f"Points by {what}", f"Too few points that have a {what} stand side by side to be compared."
    measured = f"{percent(found.value)} ({percent(found.low)} to {percent(found.high)}, n = {count(found.n)})"
    chance = f"by chance {percent(found.by_chance)}"
    if found.n < n_points:
        title = f"Of neighbours that both have a {what}, {percent(found.value)} share it"
        reading = f"A point and its nearest neighbour on the map, where both have a {what}: {measured}; {chance}."
    else:
        title = f"{percent(found.value)} of points stand beside one of the same {what}"
        verb = "shares" if found.value >= found.by_chance else "seldom shares"
        reading = f"A point’s nearest neighbour on the map {verb} its {what}: {measured}; {chance}."
    return title if found.n >= FEW else f"Points by {what}", reading


def correlation_words(found: Neighbours | None, what: str) -> tuple[str, str]:
    """Title and reading of a map coloured by size."""
    if found is None:
        return f"Points by {what}", "All points are alike in it, so neighbours cannot be compared."
    degree = "similar" if found.value >= SIMILAR else "somewhat similar" if found.value >= SOMEWHAT else "unrelated"
    title = f"Neighbours on the map have {degree} {what}" if found.n >= FEW else f"Points by {what}"
    reading = (
        f"Rank correlation of a point’s {what} with its nearest neighbour’s: {fixed(found.value)} "
        f"({fixed(found.low)} to {fixed(found.high)}, n = {count(found.n)})."
    )
    return title, reading


def shares(counts: Sequence[tuple[str, int]], n: int) -> list[dict[str, Any]]:
    """Texts with how many of n tokens have each, for bars."""
    return [{"text": text, "n": found, "share": percent(found / n), "of": n} for text, found in counts]


def sides(area: Sequence[tuple[float, float]]) -> dict[str, str]:
    """The smallest rectangle around an area, as its form's fields hold it."""
    x, y = [corner[0] for corner in area], [corner[1] for corner in area]
    return {name: f"{v:g}" for name, v in (("left", min(x)), ("bottom", min(y)), ("right", max(x)), ("top", max(y)))}


def framed(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The box widened or heightened to the paper's shape, so that both directions have one scale."""
    left, bottom, right, top = box
    width, height = right - left, top - bottom
    wider, taller = max(height * ASPECT - width, 0) / 2, max(width / ASPECT - height, 0) / 2
    return left - wider, bottom - taller, right + wider, top + taller


def _with_rest(codes: np.ndarray, swatches: list[Swatch], rest: str) -> list[Swatch]:
    n = int(np.count_nonzero(codes == REST))
    return [*swatches, Swatch(REST, "line2", "dot", rest, n)] if n else swatches
