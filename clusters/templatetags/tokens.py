"""Show tokens: every box a plain link, every character escaped by format_html, nothing trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from clusters.contexts import TokenBox
from clusters.display import NEWLINE

register = template.Library()

_OPEN = '<a href="{}{}" class="{}" tabindex="-1" data-tip="{}">{}</a>{}'
_CLOSED = '{}<span class="{}{}" data-tip="{}">{}</span>{}'


@register.simple_tag
def token_boxes(run: Any, boxes: Iterable[TokenBox], breaks: bool = True, is_shaded: bool = True) -> SafeString:
    """The boxes of a context, each linked to its token's page; newlines break the line where `breaks` says so."""
    base = reverse("clusters:tokens", args=[run.slug])
    return format_html_join("", "{}", ((_box(base, box, breaks, is_shaded),) for box in boxes))


def _box(base: str, box: TokenBox, breaks: bool, is_shaded: bool) -> SafeString:
    css = " ".join(_classes(box, is_shaded))
    text, after = _text(box.lines, breaks)
    if box.index is None:
        return format_html(_CLOSED, "", css, "", box.tip, text, after)
    return format_html(_OPEN, base, f"{box.index}/", css, box.tip, text, after)


def _classes(box: TokenBox, is_shaded: bool) -> Iterator[str]:
    yield "t"
    if is_shaded and box.shade != "l0" and not box.is_answer:
        yield box.shade
    if box.is_answer:
        yield "answer"
    if box.is_clustered:
        yield "clustered"
    if box.lines in ([], [""]):
        yield "piece"  # part of a character that a later token completes


def _text(lines: list[str], breaks: bool) -> tuple[SafeString, str]:
    """The text of a box, its newline pictures faint, and the line break that follows the box."""
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
    """One token standing alone; its leading blanks stay visible."""
    return format_html('<bdi class="tok">{}</bdi>', text)
