"""Draw charts, bars and numbers in templates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from django import template
from django.utils.safestring import SafeString

from clusters.charts import numbers
from clusters.charts.chart import SIZES, Chart
from clusters.charts.draw import Mark, draw
from clusters.charts.markup import marks_markup, rows_markup

register = template.Library()
ROWS_SHOWN = 100
EMBED_ROOM = 190  # of a frame around the drawing: title, reading, source


@register.inclusion_tag("charts/_chart.html", takes_context=True)
def chart(context: dict[str, Any], payload: Chart, reading_href: str = "", reading_text: str = "") -> dict[str, Any]:
    """One figure: heading, drawing, reading, downloads, table."""
    wide, narrow = SIZES[payload["size"]]
    sizes = [(wide, " wideonly" if narrow else ""), *([(narrow, " narrow")] if narrow else [])]
    drawings = [
        {"css": css, "width": one.width, "height": one.height, "marks": one.marks, "role": _role(one.marks)}
        for one, css in ((draw(payload, size), css) for size, css in sizes)
    ]
    rows = payload["table"]["rows"]
    return {
        "chart": payload,
        "drawings": drawings,
        "rows": rows[:ROWS_SHOWN],
        "n_hidden": max(len(rows) - ROWS_SHOWN, 0),
        "reading_href": reading_href,
        "reading_text": reading_text,
        "svg_href": _download(context, payload["slug"], "svg"),
        "csv_href": _download(context, payload["slug"], "csv"),
        "is_embedded": context.get("is_embedded", False),
    } | _embed(context, payload["slug"], wide[1])


@register.inclusion_tag("charts/_later.html", takes_context=True)
def chart_later(context: dict[str, Any], slug: str, title: str) -> dict[str, Any]:
    """A place that the figure fills when it is scrolled into view; a link to it without JavaScript."""
    return {"slug": slug, "title": title, "href": _download(context, slug, "html")} | _embed(context, slug, 0)


@register.inclusion_tag("charts/_embed.html", takes_context=True)
def frame_snippet(context: dict[str, Any], slug: str, title: str, height: int = 640) -> dict[str, Any]:
    """How to show this part of the page on another site: a snippet and a preview."""
    return {"slug": slug, "title": title} | _embed(context, slug, height)


@register.filter
def svg(marks: Iterable[Mark]) -> SafeString:
    """A drawing's marks as elements."""
    return SafeString(marks_markup(marks))


@register.inclusion_tag("charts/_bar.html")
def bar(value: float, most: float, css: str = "fink3", width: int = 88) -> dict[str, Any]:
    """A small length: `value` of `most`."""
    share = min(max(value / most, 0.0), 1.0) if most else 0.0
    return {"css": css, "width": width, "length": round(share * width, 1)}


@register.filter
def figure(value: object) -> str:
    """A number as tables show it; text stays text, nothing becomes a dash."""
    return numbers.plain(value)


@register.filter
def table_rows(rows: Iterable[Sequence[object]]) -> SafeString:
    """Rows of numbers and texts."""
    return SafeString(rows_markup(rows))


@register.filter
def count(value: float | None) -> str:
    return numbers.count(value)


@register.filter
def fixed(value: float | None, digits: int = 2) -> str:
    return numbers.fixed(value, digits)


@register.filter
def percent(value: float | None) -> str:
    return numbers.percent(value)


@register.filter
def compact(value: float | None) -> str:
    return numbers.compact(value)


@register.filter
def short_hash(value: str) -> str:
    return numbers.short_hash(value)


@register.filter
def bytes_text(value: int | None) -> str:
    return numbers.bytes_text(value)


def _role(marks: list[dict[str, Any]]) -> str:
    """A picture; where it holds links, a group of things."""
    return "group" if any(mark.get("href") or mark["tag"] == "links" for mark in marks) else "img"


def _embed(context: dict[str, Any], slug: str, height: int) -> dict[str, Any]:
    """The address of one figure alone, and how tall a frame it wants."""
    stem, request = context.get("twin_path"), context.get("request")
    if not stem or request is None:
        return {"embed_href": ""}
    query = context.get("twin_query") or ""
    address = f"{stem}/?{query}{'&' if query else ''}{urlencode({'figure': slug})}&embed=true"
    return {"embed_href": request.build_absolute_uri(address), "embed_height": height + EMBED_ROOM}


def _download(context: dict[str, Any], slug: str, twin: str) -> str:
    stem = context.get("twin_path")
    if not stem:
        return ""
    query = context.get("twin_query") or ""
    return f"{stem}.{twin}?{query}{'&' if query else ''}{urlencode({'figure': slug})}"
