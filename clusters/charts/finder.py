"""What the finder draws: the density of the predictions found over two scores, and each one's curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from clusters.charts.chart import Axis, Chart, Help, Series, linear_axis, log_axis, make_chart, make_series
from clusters.charts.geometry import Point, line_path
from clusters.charts.numbers import count, fixed, percent
from clusters.charts.shades import shade, shade_legend
from clusters.values.finding import Bounds, Criteria, Plane
from clusters.values.readings import Unit
from compute.numerics.curves import classify

MANY = 100_000  # so many tokens fill smaller cells
BITS = math.log(2)
SPARK_TOP: Mapping[Unit, float] = {"bits": 13.0, "nats": 9.0}
SPARK_SIZE = (144, 56)
CLASS_COLOURS = {"monogenic": "c1", "polygenic": "c2", "mixed": "c3"}
HELP = {
    "mn": Help(
        what="Every prediction has a loss at each size of network. M says what explains that curve better: one step "
        "(near 1) or a straight line over the logarithm of size (near −1). Effective steps say over how many sizes "
        "the fall is spread.",
        formula="M = (SSE_line − SSE_step) / (SSE_line + SSE_step + m·s₀²), s₀ = 0.25 bit over m sizes; effective "
        "steps = 1 / Σ wᵢ², wᵢ the share of the fall between sizes i and i + 1",
        source="§4 and Figure 4 (monogenic and polygenic tokens); the scores are this site’s",
    ),
    "lb": Help(
        what="Two scores of the BIG-bench suite, for a loss that falls. Linearity is largest for an even fall; "
        "breakthroughness is largest where one jump makes the whole gain while most steps are small.",
        formula="I = max − min of the loss; linearity = I / √mean(Δ²), breakthroughness = I / √median(Δ²), at most 100",
        source="§4, note on emergent abilities; scores after Srivastava et al. 2022",
    ),
}
LABELS = {"m": "M: a line −1, one step 1", "n": "effective steps", "l": "linearity", "b": "breakthroughness"}


def density_chart(
    counts: np.ndarray, plane: Plane, criteria: Criteria, *, n_found: int, classes: Mapping[str, int],
    dots: Sequence[list[Any]],
) -> Chart:  # fmt: skip
    """Predictions found over a plane; `dots` are [x, y, tooltip, href, token] of those that the page lists."""
    n_drawn = int(counts.sum())
    shown = _coarse(counts, 4 if n_drawn >= MANY else 6)
    cells, rows = _cells(shown, plane)
    series = [make_series("cells", cells, css="h0")] if cells else []
    series += _limits(plane, criteria, classes, n_found)
    series += [make_series("points", dots, name="listed below", css="ink")] if dots else []
    return make_chart(
        slug="density", number=1, title=_title(counts, plane, is_all=criteria.is_all),
        description=f"{count(n_drawn)} predictions over {LABELS[plane.x]} and {LABELS[plane.y]}",
        reading=_reading(n_drawn, n_found, plane, criteria, has_dots=bool(dots)),
        x=_axis(plane, "x"), y=_axis(plane, "y"), series=series, size="wide", help=HELP[plane.key],
        legend=shade_legend(int(shown.max()), "tokens a cell") if n_drawn else [],
        table={"head": [f"{LABELS[plane.x]} from", "to", f"{LABELS[plane.y]} from", "to", "tokens"], "rows": rows},
    )  # fmt: skip


def _coarse(counts: np.ndarray, side: int) -> np.ndarray:
    n = len(counts) // side
    return counts.reshape(n, side, n, side).sum(axis=(1, 3))


def _cells(counts: np.ndarray, plane: Plane) -> tuple[list[list[Any]], list[list[Any]]]:
    """[x0, x1, y0, y1, shade] of every cell that holds something, and the same with its count."""
    n, most = len(counts), int(counts.max())
    xs = np.linspace(*plane.x_range, n + 1)
    ys = np.linspace(*plane.y_ends, n + 1)
    ys = np.exp(ys) if plane.is_log_y else ys
    xs, ys = xs.tolist(), ys.tolist()
    cells, rows = [], []
    for i, j in np.argwhere(counts).tolist():
        corner, n_here = [xs[i], xs[i + 1], ys[j], ys[j + 1]], int(counts[i, j])
        cells.append([xs[i], _further(xs, i), ys[j], _further(ys, j), f"h{shade(n_here, most)}"])
        rows.append([*(round(value, 4) for value in corner), n_here])
    return cells, rows


def _further(edges: Sequence[float], i: int) -> float:
    """Where a cell is painted to: a little over the next one, so that rounding leaves no seam between them."""
    return edges[i + 1] + 0.06 * (edges[i + 2] - edges[i + 1]) if i + 2 < len(edges) else edges[i + 1]


def _axis(plane: Plane, side: str) -> Axis:
    name, ends = (plane.x, plane.x_range) if side == "x" else (plane.y, plane.y_range)
    if name == "b":
        return log_axis(ends, LABELS[name], ticks=[(value, f"{value}") for value in (1, 2, 5, 10, 20, 50, 100)])
    if name == "m":
        ticks = [(-1.0, "−1"), (-0.5, "−0.5"), (0.0, "0"), (0.5, "0.5"), (1.0, "1")]
    else:
        ticks = [(float(value), f"{value}") for value in range(int(ends[0]), int(ends[1]) + 1)]
    return linear_axis(ends, LABELS[name], ticks=ticks, exact=True)


# ── what is asked for, and the classes ──


def _limits(plane: Plane, criteria: Criteria, classes: Mapping[str, int], n_found: int) -> list[Series]:
    """Outlines of the thresholds and the lasso; where neither is asked for, of the classes."""
    series = []
    x, y = criteria.bound(plane.x), criteria.bound(plane.y)
    if x != Bounds() or y != Bounds():
        series += _outline(_box(plane, x, y), "thresholds", "act")
    if criteria.lasso and criteria.lasso.plane == plane.key:
        corners = criteria.lasso.on(plane)
        if plane.is_log_y:
            corners = [(a, math.exp(b)) for a, b in corners]
        series += _outline([*corners, corners[0]], "lasso", "act")
    if not series and plane.key == "mn" and classes:
        series = _class_limits(plane, classes, n_found)
    return series


def _box(plane: Plane, x: Bounds, y: Bounds) -> list[Point]:
    (x0, x1), (y0, y1) = (
        tuple(
            min(max(end if value is None else value, ends[0]), ends[1]) for end, value in zip(ends, bounds, strict=True)
        )
        for bounds, ends in ((x, plane.x_range), (y, plane.y_range))
    )
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]


def _outline(points: Sequence[Point], name: str, css: str) -> list[Series]:
    return [make_series("line", points, name=name, css="under"), make_series("line", points, name=name, css=css)]


def _class_limits(plane: Plane, classes: Mapping[str, int], n_found: int) -> list[Series]:
    limits = classify.__kwdefaults__ or {}
    (m_low, m_high), (n_low, n_high) = plane.x_range, plane.y_range
    mono = (limits["monogenic_above"], limits["monogenic_n_eff"])
    poly = (limits["polygenic_below"], limits["polygenic_n_eff"])
    edge = 0.045 * (n_high - n_low)
    corners = [("monogenic", [(mono[0], n_low), mono, (m_high, mono[1])], [m_high - 0.02, mono[1] + edge / 2, "e"])]
    if poly[1] < n_high:
        corners.append(("polygenic", [(m_low, poly[1]), poly, (poly[0], n_high)], [poly[0] + 0.02, n_high - edge, "s"]))
    series = []
    for name, points, at in corners:
        share = classes.get(name, 0) / n_found if n_found else 0.0
        series += [
            make_series("line", points, name=name, css="under"),
            make_series("line", points, name=name, css="thr", label=f"{name} {percent(share)}", label_at=at,
                        is_strong=True),
        ]  # fmt: skip
    return series


# ── words ──


def _title(counts: np.ndarray, plane: Plane, *, is_all: bool) -> str:
    n = int(counts.sum())
    those = "tokens" if is_all else "tokens found"
    if not n:
        return "None of the tokens found has a place here"
    quarter, half = len(counts) // 4, len(counts) // 2
    if plane.key == "lb":
        share = counts[:, half:].sum() / n
        return f"{percent(float(share))} of {those} whose loss falls gain ten typical steps or more at once"
    line, step = counts[:quarter].sum() / n, counts[-quarter:].sum() / n
    if step > 0.5:
        return f"Most {those} fall in one clean step"
    if line > 0.5:
        return f"Most {those} fall along a clean line"
    if line + step < 0.5:
        return f"Most {those} lie between: neither a clean step nor a clean line"
    return f"Of the {those}, {percent(float(step))} fall in a clean step, {percent(float(line))} along a clean line"


def _reading(n_drawn: int, n_found: int, plane: Plane, criteria: Criteria, *, has_dots: bool) -> str:
    words = [f"Shade: tokens a cell, log scale; {count(n_drawn)} of {count(n_found)} found are drawn."]
    if n_drawn < n_found:
        why = "never falls" if plane.key == "mn" else "rises with size or does not change"
        words.append(f"The loss of the other {count(n_found - n_drawn)} {why}, or they have no scores.")
    asked = {plane.x, plane.y} & {name for name, _ in criteria.bounds} or criteria.lasso
    if asked:
        words.append("Blue: what you asked for.")
    elif plane.key == "mn":
        words.append("Dashed: the classes, which also ask for a bit lost.")
    if has_dots:
        words.append("Dots: tokens of the list.")
    return " ".join(words)


# ── one curve a row ──


class CurveSpark(TypedDict):
    path: str
    dots: list[tuple[float, float]]
    css: str
    width: int
    height: int
    description: str


def curve_spark(
    xs: Sequence[float], losses_nats: Sequence[float], curve_class: str, unit: Unit, *, over: str, top: float
) -> CurveSpark:
    """One token's loss over the logarithm of size or step, on a scale up to `top` that all rows share."""
    width, height = SPARK_SIZE
    factor = 1 / BITS if unit == "bits" else 1.0
    values = [loss * factor for loss in losses_nats]
    logs = np.log(np.asarray(xs, float))
    across = (logs - logs[0]) / max(float(logs[-1] - logs[0]), 1e-9)
    foot, room = height - 6, height - 10
    points = [
        (2 + (width - 6) * float(x), foot - room * min(value / top, 1.0))
        for x, value in zip(across, values, strict=True)
        if math.isfinite(value)
    ]
    told = ", ".join(fixed(value, 1) for value in values)
    return {
        "path": line_path(points), "dots": [(round(x, 1), round(y, 1)) for x, y in points],
        "css": CLASS_COLOURS.get(curve_class, "c6"), "width": width, "height": height,
        "description": f"Loss in {unit} at {len(values)} {over}: {told}",
    }  # fmt: skip
