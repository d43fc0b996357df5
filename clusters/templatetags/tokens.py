"""Show tokens: every box a plain link, every character of a text escaped, nothing trusted.

A page shows thousands of boxes, so they are joined as text; whatever comes from the corpus goes through `escape`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from django import template
from django.urls import reverse
from django.utils.safestring import SafeString

from clusters.contexts import TokenBox
from clusters.display import NEWLINE
from clusters.parameters import changed

register = template.Library()

_BLANKS = re.compile(rf"(?<={NEWLINE}) +| {{2,}}")  # indentation: nothing would be seen of it
_PICTURE = f'<span class="ws">{NEWLINE}</span>'


@register.simple_tag
def token_boxes(
    run: Any, boxes: Iterable[TokenBox], breaks: bool = True, is_shaded: bool = True, anchors: bool = False
) -> SafeString:
    """The boxes of a text, each linked to its token's page; newlines break the line where `breaks` says so.

    With `anchors`, every box can be named in an address, "#t-42", and belongs to the page's linked selection.
    """
    base = escape(reverse("clusters:tokens", args=[run.slug]))
    return SafeString("".join(_box(base, box, breaks, is_shaded, anchors) for box in boxes))


def _box(base: str, box: TokenBox, breaks: bool, is_shaded: bool, anchors: bool) -> str:
    css = " ".join(_classes(box, is_shaded))
    text, after = (_on_one_line("".join(box.lines)), "") if box.is_answer else _text(box.lines, breaks)
    tip = escape(box.tip)
    if box.index is None:
        return f'<span class="{css}" data-tip="{tip}">{text}</span>{after}'
    name = f' id="t-{box.index}" data-token="{box.index}"' if anchors else ""
    place = f'href="{base}{box.index}/"{name}{_spoken(box)}'
    return f'<a {place} class="{css}" tabindex="-1" data-tip="{tip}">{text}</a>{after}'


def _spoken(box: TokenBox) -> str:
    """A name for a box that shows nothing but blanks."""
    text = "".join(box.lines)
    if text.strip():
        return ""
    words = "part of a character" if not text else "space" if len(text) == 1 else f"{len(text)} spaces"
    return f' aria-label="{words}"'


def _classes(box: TokenBox, is_shaded: bool) -> Iterator[str]:
    yield "t"
    if is_shaded and box.shade != "l0" and not box.is_answer:
        yield box.shade
    if box.is_answer:
        yield "answer"
    if box.is_clustered:
        yield "clustered"
    if box.mark:
        yield box.mark
    if box.lines in ([], [""]):
        yield "piece"  # part of a character that a later token completes


def _text(lines: list[str], breaks: bool) -> tuple[str, str]:
    """The text of a box, its newline pictures faint, and the line break that follows the box."""
    parts = []
    for i, line in enumerate(lines):
        ends = line.endswith(NEWLINE)
        parts.append(escape(line.removesuffix(NEWLINE)) + (_PICTURE if ends else ""))
        if breaks and ends and i < len(lines) - 1:
            parts.append("\n")
    ends_line = bool(lines) and lines[-1].endswith(NEWLINE)
    return "".join(parts), "\n" if breaks and ends_line else ""


@register.simple_tag
def token_chip(text: str) -> SafeString:
    """One token standing alone; blanks that nothing would be seen of are drawn or counted."""
    if text and not text.strip(" "):
        shown = '<span class="ws">' + ("␣" if len(text) == 1 else f"␣ × {len(text)}") + "</span>"
    else:
        shown = _on_one_line(text)
    return SafeString(f'<bdi class="tok">{shown}</bdi>')


def _on_one_line(text: str) -> str:
    """A token's text without a break: newline pictures and the blanks of an indentation as faint marks."""
    parts = []
    start = 0
    for blanks in _BLANKS.finditer(text):
        n = len(blanks[0])
        marks = "·" * n if n <= 8 else f"· × {n}"
        parts.append(f'{escape(text[start : blanks.start()])}<span class="ws">{marks}</span>')
        start = blanks.end()
    return "".join(parts) + escape(text[start:])


@register.simple_tag(takes_context=True)
def same_page(context: dict[str, Any], **changes: object) -> str:
    """This page's address with some of its query changed; None takes a name out."""
    request = context["request"]
    return changed(request.path, request.GET, **changes)
