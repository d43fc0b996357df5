"""Marks and table rows as text: a page draws thousands of them, and a template's loop takes five times as long.

All words that come from data are escaped here, and a path is numbers; what comes out is safe to put on a page.
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
    return "".join([f"<tr>{''.join([f'<td>{_cell(value)}</td>' for value in row])}</tr>" for row in rows])


def _cell(value: object) -> str:
    """A number holds nothing that needs escaping."""
    return plain(value) if isinstance(value, int | float) else escape(plain(value))


def _mark(mark: Mark) -> str:
    if mark["tag"] == "links":
        return _links(mark)
    token = f' data-token="{escape(mark["token"])}"' if mark.get("token") else ""
    if not mark.get("href"):
        return _SHAPES[mark["tag"]](mark, token)
    return f'<a href="{escape(mark["href"])}"{token}>{_SHAPES[mark["tag"]](mark, "")}</a>'


def _links(mark: Mark) -> str:
    """Many points that are links: a keyboard finds them in the table instead of walking through hundreds."""
    css = escape(mark["css"])
    return "\n".join(
        [
            f'<a href="{escape(href)}" tabindex="-1"><path class="{css}" d="{d}">{_title(title)}</path></a>'
            for href, d, title in mark["linked"]
        ]
    )


def _line(mark: Mark, token: str) -> str:
    return (
        f'<line class="{escape(mark["css"])}" x1="{mark["x1"]}" y1="{mark["y1"]}" x2="{mark["x2"]}" y2="{mark["y2"]}"/>'
    )


def _text(mark: Mark, token: str) -> str:
    raised = f'<tspan class="sup" dy="-4">{escape(mark["sup"])}</tspan>' if mark["sup"] else ""
    return f'<text class="{escape(mark["css"])}" x="{mark["x"]}" y="{mark["y"]}">{escape(mark["text"])}{raised}</text>'


def _circle(mark: Mark, token: str) -> str:
    place = f'cx="{mark["cx"]}" cy="{mark["cy"]}" r="{mark["r"]}"'
    return f'<circle class="{escape(mark["css"])}" {place}{token}>{_title(mark.get("title"))}</circle>'


def _path(mark: Mark, token: str) -> str:
    width = f' stroke-width="{mark["width"]}"' if mark.get("width") else ""
    return f'<path class="{escape(mark["css"])}" d="{mark["d"]}"{width}{token}>{_title(mark.get("title"))}</path>'


def _title(words: str | None) -> str:
    return f"<title>{escape(words)}</title>" if words else ""


_SHAPES: dict[str, Any] = {"line": _line, "text": _text, "circle": _circle, "path": _path}
