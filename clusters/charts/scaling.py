"""Mean loss over parameters and steps on logarithmic axes, the laws fitted to it, and what they expect next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from clusters.charts.chart import (
    Axis,
    Chart,
    Help,
    Series,
    linear_axis,
    log_axis,
    make_chart,
    make_series,
    share_axis,
    vertical,
)
from clusters.charts.losses import shade
from clusters.charts.numbers import compact, count, fixed, percent
from clusters.values.distributions import LN2
from clusters.values.laws import LAW_NAMES, NEXT, ClusterLaws, Fitted, NetworkLaw, Point, QuantileLaw
from clusters.values.readings import Unit
from compute.numerics.bnsl import BrokenPowerLaw
from compute.numerics.laws import Trial
from compute.numerics.scaling import PowerLawFit

LAW_STYLES = {"power": ("c1", "dot"), "offset": ("c2", "diamond"), "break-1": ("c3", "square"),
              "break-2": ("c4", "triangle"), "break-3": ("c5", "dot")}  # fmt: skip
SHORT_NAMES = {"power": "power law", "offset": "floor", "break-1": "1 break", "break-2": "2 breaks",
               "break-3": "3 breaks"}  # fmt: skip
N_DRAWN = 64  # points of a law's line
GROUPED = 1e9  # losses from here on are not written digit by digit
FAR = 1e3  # times above or below all points: a law is drawn no further
N_BARS = 40
ROOM = 1.15  # over the highest bar, for the reference line's text
ALIKE = 1.2  # exponents within this factor are called about equal
MOST_MARKED = 30  # points of a line whose every point has a marker
POOR = 0.25  # a law that misses the held-out points by more foretells nothing
UNSEEN = " fitted without the held-out points"
MOST_MARKS = 60  # from the first point to the last: more would lie on one another
AXES = {"parameters": "non-embedding parameters", "steps": "training step", "samples": "training samples",
        "scale": "scale"}  # fmt: skip
LAWS_HELP = Help(
    what="Each law is fitted to the points in the shaded window by least squares in the logarithm of the loss. To "
    "choose between them, each is fitted again without the largest fifth of the x and asked about those: a law "
    "with more numbers always fits what it has seen better, but need not foretell better.",
    formula="y = a + b x^(−c₀) Π (1 + (x/dᵢ)^(1/fᵢ))^(−cᵢ fᵢ); a power law has a = 0 and no breaks, a floor is a > 0",
    source="Figures 3 and 11; the broken law: Caballero et al., arXiv:2210.14891",
)


def unit_factor(unit: Unit) -> float:
    """From nats."""
    return 1 / LN2 if unit == "bits" else 1.0


# ── the laws over one x ──


def laws_chart(
    found: Fitted, *, over: str, slug: str, number: int, unit: Unit, who: str, what: str = "mean loss"
) -> Chart:
    """The points, every fitted law up to ten times the largest x, and what was held out."""
    factor = unit_factor(unit)
    series = [_law_line(trial, found, factor) for trial in found.comparison.fitted]
    series += [_judged_line(trial, found, factor) for trial in found.judged]
    series += _point_series(found, factor)
    ys = [point.mean_nats * factor for point in found.points]
    ys += [y for one in series for _, y, *_ in one["points"]]
    xs = [point.x for point in found.points] + [found.next_x]
    return make_chart(
        slug=slug, number=number, title=_laws_title(found), size="wide",
        description=f"{what.capitalize()} in {unit} against {AXES[over]} of {who}, with "
                    f"{len(found.comparison.fitted)} laws",
        reading=_laws_reading(found, factor, unit), series=series, help=LAWS_HELP,
        window=[found.window.first, found.window.last],
        rules=[vertical("refl", found.next_x, f"next: {compact(found.next_x)}", side="start")],
        x=log_axis(xs, AXES[over], pad=1.06), y=_loss_axis(ys, unit, what),
        table={
            "head": [AXES[over], f"{what}, {unit}", "in the window", "held out from the judged fits",
                     *(f"{name}, {unit}" for name in _fit_names(found))],
            "rows": _point_rows(found, factor),
        },
    )  # fmt: skip


def residual_chart(found: Fitted, *, over: str, slug: str, number: int) -> Chart:
    """How far each law misses each point, and missed those that it had not seen."""
    series = []
    asked = found.inside[-len(found.held_out) - 1 :]  # from the last point that the judged fits had seen
    for trial in found.comparison.fitted:
        css, marker = LAW_STYLES[trial.name]
        marker = marker if len(found.inside) <= MOST_MARKED else ""
        name = LAW_NAMES[trial.name]
        series.append(make_series("line", _miss_points(trial.law, found.inside), name=name, css=css, marker=marker))
        if trial.judged:
            judged = _miss_points(trial.judged, asked)
            series.append(make_series("line", judged, name=f"{name}{UNSEEN}", css=f"{css} dash"))
    most = max(1e-4, *(abs(point[1]) for one in series for point in one["points"]))  # exact laws miss by nothing
    zero = make_series("line", [[found.inside[0].x, 0], [found.inside[-1].x, 0]], name="0", css="refl")
    dashed = " Dashed: what the judged fits missed, which had not seen the last points." if found.judged else ""
    worst, best = (pick(found.comparison.fitted, key=lambda trial: trial.rms) for pick in (max, min))
    return make_chart(
        slug=slug, number=number, size="side",
        title=f"Laws miss the fitted points by {percent(best.rms)} to {percent(worst.rms)}"
              if best is not worst else f"The law misses the fitted points by {percent(best.rms)}",
        description=f"Measured over expected loss, in the logarithm, against {AXES[over]}",
        reading=f"Root mean squares. A law that fits leaves points on both sides of the line in no order.{dashed}",
        series=[zero, *series], x=log_axis([point.x for point in found.inside], AXES[over], n=5, pad=1.1),
        y=share_axis([-most, most], "measured above the law"),
        legend=[(LAW_STYLES[t.name][1], LAW_STYLES[t.name][0], SHORT_NAMES[t.name]) for t in found.comparison.fitted],
        help=Help(what="What each law leaves unexplained. A bend in these lines is a shape that the law cannot make.",
                  formula="ln y − ln ŷ"),
        table={
            "head": [AXES[over], "held out from the judged fits",
                     *(f"share above: {name}" for name in _fit_names(found))],
            "rows": _miss_rows(found),
        },
    )  # fmt: skip


def _law_line(trial: Trial, found: Fitted, factor: float) -> Series:
    law = trial.law or BrokenPowerLaw(0.0, 0.0, 0.0)
    xs = np.union1d(np.geomspace(found.inside[0].x, found.next_x, N_DRAWN), [point.x for point in found.inside])
    points = _drawn(law, xs, found, factor)
    best = found.comparison.best
    return make_series(
        "line", points, name=LAW_NAMES[trial.name], css=LAW_STYLES[trial.name][0], label=LAW_NAMES[trial.name],
        is_strong=best is not None and trial.name == best.name,
    )  # fmt: skip


def _judged_line(trial: Trial, found: Fitted, factor: float) -> Series:
    """What a law foretold: as it was fitted without the held-out points, from the last one that it had seen."""
    law = trial.judged or BrokenPowerLaw(0.0, 0.0, 0.0)
    xs = np.geomspace(found.known[-1].x, found.held_out[-1].x, N_DRAWN)
    points = _drawn(law, xs, found, factor)
    return make_series("line", points, name=f"{LAW_NAMES[trial.name]}{UNSEEN}", css=f"{LAW_STYLES[trial.name][0]} dash")


def _drawn(law: BrokenPowerLaw, xs: np.ndarray, found: Fitted, factor: float) -> list[list[float]]:
    """A law at xs, as far as it stays near the points."""
    means = [point.mean_nats for point in found.points]
    low, high = min(means) / FAR, max(means) * FAR
    return [[x, y * factor] for x, y in zip(xs.tolist(), law.predict(xs).tolist(), strict=True) if low <= y <= high]


def _point_series(found: Fitted, factor: float) -> list[Series]:
    """Points that every fit had seen, those held out from the judged fits, and those outside the window."""
    least = math.log(found.points[-1].x / found.points[0].x) / MOST_MARKS
    groups = (
        ("fitted", found.known, "ink", "dot"),
        ("held out", found.held_out, "ink", "diamond"),
        ("not fitted", [p for p in found.points if not found.window.holds(p.x)], "ink3", "dot"),
    )
    return [
        make_series("points", [_mark(point, factor) for point in spread(points, least)], name=name, css=css,
                    marker=marker, label="held out from the dashed" if name == "held out" else "",
                    label_at=_mark(points[len(points) // 2], factor)[:2] if name == "held out" else None)
        for name, points, css, marker in groups
        if points
    ]  # fmt: skip


def spread(points: Sequence[Point], least: float) -> list[Point]:
    """Points that stand `least` apart in ln x at least, the last one among them."""
    kept: list[Point] = []
    for point in reversed(points):
        if not kept or math.log(kept[-1].x / point.x) >= least:
            kept.append(point)
    return kept[::-1]


def _mark(point: Point, factor: float) -> list[object]:
    return [point.x, point.mean_nats * factor, f"{point.name}: {fixed(point.mean_nats * factor, 3)}"]


def _point_rows(found: Fitted, factor: float) -> list[list[object]]:
    xs = [point.x for point in found.points]
    expected = [(law.predict(xs) * factor).tolist() for law in _fits(found)]
    held_out = {point.x for point in found.held_out}
    return [
        [point.x, point.mean_nats * factor, found.window.holds(point.x), point.x in held_out, *values]
        for point, *values in zip(found.points, *expected, strict=True)
    ]


def _fits(found: Fitted) -> list[BrokenPowerLaw]:
    """Every law as fitted to all points of the window, then as judged."""
    return [t.law for t in found.comparison.fitted if t.law] + [t.judged for t in found.judged if t.judged]


def _fit_names(found: Fitted) -> list[str]:
    """Of `_fits`."""
    whole = [f"{LAW_NAMES[trial.name]} fitted to the window" for trial in found.comparison.fitted]
    return whole + [f"{LAW_NAMES[trial.name]}{UNSEEN}" for trial in found.judged]


def _misses(law: BrokenPowerLaw, points: Sequence[Point]) -> list[float]:
    """How far each point lies above the law, as a share (in the logarithm)."""
    measured = np.log([point.mean_nats for point in points])
    return (measured - law.log_predict([point.x for point in points])).tolist()


def _miss_points(law: BrokenPowerLaw | None, points: Sequence[Point]) -> list[list[object]]:
    misses = _misses(law or BrokenPowerLaw(0.0, 0.0, 0.0), points)
    return [[point.x, miss, f"{point.name}: {fixed(100 * miss)}%"] for point, miss in zip(points, misses, strict=True)]


def _miss_rows(found: Fitted) -> list[list[object]]:
    held_out = {point.x for point in found.held_out}
    misses = [_misses(law, found.inside) for law in _fits(found)]
    return [[point.x, point.x in held_out, *row] for point, *row in zip(found.inside, *misses, strict=True)]


def _loss_axis(ys: Sequence[float], unit: Unit, label: str = "mean loss") -> Axis:
    return log_axis(ys, f"{label}, {unit}", pad=1.04)


def _laws_title(found: Fitted) -> str:
    best, power = found.comparison.best, found.comparison.trials[0].law
    of = "" if found.is_whole else f" of {len(found.comparison.trials)} laws"
    if best is None:
        return "Too few points to choose between laws"
    if best.held_out_rms > POOR:
        return f"No law foretells the largest: the best is off by {percent(best.held_out_rms)}"
    if best.name == "power" and power:
        return f"A pure power law with exponent {fixed(power.exponent, 3)} foretells the largest best{of}"
    words = {"offset": "A power law above a floor", "break-1": "A power law with one break",
             "break-2": "A power law with two breaks", "break-3": "A power law with three breaks"}  # fmt: skip
    return f"{words.get(best.name, 'A power law')} foretells the largest best{of}"


def _laws_reading(found: Fitted, factor: float, unit: Unit) -> str:
    """Which points judged, and how far the laws part beyond them."""
    held = found.held_out
    names = "" if not held else held[0].name if len(held) == 1 else f"{held[0].name} to {held[-1].name}"
    it = "it" if len(held) == 1 else "them"
    judged = f"Judged by {names}: dashed, what fits without {it} foretold there. " if held else ""
    expected = found.comparison.spread_at(found.next_x)
    if not expected or len(found.comparison.fitted) < 2:
        return judged.strip()
    return f"{judged}At {compact(NEXT)} times the largest x the laws expect {loss_range(expected, factor)} {unit}."


def loss_text(value: float) -> str:
    """A loss that a law expects: a power of ten where it is huge."""
    return compact(value) if GROUPED <= value < math.inf else fixed(value)


def loss_range(ends: tuple[float, float], factor: float) -> str:
    """Two losses of nats, times the factor of their unit; the upper may be beyond what a float holds."""
    low, high = (value * factor for value in ends)
    return f"{loss_text(low)} to {loss_text(high)}" if math.isfinite(high) else f"{loss_text(low)} or more"


# ── many curves ──


def networks_chart(laws: Sequence[NetworkLaw], *, number: int, unit: Unit) -> Chart:
    """Mean loss of every network over its steps, each with its power law."""
    factor, series = unit_factor(unit), []
    for i, law in enumerate(laws):
        css = shade(i, len(laws))
        points = [[p.x, p.mean_nats * factor] for p in law.points]
        size = compact(law.n_non_embedding)
        label = f"{size}  S^{fixed(-law.fit.alpha, 3)}" if law.fit else size
        series.append(make_series("line", points, name=law.lm, css=css, label=label))
        if law.fit:
            ends = [max(law.window.first, law.points[0].x), law.window.last]
            line = [[x, float(law.fit.predict(x)) * factor] for x in ends]
            series.append(make_series("line", line, name=f"{law.lm}, power law", css="fitl dash"))
    known = [law.fit.alpha for law in laws if law.fit]
    return make_chart(
        slug="networks", number=number, size="band", title=_networks_title(known),
        description=f"Mean loss in {unit} against training step, one line a network, with power laws",
        reading=_networks_reading(laws), series=series,
        x=log_axis([p.x for law in laws for p in law.points], AXES["steps"], n=5),
        y=_loss_axis([p[1] for one in series for p in one["points"]], unit),
        help=Help(what="Every network’s mean loss over its own training, with the power law through the fitted steps. "
                  "Under the theory in a single epoch the exponent would be α/(1 + α) of the quanta’s α.",
                  formula="L ∝ S^(−α_S)", source="Appendix on training dynamics, Figure 11"),
    )  # fmt: skip


def _networks_title(alphas: Sequence[float]) -> str:
    if not alphas:
        return "Mean loss over training"
    low, high = min(alphas), max(alphas)
    if len(alphas) == 1:
        if low <= 0:
            return f"Over training the loss does not fall: its exponent is {fixed(low, 3)}"
        return f"Over training the loss falls as a power with exponent {fixed(low, 3)}"
    in_order = list(alphas) == sorted(alphas)
    more = ", steeper for larger networks" if in_order and high > low > 0 else ""
    return f"Exponents over training: {fixed(low, 3)} to {fixed(high, 3)}{more}"


def _networks_reading(laws: Sequence[NetworkLaw]) -> str:
    windows = {(law.window.first, law.window.last) for law in laws}
    if len(windows) == 1:
        first, last = next(iter(windows))
        return f"Fitted over steps {count(first)} to {count(last)}, dashed."
    return "Fitted over the window of each, dashed."


def quantiles_chart(laws: Sequence[QuantileLaw], *, number: int, unit: Unit) -> Chart | None:
    """How quantiles of the losses fall over size; None where bundles state none."""
    if not laws:
        return None
    factor, series = unit_factor(unit), []
    for i, law in enumerate(laws):
        points = [[p.x, p.mean_nats * factor, f"{p.name}: {fixed(p.mean_nats * factor, 3)}"] for p in law.points]
        label = f"{law.name}  N^{fixed(-law.fit.alpha, 3)}" if law.fit else law.name
        series.append(make_series("line", points, name=law.name, css=shade(i, len(laws)), label=label, marker="dot"))
    known = [law for law in laws if law.fit]
    return make_chart(
        slug="quantiles", number=number, size="half", title=_quantiles_title(known),
        description=f"Quantiles of the losses in {unit} against parameters",
        reading="Quantiles over all predictions, as bundles state them: a token is not followed from size to size.",
        series=series, x=log_axis([p.x for law in laws for p in law.points], AXES["parameters"], n=5, pad=1.1),
        y=_loss_axis([p[1] for one in series for p in one["points"]], unit, "loss"),
        help=Help(what="If every loss fell by the same share, these lines would be parallel. If tokens drop to zero "
                  "one by one, low quantiles fall steeply while high ones hardly move.",
                  formula="q_p(N) ∝ N^(−α_p)", source="§5 compares whole distributions, Figure 3"),
    )  # fmt: skip


def _quantiles_title(laws: Sequence[QuantileLaw]) -> str:
    fits = [law.fit for law in laws if law.fit]
    if len(fits) < 2:
        return "Quantiles of the losses over size"
    low, high = fits[0].alpha, fits[-1].alpha
    if low > 0 and high > 0 and 1 / ALIKE < low / high < ALIKE:
        return "Low losses fall about as steeply as high ones"
    if low <= high:
        return "Low losses fall less steeply than high ones"
    if high <= 0:
        return "Low losses fall, high ones do not" if low > 0 else "Neither low nor high losses fall"
    times = low / high
    return f"Low losses fall {fixed(times, 0 if times >= 10 else 1)} times as steeply as high ones"


# ── clusters ──


def clusters_chart(laws: ClusterLaws, whole: PowerLawFit | None, *, number: int, lm: str) -> Chart | None:
    """How many clusters fall with which exponent; None where no cluster has one."""
    alphas = laws.alpha[laws.known]
    if not len(alphas):
        return None
    ends = [0.0, float(alphas.min()), float(alphas.max()), *([whole.alpha] if whole else [])]
    lo, hi = min(ends), max(ends)
    counts, edges = np.histogram(alphas, bins=min(N_BARS, max(5, len(alphas) // 2)), range=(lo, hi or 1.0))
    bars = [[left, right, n] for left, right, n in zip(edges, edges[1:], counts.tolist(), strict=False)]
    side: Literal["start", "end"] = "start" if whole and whole.alpha > (lo + hi) / 2 else "end"
    rules = [vertical("refl", whole.alpha, f"all tokens {fixed(whole.alpha, 3)}", side=side)] if whole else []
    return make_chart(
        slug="clusters", number=number, size="half", title=_clusters_title(alphas, whole),
        description=f"Number of clusters over the exponent of their mean loss, {laws.affinity} affinity, k = {laws.k}",
        reading=f"Clustered tokens were chosen for their low loss under {lm}, so their means say little of other "
                "tokens.",
        series=[make_series("bars", bars, name="clusters", css="c1")], rules=rules,
        x=linear_axis([lo, hi], "exponent of the cluster’s mean loss", n=5),
        y=linear_axis([0, ROOM * max(counts.tolist())], "clusters", from_zero=True, n=4),
        table={"head": ["exponent from", "to", "clusters"], "rows": bars},
        help=Help(what="A power law through each cluster’s own mean loss over the sizes in the window. If one exponent "
                  "ruled every skill, the bars would stand together; the theory expects steps at different sizes, "
                  "whose sum alone is a power law.",
                  formula="mean loss of a cluster ∝ N^(−α)", source="compare §2 and Figure 3"),
    )  # fmt: skip


def _clusters_title(alphas: np.ndarray, whole: PowerLawFit | None) -> str:
    middle = f"the median cluster’s exponent is {fixed(float(np.median(alphas)), 2)}"
    if whole is None or not len(alphas):
        return middle[0].upper() + middle[1:]
    n = int((alphas > whole.alpha).sum())
    if len(alphas) == 1:
        return f"The one cluster {'falls' if n else 'does not fall'} more steeply than the mean of all tokens"
    verb = "falls" if n == 1 else "fall"
    return f"{count(n)} of {count(len(alphas))} clusters {verb} more steeply than the mean of all tokens"
