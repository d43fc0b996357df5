"""A chart payload → marks on paper of one size; templates/charts/_chart.html and standalone.py write them out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from clusters.charts.chart import Axis, Chart, Series
from clusters.charts.geometry import (
    CELL,
    Box,
    Point,
    Scale,
    cells_of,
    closed_path,
    dot_paths,
    line_path,
    marker_path,
    place_labels,
    rect_path,
    step_path,
    text_width,
    thin,
)

TOP, BOTTOM, LEGEND_ROW, TICK = 24.0, 40.0, 20.0, 4.0
MANY = 40  # linked points that are written together: quickly, and as no stops of the Tab key
CROWD = 300  # points that are drawn smaller
NARROW = 400  # below this width the names of a category axis stand above their rows
NO_STROKE_SERIES = ("mean", "faint", "env", "fitl", "refl", "thr", "edge", "under")
Mark = dict[str, Any]


@dataclass(frozen=True)
class Drawing:
    """Marks in the order in which they are painted."""

    width: int
    height: int
    marks: list[Mark]


def draw(chart: Chart, size: tuple[int, int]) -> Drawing:
    """Lay the chart out on paper of (width, height)."""
    width, height = size
    frame = _frame(chart, width, height)
    x = _scale(chart["x"], frame.left, frame.right)
    y = _scale(chart["y"], frame.bottom, frame.top)
    marks = [*_window(chart, x, frame), *_grid(chart, x, y, frame), *_axis_texts(chart, frame, width, height)]
    for series in chart["series"]:
        marks += _DRAWN[series["kind"]](series, x, y, frame)
    for series in chart["series"]:
        marks += _crowd(series, x, y, width) if _is_crowd(series) else _markers(series, x, y)
    rules, taken = _rules(chart, x, y, frame)
    marks += rules
    marks += _legend(chart, frame)
    marks += _labels(chart, x, y, frame, width, taken)
    return Drawing(width, height, marks)


def plot_area(chart: Chart, size: tuple[int, int]) -> Box:
    """The rectangle between the axes on paper of (width, height), for scripts that let things be dragged in it."""
    return _frame(chart, *size)


def text(css: str, x: float, y: float, words: str) -> Mark:
    """A text mark; what follows "^" is raised."""
    base, _, raised = words.partition("^")
    return {"tag": "text", "css": css, "x": round(x, 1), "y": round(y, 1), "text": base, "sup": raised}


def line(css: str, x1: float, y1: float, x2: float, y2: float) -> Mark:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return {"tag": "line", "css": css, **{name: round(value, 1) for name, value in ends.items()}}


def path(css: str, d: str, **more: object) -> Mark:
    return {"tag": "path", "css": css, "d": d, **more}


# ── paper ──


def _frame(chart: Chart, width: int, height: int) -> Box:
    """The plot's rectangle: what the texts around it leave."""
    tick_width = max((text_width(name) for _, name in chart["y"]["ticks"]), default=0.0)
    if chart["y"]["scale"] == "category":
        left = 0.0 if width < NARROW else tick_width + 14
    else:
        left = max(tick_width + 10, 30.0)
    last = max(
        (text_width(name) / 2 for value, name in chart["x"]["ticks"] if value >= chart["x"]["hi"] * 0.9), default=0
    )
    right = max(14.0, last - 2, _label_room(chart))
    top = TOP + (LEGEND_ROW if chart["legend"] and not chart["legend_title"] else 0)
    if chart["legend_title"]:
        words = [chart["legend_title"], *(f"{words}    " for _, _, words in chart["legend"])]
        right = max(right, 14 + max(map(text_width, words)))
    return Box(left, top, width - right, height - BOTTOM)


def _label_room(chart: Chart) -> float:
    """Room at the right for the texts of lines that end there."""
    unit = _scale(chart["x"], 0.0, 1.0) if not chart["x"]["with_zero"] else _scale(chart["x"], 0.0, 1000.0)
    far = 0.93 * (1000.0 if chart["x"]["with_zero"] else 1.0)
    widths = [
        text_width(s["label"].replace("^", "")) + 14
        for s in chart["series"]
        if s["label"] and not s["label_at"] and s["points"] and unit(s["points"][-1][0]) >= far
    ]
    return min(max(widths, default=0.0), 130.0)


