"""Sizes of clusters against rank: every k, their envelope, its fit, and what other choices would say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clusters.charts.chart import (
    Chart,
    Rule,
    Series,
    Table,
    category_axis,
    linear_axis,
    log_axis,
    make_chart,
    make_series,
    vertical,
)
from clusters.charts.numbers import count, fixed
from clusters.facts import CAVEAT, RankCurves, Sizes
from compute.numerics.ranks import EnvelopeFit

N_SHADES = 8
CLOSE = 0.05  # slopes nearer than this are called the same


def shade_of(k: int, shown: Sequence[int]) -> str:
    """The viridis step of a k among those shown, dark to light."""
    return f"v{round(shown.index(k) * (N_SHADES - 1) / max(len(shown) - 1, 1))}"


def curve_series(curves: RankCurves, shown: Sequence[Sizes], *, with_envelope: bool = True) -> list[Series]:
    """A line a k, the first and last named, and the envelope on top."""
    ks = [one.k for one in shown]
    series = [
        make_series(
            "line", corners(one.sizes), name=f"k = {one.k}",
            css=shade_of(one.k, ks), label=_k_label(one.k, ks), marker="dot", marker_at="end",
        )
        for one in shown
    ]  # fmt: skip
    if with_envelope and curves.envelope:
        points = corners(curves.envelope)
        rank = min(len(curves.envelope), 1 + max(1, round(len(curves.envelope) ** 0.35)))
        at = [rank, curves.envelope[rank - 1]]
        series.append(make_series("line", points, name="envelope", css="env", label="envelope", label_at=at))
    return series


def corners(sizes: Sequence[int]) -> list[list[int]]:
    """[rank, size] without the ranks inside a run of equal sizes: the line through them is the same."""
    last = len(sizes) - 1
    return [
        [i + 1, size] for i, size in enumerate(sizes) if i in (0, last) or size != sizes[i - 1] or size != sizes[i + 1]
    ]


def size_table(shown: Sequence[Sizes]) -> Table:
    """Every rank of the clusterings shown."""
    rows = [[one.k, rank, size] for one in shown for rank, size in enumerate(one.sizes, 1)]
    return {"head": ["k", "rank", "tokens"], "rows": rows}


def _k_label(k: int, ks: Sequence[int]) -> str:
    return f"k = {count(k)}" if k == ks[0] else count(k)


def rank_frequency_chart(
    curves: RankCurves, shown: Sequence[Sizes], fit: EnvelopeFit | None, reference: float | None, *,
    with_envelope: bool = True, number: int = 1,
) -> Chart:  # fmt: skip
    """The page's large figure."""
    series = curve_series(curves, shown, with_envelope=with_envelope)
    rules: list[Rule] = []
    if reference is not None and curves.envelope:
        series.insert(0, _reference_series(curves, reference, fit))
    if fit:
        series += _fit_series(curves, fit)
        rules = [
            vertical("edge", fit.first_rank, count(fit.first_rank), side="start"),
            vertical("edge", fit.last_rank, count(fit.last_rank), side="start"),
        ]
    top = max([*curves.envelope, fit.intercept if fit and fit.first_rank == 1 else 1])
    return make_chart(
        slug="rank-frequency", number=number, title=_title(fit, reference), size="wide",
        description=f"Tokens per cluster against rank, {len(shown)} numbers of clusters, {curves.affinity} affinity",
        reading=_reading(curves, fit), series=series, rules=rules,
        window=[fit.first_rank, fit.last_rank] if fit else None,
        x=log_axis([1, max([*curves.ks, 2])], "rank of cluster", pad=1.0), y=log_axis([1, top], "tokens in cluster"),
        table=size_table(shown),
    )  # fmt: skip


def _fit_series(curves: RankCurves, fit: EnvelopeFit) -> list[Series]:
    """The fitted law: whole inside its window, dashed before it."""

    def at(rank: float) -> list[float]:
        return [rank, fit.intercept * rank**fit.slope]

    top_rank = (max(curves.envelope) / fit.intercept) ** (1 / fit.slope) if fit.slope < 0 else 1.0
    before = min(max(1.0, fit.first_rank / 4, top_rank), float(fit.first_rank))
    label_at = at(math.sqrt(before * fit.first_rank)) if before < fit.first_rank else at(fit.first_rank)
    series = [
        make_series("line", [at(fit.first_rank), at(fit.last_rank)], name="fit", css="fitl",
                    label=f"fit r^{fixed(fit.slope)}", label_at=label_at),
    ]  # fmt: skip
    if before < fit.first_rank:
        series.append(make_series("line", [at(before), at(fit.first_rank)], name="fit", css="fitl dash"))
    return series


def _reference_series(curves: RankCurves, slope: float, fit: EnvelopeFit | None) -> Series:
    """The theory's line through the envelope's middle, cut where it leaves the paper."""
    ends = (fit.first_rank, fit.last_rank) if fit else (1, len(curves.envelope))
    middle = max(1, round(math.sqrt(ends[0] * ends[1])))
    height = (fit.intercept * middle**fit.slope) if fit else curves.envelope[middle - 1]
    constant = height / middle**slope
    top, last = max(curves.envelope), max(curves.ks)
    first = max(1.0, (top / constant) ** (1 / slope))
    last = min(float(last), (1 / constant) ** (1 / slope))
    points = [[first, constant * first**slope], [last, constant * last**slope]]
    at = first * (last / first) ** 0.14
    return make_series("line", points, name="reference", css="refl", label=f"reference r^{fixed(slope)}",
                       label_at=[at, constant * at**slope])  # fmt: skip


