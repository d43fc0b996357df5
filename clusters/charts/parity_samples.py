"""Sparse parity on finitely many samples: fitting before generalising, stopping early, and overfitting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from clusters.charts.chart import Chart, Help, linear_axis, log_axis, make_chart, make_series, vertical
from clusters.charts.numbers import compact, count, fixed
from clusters.charts.parity_curves import spread_logs
from clusters.values.parity import LN2, Network, unit_factor
from clusters.values.readings import Unit
from compute.numerics.parity_measures import NEVER

AT_ONCE = 1.1  # a ratio of steps below this is no delay
RISE = 1.02  # above the lowest loss by this factor: no noise
GROKKING_HELP = Help(
    what="For every task of one network that sees the same samples again and again: when its loss on those samples, "
    "and when its loss on fresh data, first fell below a tenth of a bit. Far above the diagonal a task was known by "
    "heart long before it was understood, which is called grokking.",
    formula="gap = t_test / t_train",
    source="§4 speaks of data scaling; the gap itself is not in the paper",
)
STOPPING_HELP = Help(
    what="A network that sees the same samples again and again first learns what holds for all data, then the samples "
    "themselves. The mark is where the loss on fresh data was lowest: early stopping keeps the network of that step, "
    "and the law over samples takes that loss.",
    source="§4 and appendix B, Figure 9",
)
OVERFIT_HELP = Help(
    what="With too few samples a network never learns a rule: its best loss stays at one bit, that of a guess, and "
    "its last loss lies far above. Where the two lines part, stopping early matters; where the lower one leaves one "
    "bit, learning begins.",
    source="appendix B: at 55,532 samples or fewer the paper’s networks learn nothing",
)


def grokking_chart(train: np.ndarray, test: np.ndarray, *, name: str, number: int) -> Chart | None:
    """Steps at which each task was fitted and generalised, int (n_tasks,), −1 where never; None without both."""
    both = np.flatnonzero((train > 0) & (test > 0))
    if not len(both):
        return None
    ranks, xs, ys = both + 1, train[both], test[both]
    ratio = float(np.median(ys / xs))
    ends = [float(min(xs.min(), ys.min())), float(max(xs.max(), ys.max()))]
    points = [
        [float(x), float(y), f"rank {rank}: fitted at step {count(float(x))}, general at {count(float(y))}"]
        for rank, x, y in zip(ranks, xs, ys, strict=True)
    ]
    n_only = int(((train > 0) & (test == NEVER)).sum())
    return make_chart(
        slug="grokking",
        number=number,
        size="third",
        help=GROKKING_HELP,
        title=grokking_title(ratio, len(both)),
        description=f"Step at which tasks generalise against step at which they are fitted, {name}",
        reading=_grokking_reading(ratio, len(both), n_only),
        series=[
            make_series(
                "line", [[v, v] for v in ends], name="at once", css="refl", label="at once", label_at=[ends[1], ends[1]]
            ),
            make_series("points", points, name="tasks", css="c1"),
        ],
        x=log_axis(ends, "step with training loss below 0.1 bits", n=5, pad=1.2),
        y=log_axis(ends, "step with test loss below 0.1 bits", n=5, pad=1.2),
        table={
            "head": ["rank", "fitted at step", "general at step", "ratio"],
            "rows": [[int(r), float(x), float(y), float(y / x)] for r, x, y in zip(ranks, xs, ys, strict=True)],
        },
    )


def grokking_title(ratio: float, n: int) -> str:
    if n < 3:
        return f"{count(n)} task{'s were' if n > 1 else ' was'} fitted and generalised: too few to compare"
    if ratio >= AT_ONCE:
        return f"Tasks generalise {fixed(ratio, 1)} times as late as they are fitted"
    if ratio <= 1 / AT_ONCE:
        return "Tasks generalise before their samples are fitted"
    return "Tasks generalise when they are fitted, without delay"


def _grokking_reading(ratio: float, n: int, n_only: int) -> str:
    said = f"Median ratio t_test / t_train {fixed(ratio)} over {count(n)} task{'s' if n > 1 else ''}."
    if n_only:
        said += f" {count(n_only)} more {'were' if n_only > 1 else 'was'} fitted and never generalised."
    return said


def stopping_chart(
    network: Network, steps: np.ndarray, train: np.ndarray, test: np.ndarray, *, name: str, unit: Unit, number: int
) -> Chart:
    """Mean training and test loss of a network over its steps, the best step marked."""
    factor = unit_factor(unit)
    places = spread_logs(steps)

    def line(values: np.ndarray) -> list[list[float]]:
        pairs = zip(steps[places].tolist(), (values[places] * factor).tolist(), strict=True)
        return [[x, y] for x, y in pairs if math.isfinite(y)]

    best = network.best_step if network.best_step is not None else 0
    best_loss = (network.best_test_loss_nats or 0.0) * factor
    ys = [y for values in (train, test) for _, y in line(values)]
    return make_chart(
        slug="stopping",
        number=number,
        size="third",
        help=STOPPING_HELP,
        title=stopping_title(network, steps),
        description=f"Training and test loss in {unit} against training step, {name}",
        reading=_stopping_reading(network, steps, unit),
        series=[
            make_series("line", line(train), name="training loss", css="c2", label="training"),
            make_series("line", line(test), name="test loss", css="mean", label="test", is_strong=True),
            make_series(
                "points", [[best, best_loss, f"best: step {count(best)}"]], name="best", css="act", marker="diamond"
            ),
        ],
        rules=[vertical("thr", best, "best", side="start" if best > steps[-1] / 3 else "end")] if best > 0 else [],
        x=log_axis([x for x in steps.tolist() if x > 0], "training step", n=5, with_zero=bool((steps == 0).any())),
        y=linear_axis([0, LN2 * factor * 1.05, *ys], f"loss, {unit}", from_zero=True, n=4),
        table={
            "head": ["training step", f"training loss, {unit}", f"test loss, {unit}"],
            "rows": [
                [s, a, b]
                for s, a, b in zip(steps.tolist(), (train * factor).tolist(), (test * factor).tolist(), strict=True)
            ],
        },
    )


def stopping_title(network: Network, steps: np.ndarray) -> str:
    best, last = network.best_test_loss_nats, network.test_loss_nats
    if network.diverged_at is not None:
        return f"Training diverged at step {count(network.diverged_at)}"
    if best is None or last is None or network.best_step is None:
        return "Test loss over training"
    if last <= best * RISE:
        where = "still lowest" if last <= best else "hardly above its lowest"
        return f"Test loss is {where} at the end: nothing is gained by stopping early"
    if network.best_step <= 0:
        return "Test loss is lowest before the first step: nothing is learned that holds for fresh data"
    return f"Test loss is lowest at step {count(network.best_step)} of {count(steps[-1])}, then it rises"


def _stopping_reading(network: Network, steps: np.ndarray, unit: Unit) -> str:
    factor, best, last = unit_factor(unit), network.best_test_loss_nats, network.test_loss_nats
    if best is None or last is None:
        return ""
    lowest, end, guess = (fixed(value * factor, 3) for value in (best, last, LN2))
    return f"Lowest {lowest} {unit}, at the end {end}; a guess costs {guess}."


def overfit_chart(networks: Sequence[Network], *, unit: Unit, number: int) -> Chart:
    """Best and last test loss of networks by number of samples; at least two sizes."""
    factor = unit_factor(unit)
    known = sorted((one for one in networks if one.is_sound), key=lambda one: one.n_samples or 0)

    def marks(values: Sequence[float | None], word: str) -> list[list[object]]:
        return [
            [one.n_samples, value * factor, f"{count(one.n_samples)} samples: {word} {fixed(value * factor, 3)} {unit}"]
            for one, value in zip(known, values, strict=True) if value is not None
        ]  # fmt: skip

    best, last = [one.best_test_loss_nats for one in known], [one.test_loss_nats for one in known]
    samples = [float(one.n_samples or 1) for one in known]
    guess = LN2 * factor
    ys = [guess, *(value * factor for value in [*best, *last] if value is not None)]
    kind: Literal["line", "points"] = "line" if len(set(samples)) == len(samples) else "points"
    ends = marks(last, "at the end")
    return make_chart(
        slug="overfitting",
        number=number,
        size="third",
        help=OVERFIT_HELP,
        title=overfit_title(known),
        description=f"Lowest and last test loss in {unit} against training samples",
        reading=_overfit_reading(known),
        series=[
            make_series(
                "line",
                [[min(samples), guess], [max(samples), guess]],
                name="a guess",
                css="refl",
                label="a guess",
                label_at=[min(samples), guess],
            ),
            make_series(
                kind, ends, name="at the end", css="c2", marker="diamond", label="at the end", label_at=ends[0][:2]
            ),
            make_series(kind, marks(best, "at best"), name="at best", css="c1", marker="dot", label="stopped in time"),
        ],
        x=log_axis(samples, "training samples", n=5, pad=1.15),
        y=log_axis(ys, f"test loss, {unit}", n=5, pad=1.1),
        table={
            "head": ["training samples", "width", "seed", f"lowest, {unit}", "at step", f"at the end, {unit}"],
            "rows": [
                [one.n_samples, one.width, one.seed, b and b * factor, one.best_step, a and a * factor]
                for one, b, a in zip(known, best, last, strict=True)
            ],
        },
    )


def overfit_title(known: Sequence[Network]) -> str:
    """Up to how many samples networks end worse than a guess."""
    worse = [one.n_samples or 0 for one in known if (one.test_loss_nats or 0) > LN2]
    better = [one.n_samples or 0 for one in known if (one.test_loss_nats or 0) <= LN2]
    if not worse:
        return "No network ends worse than a guess"
    if not better:
        return "Every network ends worse than a guess"
    if max(worse) < min(better):
        return f"Up to {compact(max(worse))} samples networks end worse than a guess"
    return (
        f"{count(len(worse))} of {count(len(known))} networks {'ends' if len(worse) == 1 else 'end'} worse than a guess"
    )


def _overfit_reading(known: Sequence[Network]) -> str:
    stopped = [one for one in known if one.n_learned > 0]
    if not stopped:
        return "None of them learned a task at any step."
    least = min(one.n_samples or 0 for one in stopped)
    return f"The first task is learned with {compact(least)} samples."
