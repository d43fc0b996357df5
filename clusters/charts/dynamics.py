"""Training dynamics: exponents over steps beside the theory's, losses near zero, clusters by rank and step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from clusters.charts.chart import (
    Axis,
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
from clusters.charts.losses import shade
from clusters.charts.numbers import compact, count, fixed
from clusters.values.distributions import Distribution
from clusters.values.dynamics import PUBLISHED, Expected
from clusters.values.laws import NetworkLaw, Window
from clusters.values.readings import Unit

STEP = "training step"
STEADY = 1.5  # local exponents within this factor are called steady
ROOM = 0.12  # of the axis of exponents, beyond its ends
FIGURE = "Appendix on training dynamics, Figure 11"
LAWS_HELP = Help(
    what="Mean loss of every network over its own training, with the power law through the steps in the shaded window, "
    "fitted by least squares of ln L on ln S as the paper does. Early steps and the end of a learning-rate schedule "
    "follow laws of their own, so the exponent depends on the window: move it.",
    formula="L ∝ S^(−α_S)",
    source=FIGURE,
)
EXPONENTS_HELP = Help(
    what="If quanta have Zipf frequencies p_k ∝ k^−(α+1), and a quantum takes the more steps to learn the rarer it is, "
    "then the loss falls as a power of the steps whose exponent follows from the one over parameters. Whiskers are 95% "
    "intervals of the regression; checkpoints of one training are no independent draws, so the truth is less certain.",
    formula="α_S = α / (1 + α), α = α_N",
    source="§3; Appendix on training dynamics",
)
LOCAL_HELP = Help(
    what="A power law has one exponent. Here it is fitted to the steps within a factor of two of each step: where the "
    "line is level, one power describes the loss.",
    formula="α_S(S) from the steps in [S/2, 2S]",
    source="compare Figure 11, which fits one window",
)
DENSITY_HELP = Help(
    what="How dense losses are next to zero: predictions that the network is sure of. It grows while the bulk of the "
    "losses hardly moves, as it would if quanta were learned one by one.",
    formula="p(L) in the first bin = predictions in it / (predictions in all bins × its width)",
    source=FIGURE,
)
PEAK_HELP = Help(
    what="The loss that adds most to the mean: the peak of L·p(L). The band of the largest network holds all places "
    "that counting cannot tell from the peak.",
    formula="argmax of L·p(L), over a sliding window",
    source=FIGURE,
)


# ── exponents ──


def laws_chart(laws: Sequence[NetworkLaw], *, unit: Unit, factor: float, window: Window, number: int) -> Chart:
    """Mean loss of every network over its steps, and each one's power law over the window."""
    series = []
    for i, law in enumerate(laws):
        css, size = shade(i, len(laws)), compact(law.n_non_embedding)
        points = [[p.x, p.mean_nats * factor, f"{law.lm}, {p.name}: {fixed(p.mean_nats * factor, 3)}"]
                  for p in law.points]  # fmt: skip
        label = f"{size}  S^{fixed(-law.fit.alpha, 3)}" if law.fit else size
        series.append(make_series("line", points, name=law.lm, css=css, label=label, marker="dot", marker_at="end"))
        series += [_fit_line(law, factor)] if law.fit else []
    xs = [p.x for law in laws for p in law.points]
    shown = [max(window.first, min(xs)), min(window.last, max(xs))]
    return make_chart(
        slug="laws", number=number, size="wide", title=laws_title(laws), help=LAWS_HELP, series=series, window=shown,
        description=f"Mean loss in {unit} against training step, one line a network, with power laws",
        reading=f"Fitted over steps {count(shown[0])} to {count(shown[1])} (shaded, dashed). Points: the last step.",
        x=log_axis(xs, STEP), y=log_axis([p.mean_nats * factor for law in laws for p in law.points],
                                         f"mean loss, {unit}", pad=1.04),
    )  # fmt: skip


def _fit_line(law: NetworkLaw, factor: float) -> Series:
    """The law over its window."""
    assert law.fit is not None  # noqa: S101  (asked of laws with a fit)
    inside = [p.x for p in law.points if law.window.holds(p.x)]
    line = [[x, float(law.fit.predict(x)) * factor] for x in (inside[0], inside[-1])]
    return make_series("line", line, name=f"{law.lm}, power law", css="fitl dash")


def laws_title(laws: Sequence[NetworkLaw]) -> str:
    """What the exponents say, whichever way it is."""
    alphas = [law.fit.alpha for law in laws if law.fit]
    if not alphas:
        return "Too few steps in the window for a law"
    low, high = min(alphas), max(alphas)
    if low <= 0:
        n = sum(alpha <= 0 for alpha in alphas)
        who = "the loss does" if len(alphas) == 1 else f"{count(n)} of {count(len(alphas))} losses do"
        return f"Over these steps {who} not fall: exponents from {fixed(low, 3)}"
    if len(alphas) == 1:
        return f"The loss falls with steps to the power −{fixed(low, 3)}"
    more = ", steeper the larger the network" if alphas == sorted(alphas) and high > low else ""
    return f"The loss falls with steps to powers from −{fixed(low, 3)} to −{fixed(high, 3)}{more}"


