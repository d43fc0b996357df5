"""Two clusterings as figures: where the largest clusters' tokens go, and how sizes fall with rank in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clusters.charts.chart import Chart, Help, linear_axis, log_axis, make_chart, make_series
from clusters.charts.numbers import count, fixed, percent
from clusters.charts.rank_frequency import corners
from clusters.charts.raster import RAMPS
from clusters.charts.similarity import SEAM
from clusters.values.facts import CAVEAT, RankCurves, Sizes
from compute.numerics.ranks import EnvelopeFit

SHADES = RAMPS["density"]
LEAST_SHARE = 0.02  # smaller shares stay blank
SHARES_HELP = Help(
    what=(
        "Each row is one of the largest clusters of the first clustering. Its cells say which share of its tokens lies "
        "in each cluster of the second: one dark cell is a cluster that both found, several pale ones a cluster that "
        "the second has spread. Columns are the clusters that hold most of a row, and last all the others together."
    ),
    formula="share = |Aᵢ ∩ Bⱼ| / |Aᵢ|",
    source="§5 and its appendix compare clusters of gradients with clusters of their absolute values",
)
SIZES_HELP = Help(
    what=(
        "Sizes of clusters against their rank, both on logarithmic axes. Thin lines are the two clusterings compared, "
        "thick ones the envelopes: at each rank the largest cluster over every number of clusters of that run and "
        "affinity. If both found quanta used with the same Zipfian frequency, the envelopes fall alike."
    ),
    formula="E(r) = max over k of sizeₖ(r); ln E = ln C + slope · ln r",
    source="§5, the figure of rank and frequency",
)


@dataclass(frozen=True)
class Line:
    """One side of the figure of sizes."""

    name: str
    curves: RankCurves
    at: Sizes

    @property
    def fit(self) -> EnvelopeFit | None:
        return self.curves.try_fit(*self.curves.window)


def shares_chart(rows: Sequence[int], columns: Sequence[int], found: np.ndarray, *, number: int) -> Chart:
    """Rows and columns are ranks from 0; `found` has one column more, for all other clusters."""
    cells = [
        [j - 0.5, j + SEAM, i + SEAM, i - 0.5, SHADES[min(int(found[i, j] * len(SHADES)), len(SHADES) - 1)]]
        for i in range(len(rows))
        for j in range(len(columns) + 1)
        if found[i, j] >= LEAST_SHARE
    ]
    names = [count(rank + 1) for rank in columns] + ["others"]
    y = linear_axis([-0.5, len(rows) - 0.5], "rank in the first", exact=True,
                    ticks=[(i, count(rank + 1)) for i, rank in enumerate(rows)])  # fmt: skip
    y["lo"], y["hi"] = y["hi"], y["lo"]
    return make_chart(
        slug="shares", number=number, title=_shares_title(rows, found), size="wide", help=SHARES_HELP, y=y,
        description="Share of the tokens of each of the largest clusters of the first in clusters of the second",
        reading=_shares_reading(rows, found),
        x=linear_axis([-0.5, len(columns) + 0.5], "rank in the second", exact=True, ticks=list(enumerate(names))),
        series=[make_series("cells", cells, name="share")],
        legend=[("square", shade, _from(i)) for i, shade in reversed([*enumerate(SHADES)])],
        legend_title="from",
        table={
            "head": ["rank in the first", "rank in the second", "share of its tokens"],
            "rows": [
                [rank + 1, names[j] if j == len(columns) else columns[j] + 1, float(found[i, j])]
                for i, rank in enumerate(rows) for j in range(len(columns) + 1) if found[i, j]
            ],
        },
    )  # fmt: skip


def sizes_chart(first: Line, second: Line, *, number: int) -> Chart:
    """Both envelopes, or the one they share, and both clusterings."""
    is_one = first.curves is second.curves  # one run, one affinity
    lines = [first] if is_one else [first, second]
    series = []
    for line, css, shape in ((first, "c1", "dot"), (second, "c2", "diamond")):
        series.append(
            make_series("line", corners(line.at.sizes), name=f"{line.name}, k = {line.at.k}", css=css, marker=shape,
                        marker_at="end", label=f"k = {count(line.at.k)}")
        )  # fmt: skip
    for line, css in zip(lines, ("env",) if is_one else ("c1 thick", "c2 thick"), strict=True):
        points = corners(line.curves.envelope)
        at = points[min(2, len(points) - 1)] if points else None
        label = "" if line is not lines[0] else "envelope" if is_one else "envelopes"
        series.append(
            make_series(
                "line", points, name=f"envelope, {line.name}", css=css, label=label, label_at=at, is_strong=True
            )
        )
    top = max(max(line.curves.envelope, default=1) for line in lines)
    longest = max(len(line.curves.envelope) for line in lines)
    return make_chart(
        slug="sizes", number=number, title=_sizes_title(lines), size="wide", help=SIZES_HELP,
        description="Tokens per cluster against rank: both clusterings and the envelopes they belong to",
        reading=_sizes_reading(lines), series=series,
        legend=[("dot", "c1", first.name), ("diamond", "c2", second.name)],
        x=log_axis([1, max(longest, 2)], "rank of cluster"), y=log_axis([1, top], "tokens in cluster"),
        table={
            "head": ["clustering", "rank", "tokens"],
            "rows": [
                *([f"{line.name}, k = {line.at.k}", r, n] for line in (first, second)
                  for r, n in enumerate(line.at.sizes, 1)),
                *([f"envelope, {line.name}", r, n] for line in lines for r, n in enumerate(line.curves.envelope, 1)),
            ],
        },
    )  # fmt: skip


def _from(i: int) -> str:
    """Where a shade begins."""
    return percent(max(i / len(SHADES), LEAST_SHARE))


def _shares_title(rows: Sequence[int], found: np.ndarray) -> str:
    n_mostly = int((found[:, :-1].max(axis=1, initial=0) > 0.5).sum())
    who = "All" if n_mostly == len(rows) else f"{count(n_mostly)} of the"
    return f"{who} {count(len(rows))} largest clusters lie mostly within one cluster of the second"


def _shares_reading(rows: Sequence[int], found: np.ndarray) -> str:
    best = int(np.argmax(found[:, :-1].max(axis=1, initial=0)))
    share = float(found[best, :-1].max(initial=0))
    return f"The most faithful is rank {count(rows[best] + 1)}: {percent(share)} of its tokens stay together."


def _sizes_title(lines: Sequence[Line]) -> str:
    fits = [line.fit for line in lines]
    if len(lines) == 1:
        own = f", with a slope of {fixed(fits[0].slope)} ±{CAVEAT}" if fits[0] else ""
        return f"Both clusterings lie under one envelope{own}"
    if fits[0] is None or fits[1] is None:
        falls = [len(set(line.at.sizes)) > 1 for line in lines]
        return "Sizes fall with rank in both" if all(falls) else "Sizes over rank in both"
    apart = abs(fits[0].slope - fits[1].slope)
    how = "within" if apart <= CAVEAT else "beyond"
    return f"The envelopes’ slopes are {fixed(apart)} apart, {how} the ±{CAVEAT} that the paper allows"


def _sizes_reading(lines: Sequence[Line]) -> str:
    said = [
        f"{line.name}: {fixed(line.fit.slope)} ±{CAVEAT} over ranks {count(line.fit.first_rank)}–"
        f"{count(line.fit.last_rank)}"
        if line.fit
        else f"{line.name}: too few ranks for a slope"
        for line in lines
    ]
    return "Slopes of the envelopes. " + "; ".join(said) + "."
