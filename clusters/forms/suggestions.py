"""What the addresses of suggested labels ask for, and what their buttons send."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.parameters import affinity_of, chosen, whole_number

ACTIONS = ("accept", "dismiss", "ask")
_PLACE = re.compile(r"([01]\.\d{9})-(\d{1,18})-(\d{1,18})", re.ASCII)
Place = tuple[float, int, int]


@dataclass(frozen=True)
class SuggestionsQuery:
    """A clustering whose suggestions are listed, and where the list goes on."""

    affinity: str
    k: str  # as written; "" leaves it to the run
    after: Place | None


@dataclass(frozen=True)
class Decision:
    """What somebody does with a suggestion for a cluster."""

    action: str
    source: int
    version: int | None


def suggestions_query(query: QueryDict) -> SuggestionsQuery:
    return SuggestionsQuery(affinity_of(query), query.get("k", "")[:20], _place(query.get("after", "")))


def write_place(order: Place) -> str:
    """Where a list goes on: after the suggestion of this order."""
    return f"{-order[0]:.9f}-{order[1]}-{order[2]}"


def decision(posted: QueryDict) -> Decision:
    action = chosen(posted, "action", ACTIONS, "")
    source, version = whole_number(posted.get("source", "")), whole_number(posted.get("version", ""))
    if action != "ask" and source is None:
        raise BadRequest(f"source is {posted.get('source', '')[:20]!r}; it is the number of the suggested label.")
    return Decision(action, source or 0, version)


def how_many(posted: QueryDict, most: int) -> int:
    """Of how many clusters a language model is asked for labels."""
    number = whole_number(posted.get("n", ""))
    if number is None or not 1 <= number <= most:
        raise BadRequest(f"n is {posted.get('n', '')[:20]!r}; it is a number of clusters from 1 to {most}.")
    return number


def _place(text: str) -> Place | None:
    if not text:
        return None
    found = _PLACE.fullmatch(text)
    if found is None:
        raise BadRequest(f"after is {text[:40]!r}; take it from a page’s “More” link, or leave it out to begin.")
    return -float(found[1]), int(found[2]), int(found[3])
