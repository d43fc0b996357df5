"""Marks and table rows as text: a page draws thousands of them, and a template's loop takes five times as long.

All that comes from data is escaped here; what comes out is safe to put on a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from clusters.charts.draw import Mark
from clusters.charts.numbers import plain


def marks_markup(marks: Iterable[Mark]) -> str:
    """SVG elements, one a line, each within its link where it has one."""
    return "\n".join(map(_mark, marks))


def rows_markup(rows: Iterable[Sequence[object]]) -> str:
    """Rows of an HTML table of numbers and texts."""
    return "".join(f"<tr>{''.join(f'<td>{escape(plain(value))}</td>' for value in row)}</tr>" for row in rows)


def _mark(mark: Mark) -> str:
    if mark["tag"] == "links":
        return _links(mark)
    token = f' data-token="{escape(mark["token"])}"' if mark.get("token") else ""
    if not mark.get("href"):
        return _SHAPES[mark["tag"]](mark, token)
    return f'<a href="{escape(mark["href"])}"{token}>{_SHAPES[mark["tag"]](mark, "")}</a>'


def _links(mark: Mark) -> str:
    """Many points that are links: a keyboard finds them in the table instead of walking through hundreds."""
    drawn = ((href, _path({"css": mark["css"], "d": d, "title": title}, "")) for href, d, title in mark["linked"])
    return "\n".join(f'<a href="{escape(href)}" tabindex="-1">{path}</a>' for href, path in drawn)


def _line(mark: Mark, token: str) -> str:
    return (
        f'<line class="{escape(mark["css"])}" x1="{mark["x1"]}" y1="{mark["y1"]}" x2="{mark["x2"]}" y2="{mark["y2"]}"/>'
    )


def _text(mark: Mark, token: str) -> str:
    raised = f'<tspan class="sup" dy="-4">{escape(mark["sup"])}</tspan>' if mark["sup"] else ""
    return f'<text class="{escape(mark["css"])}" x="{mark["x"]}" y="{mark["y"]}">{escape(mark["text"])}{raised}</text>'


def _circle(mark: Mark, token: str) -> str:
    place = f'cx="{mark["cx"]}" cy="{mark["cy"]}" r="{mark["r"]}"'
    return f'<circle class="{escape(mark["css"])}" {place}{token}>{_title(mark)}</circle>'


def _path(mark: Mark, token: str) -> str:
    width = f' stroke-width="{mark["width"]}"' if mark.get("width") else ""
    return f'<path class="{escape(mark["css"])}" d="{escape(mark["d"])}"{width}{token}>{_title(mark)}</path>'


def _title(mark: Mark) -> str:
    return f"<title>{escape(mark['title'])}</title>" if mark.get("title") else ""


_SHAPES: dict[str, Any] = {"line": _line, "text": _text, "circle": _circle, "path": _path}
