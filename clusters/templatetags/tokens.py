"""Show tokens: every box a plain link, every character of a text escaped, nothing trusted.

A page shows thousands of boxes, so they are joined as text; whatever comes from the corpus goes through `escape`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
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
_SPECIAL = re.compile(r"[&<>\"']")
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
    inner, after, spoken = _text(tuple(box.lines), breaks, box.is_answer)
    css = _classes(box, is_shaded)
    tip = escape(box.tip) if _SPECIAL.search(box.tip) else box.tip
    if box.index is None:
        return f'<span class="{css}" data-tip="{tip}">{inner}</span>{after}'
    name = f' id="t-{box.index}" data-token="{box.index}"' if anchors else ""
    place = f'href="{base}{box.index}/"{name}{spoken}'
    return f'<a {place} class="{css}" tabindex="-1" data-tip="{tip}">{inner}</a>{after}'


def _classes(box: TokenBox, is_shaded: bool) -> str:
    css = "t"
    if is_shaded and box.shade != "l0" and not box.is_answer:
        css += f" {box.shade}"
    if box.is_answer:
        css += " answer"
    if box.is_clustered:
        css += " clustered"
    if box.mark:
        css += f" {box.mark}"
    if box.lines in ([], [""]):
        css += " piece"  # part of a character that a later token completes
    return css


@lru_cache(maxsize=16_384)
def _text(lines: tuple[str, ...], breaks: bool, is_answer: bool) -> tuple[str, str, str]:
    """The text of a box, the line break that follows the box, and a name for one that shows nothing but blanks.

    Newline pictures are faint; an answer stands on one line.
    """
    text = "".join(lines)
    if is_answer:
        return _on_one_line(text), "", _spoken(text)
    parts = []
    for i, line in enumerate(lines):
        ends = line.endswith(NEWLINE)
        parts.append(escape(line.removesuffix(NEWLINE)) + (_PICTURE if ends else ""))
        if breaks and ends and i < len(lines) - 1:
            parts.append("\n")
    ends_line = bool(lines) and lines[-1].endswith(NEWLINE)
    return "".join(parts), "\n" if breaks and ends_line else "", _spoken(text)


def _spoken(text: str) -> str:
    if text.strip():
        return ""
    words = "part of a character" if not text else "space" if len(text) == 1 else f"{len(text)} spaces"
    return f' aria-label="{words}"'


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
