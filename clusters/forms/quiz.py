"""What the addresses of the intruder test ask for."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.parameters import affinity_of, chosen, whole_number
from clusters.values.quiz import N_SHOWN

ORDERS = {"rank": "rank", "found": "least often found"}


@dataclass(frozen=True)
class QuizQuery:
    """A clustering, and perhaps one cluster of it."""

    run: str  # slug; "" where none is chosen
    affinity: str
    k: str  # as written; "" leaves it to the run
    cluster: str
    sort: str = "rank"


def quiz_query(query: QueryDict) -> QuizQuery:
    return QuizQuery(
        run=query.get("run", "")[:80],
        affinity=affinity_of(query),
        k=query.get("k", "")[:20],
        cluster=query.get("cluster", "")[:20],
        sort=chosen(query, "sort", list(ORDERS), "rank"),
    )


def chosen_place(posted: QueryDict) -> int:
    """Which of the contexts was chosen, from 0; they are shown with the numbers from 1."""
    number = whole_number(posted.get("chosen", ""))
    if number is None or not 1 <= number <= N_SHOWN:
        raise BadRequest(f"chosen is {posted.get('chosen', '')[:20]!r}; it is one of 1 to {N_SHOWN}.")
    return number - 1
