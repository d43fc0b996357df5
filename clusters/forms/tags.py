"""What the page of the vocabulary sends."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import QueryDict

from clusters.parameters import chosen

ACTIONS = ("add", "change", "up", "down", "retire", "bring-back")


@dataclass(frozen=True)
class TagEntry:
    """One change of the vocabulary, as somebody asked for it."""

    action: str
    slug: str = ""
    name: str = ""
    meaning: str = ""


def tag_entry(sent: QueryDict) -> TagEntry:
    return TagEntry(
        action=chosen(sent, "action", ACTIONS, ""),
        slug=sent.get("tag", "")[:40],
        name=sent.get("name", ""),
        meaning=sent.get("meaning", ""),
    )
