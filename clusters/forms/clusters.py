"""What the addresses of the cluster list and of a cluster's page ask for."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.parameters import (
    ContextView,
    affinity_of,
    chosen,
    context_view,
    page_number,
    search_text,
    selected_token,
    unit_of,
    whole_number,
)
from clusters.values.readings import Unit

SORTS: Mapping[str, str] = {
    "size": "size, largest first",
    "coherence": "coherence: within − across",
    "within": "similarity within",
    "dominant": "commonest answer’s share",
    "monogenicity": "mean monogenicity",
    "emergence": "emergence over size, earliest first",
    "emergence-step": "emergence over training, earliest first",
    "rank": "rank, from the last",
    "label": "label: agreed, labeled, unlabeled",
}
VIEWS: Mapping[str, str] = {"grid": "with contexts", "table": "as a table"}
HOLDINGS: Mapping[str, str] = {  # what a list may be narrowed to, by what people have said of the clusters
    "any": "any",
    "labeled": "labeled",
    "agreed": "agreed",
    "unlabeled": "unlabeled",
    "not-by-me": "not by me",
}
ORDERS: Mapping[str, str] = {"similarity": "mean similarity", "answer": "answer", "corpus": "place in the corpus"}


@dataclass(frozen=True)
class ClusterListQuery:
    """Which clusters a list shows."""

    affinity: str
    sort: str
    is_reversed: bool
    answer: str
    text: str  # in a context
    least: int | None
    most: int | None
    holding: str  # of HOLDINGS
    tag: str  # slug
    view: str
    after: int | None  # rank of the cluster that the list goes on after

    @property
    def is_filtered(self) -> bool:
        is_sized = self.least is not None or self.most is not None
        return bool(self.answer or self.text or is_sized or self.tag or self.holding != "any")


def cluster_list_query(query: QueryDict) -> ClusterListQuery:
    sort = chosen(query, "sort", list(SORTS), "size")
    return ClusterListQuery(
        affinity=affinity_of(query),
        sort=sort,
        is_reversed=chosen(query, "order", ("usual", "reversed"), "usual") == "reversed",
        answer=search_text(query, "answer"),
        text=search_text(query, "text"),
        least=_size(query, "least"),
        most=_size(query, "most"),
        holding=chosen(query, "labels", list(HOLDINGS), "any"),
        tag=search_text(query, "tag"),
        view=chosen(query, "view", list(VIEWS), "grid"),
        after=rank_of(query.get("after", ""), sort),
    )


def cursor(rank: int, sort: str) -> str:
    """Where a list goes on: after the cluster of this rank, in this order."""
    return urlsafe_b64encode(f"{sort}/{rank}".encode()).decode().rstrip("=")


def rank_of(text: str, sort: str) -> int | None:
    """The rank that a cursor of this order names; None where there is no cursor."""
    if not text:
        return None
    try:
        name, _, rank = urlsafe_b64decode(text[:80] + "=" * (-len(text[:80]) % 4)).decode().partition("/")
    except (binascii.Error, ValueError):
        name, rank = "", ""
    number = whole_number(rank)
    if name != sort or not number:
        raise BadRequest(
            f"after is {text[:40]!r}, which no list sorted by {sort} gave out; "
            "take it from a page’s “More” link, or leave it out to begin."
        )
    return number


@dataclass(frozen=True)
class ClusterQuery:
    """How one cluster's page shows it."""

    affinity: str
    unit: Unit
    contexts: ContextView
    page: int | None  # of the contexts; None where the address leaves it open
    token: int | None  # flat index of the selected member
    no_token: str  # what the address has instead of one
    lm: str  # the network whose training is drawn; "" for the clustered one
    order: str  # of the heatmap's rows


def cluster_query(query: QueryDict) -> ClusterQuery:
    return ClusterQuery(
        affinity=affinity_of(query),
        unit=unit_of(query),
        contexts=context_view(query),
        page=page_number(query) if query.get("page") else None,
        token=selected_token(query),
        no_token=query.get("token", "")[:20] if selected_token(query) is None else "",
        lm=query.get("lm", ""),
        order=chosen(query, "members", list(ORDERS), "similarity"),
    )


def _size(query: QueryDict, name: str) -> int | None:
    """A cluster's size as a bound; an empty field is none."""
    text = query.get(name, "").strip()
    number = whole_number(text)
    if text and number is None:
        raise BadRequest(f"{name} is {text[:40]!r}; it is a number of tokens in plain digits, or left empty.")
    return number
