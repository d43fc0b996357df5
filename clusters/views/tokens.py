"""The page of any token of the corpus."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from clusters.charts import token as charts
from clusters.contexts import Reader
from clusters.models import Affinity, Membership, Run
from clusters.parameters import context_view, reach_choices, unit_of
from clusters.queries import tokens as reads
from clusters.queries.clusters import visible_run
from clusters.readings import Scores, Unit
from clusters.views.addresses import cluster_address
from clusters.views.twins import answer, links_context, page


def show(request: HttpRequest, slug: str, index: str, twin: str | None = None) -> HttpResponseBase:
    """One token: its context, how networks learn it, its scores and its clusters."""
    run = visible_run(request.user, slug)
    number = reads.token_index(run, index)
    unit, view = unit_of(request.GET), context_view(request.GET, "200")
    reader = Reader(run)
    [place] = reader.places([number])
    scores = reads.scores_of(run, number)
    row = reads.clustered_token(run, number)
    places = reads.memberships_of(row) if row else []
    figures = _figures(run, number, scores, unit)
    if twin:
        payload = _facts(reader, place, scores, places)
        return answer(twin, name=f"{slug}-token-{number}", payload=payload,
                      charts=[figure for figure in figures if figure], figure=request.GET.get("figure"))  # fmt: skip
    n_predictions = int(reader.corpus.lengths[place.document]) - 1
    affinities, clusters = _ladder(run, places)
    ctx = {
        "run": run, "here": "tokens", "index": number, "place": place, "view": view,
        "one": reader.context(place, view.n_tokens),
        "reaches": reach_choices(view.reach, "200"), "unit": unit, "scores": scores,
        "score_rows": charts.score_rows(scores), "figures": figures, "clusters": clusters, "affinities": affinities,
        "token": row, "threshold": run.manifest["selection"]["threshold_nats"],
        "class_shape": charts.CLASS_SHAPES[scores.curve_class],
        "class_meaning": charts.CLASS_MEANINGS[scores.curve_class],
        "answer": reader.answer(place), "previous": number - 1 if place.position > 1 else None,
        "next": number + 1 if place.position < n_predictions else None, "n_document_tokens": n_predictions + 1,
    } | links_context(request, "json")  # fmt: skip
    return render(request, "tokens/show.html", ctx)


def _figures(run: Run, number: int, scores: Scores, unit: Unit) -> list[Any]:
    sizes = [size["n_non_embedding"] for size in run.manifest["sizes"]]
    losses = reads.size_curves(run, [number])[0]
    return [
        charts.token_sizes_chart(sizes, losses, scores, unit),
        charts.token_steps_chart(reads.step_curves(run, [number]), unit),
    ]


def _ladder(run: Run, memberships: list[Membership]) -> tuple[list[str], list[dict[str, Any]]]:
    """The affinities that there are, and the token's cluster by k with one cell an affinity."""
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for membership in memberships:
        cluster, clustering = membership.cluster, membership.cluster.clustering
        cell = {
            "cluster": cluster,
            "href": cluster_address(run.slug, clustering.k, cluster.label, clustering.affinity),
            "answer": cluster.top_answers[0][0] if cluster.top_answers else "",
        }
        found.setdefault(clustering.k, {})[clustering.affinity] = cell
    affinities = [name for name in Affinity.values if any(name in cells for cells in found.values())]
    rows = [{"k": k, "cells": [cells.get(name) for name in affinities]} for k, cells in found.items()]
    return affinities, rows


def _facts(reader: Reader, place: Any, scores: Scores, memberships: list[Membership]) -> dict[str, Any]:
    clusters = [
        {
            "k": m.cluster.clustering.k,
            "affinity": m.cluster.clustering.affinity,
            "label": m.cluster.label,
            "rank": m.cluster.rank,
            "size": m.cluster.size,
        }
        for m in memberships
    ]
    return {
        "index": place.index,
        "document": place.document,
        "position": place.position,
        "answer": reader.answer(place),
        "loss_nats": place.loss_nats,
        "scores": vars(scores),
        "clusters": clusters,
    }


token_urls = [
    *page("runs/<slug:slug>/tokens/<str:index>", show, "token"),
]
