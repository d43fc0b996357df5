"""Show tokens: every box a plain link, every character escaped by format_html, nothing trusted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from clusters.contexts import TokenBox
from clusters.display import NEWLINE
from clusters.parameters import changed

register = template.Library()

_LINKED = '<a href="{0}{1}/"{2} class="{3}" tabindex="-1" data-tip="{4}">{5}</a>{6}'
_ANCHORED = '<a href="{0}{1}/" id="t-{1}" data-token="{1}"{2} class="{3}" tabindex="-1" data-tip="{4}">{5}</a>{6}'
_BLANKS = re.compile(rf"(?<={NEWLINE}) +| {{2,}}")  # indentation: nothing would be seen of it
_UNLINKED = '<span class="{}" data-tip="{}">{}</span>{}'


@register.simple_tag
def token_boxes(
    run: Any, boxes: Iterable[TokenBox], breaks: bool = True, is_shaded: bool = True, anchors: bool = False
) -> SafeString:
    """The boxes of a text, each linked to its token's page; newlines break the line where `breaks` says so.

    With `anchors`, every box can be named in an address, "#t-42", and belongs to the page's linked selection.
    """
    base = reverse("clusters:tokens", args=[run.slug])
    return format_html_join("", "{}", ((_box(base, box, breaks, is_shaded, anchors),) for box in boxes))


def _box(base: str, box: TokenBox, breaks: bool, is_shaded: bool, anchors: bool) -> SafeString:
    css = " ".join(_classes(box, is_shaded))
    text, after = (_on_one_line("".join(box.lines)), "") if box.is_answer else _text(box.lines, breaks)
    if box.index is None:
        return format_html(_UNLINKED, css, box.tip, text, after)
    shape = _ANCHORED if anchors else _LINKED
    return format_html(shape, base, box.index, _spoken(box), css, box.tip, text, after)


def _spoken(box: TokenBox) -> SafeString | str:
    """A name for a box that shows nothing but blanks."""
    text = "".join(box.lines)
    if text.strip():
        return ""
    words = "part of a character" if not text else "space" if len(text) == 1 else f"{len(text)} spaces"
    return format_html(' aria-label="{}"', words)


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
    if len(lines) == 1 and not lines[0].endswith(NEWLINE):
        return lines[0], ""
    parts = []
    for i, line in enumerate(lines):
        shown = line.removesuffix(NEWLINE)
        is_last = i == len(lines) - 1
        picture = format_html('<span class="ws">{}</span>', NEWLINE) if line.endswith(NEWLINE) else ""
        parts.append((shown, picture, "\n" if breaks and picture and not is_last else ""))
    ends_line = bool(lines) and lines[-1].endswith(NEWLINE)
    return format_html_join("", "{}{}{}", parts), "\n" if breaks and ends_line else ""


@register.simple_tag
def token_chip(text: str) -> SafeString:
    """One token standing alone; blanks that nothing would be seen of are drawn or counted."""
    if text and not text.strip(" "):
        text = "␣" if len(text) == 1 else f"␣ × {len(text)}"
        return format_html('<bdi class="tok"><span class="ws">{}</span></bdi>', text)
    return format_html('<bdi class="tok">{}</bdi>', _on_one_line(text))


def _on_one_line(text: str) -> SafeString:
    """A token's text without a break: newline pictures and the blanks of an indentation as faint marks."""
    parts = []
    start = 0
    for blanks in _BLANKS.finditer(text):
        n = len(blanks[0])
        parts.append((text[start : blanks.start()], "·" * n if n <= 8 else f"· × {n}"))
        start = blanks.end()
    marked = format_html_join("", '{}<span class="ws">{}</span>', parts)
    return format_html("{}{}", marked, text[start:])


@register.simple_tag(takes_context=True)
def same_page(context: dict[str, Any], **changes: object) -> str:
    """This page's address with some of its query changed; None takes a name out."""
    request = context["request"]
    return changed(request.path, request.GET, **changes)
