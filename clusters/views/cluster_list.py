"""The list of a clustering's clusters: cards with contexts or a table, filtered, sorted, going on as one reads."""

from __future__ import annotations

import random
import time
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import path, reverse
from django.views.decorators.cache import never_cache

from clusters.charts.chart import sparkline
from clusters.charts.cluster_list import Column, columns, ladder_ticks, sorted_note
from clusters.charts.ruler import ruler
from clusters.contexts import Reader, has_text
from clusters.forms.clusters import HOLDINGS, SORTS, VIEWS, ClusterListQuery, cluster_list_query, cursor
from clusters.htmx import render_page
from clusters.models import Cluster, Clustering, Run
from clusters.parameters import changed, whole_number
from clusters.queries import cluster_list as reads
from clusters.queries.access import may_adjudicate
from clusters.queries.cluster_labels import Standing, standings
from clusters.queries.clusters import clustering_at, ladder, visible_run
from clusters.queries.tags import vocabulary
from clusters.views.addresses import cluster_address
from clusters.views.twins import answer, links_context, page

CARD_CANDIDATES, CARD_CONTEXTS, CARD_TOKENS, CARD_ANSWERS = 30, 3, 16, 5
ROW_ANSWERS = 3
A_PAGE = {"grid": 12, "table": 60}
HEAD = ("label", "rank", "size", "n_documents", "top_answer", "dominant_share", "n_answers", "similarity_within",
        "similarity_across", "mean_monogenicity", "emergence_parameters", "emergence_step")  # fmt: skip
LABEL_HEAD = ("name", "tags", "n_labels", "is_agreed")


def index(request: HttpRequest, slug: str, k: str, twin: str | None = None) -> HttpResponseBase:
    """The clusters that match, a part of the list at a time."""
    run = visible_run(request.user, slug)
    other = whole_number(request.GET.get("k", ""))
    if other is not None and str(other) != k and not twin:
        return _same_list_at(request, slug, other)
    asked = cluster_list_query(request.GET)
    ks = ladder(run)
    clustering = clustering_at(run, k, asked.affinity, ks)
    clustering.run = run
    matches = _matches(request, clustering, asked)
    start = matches.start_after(asked.after)
    if twin == "csv":
        labels = standings(request.user, matches.pks)
        rows = [row_of(one) + label_row(labels.get(one.pk)) for one in reads.clusters_at(matches.pks)]
        head = (*HEAD, *LABEL_HEAD)
        return answer(twin, name=f"{slug}-k{clustering.k}-clusters", payload=None, head=head, rows=rows)
    found = reads.clusters_at(matches.pks[start : start + A_PAGE[asked.view]])
    has_more = start + len(found) < len(matches)
    after = cursor(found[-1].rank, asked.sort) if has_more else None
    labels = standings(request.user, [one.pk for one in found])
    if twin:
        payload = {"k": clustering.k, "affinity": asked.affinity, "n_matches": len(matches), "first": start + 1,
                   "next": after, "clusters": [_facts(one, labels.get(one.pk)) for one in found]}  # fmt: skip
        return answer(twin, name=f"{slug}-k{clustering.k}-clusters", payload=payload)
    ctx = _part(request, clustering, asked, found, matches, labels) | {
        "more_href": changed(request.path, request.GET, after=after) if after else "",
        "first": start + 1, "last": start + len(found), "n_matches": len(matches), "k": clustering.k,
    }  # fmt: skip
    fragment = f"clusters/_{asked.view}.html"
    return render_page(request, "clusters/index.html", ctx | _page(request, clustering, asked, ks, matches, start),
                       fragment=fragment)  # fmt: skip


@never_cache
def surprise(request: HttpRequest, slug: str, k: str) -> HttpResponse:
    """To one of the clusters that match, whichever the clock says; to the empty list where none does."""
    run = visible_run(request.user, slug)
    asked = cluster_list_query(request.GET)
    clustering = clustering_at(run, k, asked.affinity, ladder(run))
    clustering.run = run
    matches = _matches(request, clustering, asked)
    if not len(matches):
        return HttpResponseRedirect(changed(reverse("clusters:clusters", args=[slug, k]), request.GET, after=None))
    rank = random.Random(time.time_ns()).choice(matches.ranks)
    [label] = clustering.clusters.filter(rank=rank).values_list("label", flat=True)
    return HttpResponseRedirect(cluster_address(slug, clustering.k, label, clustering.affinity))


def row_of(cluster: Cluster) -> list[Any]:
    """A cluster's facts as the twins give them, in the order of HEAD."""
    top = cluster.top_answers[0][0] if cluster.top_answers else ""
    return [top if name == "top_answer" else getattr(cluster, name) for name in HEAD]


def label_row(standing: Standing | None) -> list[Any]:
    """How a cluster is labeled as the twins give it, in the order of LABEL_HEAD."""
    one = standing or Standing()
    return [one.name or None, " ".join(one.tags), one.n_labels, one.is_agreed]


