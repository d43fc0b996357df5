"""The one chart component: a payload that says what is shown, drawn the same way everywhere.

A page's view asks for payloads; its template draws each with one tag:

    chart = make_chart(
        slug="loss-over-parameters", number=1, title="Loss falls as a power of size",
        description="Mean loss against non-embedding parameters, seven networks",
        reading="Exponent 0.083, 95% interval 0.079 to 0.087, over seven networks.",
        x=log_axis(sizes, "non-embedding parameters"), y=linear_axis([0, 6], "mean loss, nats"),
        series=[make_series("line", points, name="mean", css="c1", marker="dot", label="mean")],
    )
    {% load charts %}{% chart chart %}

Axis      log_axis(values, label), linear_axis(values, label), category_axis(names, label); ticks can be given.
          share_axis(shares, label): points and tables hold shares of 1, its ticks say percent.
          `log_axis(…, with_zero=True)` keeps a place for 0 before a break (step 0 of a training run).
Series    kind and what its points hold:
          line, step   [x, y]                   points       [x, y, tooltip?, href?, token?]
          area, band   [x, lower, upper]        bars         [x0, x1, y]  (from the axis' foot)
          cells        [x0, x1, y0, y1, shade]  intervals    [x, y, lower, upper]  (across, on a category axis)
          A point's token is a flat index: the mark then belongs to the page's linked selection.
css       c1…c6 categories, v0…v7 order (viridis), h0…h7 density, "mean", "faint", "env", "fitl", "refl", "act", "ink"
label     text beside the series, placed clear of the others; "^" starts a superscript ("r^−1.24"); label_at=[x, y]
          says beside what, otherwise the last point; [x, y, "s" | "m" | "e"] fixes it there, by start, middle or end.
marker    dot, diamond, square, triangle; on lines `marker_at` is "all" or "end"
Rule      vertical("thr", x, "label"): "thr" threshold, "edge" window's edge, "refl" reference
window    [x0, x1], shaded from top to bottom
legend    [(marker, css, text)], only where texts beside the marks don't fit
table     {"head": […], "rows": [[…]]} of raw numbers: the table under the chart, and its CSV; made from the series
          where it is left out
help      Help(what, formula, source): "What is this?" under every figure
size      "half" (410 × 284, one drawing), "third" (360 × 264), "wide" (760 × 500 and, for phones, 390 × 380), "side"

Curves    curve_chart(…, over="parameters" | "steps") for losses of tokens and clusters; sparkline(points) for lists.
No payload holds NaN or infinity: `make_series` and `make_chart` leave such points out (gaps) or write null.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from typing import Any, Literal, TypedDict

from clusters.charts.geometry import HUGE, TINY, is_narrow, line_path, linear_ticks, log_ticks, thin, tick_text

Kind = Literal["line", "step", "points", "area", "band", "bars", "cells", "intervals"]
SIZES: dict[str, tuple[tuple[int, int], tuple[int, int] | None]] = {
    "half": ((410, 284), None),
    "third": ((360, 264), None),
    "side": ((420, 270), None),
    "wide": ((760, 500), (390, 380)),
    "band": ((760, 300), (390, 300)),
}
MARKERS = ("dot", "diamond", "square", "triangle")
LN2 = math.log(2)


class Axis(TypedDict):
    label: str
    scale: Literal["linear", "log", "category"]
    lo: float
    hi: float
    ticks: list[tuple[float, str]]
    with_zero: bool


class Series(TypedDict):
    kind: Kind
    name: str
    css: str
    points: list[list[Any]]
    label: str
    label_at: list[Any] | None
    marker: str
    marker_at: Literal["", "all", "end"]
    width: float | None
    is_strong: bool
    token: int | None  # of a line: the token that the whole line shows


class Rule(TypedDict):
    axis: Literal["x", "y"]
    css: str
    value: float
    label: str
    side: Literal["start", "end"]


class LateRows(Sequence[list[Any]]):
    """Rows of a table made when they are looked at: of thousands a page shows the first hundred."""

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self.row(i) for i in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return self.row(place % len(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def row(self, place: int) -> list[Any]:
        raise NotImplementedError


class Rows(LateRows):
    """Rows kept as their columns."""

    def __init__(self, *columns: Any) -> None:  # lists or arrays
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def row(self, place: int) -> list[Any]:
        return [_plain(column[place]) for column in self.columns]


class PlainRows(LateRows):
    """Rows as they were given."""

    def __init__(self, rows: Iterable[Iterable[Any]]) -> None:
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, place: int) -> list[Any]:
        return _plain_row(self.rows[place])


class PointRows(LateRows):
    """One row a point: series, x, y."""

    def __init__(self, series: Sequence[Series]) -> None:
        self.series = series
        self.ends = list(accumulate(len(one["points"]) for one in series))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def row(self, place: int) -> list[Any]:
        at = bisect_right(self.ends, place)
        one = self.series[at]
        return [one["name"], *one["points"][place - self.ends[at]][:2]]


class Table(TypedDict):
    head: list[str]
    rows: Sequence[list[Any]]


@dataclass(frozen=True, kw_only=True)
class Help:
    """What a figure shows, for somebody who sees it for the first time."""

    what: str
    formula: str = ""
    source: str = ""  # where the paper speaks of it


class Chart(TypedDict):
    slug: str
    number: int
    title: str
    description: str
    reading: str
    x: Axis
    y: Axis
    series: list[Series]
    rules: list[Rule]
    window: list[float] | None
    legend: list[tuple[str, str, str]]
    legend_title: str
    table: Table
    size: str
    help: Help | None


def linear_axis(
    values: Iterable[float], label: str, *, ticks: Sequence[tuple[float, str]] | None = None, n: int = 5,
    from_zero: bool = False, exact: bool = False,
) -> Axis:  # fmt: skip
    """An even axis over the values, its ends moved out to round numbers unless `exact`."""
    lo, hi = _ends(values, 0.0, 1.0)
    lo = min(lo, 0.0) if from_zero else lo
    if is_narrow(lo, hi):
        half = max(0.5, abs(lo) / 1000)
        lo, hi = lo - half, hi + half
    if not exact:
        lo, hi = _rounded_out(lo, hi, n)
    own = [(value, tick_text(value)) for value in linear_ticks(lo, hi, n)]
    return {"label": label, "scale": "linear", "lo": lo, "hi": hi, "ticks": _ticks(ticks, own), "with_zero": False}


def share_axis(
    shares: Iterable[float], label: str, *, n: int = 4, from_zero: bool = False, exact: bool = False
) -> Axis:
    """An even axis over shares of 1 whose ticks say percent."""
    axis = linear_axis([100 * share for share in shares], label, n=n, from_zero=from_zero, exact=exact)
    ticks = [(value / 100, f"{name}%") for value, name in axis["ticks"]]
    return axis | {"lo": axis["lo"] / 100, "hi": axis["hi"] / 100, "ticks": ticks}


def log_axis(
    values: Iterable[float], label: str, *, ticks: Sequence[tuple[float, str]] | None = None, n: int = 6,
    pad: float = 1.0, with_zero: bool = False,
) -> Axis:  # fmt: skip
    """A logarithmic axis over the positive values, widened by the factor `pad` at both ends."""
    lo, hi = (max(end, TINY) for end in _ends((value for value in values if value and value > 0), 1.0, 10.0))
    if is_narrow(lo, hi):
        pad = max(pad, 2.0)
    lo, hi = lo / pad, hi * pad
    own = [(value, tick_text(value)) for value in log_ticks(lo, hi, n)]
    if with_zero:
        own = [(0.0, "0"), *own]
    return {"label": label, "scale": "log", "lo": lo, "hi": hi, "ticks": _ticks(ticks, own), "with_zero": with_zero}


def category_axis(names: Sequence[str], label: str = "") -> Axis:
    """Rows with names, the first on top; a point's y is its row's number from 0."""
    ticks = [(float(i), name) for i, name in enumerate(names)]
    return {
        "label": label, "scale": "category", "lo": len(names) - 0.5, "hi": -0.5, "ticks": ticks, "with_zero": False,
    }  # fmt: skip


def make_series(
    kind: Kind, points: Iterable[Sequence[Any]], *, name: str = "", css: str = "c1", label: str = "",
    label_at: Sequence[Any] | None = None, marker: str = "", marker_at: Literal["", "all", "end"] = "",
    width: float | None = None, is_strong: bool = False, token: int | None = None,
) -> Series:  # fmt: skip
    """One set of marks; points that are no numbers are left out."""
    kept = [_plain_row(point) for point in points]
    kept = [point for point in kept if point[0] is not None and point[1] is not None]
    return {
        "kind": kind, "name": name or label, "css": css, "points": kept, "label": label,
        "label_at": [_plain(v) for v in label_at] if label_at else None, "marker": marker,
        "marker_at": marker_at or ("all" if marker else ""), "width": width, "is_strong": is_strong, "token": token,
    }  # fmt: skip


def vertical(css: str, value: float, label: str = "", *, side: Literal["start", "end"] = "end") -> Rule:
    """A line at one x, its text on top, left ("start") or right ("end") of it."""
    return {"axis": "x", "css": css, "value": float(value), "label": label, "side": side}


def make_chart(
    *, slug: str, number: int, title: str, x: Axis, y: Axis, series: Sequence[Series], description: str = "",
    reading: str = "", rules: Sequence[Rule] = (), window: Sequence[float] | None = None,
    legend: Sequence[tuple[str, str, str]] = (), legend_title: str = "", table: Table | None = None,
    size: str = "half", help: Help | None = None,
) -> Chart:  # fmt: skip
    """Everything one figure shows; see this module's head for what the parts mean."""
    shown = list(series)
    return {
        "slug": slug, "number": number, "title": title, "description": description or title, "reading": reading,
        "x": x, "y": y, "series": shown, "rules": list(rules),
        "window": [float(v) for v in window] if window else None, "legend": list(legend),
        "legend_title": legend_title, "table": _checked(table) if table else _table_of(x, y, shown), "size": size,
        "help": help,
    }  # fmt: skip


