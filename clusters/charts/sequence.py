"""The Q Sequence: rank of clusters against the scale at which they are learned."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from clusters.charts.chart import (
    Chart,
    Help,
    Series,
    category_axis,
    linear_axis,
    log_axis,
    make_chart,
    make_series,
    share_axis,
)
from clusters.charts.numbers import compact, count, fixed, percent
from clusters.values.facts import Emergence, LearnedCluster
from compute.numerics.correlation import LEAST, RankCorrelation
from compute.numerics.emergence import BELOW_FROM_START, CROSSED, NEVER, STATE_NAMES

CERTAIN = 0.05  # a smaller p is called a sign
CLEAR = 1.96  # so many standard errors of no order, which are 1/√(n − 1)
STAIRS = 120  # corners of a line of shares
FEW = 10  # clusters: of fewer no ρ is put into a title
ALONG = 24  # places along a line where its text may stand
ROOM = (0.25, 0.05)  # what a text takes of the axes, across and up or down
EDGE = 1.7  # how far beyond the scales their edges lie, as a factor
SLACK = 1.1  # how far beyond the clusters the axis ends where none stands on an edge
THIRDS = (("the most frequent third", "v1", "dot"), ("the middle third", "v4", "square"),
          ("the rarest third", "v6", "triangle"))  # fmt: skip
HELP = Help(
    what="A cluster counts as learned where the mean loss of its tokens falls below the threshold and stays there; "
    "the scale is read between two measured networks or steps, evenly in its logarithm. A fall that is soon undone "
    "counts only if the stay below outweighs the return. Clusters that are below from the start, or not yet below at "
    "the end, stand at the edges: of them it is known only that they come before, or after, all others, and so ρ ties "
    "them there. Spearman’s ρ compares two orders: that by falling frequency and that of learning. It is 1 where the "
    "most frequent clusters are learned first without exception, and 0 where frequency says nothing.",
    formula="ρ = correlation of the midranks of −size and of the scale of learning;   theory: S ∝ n^(1+α) over steps, "
    "N ∝ n over parameters",
    source="§2, hypothesis QH2: the Q Sequence; its closed form in §3",
)
SHARES_HELP = Help(
    what="Clusters are cut into three parts by frequency. Each line says what share of a part is learned at a scale. "
    "If frequent quanta come first, the lines rise one after the other. They may end short of 100%: the rest is not "
    "learned at the largest scale.",
    formula="share of clusters whose mean loss is below the threshold for good",
    source="§2, hypothesis QH2",
)
FILTERS_HELP = Help(
    what="Spearman’s ρ again, without small clusters, whose mean loss is noisy, and without clusters of which one "
    "answer token makes up most: such clusters may be words rather than skills, and words are learned in the "
    "order of their frequency for reasons of their own. The whiskers are 95% bootstrap intervals over clusters.",
    formula="ρ of frequency and scale of learning, over the clusters that remain",
    source="none",
)


@dataclass(frozen=True)
class Theory:
    """The line that the theory draws: scale = constant · rank^exponent."""

    exponent: float
    constant: float
    alpha: float | None  # over steps; over parameters the line does not depend on it
    source: str


def sequence_chart(
    shown: Emergence, rho: RankCorrelation | None, why_none: str, theory: Theory | None, stem: str, tail: str,
    *, number: int = 1,
) -> Chart:  # fmt: skip
    """Every cluster by rank and scale; `stem` + label + `tail` is a cluster's address."""
    foot, top = _edges(shown)
    places, unit = {BELOW_FROM_START: foot, NEVER: top}, _unit(shown)
    series = [_theory_series(theory, shown, foot, top)] if theory else []
    for state, css, marker, label in (
        (CROSSED, "c1", "dot", ""),
        (BELOW_FROM_START, "c3", "diamond", "below from the start"),
        (NEVER, "c2", "triangle", "not below yet"),
    ):
        clusters = shown.by_state[state]
        if clusters:
            points = [
                [one.rank, places.get(state, one.scale), _tooltip(one, unit), f"{stem}{one.label}{tail}"]
                for one in clusters
            ]
            name = f"{count(len(clusters))} {label}" if label else "learned"
            series.append(
                make_series("points", points, name=label or name, css=css, marker=marker, label=name if label else "",
                            label_at=_beside(shown, state, foot, top) if label else None)
            )  # fmt: skip
    medians = shown.medians()
    if len(medians) > 1:
        series.append(
            make_series(
                "line",
                medians,
                name="median",
                css="mean",
                label="median",
                label_at=_clearest(medians, shown, foot, top),
            )
        )
    return make_chart(
        slug="sequence", number=number, title=sequence_title(shown, rho), size="wide", help=HELP, series=series,
        description=f"{shown.scale.noun.capitalize()} at which each cluster’s mean loss falls below "
        f"{fixed(shown.threshold_nats, 3)} nats, against its rank by size",
        reading=_reading(shown, rho, why_none, theory),
        x=log_axis([1, _last_rank(shown)], "rank of cluster by size", pad=1.02),
        y=log_axis([foot / 1.1, top * 1.1], f"learned at {shown.scale.noun}", ticks=_ticks(shown, foot, top)),
        table={
            "head": ["rank", "cluster", "tokens", "learned at", "state"],
            "rows": [[c.rank, c.label, c.size, c.known_scale, STATE_NAMES[c.state]] for c in shown.clusters],
        },
    )  # fmt: skip