def exponents_chart(
    laws: Sequence[NetworkLaw], expected: Expected | None, *, with_published: bool, number: int
) -> Chart | None:
    """Exponents with their intervals, the theory's, and published ones where the weights are the same."""
    known = [(law, law.fit) for law in reversed(laws) if law.fit]
    if not known:
        return None
    measured = [[fit.alpha, i, fit.low, fit.high] for i, (_, fit) in enumerate(known)]
    published = [
        [one.alpha, i] for i, (law, _) in enumerate(known) if (one := PUBLISHED.get(law.lm)) and with_published
    ]
    series = [make_series("intervals", measured, name="measured", css="c1", marker="dot")]
    if published:
        series.append(make_series("points", published, name="published", css="c4", marker="diamond"))
    ends = [
        0.0,
        *(v for row in measured for v in (row[0], row[2], row[3]) if math.isfinite(v)),
        *(x for x, _ in published),
    ]
    rules = []
    if expected:
        ends += [v for v in (expected.alpha, expected.low, expected.high) if math.isfinite(v)]
        side = "start" if expected.alpha > (min(ends) + max(ends)) / 2 else "end"
        rules = [vertical("refl", expected.alpha, f"theory {fixed(expected.alpha, 3)}", side=side)]  # type: ignore[arg-type]
    return make_chart(
        slug="exponents", number=number, size="half", title=exponents_title(laws, expected), help=EXPONENTS_HELP,
        description="Exponent of loss over steps, one row a network, beside the theory’s", series=series, rules=rules,
        window=[expected.low, expected.high] if expected and expected.has_interval else None,
        reading=_exponents_reading(expected, n_published=len(published)),
        x=linear_axis(ends, "exponent over steps, α_S"), y=category_axis([law.lm for law, _ in known]),
        legend=[("dot", "c1", "measured"), ("diamond", "c4", "published")] if published else [],
        table={
            "head": ["network", "parameters", "alpha_S", "low", "high", "R squared", "points", "published alpha_S"],
            "rows": [[law.lm, law.n_non_embedding, fit.alpha, fit.low, fit.high, fit.r_squared, fit.n_points,
                      PUBLISHED[law.lm].alpha if law.lm in PUBLISHED else None] for law, fit in known],
        },
    )  # fmt: skip


def exponents_title(laws: Sequence[NetworkLaw], expected: Expected | None) -> str:
    fits = [law.fit for law in laws if law.fit]
    if expected is None:
        return f"Exponents of {count(len(fits))} network{'s' if len(fits) > 1 else ''} over training"
    n_above = sum(fit.alpha > expected.alpha for fit in fits)
    theory = f"the theory’s {fixed(expected.alpha, 3)}"
    if len(fits) == 1:
        return f"The exponent lies {'above' if n_above else 'below'} {theory}"
    if n_above in (0, len(fits)):
        return f"All {count(len(fits))} exponents lie {'above' if n_above else 'below'} {theory}"
    return f"{count(n_above)} of {count(len(fits))} exponents lie above {theory}, the others below"


def _exponents_reading(expected: Expected | None, *, n_published: int) -> str:
    sentences = []
    if expected is None:
        sentences.append(
            "Without losses that fall over sizes there is no α, and so no exponent that the theory expects."
        )
    else:
        alpha = expected.alpha_n
        interval = f", shaded {fixed(expected.low, 3)} to {fixed(expected.high, 3)}" if expected.has_interval else ""
        sentences.append(
            f"Theory: α/(1 + α) of α_N = {fixed(alpha.alpha, 3)} over {count(alpha.n_points)} sizes{interval}."
        )
    if n_published:
        sentences.append("Diamonds: what others fitted to the same weights on other text.")
    return " ".join(sentences)


def local_chart(
    lines: Mapping[str, list[tuple[float, float]]], expected: Expected | None, *, number: int
) -> Chart | None:
    """Exponents of short windows along training; None where no window holds three points."""
    shown = {lm: points for lm, points in lines.items() if points}
    if not shown:
        return None
    series = [make_series("line", points, name=lm, css=shade(i, len(shown)), label=lm)
              for i, (lm, points) in enumerate(shown.items())]  # fmt: skip
    xs = [x for points in shown.values() for x, _ in points]
    ys = [y for points in shown.values() for _, y in points]
    if expected:
        line = [[min(xs), expected.alpha], [max(xs), expected.alpha]]
        series.insert(0, make_series("line", line, name="theory", css="refl"))
    dotted = f" Dotted: the theory’s {fixed(expected.alpha, 3)}." if expected else ""
    return make_chart(
        slug="local", number=number, size="third", title=local_title(shown), help=LOCAL_HELP, series=series,
        description="Exponent of loss over steps within a factor of two of each step",
        reading=f"Each point is fitted to the checkpoints within a factor of two.{dotted}",
        x=log_axis(xs, STEP, n=4), y=linear_axis([0, *ys], "local exponent", n=4),
    )  # fmt: skip


