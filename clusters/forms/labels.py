"""What the label panel sends, and what the list of labels is asked for."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.models import Affinity, Label
from clusters.parameters import chosen, search_text, whole_number
from clusters.values.labels import LabelFilter

ACTIONS = ("next", "submit", "draft")
SORTS: Mapping[str, str] = {"latest": "latest first", "name": "name", "cluster": "run, k and rank"}
STATES: Mapping[str, str] = {"submitted": "submitted", "draft": "my drafts"}
ORIGINS: Mapping[str, str] = {"person": "by people", "agreed": "agreed", "machine": "by a language model"}
_CURSORS: Mapping[str, Sequence[Callable[[Any], Any]]] = {
    "latest": (datetime.fromisoformat, int),
    "name": (str, int),
    "cluster": (int, int, int),
}


@dataclass(frozen=True)
class LabelEntry:
    """A label as somebody typed it, right or wrong."""

    name: str = ""
    description: str = ""
    kind: str = ""
    confidence: int | None = None
    tags: tuple[str, ...] = ()
    misfits: tuple[int, ...] = ()
    version: int = 0
    action: str = "submit"
    problems: dict[str, str] = field(default_factory=dict)


def label_entry(sent: QueryDict) -> LabelEntry:
    """What the panel's form sent; what cannot be read is a problem of its field."""
    version = whole_number(sent.get("version", ""))
    if version is None:
        raise BadRequest("The form came without the version that it changes; open the cluster’s page and write there.")
    misfits, strange = _numbers(sent.getlist("misfit"))
    confidence = sent.get("confidence", "")
    problems = {"misfits": f"“{strange[:20]}” is no token; mark members at their contexts."} if strange else {}
    return LabelEntry(
        name=sent.get("name", ""),
        description=sent.get("description", ""),
        kind=sent.get("kind", "")[:40],
        confidence=(whole_number(confidence) or 0) if confidence else None,
        tags=tuple(sent.getlist("tag")),
        misfits=misfits,
        version=version,
        action=chosen(sent, "action", ACTIONS, "submit"),
        problems=problems,
    )


def _numbers(texts: Sequence[str]) -> tuple[tuple[int, ...], str]:
    """Flat indices out of fields that may name several each, and the first piece that is none."""
    found: set[int] = set()
    for piece in ",".join(texts).split(","):
        number = whole_number(piece.strip())
        if number is not None:
            found.add(number)
        elif piece.strip():
            return tuple(sorted(found)), piece.strip()
    return tuple(sorted(found)), ""


@dataclass(frozen=True)
class LabelListQuery:
    """Which labels a page of the list shows."""

    filter: LabelFilter
    sort: str
    place: list[Any] | None  # the label after which the list goes on

    @property
    def is_filtered(self) -> bool:
        return self.filter != LabelFilter()


def label_list_query(query: QueryDict) -> LabelListQuery:
    sort = chosen(query, "sort", list(SORTS), "latest")
    wanted = LabelFilter(
        run=search_text(query, "run"),
        affinity=_one_of(query, "affinity", Affinity.values),
        k=number_of(query, "k"),
        cluster=number_of(query, "cluster"),
        tag=search_text(query, "tag"),
        kind=_one_of(query, "kind", Label.Kind.values),
        state=_one_of(query, "state", list(STATES)),
        origin=_one_of(query, "origin", list(ORIGINS)),
        author=search_text(query, "author"),
        text=search_text(query, "text"),
        is_mine=_one_of(query, "mine", ("yes",)) == "yes",
    )
    return LabelListQuery(wanted, sort, place_of(query.get("after", ""), sort))


def write_cursor(place: Sequence[Any], sort: str) -> str:
    """Where a list goes on: after this place, in this order."""
    text = json.dumps([sort, *place], separators=(",", ":"), default=lambda value: value.isoformat())
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place_of(
    cursor: str, sort: str, kinds: Mapping[str, Sequence[Callable[[Any], Any]]] = _CURSORS
) -> list[Any] | None:
    """The place that a cursor of this order names; None where there is no cursor."""
    if not cursor:
        return None
    try:
        name, *values = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
        place = [kind(value) for kind, value in zip(kinds[sort], values, strict=True)]
        if name != sort or not all(map(_fits, place)):
            raise ValueError
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        raise BadRequest(
            f"after is {cursor[:40]!r}, which no list in this order gave out; "
            "take it from a page’s “More” link, or leave it out to begin."
        ) from None
    return place


def _fits(value: Any) -> bool:
    """Whether a database takes the value."""
    if isinstance(value, str):
        return value.isprintable()
    return value.tzinfo is not None if isinstance(value, datetime) else -(2**63) <= value < 2**63


def _one_of(query: QueryDict, name: str, choices: Sequence[str]) -> str:
    """One of the choices, or "" where nothing is asked."""
    return chosen(query, name, choices, "") if query.get(name) else ""


def number_of(query: QueryDict, name: str) -> int | None:
    """A whole number; an empty field is none."""
    text = query.get(name, "").strip()
    number = whole_number(text)
    if text and number is None:
        raise BadRequest(f"{name} is {text[:40]!r}; it is a whole number in plain digits, or left empty.")
    return number
