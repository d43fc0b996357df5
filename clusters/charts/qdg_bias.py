"""Toy worlds: slopes against the truth, what noise and dimensions change, and every world's curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from clusters.charts.chart import (
    Chart,
    Help,
    Series,
    category_axis,
    linear_axis,
    log_axis,
    make_chart,
    make_series,
    vertical,
)
from clusters.charts.numbers import count, fixed
from clusters.charts.rank_frequency import corners, shade_of
from clusters.values.facts import ToySlopes
from clusters.values.qdg_bias import Draw, Readout, World, calibration_of
from compute.errors import FitError
from compute.numerics.ranks import EnvelopeFit

CLOSE = 0.05  # slopes nearer than this are called the same
LINES = (("c1", "dot"), ("c2", "diamond"), ("c3", "square"), ("c4", "triangle"), ("c5", "dot"), ("c6", "diamond"))
SLOPES_HELP = Help(
    what="Points are drawn around random means, as many around each as a power law of known exponent says, and are "
    "clustered as gradients are. The slope of the envelope of cluster sizes is then measured as on the rank–frequency "
    "page. A perfect method would follow the dotted line. Here the slope compares with the exponent itself, which in "
    "the theory is 1 + α.",
    formula="n_i = ⌊A / i^x⌋,  means ~ N(0, I),  points = mean + σ N(0, I),  affinity 1 + cos",
    source="appendix D.2, Figures 17 and 18",
)
WORLD_HELP = Help(
    what="Each thin line is one number of clusters: sizes from the largest to the smallest. Their envelope is fitted "
    "between the two marks. The dotted line is what was put in: the true sizes of the subtasks.",
    formula="E(r) = max over k of size_k(r)",
    source="appendix D.2, Figure 16",
)
GRID_HELP = Help(
    what="The same frequencies, 1/i, with other noise and in other dimensions. Whiskers are one standard deviation "
    "over draws. Two points of one subtask have a cosine of about 1/(1 + σ²), two of different ones 0 ± d^−½: where "
    "these come close, subtasks cannot be told apart.",
    formula="slope of ln E(r) on ln r",
    source="appendix D.2",
)
AGREEMENT_HELP = Help(
    what="The adjusted Rand index counts pairs of points that clusters and subtasks put together or apart alike, less "
    "what chance would give: 1 where every cluster is one subtask, about 0 where they have nothing to do with it.",
    formula="ARI = (agreeing pairs − expected) / (all pairs − expected)",
    source="none: the paper looks at slopes alone",
)


def slopes_chart(toy: ToySlopes, readout: Readout | None, *, number: int, size: str = "wide") -> Chart:
    """Measured against true exponents, the line that reads them backwards, and a slope that was asked about."""
    ends = [toy.exponents[0], toy.exponents[-1]]
    draws = [[x, one] for x, row in zip(toy.exponents, toy.slopes, strict=True) for one in row]
    means = list(zip(toy.exponents, toy.means, strict=True))
    middle = ends[0] + 0.3 * (ends[1] - ends[0])
    series = [
        make_series("line", [[x, -x] for x in ends], name="a perfect measurement", css="refl",
                    label="a perfect measurement", label_at=[middle, -middle]),
        make_series("points", draws, name="one draw", css="line2", marker="dot"),
        make_series("line", means, name="mean of the draws", css="c1", label="measured", marker="dot", is_strong=True),
    ]  # fmt: skip
    window = None
    values = [*(one for _, one in draws), -ends[0], -ends[1]]
    if readout:
        values.append(readout.slope)
        series.append(
            make_series("line", [[x, readout.slope] for x in ends], name="asked about", css="act",
                        label=f"asked about {fixed(readout.slope)}", label_at=_beside(toy, readout.slope))
        )  # fmt: skip
        if readout.inverse:
            low, high = (min(max(v, ends[0]), ends[1]) for v in (readout.inverse.low, readout.inverse.high))
            window = [low, high] if high > low else None
    return make_chart(
        slug="slopes", number=number, title=_slopes_title(toy), size=size, help=SLOPES_HELP, window=window,
        description="Slope of the envelope that QDG measures, against the true exponent of frequency",
        reading=_slopes_reading(toy), series=series,
        x=linear_axis(ends, "true exponent of frequency in rank", n=6, exact=True),
        y=linear_axis(values, "measured slope", n=5),
        table={
            "head": ["true exponent", "mean slope", "standard deviation",
                     *(f"draw {i}" for i in range(1, len(toy.slopes[0]) + 1))],
            "rows": [[x, mean, sd, *row] for x, mean, sd, row in
                     zip(toy.exponents, toy.means, toy.spreads, toy.slopes, strict=True)],
        },
    )  # fmt: skip


def _beside(toy: ToySlopes, slope: float) -> list[Any]:
    """Where a level line has room for its words: left below the draws, or right above them."""
    room = 0.03 * (max(map(max, toy.slopes)) - min(map(min, toy.slopes)))
    is_steep = slope < toy.means[0]
    return [toy.exponents[0], slope + room, "s"] if is_steep else [toy.exponents[-1], slope + room, "e"]


def _slopes_title(toy: ToySlopes) -> str:
    try:
        line = calibration_of(toy)
    except FitError:
        return "Measured slopes at every exponent"
    if line.low <= 0 <= line.high:
        return "The measured slope does not tell the true exponent"
    gain = fixed(abs(line.slope))
    if line.slope > 0:
        return f"Steeper truths measure flatter: by {gain} for every 1 of the exponent"
    if abs(line.slope + 1) < CLOSE:
        return "The measured slope follows the true exponent one for one"
    how = "only " if line.slope > -1 else ""
    return f"Steeper truths measure steeper, but by {how}{gain} for every 1 of the exponent"


def _slopes_reading(toy: ToySlopes) -> str:
    rises = sum(b > a for a, b in zip(toy.means, toy.means[1:], strict=False))
    n = len(toy.means) - 1
    order = "the mean grows steeper at every step" if not rises else f"the mean grows flatter at {rises} of {n} steps"
    said = f"{len(toy.slopes[0])} draws of each of {len(toy.exponents)} exponents; {order}."
    try:
        line = calibration_of(toy)
    except FitError:
        return said
    return f"{said} Single draws lie {fixed(line.residual)} (standard deviation) off a straight line through all."


def grid_chart(worlds: Sequence[World], *, number: int) -> Chart | None:
    """Slopes at exponent 1 by dimensions and noise; None of one world alone."""
    if len(worlds) < 2:
        return None
    points = [
        [one.mean, i, *((one.mean - one.sd, one.mean + one.sd) if one.sd is not None else (None, None))]
        for i, one in enumerate(worlds)
    ]  # fmt: skip
    ends = [-1.0, *(p[2] if p[2] is not None else p[0] for p in points), *(p[3] or p[0] for p in points)]
    return make_chart(
        slug="grid", number=number, title=_grid_title(worlds), size="half", help=GRID_HELP,
        description="Slope of the envelope where frequencies fall as 1/i, by dimensions and noise",
        reading="Mean and one standard deviation over draws; the dotted line is the truth.",
        series=[make_series("intervals", points, name="slope", css="c1", marker="dot")],
        rules=[vertical("refl", -1.0, "true −1", side="start")],
        x=linear_axis(ends, "slope of the envelope", n=5), y=category_axis([one.place for one in worlds]),
        table={
            "head": ["dimensions", "noise", "mean slope", "standard deviation", "low", "high"],
            "rows": [[one.n_dimensions, one.noise, one.mean, one.sd, one.low, one.high] for one in worlds],
        },
    )  # fmt: skip


def _grid_title(worlds: Sequence[World]) -> str:
    nearest = min(worlds, key=lambda one: abs(one.bias))
    steep = sum(one.bias < -CLOSE for one in worlds)
    if steep == len(worlds):
        return f"Too steep in every world, least at {nearest.place}: {fixed(nearest.mean)} instead of −1"
    if not any(abs(one.bias) > CLOSE for one in worlds):
        return "Every world measures the truth, −1, within 0.05"
    return f"Nearest to the truth, −1, at {nearest.place}: {fixed(nearest.mean)}"


def agreement_chart(worlds: Sequence[World], ks: Sequence[int], *, number: int) -> Chart:
    """How far clusters are subtasks, by k."""
    shown = worlds[: len(LINES)]
    lines = [
        make_series("line", zip(ks, one.agreement, strict=True), name=one.place, css=css, label=one.place, marker=shape)
        for one, (css, shape) in zip(shown, LINES, strict=False)
    ]  # fmt: skip
    best = max(worlds, key=lambda one: max(one.agreement))
    k = ks[best.agreement.index(max(best.agreement))]
    top = max(best.agreement)
    how = "are the subtasks" if top > 0.99 else "come near the subtasks" if top > 0.7 else "are not the subtasks"
    more = f" The first {len(LINES)} of {len(worlds)} worlds are drawn; the table has all." * (len(worlds) > len(LINES))
    return make_chart(
        slug="agreement", number=number, title=f"At their best clusters {how}: an agreement of {fixed(top)}",
        description="Adjusted Rand index of clusters with the true subtasks, by number of clusters",
        reading=f"Best for {best.place} at k = {count(k)}. Means over draws, at exponent 1.{more}", series=lines,
        x=log_axis(ks, "number of clusters k", pad=1.1), y=linear_axis([0, 1], "adjusted Rand index", exact=True),
        size="half", help=AGREEMENT_HELP,
        table={
            "head": ["k", *(one.place for one in worlds)],
            "rows": [[k, *(one.agreement[i] for one in worlds)] for i, k in enumerate(ks)],
        },
    )  # fmt: skip


def world_chart(draw: Draw, *, number: int, slug: str) -> Chart:
    """Sizes against rank at every k, their envelope, its fit, and the true sizes."""
    ks, world, fit = list(draw.sizes), draw.world, draw.fit
    series = [
        make_series("line", corners(draw.true_sizes), name="true sizes", css="refl"),
        *(
            make_series("line", corners(sizes), name=f"k = {k}", css=shade_of(k, ks), marker="dot", marker_at="end")
            for k, sizes in draw.sizes.items()
        ),
        make_series("line", corners(draw.envelope), name="envelope", css="env"),
        fit_line(fit),
    ]  # fmt: skip
    rows = [[k, rank, size] for k, sizes in draw.sizes.items() for rank, size in enumerate(sizes, 1)]
    return make_chart(
        slug=slug, number=number, size="third", series=series, help=WORLD_HELP,
        title=f"d = {count(world.n_dimensions)}, σ = {world.noise:g}, exponent {world.exponent:g}: "
        f"slope {fixed(fit.slope)}",
        description=f"Sizes of clusters against rank, {world.place}, exponent {world.exponent:g}",
        reading=f"Truth −{world.exponent:g}. {count(world.n_points)} points of {count(world.n_subtasks)} subtasks; "
        f"k = {', '.join(map(count, ks))}.",
        window=[fit.first_rank, fit.last_rank],
        x=log_axis([1, max(*ks, len(draw.true_sizes))], "rank"),
        y=log_axis([1, *draw.envelope, *draw.true_sizes], "points"),
        table={"head": ["k", "rank", "points"], "rows": rows},
    )  # fmt: skip


def fit_line(fit: EnvelopeFit, label: str = "", css: str = "fitl") -> Series:
    """The fitted law inside its window."""
    ranks = (fit.first_rank, math.sqrt(fit.first_rank * fit.last_rank), fit.last_rank)
    first, middle, last = ([rank, fit.size_at(rank)] for rank in ranks)
    return make_series("line", [first, last], name="fit", css=css, label=label, label_at=middle if label else None)