def local_title(lines: Mapping[str, list[tuple[float, float]]]) -> str:
    """Of the largest network: whether one exponent describes its training."""
    lm, points = list(lines.items())[-1]
    largest, least = max(y for _, y in points), min(y for _, y in points)
    if least > 0 and largest < STEADY * least:
        return f"One exponent for {lm}: {fixed(least, 2)} to {fixed(largest, 2)} all along"
    return f"No one exponent for {lm}: between {fixed(least, 2)} and {fixed(largest, 2)} along its training"


# ── near zero ──


def density_chart(
    networks: Mapping[str, Sequence[Distribution]],
    near: Mapping[str, np.ndarray],
    *,
    unit: Unit,
    factor: float,
    number: int,
) -> Chart | None:
    """p(L) next to zero over training; None without histograms."""
    shown = {lm: [[one.step, row[0] / factor] for one, row in zip(networks[lm], rows, strict=True)]
             for lm, rows in near.items() if np.isfinite(rows).all()}  # fmt: skip
    if not shown:
        return None
    lm, largest = list(shown.items())[-1]
    width = next(one.by_step.bins.widths[0] for one in networks[lm]) * factor
    return make_chart(
        slug="density", number=number, size="third", help=DENSITY_HELP,
        title=f"Sure predictions of {lm}: density at zero from {compact(largest[0][1])} to {compact(largest[-1][1])}",
        description=f"Density of losses in the first bin, per {unit[:-1]}, over training steps",
        reading=f"First bin: losses under {fixed(float(width), 4)} {unit}.",
        series=[make_series("line", points, name=name, css=shade(i, len(shown)), label=name)
                for i, (name, points) in enumerate(shown.items())],
        x=_steps_axis(networks, n=4),
        y=linear_axis([0, *(y for points in shown.values() for _, y in points)], f"p(L) at zero, per {unit[:-1]}",
                      from_zero=True, n=4),
    )  # fmt: skip


def peak_chart(
    networks: Mapping[str, Sequence[Distribution]],
    near: Mapping[str, np.ndarray],
    *,
    unit: Unit,
    factor: float,
    number: int,
) -> Chart | None:
    """Where L·p(L) peaks over training; None without histograms."""
    shown = {lm: rows * factor for lm, rows in near.items() if np.isfinite(rows).all()}
    if not shown:
        return None
    lm, largest = list(shown.items())[-1]
    band = [[one.step, low, high] for one, (low, high) in zip(networks[lm], largest[:, 2:].tolist(), strict=True)]
    series = [make_series("band", band, name=f"{lm} range", css=shade(len(shown) - 1, len(shown)))]
    for i, (name, rows) in enumerate(shown.items()):
        points = [[one.step, row[1]] for one, row in zip(networks[name], rows, strict=True)]
        series.append(make_series("line", points, name=name, css=shade(i, len(shown)), label=name))
    first, last = largest[0, 1], largest[-1, 1]
    return make_chart(
        slug="peak", number=number, size="third", title=_peak_title(lm, first, last, unit), help=PEAK_HELP,
        series=series,
        description=f"Loss at which L·p(L) is largest, in {unit}, over training steps",
        reading=f"In the end between {fixed(largest[-1, 2], 1)} and {fixed(largest[-1, 3], 1)} {unit}, as far as "
                "counts tell.",
        x=_steps_axis(networks, n=4),
        y=linear_axis([0, *(float(v) for rows in shown.values() for v in rows[:, 1]), float(largest[:, 3].max())],
                      f"peak of L·p(L), {unit}", from_zero=True, n=4),
    )  # fmt: skip


def _peak_title(lm: str, first: float, last: float, unit: Unit) -> str:
    start, end = fixed(first, 1), fixed(last, 1)
    return (
        f"The bulk of {lm}’s loss stays at {end} {unit}"
        if start == end
        else f"The bulk of {lm}’s loss moves from {start} to {end} {unit}"
    )


def _steps_axis(networks: Mapping[str, Sequence[Distribution]], n: int) -> Axis:
    steps = [one.step for own in networks.values() for one in own]
    return log_axis([step for step in steps if step], STEP, n=n, with_zero=0 in steps)