def _beside(shown: Emergence, state: int, foot: float, top: float) -> list[Any]:
    """The place of an edge's text, off its marks and inside the axes."""
    off = (top / foot) ** 0.045
    return [_last_rank(shown), foot * off if state == BELOW_FROM_START else top / off, "e"]


TABLE_HEAD = (
    "rank",
    "cluster",
    "tokens",
    "commonest answer",
    "its share",
    "learned at",
    "state",
    "last mean loss, nats",
)


def table_row(one: LearnedCluster) -> list[Any]:
    return [
        one.rank, one.label, one.size, one.answer, one.dominant_share, one.known_scale, STATE_NAMES[one.state],
        one.last_nats,
    ]  # fmt: skip


def _is_one_size(shown: Emergence) -> bool:
    """Whether no cluster is more frequent than another."""
    return len({one.size for one in shown.clusters}) == 1


def _last_rank(shown: Emergence) -> int:
    return max((one.rank for one in shown.clusters), default=2)


def _edges(shown: Emergence) -> tuple[float, float]:
    """The ends of the axis; clusters learned before the smallest scale, or after the largest, stand on them."""
    positive = [value for value in shown.scale.values if value > 0]
    crossed = [one.scale for one in shown.by_state[CROSSED] if one.scale > 0]
    foot = (
        min([positive[0], *crossed]) / EDGE if shown.by_state[BELOW_FROM_START] or not crossed else min(crossed) / SLACK
    )
    return foot, (positive[-1] * EDGE if shown.by_state[NEVER] or not crossed else max(crossed) * SLACK)


def _ticks(shown: Emergence, foot: float, top: float) -> list[tuple[float, str]]:
    low = foot * 1.2 if shown.by_state[BELOW_FROM_START] else foot
    high = top / 1.2 if shown.by_state[NEVER] else top
    return [(value, text) for value, text in log_axis([low, high], "")["ticks"] if low <= value <= high]


def _tooltip(one: LearnedCluster, unit: str) -> str:
    """What a point says of its cluster; there may be thousands."""
    if one.state == CROSSED:
        when = f"learned at {one.scale:,.0f} {unit}"
    else:
        when = "below from the start" if one.state == BELOW_FROM_START else f"not below yet: {one.last_nats:.2f} nats"
    return (
        f"Cluster {one.label}, rank {one.rank}: {one.size} tokens, {one.dominant_share:.0%} “{one.answer[:30]}”; {when}"
    )


def _unit(shown: Emergence) -> str:
    return "parameters" if shown.scale.over == "parameters" else "steps"


def _theory_series(theory: Theory, shown: Emergence, foot: float, top: float) -> Series:
    ranks = [(edge / theory.constant) ** (1 / theory.exponent) for edge in (foot, top)]
    first, last = max(1.0, ranks[0]), min(float(_last_rank(shown)), ranks[1])
    points = [[rank, theory.constant * rank**theory.exponent] for rank in (first, last)] if first < last else []
    power = f"theory S ∝ n^{fixed(theory.exponent)}" if theory.alpha is not None else "theory N ∝ n"
    return make_series("line", points, name="theory", css="refl", label=power if points else "",
                       label_at=_clearest(points, shown, foot, top) if points else None)  # fmt: skip


