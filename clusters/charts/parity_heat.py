"""Which tasks are learned with how much of a resource: loss by rank against parameters, steps or samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from clusters.charts.chart import Chart, Help, Series, log_axis, make_chart, make_series
from clusters.charts.numbers import count, fixed
from clusters.charts.parity_laws import Theory
from clusters.values.parity import LN2, NOUNS, Resource, unit_factor
from clusters.values.readings import Unit
from compute.numerics.parity_measures import LEARNED_NATS

SHADES = ("h7", "h6", "h5", "h4", "h3", "h2", "h1", "h0")  # from learned to a guess
OVERFIT, WORSE = "d2", 1.15  # of one bit: clearly worse than a guess
MOST_ROWS, MOST_COLUMNS = 72, 64
SEAM = 1.003  # cells reach a little under the next one, so that rounded edges leave no gap
HELP = Help(
    what="Every row is a task (or, further down, the mean of a few neighbours by rank), the most frequent on top; "
    "every column a network, or a step of one. Dark cells are learned. The black line runs under the last of as many "
    "rows as tasks are learned; dotted is the theory’s power, drawn through the middle of that line.",
    formula="n ∝ N;  n ∝ S^(1/(α + 1));  n ∝ D^(1/(α + 1))",
    source="§4: which tasks networks learn, and in what order; appendix B",
)


def heat_chart(
    resource: Resource, xs: np.ndarray, losses: np.ndarray, theory: Theory, *, unit: Unit, number: int
) -> Chart:
    """Loss of every task in nats, float (n_columns, n_tasks) by rank, at rising `xs` (n_columns,)."""
    noun = NOUNS[resource]
    rows = row_edges(losses.shape[1])
    shades = shade_indices(row_means(losses, rows))
    columns = column_edges(xs)
    learned = (losses < LEARNED_NATS).sum(axis=1)
    y = log_axis([0.5, losses.shape[1] + 0.5], "rank of the task", n=7,
                 ticks=[(rank, count(rank)) for rank in _rank_ticks(losses.shape[1])])  # fmt: skip
    y["lo"], y["hi"] = y["hi"], y["lo"]  # the most frequent on top
    boundary = _stairs(columns, learned)
    cells = make_series("cells", _cells(shades, rows, columns), name="loss")
    lines = [make_series("line", boundary, name="tasks learned", css="env")]
    lines += _theory_line(resource, xs, learned, theory, losses.shape[1])
    return make_chart(
        slug="heat", number=number, size="wide", title=heat_title(resource, learned, losses.shape[1]), help=HELP,
        description=f"Loss of tasks by rank against {noun}", reading=_reading(resource, learned, losses),
        x=log_axis([columns[0], columns[-1]], noun, n=6), y=y, series=[cells, *lines],
        legend=_legend(unit, has_overfit=bool((shades == len(SHADES)).any())), legend_title=f"loss, {unit}",
        table={
            "head": ["rank", *(f"{count(x)} {noun}, {unit}" for x in xs)],
            "rows": [[rank + 1, *row] for rank, row in enumerate((losses.T * unit_factor(unit)).tolist())],
        },
    )  # fmt: skip


def row_edges(n_tasks: int) -> list[int]:
    """Where rows of ranks begin, from 0: single ranks first, then so many that rows stay a few pixels high."""
    if n_tasks <= MOST_ROWS:
        return list(range(n_tasks + 1))
    ratio = (n_tasks + 0.5) ** (1 / MOST_ROWS)
    edges = [0]
    while edges[-1] < n_tasks:
        edges.append(min(n_tasks, max(edges[-1] + 1, round(edges[-1] * ratio))))
    return edges


def row_means(losses: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """Mean loss in nats over the ranks of each row: float (n_columns, n_rows); NaN where no rank has a loss."""
    known = np.isfinite(losses)
    sums = np.add.reduceat(np.where(known, losses, 0.0), rows[:-1], axis=1)
    counts = np.add.reduceat(known.astype(np.int64), rows[:-1], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums / counts)


def shade_indices(means: np.ndarray) -> np.ndarray:
    """0 for learned to 7 for a guess, 8 for clearly worse than a guess, −1 for nothing measured."""
    steps = np.minimum(len(SHADES) - 1, np.floor(len(SHADES) * np.nan_to_num(means) / LN2)).astype(int)
    steps = np.where(means > WORSE * LN2, len(SHADES), steps)
    return np.asarray(np.where(np.isfinite(means), steps, -1))


def column_edges(xs: np.ndarray) -> list[float]:
    """Halfway between neighbours in the logarithm; as wide outwards at both ends."""
    logs = np.log(xs)
    if len(xs) == 1:
        return [float(xs[0] / 1.5), float(xs[0] * 1.5)]
    middles = (logs[1:] + logs[:-1]) / 2
    ends = [logs[0] - (middles[0] - logs[0]), *middles, logs[-1] + (logs[-1] - middles[-1])]
    return [math.exp(end) for end in ends]


def chosen_columns(xs: np.ndarray, most: int = MOST_COLUMNS) -> np.ndarray:
    """Places of at most `most` columns of rising positive x, about evenly in the logarithm."""
    if len(xs) <= most:
        return np.arange(len(xs))
    wanted = np.geomspace(xs[0], xs[-1], most)
    return np.unique(np.clip(np.searchsorted(xs, wanted), 0, len(xs) - 1))


def _cells(shades: np.ndarray, rows: Sequence[int], columns: Sequence[float]) -> list[list[object]]:
    """Cells of one row that have one shade and touch each other are drawn as one."""
    names = (*SHADES, OVERFIT)
    cells: list[list[object]] = []
    for row, (start, end) in enumerate(pairwise(rows)):
        column = 0
        while column < len(shades):
            last = column
            while last + 1 < len(shades) and shades[last + 1, row] == shades[column, row]:
                last += 1
            if shades[column, row] >= 0:
                name = names[int(shades[column, row])]
                cells.append([columns[column], columns[last + 1] * SEAM, (end + 0.5) * SEAM, start + 0.5, name])
            column = last + 1
    return cells


def _stairs(columns: Sequence[float], learned: np.ndarray) -> list[list[float]]:
    """Under as many rows as tasks are learned, column by column."""
    points = []
    for (left, right), n in zip(pairwise(columns), learned.tolist(), strict=True):
        points += [[left, n + 0.5], [right, n + 0.5]]
    return points


def _theory_line(resource: Resource, xs: np.ndarray, learned: np.ndarray, theory: Theory, n_tasks: int) -> list[Series]:
    some = (learned > 0) & (learned < n_tasks)
    if some.sum() < 2:
        return []
    power = theory.power(resource)
    shift = float(np.mean(np.log(learned[some]) - power * np.log(xs[some])))
    line = [[float(x), math.exp(shift + power * math.log(x)) + 0.5] for x in np.geomspace(xs[0], xs[-1], 40)]
    line = [[x, y] for x, y in line if y <= n_tasks + 0.5]
    label = f"theory {resource}" + ("" if resource == "N" else f"^{fixed(power)}")
    under = make_series("line", line, name="under theory", css="under")
    x, y = line[len(line) // 3]
    beside = [x, min(y * 1.5, n_tasks), "e"]  # among the tasks that are not learned
    return [under, make_series("line", line, name="theory", css="refl", label=label, label_at=beside)]


def _rank_ticks(n_tasks: int) -> list[int]:
    return [rank for rank in (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 5000) if rank <= n_tasks]


def _legend(unit: Unit, *, has_overfit: bool) -> list[tuple[str, str, str]]:
    factor = unit_factor(unit)
    rows = [("square", SHADES[i], f"from {fixed(LN2 * i / len(SHADES) * factor)}") for i in (7, 5, 3, 1, 0)]
    if has_overfit:
        rows.insert(0, ("square", OVERFIT, f"over {fixed(WORSE * LN2 * factor)}"))
    return rows


def heat_title(resource: Resource, learned: np.ndarray, n_tasks: int) -> str:
    first, last, noun = int(learned[0]), int(learned[-1]), NOUNS[resource]
    if not learned.max():
        return f"No task of {count(n_tasks)} is learned with any number of {noun}"
    if last > first:
        return f"With more {noun} more tasks are learned: from {count(first)} to {count(last)} of {count(n_tasks)}"
    if last == first:
        return f"With more {noun} no more tasks are learned: {count(last)} of {count(n_tasks)} at both ends"
    return f"With more {noun} fewer tasks are learned: from {count(first)} to {count(last)} of {count(n_tasks)}"


def _reading(resource: Resource, learned: np.ndarray, losses: np.ndarray) -> str:
    what = {"N": "At the end of training.", "S": "Of the widest network.", "D": "The lowest loss over training."}
    n_early = sum(_out_of_order(row) for row in losses)
    said = [what[resource]]
    n = len(losses)
    if learned.max():
        of = "steps" if resource == "S" else "networks"
        said.append(f"In {count(n - n_early)} of {count(n)} {of} the learned tasks are exactly the most frequent ones.")
    return " ".join(said)


def _out_of_order(losses: np.ndarray) -> bool:
    """Whether a learned task is rarer than one that is not learned."""
    learned = losses < LEARNED_NATS
    return bool(learned[: int(learned.sum())].sum() != learned.sum())
