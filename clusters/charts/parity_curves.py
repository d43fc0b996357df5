"""One network on sparse parity over its training: every task's own fall, and the smooth sum of all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from clusters.charts.chart import Chart, Help, Series, linear_axis, log_axis, make_chart, make_series
from clusters.charts.numbers import count, fixed, percent
from clusters.values.parity import LN2, Measured, unit_factor
from clusters.values.readings import Unit
from compute.numerics.parity_measures import LEARNED_NATS, NEVER, first_below

N_NAMED, MOST_CURVES = 7, 22  # curves with a text, and all that are drawn
MOST_STEPS = 90  # places along a curve, evenly in the logarithm
N_SHADES = 8
HIGH, LOW = 0.9, 0.1  # of one bit: where a task's fall begins and ends
LEAST_GAP = 0.001  # nats or bits: nothing is said of smaller differences but this
SURE = 0.9  # a ρ above this is an order
SOURCE = "§4 and Figure 2, below; more of them in appendix B"
TASKS_HELP = Help(
    what="Each input names one task and holds a string of bits; the label is the parity of the few bits that belong to "
    "the task. Guessing costs one bit. A network learns nothing of a task for long and then all of it at once, so "
    "every curve is a mirrored S. Rank 1 is the most frequent task.",
    formula="label = x_i ⊕ x_j ⊕ x_k, the three places being the task’s own; p_r ∝ r^(−(α + 1))",
    source=SOURCE,
)
SUM_HELP = Help(
    what="The loss over all data is the mean of the tasks’ losses, weighted by how often a task comes. Many sudden "
    "falls at different times, each a little smaller than the one before, add up to a line that is nearly straight on "
    "logarithmic axes: a power law without any task that follows one.",
    formula="L = Σ p_r L_r;  theory over steps: L ∝ S^(−α/(α + 1))",
    source=SOURCE,
)


def spread_logs(steps: np.ndarray, most: int = MOST_STEPS) -> np.ndarray:
    """Places of at most `most` steps, about evenly in the logarithm, first and last among them."""
    if len(steps) <= most:
        return np.arange(len(steps))
    logs = np.log(np.maximum(steps, max(float(steps[steps > 0].min()), 1.0) / 2))
    wanted = np.linspace(logs[0], logs[-1], most)
    return np.unique(np.clip(np.searchsorted(logs, wanted), 0, len(steps) - 1))


def named_ranks(n_learned: int, n_tasks: int) -> tuple[list[int], list[int]]:
    """Ranks to draw, a little beyond the learned ones, and those among them that get a text."""
    last = min(n_tasks, max(6, round(1.6 * n_learned) + 2))
    drawn = sorted({round(float(r)) for r in np.geomspace(1, last, MOST_CURVES)})
    named = sorted({min(drawn, key=lambda rank: abs(rank - r)) for r in np.geomspace(1, last, N_NAMED)})
    return drawn, named


def tasks_chart(
    steps: np.ndarray, losses: np.ndarray, *, rho: float | None, name: str, unit: Unit, number: int
) -> Chart:
    """Test losses of tasks over steps; `losses` is float (n_logs, n_tasks) in nats, by rank."""
    factor, n_tasks = unit_factor(unit), losses.shape[1]
    learned = first_below(steps, losses, LEARNED_NATS) != NEVER
    drawn, named = named_ranks(int(learned.sum()), n_tasks)
    places = spread_logs(steps)
    series = []
    for i, rank in enumerate(drawn):
        css = f"v{round(i * (N_SHADES - 1) / max(len(drawn) - 1, 1))}"
        values = losses[places, rank - 1] * factor
        points = [[x, y] for x, y in zip(steps[places].tolist(), values.tolist(), strict=True)]
        points = [[x, y] for x, y in points if math.isfinite(y)]
        is_named = rank in named
        series.append(
            make_series("line", points, name=f"rank {rank}", css=f"{css} thick" if is_named else css,
                        label=(f"rank {rank}" if rank == 1 else f"{rank}") if is_named else "",
                        label_at=_middle(points, LN2 * factor) if is_named else None)
        )  # fmt: skip
    return make_chart(
        slug="tasks", number=number, size="wide", title=tasks_title(int(learned.sum()), n_tasks, steps, rho),
        description=f"Test loss in {unit} of single tasks against training step, {name}",
        reading=_tasks_reading(steps, losses, rho, int(learned.sum())), series=series, help=TASKS_HELP,
        x=log_axis([x for x in steps.tolist() if x > 0], "training step", n=5, with_zero=bool((steps == 0).any())),
        y=linear_axis([0, _roof(losses[:, [rank - 1 for rank in drawn]]) * factor], f"test loss of a task, {unit}",
                      exact=True, n=4),
        table={
            "head": ["training step", *(f"rank {rank}, {unit}" for rank in drawn)],
            "rows": [[step, *row] for step, row in
                     zip(steps.tolist(), (losses[:, [rank - 1 for rank in drawn]] * factor).tolist(), strict=True)],
        },
    )  # fmt: skip


def _roof(losses: np.ndarray) -> float:
    """How high the axis reaches: one bit and a little, more where tasks stay above it for long."""
    known = losses[np.isfinite(losses)]
    return max(1.1 * LN2, float(np.quantile(known, 0.99)) if len(known) else 0.0)


def _middle(points: Sequence[Sequence[float]], high: float) -> list[float] | None:
    """Where a task's text stands: beside the first point below half of the highest loss, or at its end."""
    at = next((point for point in points if point[1] < 0.5 * high), None)
    return [at[0], at[1]] if at else None