def curve_chart(
    curves: Sequence[dict[str, Any]], *, over: Literal["parameters", "steps"], slug: str, number: int, title: str,
    reading: str = "", unit: Literal["nats", "bits"] = "nats", size: str = "half", y_max: float | None = None,
    help: Help | None = None,
) -> Chart:  # fmt: skip
    """Loss curves over network size or training step, given in nats.

    A curve is {"points": [[x, loss_nats], …]} with, as wanted, "name", "label", "css" ("mean", "faint", c1…, v0…),
    "marker", "token" (the flat index that it belongs to), and "band": [[x, low_nats, high_nats], …] drawn under it.
    Over steps, step 0 stands before a break.
    """
    factor = 1 / LN2 if unit == "bits" else 1.0
    series, xs, ys = [], [], [0.0]
    styles = zip(cycle(f"c{i}" for i in range(1, 7)), cycle(MARKERS), strict=True)
    for curve in curves:
        css, marker = next(styles)
        if curve.get("band"):
            band = [[x, low * factor, high * factor] for x, low, high in curve["band"]]
            series.append(make_series("band", band, name=f"{curve.get('name', '')} range", css=curve.get("css", css)))
            ys += [high for _, _, high in band if high is not None]
        points = [[x, y * factor] for x, y in curve["points"] if y is not None]
        is_faint = curve.get("css") == "faint"
        series.append(
            make_series("line", points, name=curve.get("name", ""), css=curve.get("css", css),
                        label=curve.get("label", ""), marker=curve.get("marker", "" if is_faint else marker),
                        is_strong=curve.get("css") == "mean", token=curve.get("token"))
        )  # fmt: skip
        xs += [x for x, _ in points]
        ys += [y for _, y in points]
    labels = {"parameters": "non-embedding parameters", "steps": "training step"}
    return make_chart(
        slug=slug, number=number, title=title, reading=reading, series=series, size=size, help=help,
        description=f"{title}: loss in {unit} against {labels[over]}",
        x=log_axis(xs, labels[over], pad=1.15 if over == "parameters" else 1.0,
                   with_zero=over == "steps" and any(x == 0 for x in xs)),
        y=linear_axis([*ys, y_max or 0.0], f"loss, {unit}", from_zero=True, n=4),
    )  # fmt: skip


