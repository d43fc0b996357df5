"""The list of a clustering's clusters, and the page of one cluster."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from clusters.charts import cluster as charts
from clusters.charts.chart import Chart, sparkline
from clusters.charts.crosswalk import NARROW, WIDE, crosswalk_drawing
from clusters.contexts import Context, Reader, last_two, most_in_one_document
from clusters.models import Cluster, Clustering, Run
from clusters.parameters import (
    CLUSTER_SORTS,
    ClusterListQuery,
    ClusterQuery,
    cluster_list_query,
    cluster_query,
    reach_choices,
    whole_number,
)
from clusters.queries import clusters as reads
from clusters.queries.tokens import curve_classes, size_curves, step_curves
from clusters.views.addresses import cluster_address, clusters_address
from clusters.views.twins import answer, links_context, page

CARD_CANDIDATES, CARD_CONTEXTS, CARD_TOKENS, CARD_ANSWERS = 30, 3, 16, 5
CONTEXTS_A_PAGE = 10
CURVE_MEMBERS = 2000  # curves of larger clusters are read from an even sample


def index(request: HttpRequest, slug: str, k: str, twin: str | None = None) -> HttpResponseBase:
    """A page of cards, one a cluster."""
    run = reads.visible_run(request.user, slug)
    other = whole_number(request.GET.get("k", ""))
    if other is not None and str(other) != k and not twin:
        return _same_list_at(request, slug, other)
    asked = cluster_list_query(request.GET)
    ks = reads.ladder(run)
    clustering = reads.clustering_at(run, k, asked.affinity, ks)
    clustering.run = run
    found, has_more = reads.page_of_clusters(clustering, sort=asked.sort, answer=asked.answer, page=asked.page)
    if twin:
        head, rows = _rows_of(found)
        payload = {"k": clustering.k, "affinity": asked.affinity, "page": asked.page, "has_more": has_more,
                   "clusters": [dict(zip(head, row, strict=True)) for row in rows]}  # fmt: skip
        return answer(twin, name=f"{slug}-k{clustering.k}-clusters", payload=payload, head=head, rows=rows)
    ctx = {
        "run": run, "here": "clusters", "k": clustering.k, "ks": ks[asked.affinity], "affinities": list(ks),
        "clustering": clustering, "asked": asked, "sorts": CLUSTER_SORTS, "has_more": has_more,
        "cards": _cards(clustering, found, asked), "n_clusters": len(clustering.sizes),
        "previous_page": asked.page - 1, "next_page": asked.page + 1,
        "ruler": charts.ruler(clustering.sizes, None, width=1232, height=64, with_note=True),
        "ruler_narrow": charts.ruler(clustering.sizes, None, width=358, height=52, with_note=False),
    } | links_context(request, "json", "csv")  # fmt: skip
    return render(request, "clusters/index.html", ctx)


def show(request: HttpRequest, slug: str, k: str, label: str, twin: str | None = None) -> HttpResponseBase:
    """One cluster: what its members share, how they are learned, where they sit at other ks, and their contexts."""
    run = reads.visible_run(request.user, slug)
    asked = cluster_query(request.GET)
    ks = reads.ladder(run)
    clustering = reads.clustering_at(run, k, asked.affinity, ks)
    clustering.run = run
    cluster = reads.cluster_at(clustering, label)
    rows = reads.member_rows(clustering, cluster.label)
    indices = reads.flat_indices(run)[rows].tolist()
    if twin in ("json", "csv") and "figure" not in request.GET:
        return _cluster_twin(twin, cluster, indices)
    figures = _figures(clustering, rows, indices, asked)
    if twin:
        drawn = [figure for figure in figures.values() if figure]
        return answer(twin, name=f"{slug}-k{k}-cluster-{cluster.label}", payload=None, charts=drawn,
                      figure=request.GET.get("figure"))  # fmt: skip
    ctx = {
        "run": run, "here": "clusters", "k": clustering.k, "clustering": clustering, "cluster": cluster,
        "asked": asked, "figures": figures, "n_clusters": len(clustering.sizes),
        "n_tied": clustering.sizes.count(cluster.size) - 1,
        "ruler": charts.ruler(clustering.sizes, cluster.rank, width=1232, height=64, with_note=True),
        "ruler_narrow": charts.ruler(clustering.sizes, cluster.rank, width=358, height=52, with_note=False),
        "crosswalks": _crosswalks(clustering, ks[asked.affinity], rows),
    }  # fmt: skip
    ctx |= _evidence(run, cluster, indices) | _contexts(run, indices, asked) | _elsewhere(clustering, cluster, ks)
    return render(request, "clusters/show.html", ctx | links_context(request, "json", "csv"))


def _same_list_at(request: HttpRequest, slug: str, k: int) -> HttpResponseRedirect:
    """The same list at the k that the form chose, from its first page."""
    query = request.GET.copy()
    for name in ("k", "page"):
        query.pop(name, None)
    address = reverse("clusters:clusters", args=[slug, k])
    return HttpResponseRedirect(f"{address}?{query.urlencode()}" if query else address)


def _address(clustering: Clustering, label: int, k: int | None = None) -> str:
    return cluster_address(clustering.run.slug, k or clustering.k, label, clustering.affinity)


def _elsewhere(clustering: Clustering, cluster: Cluster, ks: dict[str, list[int]]) -> dict[str, Any]:
    """Where one may go from a cluster: its list, the ranks beside it, the clusters most like it."""
    previous, following = reads.neighbours_by_rank(cluster)
    nearest = [
        {
            "cluster": other,
            "similarity": similarity,
            "href": _address(clustering, other.label),
            "answer": other.top_answers[0][0] if other.top_answers else "",
        }
        for other, similarity in reads.nearest_clusters(cluster)
    ]
    return {
        "list_href": clusters_address(clustering.run.slug, clustering.k, clustering.affinity),
        "previous": previous,
        "previous_href": _address(clustering, previous.label) if previous else "",
        "next": following,
        "next_href": _address(clustering, following.label) if following else "",
        "nearest": nearest,
        "other_lists": [
            {"affinity": affinity, "href": clusters_address(clustering.run.slug, clustering.k, affinity)}
            for affinity, there in ks.items()
            if affinity != clustering.affinity and clustering.k in there
        ],
    }


def _cards(clustering: Clustering, found: list[Cluster], asked: ClusterListQuery) -> list[dict[str, Any]]:
    reader = Reader(clustering.run)
    members = reads.sample_of_members(clustering, found, CARD_CANDIDATES, answer=asked.answer)
    top = max((value for cluster in found for value in cluster.mean_curve), default=1.0)
    return [
        {
            "cluster": cluster,
            "href": _address(clustering, cluster.label),
            "answers": cluster.top_answers[:CARD_ANSWERS],
            "n_other_answers": max(cluster.n_answers - CARD_ANSWERS, 0),
            "spark": sparkline(
                cluster.mean_curve,
                width=112,
                height=40,
                hi=top,
                description="Mean loss over network size, falling right",
            ),
            "contexts": [
                reader.context(place, CARD_TOKENS) for place in reader.unlike(members[cluster.label], CARD_CONTEXTS)
            ],
        }
        for cluster in found
    ]


def _rows_of(found: list[Cluster]) -> tuple[list[str], list[list[Any]]]:
    head = ["label", "rank", "size", "n_documents", "top_answer", "dominant_share", "n_answers", "similarity_within",
            "similarity_across", "mean_monogenicity"]  # fmt: skip
    rows = [
        [c.label, c.rank, c.size, c.n_documents, c.top_answers[0][0] if c.top_answers else "", c.dominant_share,
         c.n_answers, c.similarity_within, c.similarity_across, c.mean_monogenicity]
        for c in found
    ]  # fmt: skip
    return head, rows


def _cluster_twin(twin: str, cluster: Cluster, indices: list[int]) -> HttpResponseBase:
    """The cluster's facts and members; as CSV its members."""
    run = cluster.clustering.run
    reader = Reader(run)
    head = ["index", "document", "position", "answer", "loss_nats"]
    places = reader.places(indices)
    rows = [[p.index, p.document, p.position, reader.answer(p), p.loss_nats] for p in places]
    facts, [values] = _rows_of([cluster])
    payload = dict(zip(facts, values, strict=True)) | {
        "run": run.slug, "k": cluster.clustering.k, "affinity": cluster.clustering.affinity,
        "top_answers": cluster.top_answers, "top_last": cluster.top_last, "mean_curve_nats": cluster.mean_curve,
        "nearest": cluster.nearest, "members": [dict(zip(head, row, strict=True)) for row in rows],
    }  # fmt: skip
    name = f"{run.slug}-k{cluster.clustering.k}-cluster-{cluster.label}"
    return answer(twin, name=name, payload=payload, head=head, rows=rows)