def _clearest(line: Sequence[Sequence[float]], shown: Emergence, foot: float, top: float) -> list[float]:
    """Where along a line, straight between its points, the fewest clusters stand on one side of it."""
    across, up = math.log(max(_last_rank(shown), 2)), math.log(top / foot)
    crossed = [one for one in shown.by_state[CROSSED] if one.scale > 0]
    us = np.log([one.rank for one in crossed]) / across
    vs = np.log([one.scale / foot for one in crossed]) / up
    corners = [(math.log(x) / across, math.log(y / foot) / up) for x, y in line]
    parts = list(pairwise(corners))
    steps = [(part, i / ALONG) for part in parts for i in range(3, ALONG - 2)]  # off the ends, which may lie on an axis
    places = [(a + (c - a) * share, b + (d - b) * share) for ((a, b), (c, d)), share in steps]

    def crowd(place: tuple[float, float]) -> int:
        far = us[np.abs(vs - place[1]) < ROOM[1]] - place[0]
        right = np.count_nonzero((far >= 0) & (far < ROOM[0])) if place[0] < 1 - ROOM[0] else len(us)
        left = np.count_nonzero((far > -ROOM[0]) & (far <= 0)) if place[0] > ROOM[0] else len(us)
        return int(min(right, left))

    u, v = min(places, key=crowd)
    return [math.exp(u * across), foot * math.exp(v * up)]


def sequence_title(shown: Emergence, rho: RankCorrelation | None) -> str:
    """What the data say, whichever way it is."""
    n, threshold = len(shown.clusters), f"{shown.threshold_nats:.3g} nats"
    if rho is None:
        for state, what in ((BELOW_FROM_START, "are below {0} from the start"), (NEVER, "stay above {0}")):
            if n and len(shown.by_state[state]) == n:
                return f"All {count(n)} clusters {what.format(threshold)}: no order to see"
        if n >= LEAST and _is_one_size(shown):
            return f"All {count(n)} clusters are of one size: no order to see"
        if n >= LEAST:
            return f"All {count(n)} clusters are learned at once: no order to see"
        return "Too few clusters for an order"
    if rho.n < FEW:
        return f"{count(rho.n)} clusters are too few to say whether frequent ones are learned first"
    if rho.p_value >= CERTAIN:
        return f"No sign that frequent clusters are learned first: ρ = {fixed(rho.rho)}"
    if rho.rho < 0:
        return f"Frequent clusters are learned last, against the hypothesis: ρ = {fixed(rho.rho)}"
    strength = "" if rho.rho >= 0.3 else ", but only just"
    return f"Frequent clusters are learned first{strength}: ρ = {fixed(rho.rho)}"


def _reading(shown: Emergence, rho: RankCorrelation | None, why_none: str, theory: Theory | None) -> str:
    sentences = []
    if rho is None:
        sentences.append(f"There is no ρ: {why_none}.")
    else:
        own = f"ρ = {fixed(rho.rho)}, " if rho.n < FEW else ""  # otherwise the title says it
        sentences.append(
            f"{own}95% interval {fixed(rho.low)} to {fixed(rho.high)} over {count(rho.n)} clusters; "
            f"permutation p {p_text(rho.p_value)}."
        )
    n_censored = len(shown.clusters) - len(shown.by_state[CROSSED])
    if n_censored:
        sentences.append(f"{count(n_censored)} outside the scales measured stand at the edges and tie in ρ.")
    if theory:
        sentences.append(_theory_sentence(theory))
    return " ".join(sentences)


def _theory_sentence(theory: Theory) -> str:
    anchor = "drawn with as many learned clusters above it as below"
    if theory.alpha is None:
        return f"Dotted: parameters in proportion to rank, as the theory has it, {anchor}."
    return f"Dotted: steps as rank to the power 1 + α, α = {fixed(theory.alpha, 3)} {theory.source}, {anchor}."


def p_text(p_value: float) -> str:
    return f"= {fixed(p_value, 3)}" if p_value > 0.001 else "≤ 0.001"


def has_shares(shown: Emergence) -> bool:
    """Whether there are clusters enough, of several sizes, to compare thirds of them."""
    return len(shown.clusters) >= 3 * len(THIRDS) and bool(shown.by_state[CROSSED]) and not _is_one_size(shown)


def shares_chart(shown: Emergence, *, number: int = 2) -> Chart | None:
    """What share of frequent, middling and rare clusters is learned at each scale; None for few clusters."""
    if not has_shares(shown):
        return None
    n = len(shown.clusters)
    cuts = [round(i * n / 3) for i in range(4)]
    parts = [shown.clusters[start:end] for start, end in pairwise(cuts)]
    foot, top = _edges(shown)
    series, ends = [], []
    for (name, css, marker), part in zip(THIRDS, parts, strict=True):
        points = _share_points(part, foot, top)
        ends.append(points[-1][1])
        series.append(make_series("step", points, name=name, css=css, marker=marker, marker_at="end"))
    halves = [_half(part) for part in parts]
    return make_chart(
        slug="shares", number=number, title=_shares_title(halves, shown), help=SHARES_HELP, series=series,
        description=f"Share of clusters learned, against {shown.scale.noun}, by thirds of frequency",
        reading=_shares_reading(parts, ends),
        legend=[(marker, css, name.removeprefix("the ").removesuffix(" third")) for name, css, marker in THIRDS],
        x=log_axis([foot, top], shown.scale.noun, ticks=_ticks(shown, foot, top)),
        y=share_axis([0, 1], "share of clusters learned", exact=True),
    )  # fmt: skip


