"""A curve of one's own: its shape beside a step and a line, and how well each law foretold its largest points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from clusters.charts.chart import (
    Chart,
    Help,
    category_axis,
    linear_axis,
    log_axis,
    make_chart,
    make_series,
)
from clusters.charts.numbers import compact, fixed, percent
from clusters.charts.scaling import POOR, unit_factor
from clusters.values.laws import LAW_NAMES
from clusters.values.readings import Unit
from compute.numerics.fits import CurveReading, Shape
from compute.numerics.laws import Comparison, Trial

MOST_MARKED = 40
LEAST_SHARE = 1e-4  # an error below this is drawn here: noiseless laws miss by nothing
SHAPE_HELP = Help(
    what="The points with the best single step and the best straight line through them. M compares what each leaves "
    "unexplained: near 1 the step explains the curve, near −1 the line does. Effective steps say over how many points "
    "the fall is spread.",
    formula="M = (SSE_line − SSE_step) / (SSE_line + SSE_step + m s₀²), s₀ = 0.25 bit; n_eff = 1 / Σ wᵢ²",
    source="§4 and Figure 4: monogenic and polygenic tokens",
)
HELD_OUT_HELP = Help(
    what="Each law is fitted twice: to all points, and to all but those of the largest fifth of scales, which it is "
    "then asked about. A law with more breaks always misses less of what it has seen; only the held-out error can say "
    "whether a break is there.",
    formula="root mean square of ln y − ln ŷ",
    source="the broken law: Caballero et al., arXiv:2210.14891",
)


def shape_chart(reading: CurveReading, *, over: str, unit: Unit, number: int) -> Chart | None:
    """The points, the best step and the best line; None where there are too few to score."""
    shape = reading.shape
    if shape is None:
        return None
    factor = unit_factor(unit)
    y = np.array(reading.loss_nats) * factor
    x = np.array(reading.x)
    u = np.log(x)
    slope = shape.slope_nats * factor
    line = y.mean() + slope * (u[[0, -1]] - u.mean())
    series = [make_series("line", zip(x[[0, -1]].tolist(), line.tolist(), strict=True), name="the best line", css="c2",
                          label="line")]  # fmt: skip
    if shape.split:
        series.append(make_series("step", _step(x, y, shape.split), name="the best step", css="c1", label="step"))
    points = [[a, b, f"{compact(a)}: {fixed(b, 3)} {unit}"] for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    series.append(make_series("line", points, name="loss", css="mean", is_strong=True,
                              marker="dot" if len(x) <= MOST_MARKED else ""))  # fmt: skip
    return make_chart(
        slug="shape", number=number, title=shape_title(reading, unit), reading=_shape_reading(shape), size="half",
        description=f"Loss in {unit} against {over}, with the best step and the best line", series=series,
        x=log_axis(x.tolist(), over, pad=1.12), y=linear_axis([*y.tolist(), 0.0], f"loss, {unit}", from_zero=True, n=5),
        table={"head": [over, f"loss, {unit}"], "rows": [[a, b] for a, b in zip(x.tolist(), y.tolist(), strict=True)]},
        help=SHAPE_HELP,
    )  # fmt: skip


def _step(x: np.ndarray, y: np.ndarray, split: int) -> list[list[float]]:
    """Mean before the split, mean after it; the step stands midway in the logarithm."""
    middle = math.sqrt(x[split - 1] * x[split])
    before, after = float(y[:split].mean()), float(y[split:].mean())
    return [[float(x[0]), before], [middle, before], [middle, after], [float(x[-1]), after]]


def shape_title(reading: CurveReading, unit: Unit) -> str:
    """What the curve does, in one sentence."""
    shape = reading.shape
    if shape is None:
        return "Too few points to have a shape"
    bits = 1.0 if unit == "bits" else math.log(2)
    if shape.curve_class == "monogenic":
        return f"One step of {fixed(shape.amplitude_bits * bits, 1)} {unit} explains this curve"
    if shape.curve_class == "polygenic":
        return f"The loss falls bit by bit, as if in {fixed(shape.n_eff, 1)} equal steps"
    if shape.rises:
        return f"The loss rises with scale, by {fixed(shape.rise_bits * bits, 1)} {unit} from first to last third"
    if shape.has_peak:
        at = compact(reading.x[shape.peak_at])
        return f"The loss rises by {fixed(shape.peak_bits * bits, 1)} {unit}, to a peak at {at}, and falls again"
    if shape.curve_class == "flat":
        return "The loss hardly falls"
    return "Neither one step nor a line explains this curve"


def _shape_reading(shape: Shape) -> str:
    if not shape.split:
        return "No split of the scale has a lower loss after it, so M is −1."
    if abs(shape.monogenicity) <= 0.2:
        said = "A step and a line leave about as much unexplained"
    else:
        said = f"The {'step' if shape.monogenicity > 0 else 'line'} leaves less unexplained"
    return f"{said}: M = {fixed(shape.monogenicity)}, on a scale from −1 (a line) to 1 (a step)."


def held_out_chart(comparison: Comparison, *, number: int) -> Chart | None:
    """Errors of every law on points that it had seen and on those that it had not; None where none was judged."""
    judged = [trial for trial in comparison.trials if math.isfinite(trial.held_out_rms)]
    fitted = comparison.fitted
    if not judged:
        return None
    names = [LAW_NAMES[trial.name] for trial in fitted]
    seen = [[_drawn(trial.rms), float(i), f"{LAW_NAMES[trial.name]}: {percent(trial.rms)}"]
            for i, trial in enumerate(fitted)]  # fmt: skip
    asked = [
        [_drawn(trial.held_out_rms), float(i), f"{LAW_NAMES[trial.name]}: {percent(trial.held_out_rms)}"]
        for i, trial in enumerate(fitted)
        if trial in judged
    ]  # fmt: skip
    ticks = _share_ticks([_drawn(e) for t in fitted for e in (t.rms, t.held_out_rms) if math.isfinite(e)])
    return make_chart(
        slug="held-out", number=number, size="side", title=held_out_title(comparison),
        description="Error of every law on the points that it was fitted to and on those held out",
        reading=_held_out_reading(comparison),
        series=[make_series("points", seen, name="fitted points", css="c6", marker="dot"),
                make_series("points", asked, name="held-out points", css="c2", marker="diamond")],
        legend=[("diamond", "c2", "held-out points"), ("dot", "c6", "fitted points")],
        x=log_axis([value for value, _ in ticks], "error, as a share", ticks=ticks), y=category_axis(names),
        table={"head": ["law", "fitted points", "held-out points"],
               "rows": [[LAW_NAMES[t.name], t.rms, t.held_out_rms] for t in fitted]},
        help=HELD_OUT_HELP,
    )  # fmt: skip


def _drawn(share: float) -> float:
    return max(share, LEAST_SHARE)


def _share_ticks(values: Sequence[float]) -> list[tuple[float, str]]:
    low = math.floor(math.log10(min(values)))
    high = max(math.ceil(math.log10(max(values))), low + 1)
    ticks = [10.0**power for power in range(low, high + 1)]
    return [(tick, "≤ 0.01%" if tick <= LEAST_SHARE else f"{100 * tick:g}%") for tick in ticks]


def held_out_title(comparison: Comparison) -> str:
    """How many breaks foretold best."""
    best = comparison.best
    if best is None:
        return "Too few points to choose a number of breaks"
    if best.held_out_rms > POOR:
        return f"No number of breaks foretells the held-out points: the best is off by {percent(best.held_out_rms)}"
    if best.name.startswith("break"):
        n = int(best.name[-1])
        words = {1: "One break foretells", 2: "Two breaks foretell", 3: "Three breaks foretell"}[n]
        return f"{words} the held-out points best: off by {percent(best.held_out_rms)}"
    what = "a floor and no break foretells" if best.name == "offset" else "no break foretells"
    return f"A power law with {what} the held-out points best: off by {percent(best.held_out_rms)}"


def _held_out_reading(comparison: Comparison) -> str:
    n, held = comparison.n_points, comparison.n_held_out
    others = [t for t in comparison.trials if math.isfinite(t.held_out_rms) and t is not comparison.best]
    said = f"{held} of {n} points, those of the largest scale, were held out."
    if comparison.best is None or not others:
        return said
    second = min(others, key=_held_out)
    return f"{said} Next best: {LAW_NAMES[second.name]}, off by {percent(second.held_out_rms)}."


def _held_out(trial: Trial) -> float:
    return trial.held_out_rms
