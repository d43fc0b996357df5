"""The page of one cluster."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from clusters.charts.cluster_similarity import with_margin
from clusters.charts.ruler import ruler
from clusters.contexts import Reader, has_text
from clusters.forms.clusters import ORDERS, cluster_query
from clusters.queries import clusters as reads
from clusters.queries.cluster_labels import labels_of_cluster
from clusters.queries.quiz import intruder_score
from clusters.values.facts import EMERGENCE_NATS
from clusters.views import cluster_sections as sections
from clusters.views.cluster_figures import Figures
from clusters.views.cluster_list import HEAD, cluster_list_urls, coherence_of, row_of
from clusters.views.collections import add_panel
from clusters.views.label_facts import facts_of_labels
from clusters.views.label_panel import label_panel, save_from_page
from clusters.views.labeling import queue_panel
from clusters.views.suggestions import suggestion_panel
from clusters.views.twins import answer, links_context, page

SHOWN_AT_ONCE = ("loss-over-parameters", "loss-over-steps")  # the other figures come when they are scrolled to
MEMBER_HEAD = ("index", "document", "position", "answer", "loss_nats")


def show(request: HttpRequest, slug: str, k: str, label: str, twin: str | None = None) -> HttpResponseBase:
    """One cluster: what its members share, how they are learned, where they sit elsewhere, contexts and labels."""
    run = reads.visible_run(request.user, slug)
    asked = cluster_query(request.GET)
    ks = reads.ladder(run)
    cluster = reads.cluster_named(run, k, asked.affinity, ks, label)
    clustering = cluster.clustering
    refused = save_from_page(request, cluster) if request.method == "POST" and not twin else None
    if isinstance(refused, HttpResponseBase):
        return refused
    figures = Figures(clustering, cluster, reads.member_rows(clustering, cluster.label), ks, asked)
    if twin:
        return _twin(request, twin, figures)
    has_contexts = has_text(run)
    ctx: dict[str, Any] = {
        "run": run, "here": "clusters", "k": clustering.k, "clustering": clustering, "cluster": cluster,
        "asked": asked, "numbers": figures.numbers, "n_clusters": len(clustering.sizes),
        "charts": {slug.replace("-", "_"): figures.chart(slug) for slug in SHOWN_AT_ONCE}, "orders": ORDERS,
        "networks": figures.networks, "lm": figures.lm if figures.networks else "",
        "within": with_margin(cluster.similarity_within, figures.similarities),
        "coherence": coherence_of(cluster), "emergence_nats": EMERGENCE_NATS, "has_contexts": has_contexts,
        "size_share": cluster.size / run.n_tokens,
        "ruler": ruler(clustering.sizes, cluster.rank, width=1232, height=64, with_note=True),
        "ruler_narrow": ruler(clustering.sizes, cluster.rank, width=358, height=52, with_note=False),
    }  # fmt: skip
    ctx |= sections.standing(figures) | sections.shared(figures, has_contexts=has_contexts)
    ctx |= sections.elsewhere(figures) | sections.marked(figures)
    ctx |= sections.contexts(figures, asked) if has_contexts else {}
    shown = [one["context"].place.index for one in ctx.get("contexts", ())]
    ctx |= label_panel(request, cluster, shown=shown, refused=refused) | queue_panel(request, cluster)
    ctx |= suggestion_panel(request, cluster, ctx["label_found"]) | add_panel(request, run, cluster=cluster)
    ctx["intruder"] = intruder_score(cluster)
    status = refused.status if refused else 200
    return render(request, "clusters/show.html", ctx | links_context(request, "json", "csv"), status=status)


def _twin(request: HttpRequest, twin: str, figures: Figures) -> HttpResponseBase:
    """The cluster's facts, labels and members, as CSV its members; or one figure or panel."""
    figure = request.GET.get("figure")
    run, clustering, cluster = figures.run, figures.clustering, figures.cluster
    name = f"{run.slug}-k{clustering.k}-cluster-{cluster.label}"
    has_contexts = has_text(run)
    if figure or twin not in ("json", "csv"):
        panels = _panel(figures, figure or "", has_contexts=has_contexts)
        drawn = [chart for slug in figures.slugs if not figure or slug == figure if (chart := figures.chart(slug))]
        return answer(twin, name=name, payload={"figures": drawn}, charts=drawn, figure=figure, panels=panels)
    labels = labels_of_cluster(request.user, cluster)
    rows = _members(figures) if has_contexts else [[index, None, None, None, None] for index in figures.tokens]
    payload = dict(zip(HEAD, row_of(cluster), strict=True)) | {
        "run": run.slug, "k": clustering.k, "affinity": clustering.affinity, "top_answers": cluster.top_answers,
        "top_last": cluster.top_last, "mean_curve_nats": cluster.mean_curve, "nearest": cluster.nearest,
        "best_matches": [vars(match) for match in figures.matches],
        "name": labels.naming.name if labels.naming else None, "labels": list(facts_of_labels(labels)),
        "members": [dict(zip(MEMBER_HEAD, row, strict=True)) for row in rows],
    }  # fmt: skip
    return answer(twin, name=name, payload=payload, head=MEMBER_HEAD, rows=rows)


def _panel(figures: Figures, name: str, *, has_contexts: bool) -> dict[str, tuple[str, dict[str, Any]]]:
    """The part of the page that is asked for alone, where it is more than a chart."""
    if name == "contexts" and has_contexts:
        return {name: ("clusters/_contexts.html", sections.contexts(figures, figures.asked))}
    if name == "marked":
        return {name: ("clusters/_marked.html", sections.marked(figures))}
    if name == "members" and figures.heatmap:
        return {name: ("clusters/_heatmap.html", {"heatmap": figures.heatmap, "heat_members": _names(figures)})}
    return {}


def _names(figures: Figures) -> str:
    """The heatmap's members for its script, as JSON: flat index and name, from the top."""
    return json.dumps([[one.token, one.name] for one in figures.heatmap.members] if figures.heatmap else [])


def _members(figures: Figures) -> list[list[Any]]:
    reader = Reader(figures.run)
    places = reader.places(figures.tokens)
    return [[p.index, p.document, p.position, reader.answer(p), p.loss_nats] for p in places]


cluster_urls = [
    *cluster_list_urls,
    *page("runs/<slug:slug>/k/<str:k>/clusters/<str:label>", show, "cluster"),
]
