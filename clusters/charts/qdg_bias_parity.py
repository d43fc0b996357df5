"""Gradients of a parity network: sizes against rank, agreement with the tasks, and how alike gradients are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clusters.charts.chart import Chart, Help, linear_axis, log_axis, make_chart, make_series, vertical
from clusters.charts.numbers import count, fixed
from clusters.charts.qdg_bias import fit_line
from clusters.charts.rank_frequency import corners, shade_of
from clusters.charts.raster import RAMPS
from clusters.values.qdg_bias import ABSOLUTE, SIGNED, ParityQdg
from compute.numerics.ranks import EnvelopeFit

CLOSE = 0.05
SEAM = 0.52
MOST_TASKS = 24  # of the figure of means
MOST_NAMED = 12  # of them; of more, every other
AGREEMENT_LINES = (
    ((SIGNED, "tasks"), "c1", "dot", "signed"),
    ((SIGNED, "answers"), "c3", "square", "signed, with answers"),
    ((ABSOLUTE, "tasks"), "c2", "diamond", "absolute"),
)
RANKS_HELP = Help(
    what="The network answers some tasks well. Gradients of samples of these are clustered at every k, and the "
    "envelope of cluster sizes is fitted over the ranks that exist. Since every sample’s task is known, so are the "
    "true sizes (dotted), and the slope that a perfect method would find.",
    formula="tasks are asked ∝ i^−(1+α), so the true slope is −(1 + α); among samples that pass it is what is dotted",
    source="appendix D.1, Figure 15’s method",
)
TRUTH_HELP = Help(
    what="The gradient of a sample points against that of a sample whose answer is the other one: the loss pushes the "
    "two outputs apart in opposite directions. Signed affinities therefore part each task into its two answers, "
    "absolute ones need not. So the signed clustering is compared with the tasks, and with the tasks parted by their "
    "answers; the table also has the absolute one with answers.",
    formula="ARI = (agreeing pairs − expected) / (all pairs − expected)",
    source="none: the paper shows the matrix and the slope",
)
COSINES_HELP = Help(
    what="All pairs of samples, by the cosine of their gradients, for pairs of one task and of two. Pairs of equal "
    "answers lie right of zero, pairs of different answers left of it.",
    formula="share of pairs in bins of 0.025",
    source="appendix D.1",
)
MEANS_HELP = Help(
    what="The mean absolute cosine between the samples of every two tasks, commonest first, each sample’s pair with "
    "itself left out. A task that the network computes by units of its own is dark on the diagonal alone.",
    formula="mean of |cos(g_i, g_j)|",
    source="appendix D.1",
)


def ranks_chart(
    known: ParityQdg, affinity: str, fit: EnvelopeFit | None, true: EnvelopeFit | None, *, number: int
) -> Chart:
    """Sizes of clusters, their envelope and its slope, with the sizes that tasks really have."""
    by_k, curve = known.sizes_by_k(affinity), known.envelope(affinity)
    ks = list(by_k)
    series = [
        make_series(
            "line", corners(sizes), name=f"k = {k}", css=shade_of(k, ks), marker="dot", marker_at="end",
            label=f"k = {count(k)}" if k == ks[0] else count(k) if k == ks[-1] else "",
        )
        for k, sizes in by_k.items()
    ]  # fmt: skip
    middle = curve[min(2, len(curve) - 1)]
    series += [
        make_series("line", corners(curve), name="envelope", css="env", label="envelope",
                    label_at=[min(3, len(curve)), middle]),
        make_series("line", corners(known.true_sizes), name="true sizes", css="refl", label="tasks",
                    label_at=[len(known.true_sizes), known.true_sizes[-1]]),
    ]  # fmt: skip
    if fit:
        series.append(fit_line(fit, f"fit r^{fixed(fit.slope)}"))
    rows = [[f"k = {k}", rank, size] for k, sizes in by_k.items() for rank, size in enumerate(sizes, 1)]
    rows += [["tasks", rank, size] for rank, size in enumerate(known.true_sizes, 1)]
    return make_chart(
        slug="ranks", number=number, title=_ranks_title(known, fit), size="wide", help=RANKS_HELP, series=series,
        description=f"Samples in a cluster against rank, {affinity} affinity, with the true sizes of tasks",
        reading=_ranks_reading(known, fit, true), window=[fit.first_rank, fit.last_rank] if fit else None,
        x=log_axis([1, max(ks[-1], len(known.true_sizes))], "rank"),
        y=log_axis([1, *curve, *known.true_sizes], "samples"),
        table={"head": ["line", "rank", "samples"], "rows": rows},
    )  # fmt: skip


def _ranks_title(known: ParityQdg, fit: EnvelopeFit | None) -> str:
    if fit is None:
        return f"{count(len(known.present))} tasks passed: too few ranks for a slope"
    truth = known.known_slope
    if abs(fit.slope - truth) < CLOSE:
        return f"The envelope falls with {fixed(fit.slope)}, as the tasks’ frequencies do: {fixed(truth)}"
    how = "less steep" if fit.slope > truth else "steeper"
    return f"The envelope falls with {fixed(fit.slope)}, {how} than the tasks’ frequencies: {fixed(truth)}"


def _ranks_reading(known: ParityQdg, fit: EnvelopeFit | None, true: EnvelopeFit | None) -> str:
    passed = (
        f"{count(len(known.present))} of {count(known.config.n_tasks)} tasks passed with a loss below "
        f"{known.config.threshold_nats:g} nats, so the true sizes end at rank {count(len(known.present))}"
    )
    if fit is None or true is None:
        return f"{passed}."
    return (
        f"{passed}. Over ranks {count(fit.first_rank)} to {count(fit.last_rank)} their own slope is "
        f"{fixed(true.slope)}; the envelope’s 95% least-squares interval is {fixed(fit.low)} to {fixed(fit.high)}, "
        "which knows nothing of the choice of ranks."
    )


def agreement_chart(known: ParityQdg, *, number: int) -> Chart:
    """Agreement of clusters with both truths, for both affinities, at every k."""
    words = {"tasks": "tasks", "answers": "tasks × answers"}
    pairs = [(affinity, truth) for affinity in (SIGNED, ABSOLUTE) for truth in words]
    series = [
        make_series("line", zip(known.ks, known.agreement(*pair), strict=True), name=text, css=css, marker=shape)
        for pair, css, shape, text in AGREEMENT_LINES
    ]  # fmt: skip
    best = max(pairs, key=lambda pair: known.best(*pair)[1])
    k, top = known.best(*best)
    values = [one for pair in pairs for one in known.agreement(*pair)]
    return make_chart(
        slug="agreement", number=number, size="half", series=series, help=TRUTH_HELP,
        title=f"Clusters agree with the truth by {fixed(top)} at best: {best[0]} affinity, k = {count(k)}",
        description="Adjusted Rand index of clusters with the true tasks, by number of clusters",
        reading=f"Best against {words[best[1]]}. 1 would be every cluster a task, 0 is chance; "
        f"{count(len(known.present))} tasks passed.",
        rules=[vertical("refl", len(known.present), f"{len(known.present)} tasks", side="start")]
        if known.ks[0] <= len(known.present) <= known.ks[-1] else [],
        legend=[(shape, css, text) for _, css, shape, text in AGREEMENT_LINES],
        x=log_axis(known.ks, "number of clusters k", pad=1.1), y=linear_axis([0, 1, *values], "adjusted Rand index"),
        table={
            "head": ["k", *(f"{affinity}, {words[truth]}" for affinity, truth in pairs)],
            "rows": [[k, *(known.agreement(*pair)[i] for pair in pairs)] for i, k in enumerate(known.ks)],
        },
    )  # fmt: skip


def cosines_chart(
    known: ParityQdg, edges: np.ndarray, within: np.ndarray, between: np.ndarray, *, number: int
) -> Chart:
    """How alike gradients of one task and of two are."""
    middles = (edges[:-1] + edges[1:]) / 2
    shares = {"one task": within / max(within.sum(), 1), "two tasks": between / max(between.sum(), 1)}
    series = [
        make_series("step", zip(edges[:-1], share, strict=True), name=name, css=css, label=name,
                    label_at=[float(middles[np.argmax(share)]), float(share.max())])
        for (name, share), css in zip(shares.items(), ("c2", "c1"), strict=True)
    ]  # fmt: skip
    return make_chart(
        slug="cosines", number=number, size="half", title=_cosines_title(known), series=series, help=COSINES_HELP,
        description="Share of pairs against the cosine of their gradients, for pairs of one task and of two",
        reading=f"{count(within.sum())} pairs of one task, {count(between.sum())} of two. Gradients of different "
        "answers oppose each other, so both are even about zero.",
        x=linear_axis([-1, 1], "cosine", exact=True), y=linear_axis([0, *shares["two tasks"]], "share of pairs"),
        table={
            "head": ["from", "to", "pairs of one task", "pairs of two"],
            "rows": [list(row) for row in zip(edges[:-1], edges[1:], within, between, strict=True)],
        },
    )  # fmt: skip


def _cosines_title(known: ParityQdg) -> str:
    within, between = known.found["within"], known.found["between"]
    if within is None or between is None:
        return "How alike gradients are"
    texts = fixed(within), fixed(between)
    how = "more alike" if within > between else "less alike"
    if texts[0] == texts[1]:
        return f"Gradients of one task are as alike as those of two: a mean |cosine| of {texts[0]}"
    return f"Gradients of one task are {how} than those of two: a mean |cosine| of {texts[0]} against {texts[1]}"


def means_chart(known: ParityQdg, *, number: int) -> Chart:
    """Mean absolute cosine between every two of the commonest tasks."""
    n = min(len(known.present), MOST_TASKS)
    means, shades = known.means[:n, :n], RAMPS["density"]
    top = float(np.nanmax(means)) if np.isfinite(means).any() else 1.0
    steps = np.linspace(0, top or 1.0, len(shades))
    cells = [
        [b - 0.5, b + SEAM, a + SEAM, a - 0.5, shades[round(float(means[a, b] / (top or 1.0)) * (len(shades) - 1))]]
        for a in range(n) for b in range(n) if np.isfinite(means[a, b])
    ]  # fmt: skip
    ticks = [(i, count(known.present[i] + 1)) for i in range(0, n, 1 if n <= MOST_NAMED else 2)]
    ends = [-0.5, n - 0.5]
    y = linear_axis(ends, "task", exact=True, ticks=ticks)
    y["lo"], y["hi"] = y["hi"], y["lo"]
    return make_chart(
        slug="task-means", number=number, size="half", title=_means_title(means), help=MEANS_HELP,
        description=f"Mean absolute cosine between the gradients of the {n} commonest tasks that passed",
        reading=_means_reading(known, n), x=linear_axis(ends, "task", exact=True, ticks=ticks), y=y,
        series=[make_series("cells", cells, name="mean")],
        legend=[("square", shades[i], fixed(float(steps[i]))) for i in reversed(range(len(shades)))],
        legend_title="mean",
        table={
            "head": ["task", "other task", "mean |cosine|"],
            "rows": [[known.present[a] + 1, known.present[b] + 1, float(means[a, b])] for a in range(n)
                     for b in range(a, n)],
        },
    )  # fmt: skip


def _means_title(means: np.ndarray) -> str:
    own = np.diagonal(means)
    is_known = np.isfinite(own)
    if len(means) < 2 or not is_known.any():
        return "Mean likeness of tasks"
    others = np.where(np.eye(len(means), dtype=bool), -np.inf, np.nan_to_num(means, nan=-np.inf)).max(axis=1)
    n_own, n = int((own > others)[is_known].sum()), int(is_known.sum())
    who = f"All {count(n)}" if n_own == n else f"{count(n_own)} of {count(n)}"
    return f"{who} tasks are more like themselves than like any other"


def _means_reading(known: ParityQdg, n: int) -> str:
    few = sum(one < 5 for one in known.counts[:n])
    said = f"The {count(n)} commonest of {count(len(known.present))} tasks that passed."
    if few == 1:
        return f"{said} One has fewer than five samples: its mean rests on few pairs."
    return f"{said} {count(few)} have fewer than five samples: their means rest on few pairs." if few else said


def boundaries(counts: Sequence[int]) -> list[tuple[float, float]]:
    """Start and end of every task along the matrix, as shares of it."""
    total = max(sum(counts), 1)
    ends = np.cumsum([0, *counts]) / total
    return list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
