"""What the note panel sends, and what the list of notes is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.forms.labels import number_of, place_of
from clusters.parameters import chosen, search_text, whole_number
from clusters.values.labels import NoteFilter

SORTS: Mapping[str, str] = {"latest": "latest first"}
_CURSORS: Mapping[str, Sequence[Callable[[Any], Any]]] = {"latest": (int,)}


@dataclass(frozen=True)
class NoteEntry:
    """A note as somebody typed it."""

    text: str = ""
    is_bookmarked: bool = False
    version: int = 0
    problems: dict[str, str] = field(default_factory=dict)


def note_entry(sent: QueryDict) -> NoteEntry:
    version = whole_number(sent.get("version", ""))
    if version is None:
        raise BadRequest("The form came without the version that it changes; open the token’s page and write there.")
    return NoteEntry(sent.get("text", ""), sent.get("bookmark") == "on", version)


@dataclass(frozen=True)
class NoteListQuery:
    filter: NoteFilter
    place: list[Any] | None  # the note after which the list goes on

    @property
    def is_filtered(self) -> bool:
        return self.filter != NoteFilter()


def note_list_query(query: QueryDict) -> NoteListQuery:
    wanted = NoteFilter(
        run=search_text(query, "run"),
        author=search_text(query, "author"),
        text=search_text(query, "text"),
        token=number_of(query, "token"),
        is_mine=_yes(query, "mine"),
        is_bookmarked=_yes(query, "bookmarked"),
    )
    return NoteListQuery(wanted, place_of(query.get("after", ""), "latest", _CURSORS))


def _yes(query: QueryDict, name: str) -> bool:
    return bool(query.get(name)) and chosen(query, name, ("yes",), "yes") == "yes"
