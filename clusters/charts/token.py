"""What a token's page draws: its loss over network size and over training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from clusters.charts.chart import Chart, Sparkline, curve_chart, sparkline
from clusters.charts.geometry import minus
from clusters.charts.numbers import compact
from clusters.readings import Scores, StepCurve, Unit

SPARK_TOP_BITS = 13.0
CLASS_SHAPES = {"monogenic": "on", "polygenic": "square", "mixed": "half", "flat": "", "unknown": ""}
CLASS_MEANINGS = {
    "monogenic": "one step explains the curve, as if the token needed a single quantum",
    "polygenic": "the loss falls bit by bit, as if the token needed many quanta",
    "mixed": "neither a clean step nor a clean line",
    "flat": "the loss falls by less than one bit, so its shape says little",
    "unknown": "the curve was not scored",
}


def token_sizes_chart(sizes: Sequence[int], losses: np.ndarray, scores: Scores, unit: Unit) -> Chart:
    """One token's loss (n_sizes,) under the final checkpoints."""
    points = _points(sizes, losses)
    return curve_chart(
        [{"points": points, "name": "this token", "css": "mean", "marker": "dot"}], over="parameters",
        slug="loss-over-parameters", number=1, title=_sizes_title(sizes, losses), unit=unit, size="third",
        reading=f"{scores.curve_class.capitalize()}: {CLASS_MEANINGS[scores.curve_class]}.",
    )  # fmt: skip


def token_steps_chart(curves: Sequence[StepCurve], unit: Unit) -> Chart | None:
    """One token's loss over training steps, one line a network."""
    if not curves:
        return None
    shades = np.linspace(1, 6, len(curves)).round().astype(int).tolist()
    lines = [
        {"points": _points(curve.steps, curve.losses[0]), "name": curve.lm, "label": curve.lm, "css": f"v{shade}"}
        for curve, shade in zip(curves, shades, strict=True)
    ]
    return curve_chart(
        lines, over="steps", slug="loss-over-steps", number=2, title=_steps_title(curves), unit=unit, size="third",
        reading="One line a network, the darker the smaller. Step 0 stands before the break.",
    )  # fmt: skip


class ScoreRow(TypedDict):
    name: str
    value: str
    range: str
    meaning: str


def score_rows(scores: Scores) -> list[ScoreRow]:
    """Each score with what it means, in one sentence."""
    rows = (
        ("M", scores.monogenicity, 2, "1 a step, −1 a line",
         "Near 1 a single step explains the loss over size; near −1 a straight line in log size does."),
        ("effective steps", scores.n_eff, 1, "1 for a single drop",
         "Over how many sizes the gain is spread: 1 for a single drop."),
        ("bits lost", scores.amplitude_bits, 1, "before the best step, less after it",
         "Mean loss before the best step minus mean loss after it."),
        ("linearity", scores.linearity, 1, "",
         "How evenly the loss falls: the whole gain over the root mean square of its steps."),
        ("breakthroughness", scores.breakthroughness, 1, "",
         "How sudden the gain is: the whole gain over the median step, within ±100."),
    )  # fmt: skip
    return [
        {"name": name, "value": _number(value, digits), "range": span, "meaning": meaning}
        for name, value, digits, span, meaning in rows
    ]


def token_spark(losses_nats: np.ndarray) -> Sparkline:
    """A token's loss over sizes in bits, on the scale that every row of a list shares."""
    bits = (losses_nats / math.log(2)).tolist()
    told = ", ".join(f"{value:.1f}" for value in bits)
    return sparkline(bits, hi=SPARK_TOP_BITS, description=f"Loss in bits at {len(bits)} sizes: {told}")


def _points(xs: Sequence[float], ys: np.ndarray) -> list[list[Any]]:
    return [[x, y if math.isfinite(y) else None] for x, y in zip(xs, ys.tolist(), strict=True)]


def _sizes_title(sizes: Sequence[int], losses: np.ndarray) -> str:
    falls = -np.diff(losses)
    whole = float(losses[0] - losses[-1])
    if not len(falls) or not math.isfinite(whole) or whole < math.log(2):
        return "The loss hardly falls with size"
    at = int(falls.argmax())
    before, after = compact(sizes[at]), compact(sizes[at + 1])
    if falls[at] >= 0.6 * whole:
        return f"Learned between {before} and {after} parameters"
    return f"The loss falls gradually, most between {before} and {after} parameters"


def _steps_title(curves: Sequence[StepCurve]) -> str:
    last = [(curve.lm, float(curve.losses[0, -1])) for curve in curves]
    learned = [lm for lm, loss in last if loss < 0.5]
    if not learned:
        return "No network with checkpoints learns it"
    return f"{learned[0]} is the smallest to learn it" if len(learned) < len(last) else "Every network learns it"


def _number(value: float | None, digits: int) -> str:
    return "unknown" if value is None else minus(f"{value:.{digits}f}")
