"""How far labelers agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from clusters.charts.label_agreement import agreement_chart, finding
from clusters.forms.agreement import AgreementQuery, agreement_query
from clusters.forms.queues import clustering_choices
from clusters.models import Cluster, Label, Tag
from clusters.queries import agreement as reads
from clusters.queries.access import User, may_adjudicate
from clusters.queries.clusters import clustering_at, ladder, visible_run
from clusters.queries.labels import blind_clusters
from clusters.queries.queues import visible_clusterings, visible_queues
from clusters.views.addresses import cluster_address
from clusters.views.queues import get_queue
from clusters.views.twins import answer, links_context, page
from compute.numerics.label_agreement import Alpha, Overlap

HEAD = ("run", "affinity", "k", "cluster", "rank", "size", "labels", "disagreement", "kind", "tags", "words", "kinds")
SHOWN = 20  # of the clusters that people disagree on most
WHY = {
    "no pairs": "undefined: nobody shares a cluster with somebody else",
    "no variation": "undefined: everybody said the same of every cluster, so there is nothing to tell from chance",
}
NO_INTERVAL = "no interval: too few clusters, or too little variation"


@dataclass(frozen=True)
class Found:
    """Everything that is measured over one scope."""

    scope: reads.Scope
    said: list[reads.Said]
    measures: list[reads.Measure]
    pairs: list[reads.PairOf]
    disagreements: list[reads.Disagreement]


def scope_of(user: User, asked: AgreementQuery) -> reads.Scope | None:
    """The queue or the clustering that is asked about, if this person may see how far people agree there."""
    if asked.queue is not None:
        queue = get_queue(user, str(asked.queue))
        scope = reads.Scope(queue.clustering, queue)
    elif asked.place is not None:
        run = visible_run(user, asked.place.run)
        clustering = clustering_at(run, str(asked.place.k), asked.place.affinity, ladder(run))
        clustering.run = run
        scope = reads.Scope(clustering)
    else:
        return None
    reads.must_be_open(user, scope)
    return scope


def found_in(user: User, scope: reads.Scope, asked: AgreementQuery) -> Found:
    said = reads.said_in(user, scope, asked.which)
    clusters = Cluster.objects.only("label", "rank", "size", "clustering").in_bulk({one.cluster for one in said})
    for one in clusters.values():
        one.clustering = scope.clustering
    sizes = {key: one.size for key, one in clusters.items()}
    return Found(
        scope, said, reads.measures(said, sizes, list(Tag.objects.all())), reads.pairs(said),
        reads.disagreements(said, clusters),
    )  # fmt: skip


@require_safe
@never_cache
def show(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """Agreement over a queue or a clustering, with intervals, and what people disagree on."""
    if not request.user.is_authenticated and not twin and not getattr(request, "is_embedded", False):
        return login_required(show)(request)
    asked = agreement_query(request.GET)
    scope = scope_of(request.user, asked)
    if scope is None:
        return render(request, "agreement/choose.html", _choices(request.user))
    found = found_in(request.user, scope, asked)
    alphas = [(one.name, one.found) for one in found.measures if isinstance(one.found, Alpha)]
    chart = agreement_chart(alphas)
    if twin:
        return answer(
            twin, name=_name(scope), payload=payload_of(found, asked), head=HEAD,
            rows=[disagreement_row(one) for one in found.disagreements], charts=[chart] if chart else [],
            figure=request.GET.get("figure"),
        )  # fmt: skip
    several = len(found.disagreements)
    ctx = _choices(request.user) | {
        "of": asked.place.text if asked.place else "",
        "scope": scope, "asked": asked, "chart": chart, "finding": finding(alphas), "n_labels": len(found.said),
        "n_several": several,
        "people": sorted({one.person for one in found.said}), "n_clusters": len(reads.by_cluster(found.said)),
        "rows": [_measure(one) for one in found.measures], "pairs": found.pairs, "shown": SHOWN,
        "disagreements": [_disagreement(one) for one in found.disagreements[:SHOWN]],
        "n_hidden": scope.clusters.filter(pk__in=blind_clusters(request.user)).count(),
        "may_adjudicate": may_adjudicate(request.user),
    }  # fmt: skip
    return render(request, "agreement/show.html", ctx | links_context(request, "json", "csv"))


def payload_of(found: Found, asked: AgreementQuery) -> dict[str, Any]:
    """What the twin and the API answer."""
    clustering, queue = found.scope.clustering, found.scope.queue
    return {
        "run": clustering.run.slug, "affinity": clustering.affinity, "k": clustering.k,
        "queue": queue.pk if queue else None, "labels": asked.which, "n_labels": len(found.said),
        "n_clusters": len(reads.by_cluster(found.said)), "n_compared": len(found.disagreements),
        "people": sorted({one.person for one in found.said}),
        "measures": [_plain(one) for one in found.measures],
        "pairs": [_pair(one) for one in found.pairs],
        "disagreements": [dict(zip(HEAD, disagreement_row(one), strict=True)) for one in found.disagreements],
    }  # fmt: skip


def disagreement_row(one: reads.Disagreement) -> list[Any]:
    clustering = one.cluster.clustering
    return [
        clustering.run.slug, clustering.affinity, clustering.k, one.cluster.label, one.cluster.rank, one.cluster.size,
        one.n, one.score, one.kind, one.tags, one.words, " ".join(kind or "open" for kind in one.kinds),
    ]  # fmt: skip


def _plain(one: reads.Measure) -> dict[str, Any]:
    found, row = one.found, {"measure": one.key, "name": one.name, "how": one.how}
    ends = {"low": found.low, "high": found.high, "n": found.n_units}
    if isinstance(found, Alpha):
        return row | ends | {"value": found.alpha, "chance": None, "undefined": WHY.get(found.reason, "")}
    return row | ends | {
        "value": found.mean, "chance": found.chance, "undefined": "" if found.n_units else WHY["no pairs"],
    }  # fmt: skip


def _measure(one: reads.Measure) -> dict[str, Any]:
    """A row of the table of measures."""
    row = _plain(one)
    bare = NO_INTERVAL if row["low"] is None else ""
    return row | {"no_interval": bare, "is_overlap": isinstance(one.found, Overlap)}


def _pair(one: reads.PairOf) -> dict[str, Any]:
    row: dict[str, Any] = {"a": one.a, "b": one.b, "n": one.n, "n_kinds": one.n_kinds}
    for name, value in (("same_kind", one.kind), ("tags", one.tags), ("words", one.words)):
        mean, low, high = value or (None, None, None)
        row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    return row


def _disagreement(one: reads.Disagreement) -> dict[str, Any]:
    clustering = one.cluster.clustering
    kinds = [Label.Kind(kind).label if kind else "open" for kind in one.kinds]
    counted = sorted({kind: kinds.count(kind) for kind in kinds}.items(), key=lambda item: (-item[1], item[0]))
    return {
        "one": one, "kinds": ", ".join(f"{n} {kind}" for kind, n in counted),
        "href": cluster_address(clustering.run.slug, clustering.k, one.cluster.label, clustering.affinity),
    }  # fmt: skip


def _choices(user: User) -> dict[str, Any]:
    return {
        "here": "labeling", "queues": list(visible_queues(user)),
        "clusterings": clustering_choices(visible_clusterings(user)),
    }  # fmt: skip


def _name(scope: reads.Scope) -> str:
    if scope.queue:
        return f"queue-{scope.queue.pk}-disagreements"
    return f"{scope.clustering.run.slug}-{scope.clustering.affinity}-k{scope.clustering.k}-disagreements"


agreement_urls: list[URLPattern] = [*page("labeling/agreement", show, "agreement")]