def _figures(clustering: Clustering, rows: Any, indices: list[int], asked: ClusterQuery) -> dict[str, Chart | None]:
    run = clustering.run
    shown = reads.evenly(rows, CURVE_MEMBERS)
    flat = reads.flat_indices(run)[shown]
    sizes = [size["n_non_embedding"] for size in run.manifest["sizes"]]
    by_size, by_step = size_curves(run, flat), step_curves(run, flat)
    y_max = max([float(by_size.mean(axis=0).max()), *(float(c.losses.mean(axis=0).max()) for c in by_step)])
    return {
        "sizes": charts.sizes_chart(sizes, by_size, asked.unit, number=2, y_max=y_max, n_members=len(indices)),
        "steps": charts.steps_chart(by_step, run.manifest["clustered"]["lm"], asked.unit, number=3, y_max=y_max),
        "similarity": charts.similarity_chart(reads.similarities(run, asked.affinity, rows), number=4),
    }


def _evidence(run: Run, cluster: Cluster, indices: list[int]) -> dict[str, Any]:
    """Bars of the commonest texts and of the classes of the members' curves."""
    title, reading = charts.bars_title(cluster.top_answers, cluster.top_last, cluster.size)
    classes = curve_classes(run, indices)
    return {
        "bars_title": title,
        "bars_reading": reading,
        "answer_bars": charts.bars(cluster.top_answers, cluster.size, 10),
        "last_bars": charts.bars(cluster.top_last, cluster.size, 5),
        "two_bars": charts.bars(last_two(run, indices, 5), cluster.size, 5),
        "class_bars": charts.bars(classes, cluster.size, 4),
        "n_other_answers": max(cluster.n_answers - min(len(cluster.top_answers), 10), 0),
        "most_in_one": most_in_one_document(run, indices),
        "class_title": charts.classes_title(classes, cluster.size),
        "dominant_percent": round(100 * cluster.dominant_share),
        "size_percent": f"{100 * cluster.size / run.n_tokens:.1f}",
    }


