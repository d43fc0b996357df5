"""Labels suggested for a cluster: from other clusterings, or by a language model."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from clusters.forms.suggestions import Decision, decision, how_many, suggestions_query, write_place
from clusters.models import Cluster, Clustering
from clusters.parameters import affinity_of, changed
from clusters.queries import clusters as clusters_reads
from clusters.queries import suggestions as reads
from clusters.queries.access import may_adjudicate, may_label
from clusters.queries.cluster_labels import ClusterLabels
from clusters.queries.runs import default_affinity, default_k
from clusters.services import machine_job
from clusters.services import suggestions as services
from clusters.services.labels import ConflictError
from clusters.values.suggestions import Suggestion
from clusters.views.addresses import cluster_address, clusters_address
from clusters.views.errors import NotFound
from clusters.views.twins import answer, links_context, page

A_PAGE, MOST_ASKED = 50, 50
HEAD = (
    "cluster", "rank", "size", "jaccard", "n_shared", "name", "author", "is_agreed", "label", "version", "from_run",
    "from_affinity", "from_k", "from_cluster", "from_size",
)  # fmt: skip


def suggestion_panel(request: HttpRequest, cluster: Cluster, labels: ClusterLabels) -> dict[str, Any]:
    """What "suggestions/_panel.html" shows beside a cluster's label."""
    user, clustering = request.user, cluster.clustering
    may_take = may_label(user) and labels.own is None
    offered = reads.suggestions_for(user, cluster) if may_take else []
    return {
        "suggestion_list": [_shown(one, clustering) for one in offered],
        "suggestion_machine": reads.latest_of_machine(user, cluster, labels.machine),
        "suggestion_may_take": may_take,
        "suggestion_host": machine_job.endpoint() if may_label(user) else "",
        "suggestion_why_not": machine_job.why_not(user, clustering.run) if may_label(user) else "",
        "suggestion_lm": settings.SUGGEST_MODEL,
        "suggestion_action": _action(cluster),
        "suggestion_most": machine_job.MOST_SHOWN + 2 * machine_job.MOST_HELD_OUT,
        "suggestion_all_href": _list_address(clustering),
    }


@require_POST
def decide(request: HttpRequest, slug: str, k: str, label: str) -> HttpResponse:
    """Take or dismiss a suggestion, or ask the language model for one."""
    cluster = _cluster(request, slug, k, label)
    clustering = cluster.clustering
    here = f"{cluster_address(slug, clustering.k, cluster.label, clustering.affinity)}#label"
    if not request.user.is_authenticated:
        return redirect_to_login(here)
    wanted = decision(request.POST)
    try:
        if wanted.action == "ask":
            return redirect("clusters:job", machine_job.start(request.user, clustering, [cluster]).pk)
        messages.success(request, _decided(request, cluster, wanted))
    except ConflictError as error:
        messages.warning(
            request, f"You have a label of this cluster already, at version {error.current.version}. Nothing of it was "
            "overwritten."
        )  # fmt: skip
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    return redirect(_back(request) or here)