def _shares_reading(parts: Sequence[Sequence[LearnedCluster]], ends: Sequence[float]) -> str:
    if min(ends) == 1:
        return "All are learned in the end."
    said = [
        f"{percent(end)} of {count(len(part))} in {name}"
        for (name, _, _), part, end in zip(THIRDS, parts, ends, strict=True)
    ]
    return f"Learned in the end: {', '.join(said)}."


def _share_points(part: Sequence[LearnedCluster], foot: float, top: float) -> list[list[float]]:
    """(scale, share learned): a corner at each cluster's scale, or of many at the last before each of STAIRS."""
    started = sum(one.state == BELOW_FROM_START for one in part)
    crossed = sorted(one.scale for one in part if one.state == CROSSED)
    stairs = crossed
    if len(crossed) > STAIRS:
        stairs = [foot * (top / foot) ** (i / STAIRS) for i in range(1, STAIRS + 1)]
    points = [[max(scale, foot), (started + bisect_right(crossed, scale)) / len(part)] for scale in stairs]
    return [[foot, started / len(part)], *points, [top, (started + len(crossed)) / len(part)]]


def _half(part: Sequence[LearnedCluster]) -> float:
    """The scale at which half of them are learned; infinite where that lies beyond the scales."""
    return sorted(one.place for one in part)[(len(part) - 1) // 2]


def _shares_title(halves: Sequence[float], shown: Emergence) -> str:
    first, last = halves[0], halves[-1]
    if math.isfinite(first) and math.isfinite(last):
        return (
            f"Half of the frequent clusters are learned by {compact(first)} {_unit(shown)}, half of the rare ones by "
            f"{compact(last)}"
        )
    if math.isfinite(first):
        return f"Half of the frequent clusters are learned by {compact(first)} {_unit(shown)}"
    return "How many clusters of each third are learned, scale by scale"


def filters_chart(rows: Sequence[tuple[str, int, RankCorrelation | None]], *, number: int = 3) -> Chart:
    """ρ for other choices of clusters, with intervals."""
    known = [(name, n, rho) for name, n, rho in rows if rho]
    names = [f"{name} ({count(n)})" for name, n, _ in known]
    points = [[rho.rho, i, rho.low, rho.high] for i, (_, _, rho) in enumerate(known)]
    return make_chart(
        slug="filters", number=number, title=_filters_title([rho for _, _, rho in known]), size="half",
        description="Spearman’s ρ of frequency and scale of learning for several choices of clusters",
        reading="In brackets: clusters that remain. Whiskers: 95% bootstrap intervals over them.", help=FILTERS_HELP,
        series=[make_series("intervals", points, name="ρ", css="c1", marker="dot")],
        x=linear_axis([-0.2, 0.2, *(v for _, _, rho in known for v in (rho.low, rho.high))], "Spearman’s ρ", n=5),
        y=category_axis(names),
        table={
            "head": ["clusters", "number", "ρ", "low", "high"],
            "rows": [[name, n, rho.rho if rho else None, rho.low if rho else None, rho.high if rho else None]
                     for name, n, rho in rows],
        },
    )  # fmt: skip


def _filters_title(found: Sequence[RankCorrelation]) -> str:
    if len(found) < 2:
        return "Too few clusters remain to compare"
    all_of_them, rest = found[0], found[1:]
    if not _is_clear(all_of_them):
        n_clear = sum(_is_clear(one) for one in rest)
        return (
            "No filter brings an order out"
            if not n_clear
            else f"An order comes out with {n_clear} of {len(rest)} filters"
        )
    n_kept = sum(_is_clear(one) and one.rho * all_of_them.rho > 0 for one in rest)
    if n_kept == len(rest):
        return "The order survives every filter"
    return f"The order survives {n_kept} of {len(rest)} filters"


def _is_clear(rho: RankCorrelation) -> bool:
    """Whether the interval leaves 0 out, and chance would not: draws of three clusters have no spread at all."""
    return not rho.low <= 0 <= rho.high and abs(rho.rho) * math.sqrt(rho.n - 1) > CLEAR