def _facts(cluster: Cluster, standing: Standing | None) -> dict[str, Any]:
    facts = dict(zip((*HEAD, *LABEL_HEAD), row_of(cluster) + label_row(standing), strict=True))
    return facts | {"tags": standing.tags if standing else []}


def _matches(request: HttpRequest, clustering: Clustering, asked: ClusterListQuery) -> reads.Matches:
    return reads.matching_clusters(
        clustering, sort=asked.sort, is_reversed=asked.is_reversed, answer=asked.answer, text=asked.text,
        least=asked.least, most=asked.most, user=request.user, holding=asked.holding, tag=asked.tag,
    )  # fmt: skip


def _same_list_at(request: HttpRequest, slug: str, k: int) -> HttpResponseRedirect:
    """The same list at the k that the form chose, from its beginning."""
    address = reverse("clusters:clusters", args=[slug, k])
    return HttpResponseRedirect(changed(address, request.GET, k=None, after=None))


def _part(
    request: HttpRequest,
    clustering: Clustering,
    asked: ClusterListQuery,
    found: list[Cluster],
    matches: reads.Matches,
    labels: dict[int, Standing],
) -> dict[str, Any]:
    """What the shown part of the list needs, with the page around it or without."""
    top = max((value for one in found for value in one.mean_curve if value is not None), default=1.0)
    cards = [_card(clustering, one, top, asked.view) | {"standing": labels.get(one.pk)} for one in found]
    if asked.view == "grid" and has_text(clustering.run):
        reader = Reader(clustering.run)
        members = reads.sample_of_members(clustering, found, CARD_CANDIDATES, matches.rows)
        for card in cards:
            places = reader.unlike(members[card["cluster"].label], CARD_CONTEXTS)
            card["contexts"] = [reader.context(place, CARD_TOKENS) for place in places]
    return {"run": clustering.run, "asked": asked, "cards": cards, "here_after": request.GET.get("after", "")}


def _card(clustering: Clustering, cluster: Cluster, top: float, view: str) -> dict[str, Any]:
    width, height, most = (112, 40, CARD_ANSWERS) if view == "grid" else (72, 24, ROW_ANSWERS)
    return {
        "cluster": cluster,
        "href": cluster_address(clustering.run.slug, clustering.k, cluster.label, clustering.affinity),
        "answers": cluster.top_answers[:most],
        "n_other_answers": max(cluster.n_answers - most, 0),
        "coherence": coherence_of(cluster),
        "spark": sparkline(cluster.mean_curve, width=width, height=height, hi=top,
                           description="Mean loss over network size, larger to the right"),
    }  # fmt: skip


def coherence_of(cluster: Cluster) -> float | None:
    within, across = cluster.similarity_within, cluster.similarity_across
    return None if within is None or across is None else within - across


def _page(
    request: HttpRequest,
    clustering: Clustering,
    asked: ClusterListQuery,
    ks: dict[str, list[int]],
    matches: reads.Matches,
    start: int,
) -> dict[str, Any]:
    """What stands around the list."""
    run: Run = clustering.run
    there = ks[asked.affinity]
    random_href = reverse("clusters:random-cluster", args=[run.slug, clustering.k])
    share_at = reverse("clusters:queue-new") if may_adjudicate(request.user) else ""
    return {
        "here": "clusters", "clustering": clustering, "n_clusters": len(clustering.sizes),
        "ks": there, "ticks": ladder_ticks(there, clustering.k), "k_at": there.index(clustering.k),
        "k_last": len(there) - 1, "affinities": list(ks), "sorts": SORTS, "views": VIEWS,
        "holdings": HOLDINGS, "tags": list(vocabulary()),
        "columns": _with_addresses(request, columns(asked.sort, is_reversed=asked.is_reversed), asked),
        "sorted_note": sorted_note(asked.sort, matches.n_unknown, len(matches)),
        "is_begun": start > 0, "has_contexts": has_text(run),
        "share_href": share_at and changed(share_at, request.GET, run=run.slug, k=clustering.k, after=None, view=None),
        "random_href": changed(random_href, request.GET, after=None, view=None, sort=None, order=None),
        "ruler": ruler(clustering.sizes, None, width=1232, height=64, with_note=True),
        "ruler_narrow": ruler(clustering.sizes, None, width=358, height=52, with_note=False),
    } | links_context(request, "json", "csv")  # fmt: skip


def _with_addresses(request: HttpRequest, heads: list[Column], asked: ClusterListQuery) -> list[dict[str, Any]]:
    """The table's columns, each head that sorts with its address; the one in use turns the order round."""
    return [
        {**head, "href": changed(
            request.path, request.GET, sort=head["sort"], after=None,
            order="reversed" if head["sort"] == asked.sort and not asked.is_reversed else None,
        ) if head["sort"] else ""}
        for head in heads
    ]  # fmt: skip


cluster_list_urls = [
    *page("runs/<slug:slug>/k/<str:k>/clusters", index, "clusters"),
    path("runs/<slug:slug>/k/<str:k>/clusters/random/", surprise, name="random-cluster"),
]
