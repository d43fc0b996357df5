"""What a cluster's page draws: bars of texts, curves of members, similarities, its place among the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np

from clusters.charts.chart import Chart, curve_chart, linear_axis, make_chart, make_series, vertical
from clusters.charts.geometry import minus, rect_path, tick_text
from clusters.charts.numbers import compact
from clusters.readings import Similarities, StepCurve, Unit

MANY = 100  # beyond so many members, quantiles are drawn instead of lines
LEARNED_SHARE = 0.6  # the sizes between which a mean falls by this share of its whole fall
N_BINS = 48


class Bar(TypedDict):
    text: str
    count: int
    percent: int
    width: float


def bars(counts: Sequence[Sequence[Any]], n_tokens: int, most: int) -> list[Bar]:
    """The commonest texts with their counts; the longest bar is the commonest text's."""
    top = max((count for _, count in counts), default=1)
    return [
        {"text": text, "count": count, "percent": round(100 * count / n_tokens), "width": round(100 * count / top, 1)}
        for text, count in counts[:most]
    ]


def bars_title(answers: Sequence[Sequence[Any]], last: Sequence[Sequence[Any]], n_tokens: int) -> tuple[str, str]:
    """What the commonest texts say of the cluster: a finding and its reading."""
    answer_share = answers[0][1] / n_tokens if answers else 0.0
    last_share = last[0][1] / n_tokens if last else 0.0
    if answer_share == 1:
        return "Every answer is the same", "One answer alone: the cluster may be a word, not a skill."
    if answer_share >= 0.5:
        return "One answer dominates", "One answer makes up most of the cluster: it may be a word, not a skill."
    before = "the token before is one" if last_share == 1 else "the token before mostly not"
    title = f"The answers differ, {before}" if last_share >= 0.5 else "Answers and tokens before them differ"
    return title, "No answer dominates, so the cluster isn’t merely one word."


def fall_window(mean: Sequence[float]) -> tuple[int, int] | None:
    """The narrowest stretch of a curve in which it falls by most of its whole fall; None where it hardly falls."""
    whole = mean[0] - min(mean)
    if len(mean) < 2 or whole < 0.1:
        return None
    spans = [
        (j - i, mean[j] - mean[i], i, j)
        for i in range(len(mean))
        for j in range(i + 1, len(mean))
        if mean[i] - mean[j] >= LEARNED_SHARE * whole
    ]
    if not spans:
        return None
    _, _, first, last = min(spans)
    return first, last


def sizes_chart(
    sizes: Sequence[int], losses: np.ndarray, unit: Unit, *, number: int, y_max: float, n_members: int
) -> Chart:
    """Losses of members (n, n_sizes) and their mean over non-embedding parameters."""
    mean = losses.mean(axis=0)
    window = fall_window(mean.tolist())
    if window is None:
        title, reading = "The members’ loss hardly falls with size", f"The mean ends at {_loss(mean[-1], unit)}."
    else:
        first, last = window
        title = f"Members are learned between {compact(sizes[first])} and {compact(sizes[last])} parameters"
        reading = f"The mean falls from {_loss(mean[first], unit)} to {_loss(mean[last], unit)} there."
    curves = [*_member_curves(sizes, losses), _mean_curve(sizes, mean, losses, "mean")]
    return curve_chart(
        curves, over="parameters", slug="loss-over-parameters", number=number, title=title,
        reading=f"{reading} {_members_note(len(losses), n_members)}", unit=unit, size="third",
        y_max=_shown(y_max, unit),
    )  # fmt: skip


def steps_chart(
    curves: Sequence[StepCurve], clustered_lm: str, unit: Unit, *, number: int, y_max: float
) -> Chart | None:
    """Mean losses over training steps, one line a network; members faint under the clustered network's."""
    if not curves:
        return None
    shown: list[dict[str, Any]] = []
    named = 0
    for curve in curves:
        mean = curve.losses.mean(axis=0)
        if curve.lm == clustered_lm:
            shown = [*_member_curves(curve.steps, curve.losses), *shown]
            shown.append(_mean_curve(curve.steps, mean, curve.losses, curve.lm))
        else:
            css = f"v{min(1 + 3 * named, 7)}"
            shown.append(_line(curve.steps, mean, name=curve.lm, label=curve.lm, css=css))
            named += 1
    return curve_chart(
        shown, over="steps", slug="loss-over-steps", number=number, title=_steps_title(curves),
        reading="Means of the members, one line for each network; faint lines are members."
        if len(curves[0].losses) <= MANY else "Means of the members, one line for each network.",
        unit=unit, size="third", y_max=_shown(y_max, unit),
    )  # fmt: skip


def similarity_chart(found: Similarities, *, number: int) -> Chart:
    """How alike pairs within the cluster are, against pairs of a member and another cluster's token."""
    inside, outside = found.within, found.across
    both = np.concatenate([inside, outside]) if len(inside) or len(outside) else np.zeros(1)
    lo = math.floor(min(float(both.min()), 0.0) * 10) / 10
    edges = np.linspace(lo, 1.0, N_BINS + 1)
    series = []
    if len(outside):
        series += _histogram(outside, edges, name="across", css="c6")
    if len(inside):
        series += _histogram(inside, edges, name="within", css="c1")
    rules = []
    if len(outside):
        rules.append(vertical("refl", float(outside.mean()), f"across {_cosine(outside.mean())}", side="start"))
    if len(inside):
        rules.append(vertical("edge", float(inside.mean()), f"within {_cosine(inside.mean())}", side="end"))
    return make_chart(
        slug="similarity", number=number, title=_similarity_title(inside, outside), reading=_similarity_reading(found),
        description="Cosine of pairs of gradients: within the cluster, and from its members to the rest",
        x=linear_axis([lo, 1.0], "cosine of two gradients", exact=True),
        y=linear_axis([0, 1.2], "share of pairs, each scaled to its peak", ticks=(), exact=True),
        series=series, rules=rules, size="third",
    )  # fmt: skip


