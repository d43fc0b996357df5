"""Labels: the list of all that one may see; the panel and the history have files of their own."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from clusters.forms.labels import ORIGINS, SORTS, STATES, LabelListQuery, label_list_query, write_cursor
from clusters.models import Affinity, Label
from clusters.parameters import changed
from clusters.queries.label_list import label_page, matching_labels
from clusters.queries.tags import vocabulary
from clusters.views.label_facts import HEAD, address_of, facts_of, row_of
from clusters.views.label_history import history_urls
from clusters.views.label_panel import label_panel
from clusters.views.twins import answer, links_context, page

A_PAGE = 50
__all__ = ["label_panel", "label_urls"]


def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """All labels that match, a page at a time; as CSV, all of them."""
    asked = label_list_query(request.GET)
    labels = matching_labels(request.user, asked.filter)
    if twin == "csv":
        rows = (row_of(label) for label in labels.order_by("pk").prefetch_related("tags").iterator(500))
        return answer(twin, name="labels", payload=None, head=HEAD, rows=rows)
    found, place = label_page(labels, asked.sort, asked.place, A_PAGE)
    after = write_cursor(place, asked.sort) if place else None
    if twin:
        payload = {"next": after, "labels": [facts_of(label) for label in found]}
        return answer(twin, name="labels", payload=payload)
    ctx = _page(request, asked) | {
        "labels": [{"label": label, "href": address_of(label)} for label in found],
        "more_href": changed(request.path, request.GET, after=after) if after else "",
        "is_begun": asked.place is not None,
    }
    return render(request, "labels/index.html", ctx | links_context(request, "json", "csv"))


def _page(request: HttpRequest, asked: LabelListQuery) -> dict[str, Any]:
    """What stands around the list."""
    is_signed_in = request.user.is_authenticated
    wanted = asked.filter
    views = [("All", changed(request.path, request.GET, mine=None, state=None, origin=None, after=None), "all")]
    views += [
        (text, changed(request.path, request.GET, after=None, **{"mine": None, "state": None, "origin": None, **own}),
         name)
        for text, name, own in (
            ("Agreed", "agreed", {"origin": "agreed"}), ("Mine", "mine", {"mine": "yes"}),
            ("My drafts", "drafts", {"mine": "yes", "state": "draft"}),
        )
        if is_signed_in or name == "agreed"
    ]  # fmt: skip
    here = "drafts" if wanted.is_mine and wanted.state == "draft" else "mine" if wanted.is_mine else wanted.origin
    return {
        "here": "labels", "asked": asked, "wanted": wanted, "sorts": SORTS, "kinds": Label.Kind.choices,
        "affinities": Affinity.values, "states": STATES, "origins": ORIGINS, "tags": list(vocabulary()),
        "views": [{"text": text, "href": href, "is_on": name == (here or "all")} for text, href, name in views],
    }  # fmt: skip


label_urls = [*page("labels", index, "labels"), *history_urls]