def _crosswalks(clustering: Clustering, ks: list[int], rows: Any) -> list[dict[str, Any]]:
    rungs = reads.crosswalk(clustering.run, clustering.affinity, ks, clustering.k, rows)
    if len(rungs) < 2:
        return []
    frames = (("wideonly", WIDE), ("narrow", NARROW))
    walks = [(css, crosswalk_drawing(rungs, clustering.k, len(rows), frame)) for css, frame in frames]
    for _, drawing in walks:
        for node in drawing["nodes"]:
            if node["label"] is not None and not node["is_here"]:
                node["href"] = _address(clustering, node["label"], node["k"])
    return [{"css": css, "drawing": drawing} for css, drawing in walks]


def _contexts(run: Run, indices: list[int], asked: ClusterQuery) -> dict[str, Any]:
    """A page of contexts, those that repeat folded into one."""
    reader = Reader(run)
    groups = reader.fold(indices)
    start = (asked.page - 1) * CONTEXTS_A_PAGE
    contexts: list[Context] = []
    for group in groups[start : start + CONTEXTS_A_PAGE]:
        place, *same = reader.places(group)
        contexts.append(reader.context(place, asked.contexts.n_tokens, same))
    return {
        "contexts": contexts,
        "n_groups": len(groups),
        "has_more": start + CONTEXTS_A_PAGE < len(groups),
        "n_next": min(CONTEXTS_A_PAGE, len(groups) - start - CONTEXTS_A_PAGE),
        "previous_page": asked.page - 1,
        "next_page": asked.page + 1,
        "reaches": reach_choices(asked.contexts.reach),
        "first_shown": start + 1,
        "last_shown": start + len(contexts),
    }


cluster_urls = [
    *page("runs/<slug:slug>/k/<str:k>/clusters", index, "clusters"),
    *page("runs/<slug:slug>/k/<str:k>/clusters/<str:label>", show, "cluster"),
]