def tasks_title(n_learned: int, n_tasks: int, steps: np.ndarray, rho: float | None) -> str:
    """How many tasks are learned, and whether in the order of their frequency."""
    if n_learned == 0:
        return f"No task is learned within {count(steps[-1])} steps"
    if n_tasks == 1:
        return "The only task is learned"
    verb = "tasks is" if n_learned == 1 else "tasks are"
    many = (
        f"All {count(n_tasks)} tasks are" if n_learned == n_tasks else f"{count(n_learned)} of {count(n_tasks)} {verb}"
    )
    if rho is not None and rho >= SURE and n_learned > 2:
        return f"{many} learned, frequent ones first"
    return f"{many} learned"


def _tasks_reading(steps: np.ndarray, losses: np.ndarray, rho: float | None, n_learned: int) -> str:
    said = []
    if rho is not None and n_learned > 2:
        said.append(
            f"Spearman’s ρ between frequency and order of learning is {fixed(rho)} over {count(n_learned)} tasks."
        )
    factor = fall_factor(steps, losses)
    if factor is not None:
        said.append(
            f"The median task falls from {percent(HIGH)} to {percent(LOW)} of one bit while steps grow by a factor of "
            f"{fixed(factor, 1)}."
        )
    said.append(f"Learned: once below {fixed(LEARNED_NATS, 1)} nats.")
    return " ".join(said)


def fall_factor(steps: np.ndarray, losses: np.ndarray) -> float | None:
    """Over what factor of steps the median task falls from 90% to 10% of one bit; None where no task does."""
    starts, ends = (first_below(steps, losses, share * LN2) for share in (HIGH, LOW))
    known = (starts > 0) & (ends > 0)
    return float(np.median(ends[known] / starts[known])) if known.any() else None


def sum_chart(
    steps: np.ndarray, losses: np.ndarray, mean: np.ndarray, *, weights: np.ndarray, measured: Measured, name: str,
    unit: Unit, number: int,
) -> Chart:  # fmt: skip
    """The loss over all data, beside the sum of the tasks' losses weighted by their frequencies, and its power law."""
    factor = unit_factor(unit)
    total = losses.astype(np.float64) @ weights
    places = spread_logs(steps)
    pairs = [
        (x, y, z)
        for x, y, z in zip(steps[places].tolist(), mean[places].tolist(), total[places].tolist(), strict=True)
        if x > 0 and math.isfinite(y)
    ]
    series = [
        make_series("line", [[x, y * factor] for x, y, _ in pairs], name="mean test loss", css="mean", is_strong=True,
                    label="all data", label_at=_beside(pairs, factor)),
        make_series("line", [[x, z * factor] for x, _, z in pairs], name="Σ p L of the tasks", css="c2 dash"),
        *law_lines(measured, factor),
    ]  # fmt: skip
    ys = [y for one in series for _, y in one["points"]]
    return make_chart(
        slug="sum", number=number, size="side", title=sum_title(measured), series=series, help=SUM_HELP,
        description=f"Test loss in {unit} over all data against training step, {name}",
        reading=_sum_reading(mean, total, measured, unit),
        window=[measured.window.first, measured.window.last] if measured.fit and measured.window else None,
        legend=[("dot", "c1", "measured"), ("dot", "c2", "Σ p L of tasks")],
        x=log_axis([x for x, _, _ in pairs], "training step", n=5), y=log_axis(ys, f"test loss, {unit}", pad=1.06),
        table={
            "head": ["training step", f"mean test loss, {unit}", f"weighted sum over tasks, {unit}"],
            "rows": [[x, y, z] for x, y, z in
                     zip(steps.tolist(), (mean * factor).tolist(), (total * factor).tolist(), strict=True)],
        },
    )  # fmt: skip


def _beside(pairs: Sequence[tuple[float, float, float]], factor: float) -> list[float] | None:
    if not pairs:
        return None
    x, y, _ = pairs[len(pairs) // 3]
    return [x, y * factor]


def law_lines(measured: Measured, factor: float) -> list[Series]:
    """The power law over the fitted window, labelled with its exponent."""
    fit, inside = measured.fit, measured.inside
    if fit is None or not inside:
        return []
    ends = [inside[0].x, inside[-1].x]
    line = [[x, float(fit.predict(x)) * factor] for x in ends]
    middle = math.sqrt(ends[0] * ends[1])
    label = f"{measured.resource}^{fixed(-fit.alpha)}"
    return [make_series("line", line, name="power law", css="fitl dash", label=label,
                        label_at=[middle, float(fit.predict(middle)) * factor])]  # fmt: skip


def sum_title(measured: Measured) -> str:
    fit = measured.fit
    if fit is None:
        return "The loss over all data"
    if fit.alpha <= 0:
        return "The loss over all data does not fall over the fitted steps"
    return f"Their weighted sum falls about as steps to the power −{fixed(fit.alpha)}"


def _sum_reading(mean: np.ndarray, total: np.ndarray, measured: Measured, unit: Unit) -> str:
    fit, said = measured.fit, []
    if fit is not None:
        interval = f"95% interval {fixed(fit.low)} to {fixed(fit.high)}, " if math.isfinite(fit.low) else ""
        said.append(f"Exponent {fixed(fit.alpha)}, {interval}R² {fixed(fit.r_squared, 3)} over the shaded steps.")
        if measured.law.theory is not None:
            said.append(f"Theory: {fixed(measured.law.theory)}.")
    elif measured.law.reason:
        said.append(f"No law is drawn: {measured.law.reason}.")
    gaps = np.abs(mean - total)
    gaps = gaps[np.isfinite(gaps)]
    if len(gaps):
        most = float(gaps.max()) * unit_factor(unit)
        by = f"by {fixed(most, 3)} {unit} at most" if most >= LEAST_GAP else f"by less than {LEAST_GAP:g} {unit}"
        said.append(f"The measured mean and Σ p L of the tasks differ {by}.")
    return " ".join(said)
