"""How losses fall over training: p(L), L·p(L) and the mean, with the chosen checkpoint on top."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clusters.charts.chart import SIZES, Chart, Help, Series, linear_axis, log_axis, make_chart, make_series
from clusters.charts.draw import draw
from clusters.charts.losses import (
    DENSITY_HELP,
    INTEGRAND_HELP,
    MERGED,
    Look,
    above_floor,
    density_line,
    density_table,
    density_x,
    density_y,
    integrand_line,
    integrand_table,
    integrand_x,
    older_bins,
    peak_width,
    shade,
    share_title,
    width_of,
)
from clusters.charts.numbers import compact, count, fixed
from clusters.values.distributions import Distribution

MOST_LINES = 5  # checkpoints drawn under the chosen one
RISE = 1.002  # above the lowest mean by this factor: no rounding, no noise
HEADROOM = 1.5  # checkpoints that rise further above the later ones are cut
LATER = 2 / 3  # how far into training, in the logarithm of steps, the axis of L·p(L) begins to follow the lines


def density_by_step(steps: Sequence[Distribution], at: int, look: Look, *, number: int) -> Chart:
    """p(L) of one network at some steps, and of the chosen one; all steps have histograms."""
    lines = _lines(steps)
    faint = [density_line(one.by_step, one.name, look, shade(i, len(lines))) for i, one in enumerate(lines)]
    first, last = steps[0], steps[-1]
    y = density_y(_tallest(steps, look), look)
    return make_chart(
        slug="density-step", number=number, size="third", title=share_title(first, last, look),
        description=f"Density of losses of {first.lm} at some steps of its training and at the chosen one",
        reading=_density_reading(first, last, look),
        series=above_floor([*faint, chosen_density(steps[at], look)], y), legend=_legend(lines),
        x=density_x(last.by_step, look), y=y, help=DENSITY_HELP,
        table=density_table({steps[at].name: steps[at].by_step}, look),
    )  # fmt: skip


def integrand_by_step(steps: Sequence[Distribution], at: int, look: Look, *, number: int) -> Chart:
    """L·p(L) of one network at some steps, and of the chosen one; all steps have histograms."""
    lines, top = _lines(steps), integrand_top(steps)
    first, last = steps[0], steps[-1]
    series = [integrand_line(one, look, shade(i, len(lines))) for i, one in enumerate(lines)]
    n_cut = sum(one.heights.integrand > top for one in steps)
    highest = fixed(max(one.heights.integrand for one in steps), 1)
    higher = f" {count(n_cut)} early steps rise above the frame, up to {highest}, and are cut." if n_cut > 1 else ""
    higher = f" One early step rises above the frame, up to {highest}, and is cut." if n_cut == 1 else higher
    return make_chart(
        slug="integrand-step", number=number, size="third", title=_bulk_title(first, last, look),
        description=f"Loss times its density of {first.lm} at some steps of its training and at the chosen one",
        reading=f"Peaks of L·p(L) from step {count(first.step)} to {count(last.step)}, "
                f"{peak_width(last.integrand, look)}.{higher}{older_bins(last, '3,000 bins on 0 to 30 bits')}",
        series=[*series, chosen_integrand(steps[at], top, look)], legend=_legend(lines),
        x=integrand_x(last.integrand, look),
        y=linear_axis([0, top], "L · p(L)", n=4, exact=True), help=INTEGRAND_HELP,
        table=integrand_table([steps[at]], look),
    )  # fmt: skip


def _density_reading(first: Distribution, last: Distribution, look: Look) -> str:
    start, end = (fixed(float(one.by_step.density[0]) / look.factor, 1) for one in (first, last))
    return (
        f"In the first bin p(L) goes from {start} to {end} per {look.unit[:-1]} over all steps. Bins of "
        f"{width_of(last.by_step, look)}, from there on merged to {MERGED}."
        f"{older_bins(last, '3,000 bins on 0 to 18 bits')}"
    )


def _lines(steps: Sequence[Distribution]) -> list[Distribution]:
    """The checkpoints under the chosen one: those that both frames hold whole."""
    top = integrand_top(steps)
    return spread_steps([one for one in steps if one.heights.integrand <= top])


def _legend(lines: Sequence[Distribution]) -> list[tuple[str, str, str]]:
    return [
        ("square", shade(i, len(lines)), f"step {compact(one.step)}" if i == 0 else compact(one.step))
        for i, one in enumerate(lines)
    ]


def _bulk_title(first: Distribution, last: Distribution, look: Look) -> str:
    start, end = (look.loss(one.integrand.peak.at, 1) for one in (first, last))
    return (
        f"The bulk of the loss stays at {end}" if start == end else f"The bulk of the loss moves from {start} to {end}"
    )


def chosen_density(one: Distribution, look: Look) -> Series:
    return density_line(one.by_step, one.name, look, "act") | {"is_strong": True, "width": 2.5}


def chosen_integrand(one: Distribution, top: float, look: Look) -> Series:
    return _cut(integrand_line(one, look, "act"), top) | {"is_strong": True, "width": 2.5}


def integrand_top(steps: Sequence[Distribution]) -> float:
    """How high the axis of L·p(L) reaches: the first steps of training may rise above it."""
    known = [one.step for one in steps if one.step]
    since = known[-1] ** LATER * known[0] ** (1 - LATER) if len(known) > 1 else 0
    later = [one for one in steps if (one.step or 0) >= since] or list(steps)
    return HEADROOM * max(one.heights.integrand for one in later)


def mean_by_step(
    networks: dict[str, list[Distribution]], chosen: Distribution | None, look: Look, *, number: int
) -> Chart:
    """Mean loss of every network over its training, the chosen checkpoint marked."""
    series = [
        make_series("line", [[one.step, one.mean_nats * look.factor] for one in steps], name=lm,
                    css=shade(i, len(networks)), label=lm)
        for i, (lm, steps) in enumerate(networks.items())
    ]  # fmt: skip
    if chosen:
        series.append(chosen_mean([chosen], look))
    known = [one for steps in networks.values() for one in steps]
    rises = [lm for lm, steps in networks.items() if steps[-1].mean_nats > RISE * min(o.mean_nats for o in steps)]
    lowest = "Every mean is lowest" if len(networks) > 1 else "The mean is lowest"
    return make_chart(
        slug="mean-steps", number=number, size="third",
        title=f"Mean loss ends above its lowest for {', '.join(rises[:3])}" if rises else
              f"{lowest} at the end of training",
        description=f"Mean loss in {look.unit} against training step, one line a network",
        reading=_step_reading(networks, look), series=series,
        x=log_axis([one.step for one in known if one.step], "training step", n=5,
                   with_zero=any(one.step == 0 for one in known)),
        y=log_axis([one.mean_nats * look.factor for one in known], f"mean loss, {look.unit}", pad=1.04),
        help=Help(what="Mean loss over all predictions at every checkpoint that the run looked at. Where a line is "
                  "straight the loss falls as a power of the step; the page on scaling fits it.",
                  formula="⟨L⟩ ∝ S^(−α_S)", source="Appendix on training dynamics, Figure 11"),
    )  # fmt: skip


def chosen_mean(steps: Sequence[Distribution], look: Look) -> Series:
    points = [[one.step, one.mean_nats * look.factor, f"step {count(one.step)}"] for one in steps]
    return make_series("points", points, name="chosen step", css="act")


def _step_reading(networks: dict[str, list[Distribution]], look: Look) -> str:
    ends = [f"{lm} {look.loss(steps[-1].mean_nats)}" for lm, steps in list(networks.items())[:4]]
    return f"At the end: {', '.join(ends)}."


def spread_steps(steps: Sequence[Distribution], most: int = MOST_LINES) -> list[Distribution]:
    """At most `most` checkpoints, evenly spread over the logarithm of the step, both ends included."""
    if len(steps) <= most:
        return list(steps)
    logs = [math.log1p(one.step or 0) for one in steps]
    wanted = [logs[0] + i * (logs[-1] - logs[0]) / (most - 1) for i in range(most)]
    places = {min(range(len(steps)), key=lambda i: abs(logs[i] - target)) for target in wanted}
    return [steps[i] for i in sorted(places)]


def _cut(series: Series, top: float) -> Series:
    return series | {"points": [[x, min(y, top)] for x, y in series["points"]]}


def _tallest(steps: Sequence[Distribution], look: Look) -> float:
    return max(one.heights.density for one in steps) / look.factor


# ── what the slider changes ──


def frames(networks: dict[str, list[Distribution]], lm: str, look: Look) -> list[dict[str, dict[str, object]]]:
    """For every step of a network, the attributes of its marks by figure: paths of lines, places of points.

    All steps are drawn at once on the page's own axes, so that a browser has nothing to compute.
    """
    steps = networks[lm]
    found: list[dict[str, dict[str, object]]] = [{} for _ in steps]
    if all(one.has_counts for one in steps):
        top = integrand_top(steps)
        density, integrand = (make(steps, 0, look, number=1) for make in (density_by_step, integrand_by_step))
        density["series"] = above_floor([chosen_density(one, look) for one in steps], density["y"])
        integrand["series"] = [chosen_integrand(one, top, look) for one in steps]
        for chart in (density, integrand):
            for frame, mark in zip(found, _marks(chart, "sact"), strict=True):
                frame[chart["slug"]] = {"d": mark["d"]}
    means = mean_by_step(networks, None, look, number=1)
    means["series"].append(chosen_mean(steps, look))
    for frame, mark in zip(found, _marks(means, "dot fact"), strict=True):
        frame["mean-steps"] = {"cx": mark["cx"], "cy": mark["cy"]}
    return found


def _marks(chart: Chart, css: str) -> list[dict[str, object]]:
    return [mark for mark in draw(chart, SIZES[chart["size"]][0]).marks if mark["css"] == css]