def _scale(axis: Axis, start: float, end: float) -> Scale:
    return Scale(axis["scale"], axis["lo"], axis["hi"], start, end, has_zero=axis["with_zero"])


def _window(chart: Chart, x: Scale, frame: Box) -> list[Mark]:
    if not chart["window"]:
        return []
    first, last = (min(max(x(v), frame.left), frame.right) for v in chart["window"])
    return [path("window", rect_path([(first, frame.top, last - first, frame.bottom - frame.top)]))]


def _grid(chart: Chart, x: Scale, y: Scale, frame: Box) -> list[Mark]:
    if chart["y"]["scale"] == "category":
        return _category_grid(chart, x, y, frame)
    marks = []
    for value, name in chart["y"]["ticks"]:
        marks.append(line("grid", frame.left, y(value), frame.right, y(value)))
        marks.append(text("e", frame.left - 7, y(value) + 4, name))
    marks.append(line("axis", frame.left, frame.bottom, frame.right, frame.bottom))
    free = frame.left - 40
    for value, name in chart["x"]["ticks"]:
        at, half = x(value), text_width(name) / 2
        marks.append(line("axis", at, frame.bottom, at, frame.bottom + TICK))
        if at - half > free + 4:
            marks.append(text("m", at, frame.bottom + 17, name))
            free = at + half
    if chart["x"]["with_zero"]:
        marks += _break(x(0) + 14, frame.bottom)
    return marks


def _category_grid(chart: Chart, x: Scale, y: Scale, frame: Box) -> list[Mark]:
    marks = []
    for value, name in chart["x"]["ticks"]:
        marks.append(line("grid", x(value), frame.top, x(value), frame.bottom))
        marks.append(text("m", x(value), frame.bottom + 17, name))
    for value, name in chart["y"]["ticks"]:
        css = "strong halo" if value == 0 else "tt halo"
        above = frame.left == 0
        marks.append(text(css, 0, y(value) - 15 if above else y(value) + 4, name))
    return marks


def _break(at: float, foot: float) -> list[Mark]:
    """Two strokes across the axis: between 0 and the first power there is no scale."""
    return [
        line("fpaper gap", at - 3, foot, at + 3, foot),
        line("axis", at - 5, foot + 4, at - 1, foot - 4),
        line("axis", at + 1, foot + 4, at + 5, foot - 4),
    ]


def _axis_texts(chart: Chart, frame: Box, width: int, height: int) -> list[Mark]:
    marks = [text("tt e", frame.right, height - 2, chart["x"]["label"])] if chart["x"]["label"] else []
    if chart["y"]["label"]:
        marks.append(text("tt", 0, 9, chart["y"]["label"]))
    return marks


# ── series ──


def stroke(series: Series) -> str:
    css = series["css"]
    if css in NO_STROKE_SERIES or css.startswith("fitl"):
        return css
    if css in ("act", "ink"):
        return f"s{css}"
    return f"series s{css}"


FILLS = {"mean": "fc1", "faint": "fc1", "env": "fink", "ink": "fink", "fitl": "fact", "act": "fact", "line": "fline"}


def fill(css: str) -> str:
    return FILLS.get(css, f"f{css}")


def _pixels(series: Series, x: Scale, y: Scale) -> list[Point]:
    points = series["points"]
    return list(zip(x.all([p[0] for p in points]), y.all([p[1] for p in points]), strict=True))


def _line(series: Series, x: Scale, y: Scale, frame: Box) -> list[Mark]:
    points = thin(_pixels(series, x, y))
    if x.zero_at is not None and points and series["points"][0][0] <= 0:
        points = points[1:]  # nothing joins 0 to the first power: its marker stands alone
    extra: dict[str, object] = {"width": series["width"]} if series["width"] else {}
    if series["token"] is not None:
        extra["token"] = str(series["token"])
    return [path(stroke(series), line_path(points), **extra)] if len(points) > 1 else []