class Ruler(TypedDict):
    width: int
    height: int
    bars: str
    mark: dict[str, float] | None
    text_x: float
    anchor: str
    label: str
    note: str


def ruler(sizes: Sequence[int], rank: int | None, *, width: int, height: int, with_note: bool) -> Ruler:
    """Sizes of all clusters by rank on a log scale, one of them marked."""
    pitch, foot, top = width / len(sizes), height - 2, height - 18
    bar = max(pitch * 0.72, 0.6)
    tall = math.log(max(sizes[0], 2))
    rects = []
    for i, size in enumerate(sizes):
        high = top * (0.2 + 0.8 * math.log(max(size, 1)) / tall)
        rects.append((i * pitch + (pitch - bar) / 2, foot - high, bar, high))
    note = f"{len(sizes)} clusters, log size"
    if rank is None:
        return {"width": width, "height": height, "bars": rect_path(rects), "mark": None, "text_x": 0.0, "anchor": "",
                "label": "", "note": note if with_note else ""}  # fmt: skip
    x, y, wide, high = rects.pop(rank - 1)
    middle = x + wide / 2
    is_right = middle > width * 0.55
    return {
        "width": width,
        "height": height,
        "bars": rect_path(rects),
        "mark": {"x": x, "y": y, "width": max(wide, 2.0), "height": high, "middle": middle},
        "text_x": middle - 6 if is_right else middle + 6,
        "anchor": "e" if is_right else "",
        "label": f"rank {rank} · {counted(sizes[rank - 1], 'token')}",
        "note": note if with_note and not is_right else "",
    }


def classes_title(classes: Sequence[tuple[str, int]], n_tokens: int) -> str:
    """What the classes of the members' curves say."""
    if not classes:
        return "The members’ curves were not scored"
    name, count = classes[0]
    share = "All" if count == n_tokens else ("Most" if count * 2 > n_tokens else "Many")
    return f"{share} members’ curves are {name}"


def counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _member_curves(xs: Sequence[float], losses: np.ndarray) -> list[dict[str, Any]]:
    if len(losses) > MANY or len(losses) < 2:
        return []
    first = 1 if xs[0] == 0 else 0  # a lone point before the break of a log axis says nothing
    return [_line(xs[first:], row[first:], css="faint") for row in losses]


def _mean_curve(xs: Sequence[float], mean: np.ndarray, losses: np.ndarray, label: str) -> dict[str, Any]:
    curve = _line(xs, mean, name=label, label=label, css="mean") | {"marker": "dot"}
    if len(losses) > MANY:
        low, high = np.quantile(losses, (0.1, 0.9), axis=0)
        curve["band"] = [list(row) for row in zip(xs, low.tolist(), high.tolist(), strict=True)]
    return curve


def _line(xs: Sequence[float], ys: np.ndarray, *, css: str, name: str = "", label: str = "") -> dict[str, Any]:
    points = [[x, y if math.isfinite(y) else None] for x, y in zip(xs, ys.tolist(), strict=True)]
    return {"points": points, "css": css, "name": name or "member", "label": label}


def _members_note(n: int, n_members: int) -> str:
    if n == 1:
        return "One member."
    if n <= MANY:
        return f"{n} members, one faint line each."
    whole = f"{n:,} members" if n == n_members else f"an even sample of {n:,} of {n_members:,} members"
    return f"The band holds 80% of {whole}."


def _steps_title(curves: Sequence[StepCurve]) -> str:
    curve = curves[-1]
    window = fall_window(curve.losses.mean(axis=0).tolist())
    if window is None:
        return "Training hardly changes the members’ loss"
    first, last = (curve.steps[i] for i in window)
    return f"{curve.lm} learns them between steps {tick_text(first)} and {tick_text(last)}"


def _histogram(values: np.ndarray, edges: np.ndarray, *, name: str, css: str) -> list[Any]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    heights = counts / max(counts.max(), 1)
    area, line = [], [[edges[0], 0.0]]
    for low, high, height in zip(edges[:-1], edges[1:], heights, strict=True):
        area += [[low, 0.0, height], [high, 0.0, height]]
        line += [[low, height], [high, height]]
    line.append([edges[-1], 0.0])
    return [make_series("area", area, name=name, css=css), make_series("line", line, name=name, css=css)]


def _similarity_title(inside: np.ndarray, outside: np.ndarray) -> str:
    if not len(inside):
        return "One member has no pair to compare"
    if not len(outside):
        return "Every clustered token is a member"
    gap = float(inside.mean() - outside.mean())
    if gap >= 0.1:
        return "Members resemble each other, not the rest"
    return "Members resemble each other a little more than the rest" if gap > 0 else "Members resemble the rest as much"


def _similarity_reading(found: Similarities) -> str:
    text = f"{counted(len(found.within), 'pair')} within; {len(found.across):,} across."
    if found.n_sampled < found.n_members:
        text += f" An even sample of {found.n_sampled} of {found.n_members:,} members."
    return text


def _cosine(value: float) -> str:
    return minus(f"{float(value):.2f}")


def _loss(nats: float, unit: Unit) -> str:
    value = nats / math.log(2) if unit == "bits" else nats
    return f"{value:.1f} {unit}" if value >= 0.1 else f"{value:.2f} {unit}"


def _shown(nats: float, unit: Unit) -> float:
    return nats / math.log(2) if unit == "bits" else nats
