"""Clusters by rank and training step: which are learned when, and what the theory expects."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from clusters.charts.chart import Chart, Help, Series, log_axis, make_chart, make_series
from clusters.charts.numbers import count, fixed
from clusters.charts.parity_heat import row_edges
from clusters.charts.sequence import CERTAIN, FEW, Theory
from clusters.values.dynamics import Heat
from clusters.values.facts import Emergence
from clusters.values.readings import Unit
from compute.numerics.correlation import RankCorrelation
from compute.numerics.emergence import BELOW_FROM_START, CROSSED

STEP = "training step"
EDGES = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0)  # nats, between shades
SHADES = ("h7", "h6", "h5", "h4", "h3", "h2", "h1", "h0")  # from learned to not at all
HEAT_HELP = Help(
    what="Every column is a cluster, or the mean of a few neighbours by rank; every row a step, the last on top. "
    "The strongest shade is learned; if frequent quanta come first, it begins lower on the left. The solid line is the "
    "median step at which clusters of a rank fall below the threshold for good, the dotted one the theory’s T·k^(α+1).",
    formula="step of learning = T · k^(1 + α)",
    source="§3: in a single epoch the k-th quantum takes T·k^(α+1) steps",
)


def heat_chart(
    heat: Heat,
    shown: Emergence,
    rho: RankCorrelation | None,
    theory: Theory | None,
    *,
    unit: Unit,
    factor: float,
    number: int,
) -> Chart:
    """Mean loss by rank and step, with the median step of learning and the theory's line."""
    groups = row_edges(len(heat.ranks))
    means = heat.grouped(groups)
    places = np.searchsorted(EDGES, means, side="right")
    xs = [edge + 0.5 for edge in groups]
    ys = _edges(heat.steps)
    cells = [
        [x0, x1, y0, y1, SHADES[places[i, j]]]
        for i, (x0, x1) in enumerate(pairwise(xs))
        for j, (y0, y1) in enumerate(pairwise(ys))
    ]
    lines = [one for one in (_median_line(shown, ys), _theory_line(theory, xs, ys)) if one]
    return make_chart(
        slug="heat", number=number, size="wide", title=heat_title(shown, rho), help=HEAT_HELP,
        description=f"Mean loss of clusters in {unit} by rank and training step of {shown.scale.lm}",
        reading=_heat_reading(heat, groups, shown, theory, factor, unit),
        series=[make_series("cells", cells, name="mean loss"), *lines],
        x=log_axis([xs[0], xs[-1]], "rank of cluster by size", ticks=_rank_ticks(len(heat.ranks))),
        y=log_axis([ys[0], ys[-1]], STEP), legend=_legend(factor), legend_title=f"mean loss, {unit}",
        table={
            "head": ["rank", "cluster", "tokens", *(f"step {count(step)}, {unit}" for step in heat.steps)],
            "rows": [[rank, label, size, *row] for rank, label, size, row in
                     zip(heat.ranks, heat.labels, heat.sizes.tolist(), (heat.means * factor).tolist(), strict=True)],
        },
    )  # fmt: skip


def heat_title(shown: Emergence, rho: RankCorrelation | None) -> str:
    """How many clusters are learned, and whether in the order of their size."""
    n = len(shown.clusters)
    learned = n - sum(one.state not in (CROSSED, BELOW_FROM_START) for one in shown.clusters)
    last = count(shown.scale.values[-1])
    who = f"All {count(n)}" if learned == n else f"{count(learned)} of {count(n)}"
    text = f"{who} clusters are learned by step {last}"
    if rho is None or rho.n < FEW:
        return text
    if rho.p_value >= CERTAIN:
        return f"{text}, in no order of their size (ρ = {fixed(rho.rho)})"
    return f"{text}, {'frequent' if rho.rho > 0 else 'rare'} ones first (ρ = {fixed(rho.rho)})"


def _heat_reading(
    heat: Heat, groups: Sequence[int], shown: Emergence, theory: Theory | None, factor: float, unit: Unit
) -> str:
    sentences = [f"Learned: mean loss under {fixed(shown.threshold_nats * factor, 2)} {unit} for good."]
    if len(groups) - 1 < len(heat.ranks):
        sentences.append(f"{count(len(heat.ranks))} clusters in {count(len(groups) - 1)} columns.")
    if theory:
        sentences.append(
            f"Dotted: rank to the power 1 + α = {fixed(theory.exponent)}, α {theory.source}, with as many learned "
            "clusters above it as below."
        )
    if 0 in shown.scale.values:
        sentences.append("Step 0 is left out.")
    return " ".join(sentences)


def _edges(steps: np.ndarray) -> list[float]:
    """Where rows begin and end: half-way to their neighbours in the logarithm."""
    logs = np.log(steps)
    middles = (logs[1:] + logs[:-1]) / 2
    ends = [2 * logs[0] - middles[0], *middles, 2 * logs[-1] - middles[-1]]
    return [float(one) for one in np.exp(ends)]


def _median_line(shown: Emergence, ys: Sequence[float]) -> Series | None:
    points = [[rank, step] for rank, step in shown.medians() if ys[0] <= step <= ys[-1]]
    if len(points) < 2:
        return None
    return make_series("line", points, name="median step of learning", css="env", label="median", label_at=points[0])


def _theory_line(theory: Theory | None, xs: Sequence[float], ys: Sequence[float]) -> Series | None:
    """The theory's line within the frame, its name a third of the way along."""
    if theory is None:
        return None
    first, last = ((y / theory.constant) ** (1 / theory.exponent) for y in (ys[0], ys[-1]))
    ends = max(xs[0], first), min(xs[-1], last)
    if ends[0] >= ends[1]:
        return None
    at = ends[0] ** (2 / 3) * ends[1] ** (1 / 3)
    first_point, named, last_point = (
        [rank, theory.constant * rank**theory.exponent] for rank in (ends[0], at, ends[1])
    )
    return make_series("line", [first_point, last_point], name="theory", css="refl", label="theory", label_at=named)


def _rank_ticks(n: int) -> list[tuple[float, str]]:
    ticks = [rank for power in range(5) for rank in (10**power, 3 * 10**power) if rank <= n]
    return [(float(rank), count(rank)) for rank in ticks]


def _legend(factor: float) -> list[tuple[str, str, str]]:
    """Every second shade with the loss that it begins at."""
    begins = [0.0, *EDGES]
    return [
        ("square", SHADES[i], f"under {EDGES[0] * factor:.2g}" if i == 0 else f"from {begins[i] * factor:.2g}")
        for i in (0, 2, 4, 6)
    ]