def _step(series: Series, x: Scale, y: Scale, frame: Box) -> list[Mark]:
    points = thin(_pixels(series, x, y))
    return [path(stroke(series), step_path(points))] if len(points) > 1 else []


def _band(series: Series, x: Scale, y: Scale, frame: Box) -> list[Mark]:
    kept = [p for p in series["points"] if p[2] is not None and (p[0] > 0 or x.zero_at is None)]
    upper, lower = [(x(p[0]), y(p[2])) for p in kept], [(x(p[0]), y(p[1])) for p in kept]
    return [path(f"band b{series['css']}", closed_path(upper, lower))] if len(kept) > 1 else []


def _bars(series: Series, x: Scale, y: Scale, frame: Box) -> list[Mark]:
    rects = [(x(p[0]), y(p[2]), x(p[1]) - x(p[0]), frame.bottom - y(p[2])) for p in series["points"] if p[2]]
    return [path(f"solid {fill(series['css'])}", rect_path(rects))] if rects else []


def _cells(series: Series, x: Scale, y: Scale, frame: Box) -> list[Mark]:
    by_shade: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    if not series["points"]:
        return []
    x0s, x1s, y0s, y1s, shades = zip(*series["points"], strict=True)
    corners = zip(x.all(x0s), x.all(x1s), y.all(y0s), y.all(y1s), shades, strict=True)
    for left, right, bottom, top, shade in corners:
        by_shade[shade].append((left, top, right - left, bottom - top))
    return [path(f"solid cells f{shade}", rect_path(rects)) for shade, rects in sorted(by_shade.items())]


def _intervals(series: Series, x: Scale, y: Scale, frame: Box) -> list[Mark]:
    marks = []
    for at, row, low, high in series["points"]:
        if low is not None and high is not None:
            marks.append(
                line(f"whisker s{series['css']}", max(x(low), frame.left), y(row), min(x(high), frame.right), y(row))
            )
        marks.append(marker(series["marker"] or "dot", fill(series["css"]), x(at), y(row), 4))
    return marks


def _nothing(series: Series, x: Scale, y: Scale, frame: Box) -> list[Mark]:
    return []


_DRAWN = {
    "line": _line, "step": _step, "points": _nothing, "area": _band, "band": _band, "bars": _bars, "cells": _cells,
    "intervals": _intervals,
}  # fmt: skip


def marker(
    shape: str, css: str, x: float, y: float, r: float, title: str = "", href: str = "", token: str = ""
) -> Mark:
    more = {"title": title, "href": href, "token": token}
    if shape == "dot":
        return {"tag": "circle", "css": f"dot {css}", "cx": round(x, 1), "cy": round(y, 1), "r": r, **more}
    return path(f"solid dot {css}", marker_path(shape, x, y, r), **more)


def _markers(series: Series, x: Scale, y: Scale) -> list[Mark]:
    points = series["points"]
    if series["kind"] == "points":
        shape, r = series["marker"] or "dot", 4.0
    elif series["kind"] in ("line", "step") and series["marker_at"]:
        shape, r = series["marker"] or "dot", 3.5
        points = points[-1:] if series["marker_at"] == "end" else points
    elif series["kind"] == "line" and x.zero_at is not None:
        shape, r = "dot", 2.5
        points = [p for p in points[:1] if p[0] <= 0]
    else:
        return []
    return [
        marker(shape, fill(series["css"]), x(p[0]), y(p[1]), r, *("" if more is None else str(more) for more in p[2:5]))
        for p in points
    ]


def _is_crowd(series: Series) -> bool:
    points = series["points"]
    return series["kind"] == "points" and len(points) > MANY and all(len(point) == 4 and point[3] for point in points)


def _crowd(series: Series, x: Scale, y: Scale, width: int) -> list[Mark]:
    """Many linked points as one mark; on a narrow drawing too small to be hit, so without their links."""
    css, places = f"solid dot {fill(series['css'])}", _pixels(series, x, y)
    r = 4.0 if len(places) <= CROWD else 3.0
    if series["marker"] in ("", "dot"):
        paths = dot_paths(places, r)
    else:
        paths = [marker_path(series["marker"], *place, r) for place in places]
    if width < NARROW:
        return [path(css, "".join(paths))]
    linked = [(point[3], d, point[2]) for point, d in zip(series["points"], paths, strict=True)]
    return [{"tag": "links", "css": css, "linked": linked, "d": "".join(paths)}]