def _title(fit: EnvelopeFit | None, reference: float | None) -> str:
    if fit is None:
        return "Sizes of clusters fall with rank at every k"
    window = f"Over ranks {count(fit.first_rank)}–{count(fit.last_rank)} the envelope"
    if reference is None:
        return f"{window} falls with a slope of {fixed(fit.slope)}"
    difference = fit.slope - reference
    if abs(difference) < CLOSE:
        return f"{window} falls as steeply as the theory’s line"
    how = "less steeply than" if difference > 0 else "more steeply than"
    within = ", within the caveat" if abs(difference) <= CAVEAT else ""
    return f"{window} falls {how} the theory’s line{within}"


def _reading(curves: RankCurves, fit: EnvelopeFit | None) -> str:
    small = curves.first_small_rank
    if small is None or not fit:
        return "The envelope takes, at each rank, the largest cluster over all k."
    if fit.last_rank > small:
        return (
            f"From rank {count(small)} on the clusters hold at most three tokens, so the slope leans on the largest k. "
            "Type other ranks to move the window."
        )
    return f"The window ends before rank {count(small)}, from which on clusters hold at most three tokens."


@dataclass(frozen=True)
class Choice:
    """A slope that another choice would have given."""

    name: str
    affinity: str
    slope: float
    first_rank: int
    last_rank: int


def other_choices(by_affinity: dict[str, RankCurves], first: int, last: int) -> list[Choice]:
    """The slope for neighbouring windows, without the largest k, and for every affinity."""
    windows = _windows(first, last)
    found = []
    for affinity, curves in by_affinity.items():
        for name, (start, end) in windows.items():
            found.append((name, affinity, curves.try_fit(start, end)))
        if len(curves.clusterings) > 1:
            name = f"{first}–{last}, without the largest k"
            found.append((name, affinity, curves.without_largest_k().try_fit(first, last)))
    return [Choice(name, affinity, fit.slope, fit.first_rank, fit.last_rank) for name, affinity, fit in found if fit]


def _windows(first: int, last: int) -> dict[str, tuple[int, int]]:
    earlier = max(1, first // 10) if first >= 20 else max(1, first // 3)
    tried = [(first, last), (first, round(0.9 * last)), (first, last // 2), (earlier, last), (2 * first, last)]
    named: dict[str, tuple[int, int]] = {}
    for start, end in tried:
        named.setdefault(f"{start}–{end}" + (", as above" if (start, end) == (first, last) else ""), (start, end))
    return named


def choices_chart(choices: Sequence[Choice], reference: float | None, *, number: int = 2) -> Chart | None:
    """Slopes beside each other with the paper's caveat; None where there is nothing to compare."""
    if len(choices) < 2:
        return None
    names = list(dict.fromkeys(choice.name for choice in choices))
    affinities = list(dict.fromkeys(choice.affinity for choice in choices))
    styles = [("dot", "c1"), ("diamond", "c2")]
    spread = 0.11 if len(affinities) > 1 else 0.0
    series = []
    for place, affinity in enumerate(affinities):
        shape, css = styles[place % 2]
        shift = spread * (2 * place - 1) if len(affinities) > 1 else 0.0
        points = [
            [c.slope, names.index(c.name) + shift, c.slope - CAVEAT, c.slope + CAVEAT]
            for c in choices if c.affinity == affinity
        ]  # fmt: skip
        series.append(make_series("intervals", points, name=affinity, css=css, marker=shape))
    slopes = [c.slope for c in choices]
    values = [min(slopes) - CAVEAT, max(slopes) + CAVEAT, *([reference] if reference is not None else [])]
    return make_chart(
        slug="other-choices", number=number,
        title=f"Other choices move the slope by {fixed(max(slopes) - min(slopes))}",
        description="Slope of the envelope for other windows, without the largest k, and for both affinities",
        reading=_choices_reading(slopes, reference), series=series, size="side",
        rules=[vertical("refl", reference, fixed(reference))] if reference is not None else [],
        legend=[(styles[i % 2][0], styles[i % 2][1], affinity) for i, affinity in enumerate(affinities)],
        x=linear_axis(values, f"slope, with ±{CAVEAT}", n=6, exact=True), y=category_axis(names),
        table={
            "head": ["choice", "affinity", "first rank", "last rank", "slope"],
            "rows": [[c.name, c.affinity, c.first_rank, c.last_rank, c.slope] for c in choices],
        },
    )  # fmt: skip


def _choices_reading(slopes: Sequence[float], reference: float | None) -> str:
    if reference is None:
        return "The paper allows ±0.2 at least for the choice of window and clustering."
    steeper = sum(slope < reference for slope in slopes)
    line = f"{fixed(reference)}, the dotted slope that this run’s mean losses predict"
    if steeper == len(slopes):
        return f"Every choice is steeper than {line}."
    if steeper == 0:
        return f"Every choice is less steep than {line}."
    return f"{steeper} of {len(slopes)} choices are steeper than {line}."