@never_cache
def index(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """Everything that could be carried over to the clusters of one clustering, the likest first."""
    run = clusters_reads.visible_run(request.user, slug)
    asked = suggestions_query(request.GET)
    ks = clusters_reads.ladder(run)
    affinity = asked.affinity if asked.affinity in ks else default_affinity(run)
    clustering = clusters_reads.clustering_at(run, asked.k or str(default_k(run, affinity)), affinity, ks)
    clustering.run = run
    found = reads.suggestions_of(request.user, clustering) if may_label(request.user) else []
    if twin:
        clusters = _clusters(clustering, found)
        rows = [_row(one, clusters[one.cluster]) for one in found]
        payload = {"run": slug, "k": clustering.k, "affinity": affinity,
                   "suggestions": [dict(zip(HEAD, row, strict=True)) for row in rows]}  # fmt: skip
        name = f"{slug}-k{clustering.k}-{affinity}-suggestions"
        return answer(twin, name=name, payload=payload, head=HEAD, rows=rows)
    left = [one for one in found if asked.after is None or reads.order_of(one) > asked.after]
    shown = left[:A_PAGE]
    clusters = _clusters(clustering, shown)
    ctx = {
        "run": run, "here": "suggestions", "k": clustering.k, "clustering": clustering, "ks": ks.get(affinity, []),
        "affinities": list(ks), "may_label": may_label(request.user), "n": len(found),
        "n_clusters": len({one.cluster for one in found}),
        "rows": [_shown(one, clustering) | {"cluster": clusters[one.cluster], "action": _action(clusters[one.cluster]),
                 "href": _address(clusters[one.cluster])} for one in shown],
        "more_href": _more(request, shown) if len(left) > A_PAGE else "", "is_begun": asked.after is not None,
        "list_href": clusters_address(slug, clustering.k, affinity),
        "host": machine_job.endpoint() if may_adjudicate(request.user) else "", "lm": settings.SUGGEST_MODEL,
        "why_not": machine_job.why_not(request.user, run), "most_asked": MOST_ASKED,
        "n_contexts": machine_job.MOST_SHOWN + 2 * machine_job.MOST_HELD_OUT,
    }  # fmt: skip
    return render(request, "suggestions/index.html", ctx | links_context(request, "json", "csv"))


@require_POST
def ask_many(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask the language model about the largest clusters that it has not named yet."""
    run = clusters_reads.visible_run(request.user, slug)
    affinity, ks = affinity_of(request.POST), clusters_reads.ladder(run)
    clustering = clusters_reads.clustering_at(run, request.POST.get("k", ""), affinity, ks)
    clustering.run = run
    if not request.user.is_authenticated:
        return redirect_to_login(_list_address(clustering))
    clusters = reads.without_machine(clustering, how_many(request.POST, MOST_ASKED))
    if not clusters:
        messages.warning(request, "The language model has named every cluster of this clustering.")
        return redirect(_list_address(clustering))
    try:
        return redirect("clusters:job", machine_job.start(request.user, clustering, clusters).pk)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
        return redirect(_list_address(clustering))


def machine(request: HttpRequest, number: int) -> HttpResponse:
    """What a language model was asked about a cluster, and what it answered."""
    label = reads.machine_label(request.user, number)
    if label is None:
        raise NotFound(
            f"There is no language model’s label {str(number)[:20]}",
            advice="It may belong to a run that you may not see, or to a cluster that you are still asked to label.",
            href=reverse("clusters:runs"), text="All runs",
        )  # fmt: skip
    ctx = {
        "label": label, "told": label.machine_answer, "cluster": label.cluster, "run": label.cluster.clustering.run,
        "k": label.cluster.clustering.k, "clustering": label.cluster.clustering, "here": "clusters",
        "href": _address(label.cluster), "n_guessed": label.machine_answer.score.get("n_asked", 0) / 2,
    }  # fmt: skip
    return render(request, "suggestions/machine.html", ctx)


def _decided(request: HttpRequest, cluster: Cluster, wanted: Decision) -> str:
    """Do it, and say so."""
    if wanted.action == "dismiss":
        services.dismiss(request.user, cluster, wanted.source)
        return "Dismissed: it is not suggested to you for this cluster any more."
    name = services.accept(request.user, cluster, wanted.source, version=wanted.version).source.name
    return f"“{name}” is your draft for cluster {cluster.label} now. Read it against the contexts, then submit it."


def _cluster(request: HttpRequest, slug: str, k: str, label: str) -> Cluster:
    run = clusters_reads.visible_run(request.user, slug)
    clustering = clusters_reads.clustering_at(run, k, affinity_of(request.POST), clusters_reads.ladder(run))
    clustering.run = run
    return clusters_reads.cluster_at(clustering, label)


def _clusters(clustering: Clustering, found: list[Suggestion]) -> dict[int, Cluster]:
    rows = clustering.clusters.filter(pk__in={one.cluster for one in found})
    return {row.pk: row for row in rows.only("label", "rank", "size", "top_answers", "clustering")}


def _more(request: HttpRequest, shown: list[Suggestion]) -> str:
    return changed(request.path, request.GET, after=write_place(reads.order_of(shown[-1])))


def _shown(one: Suggestion, clustering: Clustering) -> dict[str, Any]:
    """A suggestion with words for where it comes from."""
    place = one.place
    parts = [place.run] if place.run != clustering.run.slug else []
    parts += [f"k = {place.k}"]
    parts += [f"{place.affinity} affinity"] if place.affinity != clustering.affinity else []
    return {"one": one, "where": ", ".join(parts),
            "source_href": cluster_address(place.run, place.k, place.cluster, place.affinity)}  # fmt: skip


def _row(one: Suggestion, cluster: Cluster) -> list[Any]:
    place = one.place
    return [cluster.label, cluster.rank, cluster.size, one.jaccard, one.n_shared, one.name, one.author, one.is_agreed,
            one.label, one.version, place.run, place.affinity, place.k, place.cluster, place.size]  # fmt: skip


def _address(cluster: Cluster) -> str:
    clustering = cluster.clustering
    return cluster_address(clustering.run.slug, clustering.k, cluster.label, clustering.affinity)


def _action(cluster: Cluster) -> str:
    clustering = cluster.clustering
    return reverse("clusters:cluster-suggestions", args=[clustering.run.slug, clustering.k, cluster.label])


def _list_address(clustering: Clustering) -> str:
    path = reverse("clusters:suggestions", args=[clustering.run.slug])
    return f"{path}?k={clustering.k}&affinity={clustering.affinity}"


def _back(request: HttpRequest) -> str:
    """The page of this site that the button stood on, where it says so."""
    there = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(there, allowed_hosts=None) and there.startswith("/")
    return there if is_ours else ""


suggestion_urls: list[URLPattern] = [
    *page("runs/<slug:slug>/suggestions", index, "suggestions"),
    path("runs/<slug:slug>/suggestions/ask/", ask_many, name="suggestions-ask"),
    path("runs/<slug:slug>/k/<str:k>/clusters/<str:label>/suggestions/", decide, name="cluster-suggestions"),
    path("suggestions/<int:number>/", machine, name="suggestion"),
]