# ── rules, legend, labels ──


def _rules(chart: Chart, x: Scale, y: Scale, frame: Box) -> tuple[list[Mark], list[Box]]:
    marks: list[Mark] = []
    taken: list[Box] = []
    for rule in chart["rules"]:
        css = "tt halo" if rule["css"] != "edge" else "fc1 halo"
        lines, is_start = rule["label"].split("\n"), rule["side"] == "start"
        width = max(text_width(words) for words in lines)
        if rule["axis"] == "x":
            at = x(rule["value"])
            marks.append(line(rule["css"], at, frame.top, at, frame.bottom))
            foot = frame.top - 6 if chart["y"]["scale"] == "category" else frame.top + 12
            left, anchor = (at - 5, " e") if is_start else (at + 5, "")
        else:
            at = y(rule["value"])
            marks.append(line(rule["css"], frame.left, at, frame.right, at))
            left, anchor, foot = (frame.left + 4, "", at - 5) if is_start else (frame.right - 2, " e", at - 5)
        if rule["label"]:
            marks += [text(css + anchor, left, foot + 15 * i, words) for i, words in enumerate(lines)]
            start = left - width if anchor else left
            taken.append(Box(start, foot - 11, start + width, foot + 15 * (len(lines) - 1) + 4))
    return marks, taken


def _legend(chart: Chart, frame: Box) -> list[Mark]:
    marks: list[Mark] = []
    if chart["legend_title"]:
        left, at = frame.right + 12, frame.top + 8
        marks.append(text("tt", left, at, chart["legend_title"]))
        for shape, css, words in chart["legend"]:
            at += 18
            marks += [marker(shape, fill(css), left + 5, at - 4, 5.5), text("tt", left + 16, at, words)]
        return marks
    left = 0.0 if chart["y"]["scale"] == "category" else frame.left
    for shape, css, words in chart["legend"]:
        marks += [marker(shape, fill(css), left + 5, 25, 4), text("tt", left + 14, 29, words)]
        left += text_width(words) + 32
    return marks


def _labels(chart: Chart, x: Scale, y: Scale, frame: Box, width: int, taken: list[Box]) -> list[Mark]:
    named = [s for s in chart["series"] if s["label"] and (s["label_at"] or s["points"])]
    if not named:
        return []
    obstacles: set[tuple[int, int]] = set()
    for series in chart["series"]:
        if series["kind"] in ("line", "step") and series["css"] != "faint":  # texts may stand on what is faint
            obstacles |= cells_of(thin(_pixels(series, x, y), 3.0))
        elif series["kind"] == "points" and len(series["points"]) <= CROWD:
            for across, down in _pixels(series, x, y):
                row = int(down / CELL)
                obstacles.update((int((across + side) / CELL), row) for side in (-4, 0, 4))
    for rule in chart["rules"]:
        if rule["axis"] == "x":
            obstacles |= cells_of([(x(rule["value"]), frame.top), (x(rule["value"]), frame.bottom)])
    wanted = []
    for series in named:
        at = series["label_at"] or series["points"][-1][:2]
        wanted.append((series["label"].replace("^", ""), (x(at[0]), y(at[1])), at[2] if len(at) > 2 else ""))
    room = Box(frame.left + 2, frame.top - 4, float(width), frame.bottom + 8)
    # from the bottom up, so that texts pushed off one another keep the order of their lines
    upwards = sorted(range(len(named)), key=lambda i: -wanted[i][1][1])
    placed = place_labels([wanted[i] for i in upwards], room, obstacles, taken)
    return [
        text(f"{_label_css(named[i])} halo {p.anchor}".strip(), p.x, p.y, named[i]["label"])
        for i, p in zip(upwards, placed, strict=True)
    ]


def _label_css(series: Series) -> str:
    if series["is_strong"] or series["css"] == "env":
        return "strong"
    return "fc1" if series["css"].startswith(("fitl", "act")) else "tt"