class Sparkline(TypedDict):
    path: str
    base: str
    width: int
    height: int
    description: str


def sparkline(
    values: Sequence[float | None],
    *,
    width: int = 144,
    height: int = 56,
    hi: float | None = None,
    description: str = "",
) -> Sparkline:
    """A small line for lists, from 0 at its foot; draw with {% include "charts/_sparkline.html" %}."""
    known = [(i, v) for i, v in enumerate(values) if v is not None and math.isfinite(v)]
    top = max([hi or 0.0, *(v for _, v in known)], default=1.0) or 1.0
    across = (width - 4) / max(len(values) - 1, 1)
    points = [(2 + i * across, height - 3 - (height - 6) * v / top) for i, v in known]
    return {
        "path": line_path(thin(points)), "base": line_path([(0, height - 1), (width, height - 1)]), "width": width,
        "height": height, "description": description,
    }  # fmt: skip


def _ends(values: Iterable[float], lo: float, hi: float) -> tuple[float, float]:
    known = [float(v) for v in values if v is not None and math.isfinite(v)]
    lo, hi = (min(known), max(known)) if known else (lo, hi)
    return min(max(lo, -HUGE), HUGE), min(max(hi, -HUGE), HUGE)


def _rounded_out(lo: float, hi: float, n: int) -> tuple[float, float]:
    ticks = linear_ticks(lo, hi, n)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else hi - lo
    return math.floor(lo / step + 1e-9) * step, math.ceil(hi / step - 1e-9) * step


def _ticks(given: Sequence[tuple[float, str]] | None, own: list[tuple[float, str]]) -> list[tuple[float, str]]:
    return [(float(value), text) for value, text in given] if given is not None else own


def _plain_row(row: Iterable[Any]) -> list[Any]:
    """JSON-safe values; what is an ordinary number already is not asked twice, for charts hold thousands."""
    return [v if type(v) is float and v - v == 0.0 else _plain(v) for v in row]


def _plain(value: Any) -> Any:
    """A JSON-safe value: Python's own numbers, None for what is no number."""
    kind = type(value)
    if kind is float:  # most cells of long tables are
        return value if math.isfinite(value) else None
    if kind is int or kind is str:
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _checked(table: Table) -> Table:
    if isinstance(table["rows"], LateRows):
        return table
    return {"head": list(table["head"]), "rows": PlainRows(table["rows"])}


def _table_of(x: Axis, y: Axis, series: Sequence[Series]) -> Table:
    """One row a point of the series that show data."""
    shown = [
        one for one in series if one["kind"] not in ("cells", "bars", "band") and one["css"] not in ("refl", "fitl")
    ]
    return {"head": ["series", x["label"] or "x", y["label"] or "y"], "rows": PointRows(shown)}
