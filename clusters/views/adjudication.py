"""Labels of one cluster side by side, and what is agreed on."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from clusters.contexts import Reader, has_text
from clusters.forms.agreement import AgreedForm
from clusters.forms.queues import whole
from clusters.models import Cluster, Label, Queue, Tag
from clusters.parameters import changed, whole_number
from clusters.queries import adjudication as reads
from clusters.queries.access import User, may_adjudicate, visible_runs
from clusters.queries.agreement import Disagreement
from clusters.queries.cluster_list import sample_of_members
from clusters.queries.labels import blind_clusters
from clusters.services.adjudication import agree_on, agree_with
from clusters.services.labels import ConflictError, Content
from clusters.values.differences import word_changes
from clusters.views.addresses import cluster_address
from clusters.views.errors import NotFound
from clusters.views.queues import get_queue
from clusters.views.twins import answer, links_context, page

HEAD = ("run", "affinity", "k", "cluster", "rank", "size", "labels", "disagreement", "kind", "tags", "words")
A_PAGE, CANDIDATES, CONTEXTS, TOKENS = 100, 30, 5, 24


@require_safe
@never_cache
@login_required
def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """What waits for a decision, the most disagreed on first."""
    _must_adjudicate(request.user)
    queue = _queue(request)
    waiting = reads.to_adjudicate(request.user, queue)
    if twin:
        rows = [_plain(one) for one in waiting]
        payload = {"clusters": [dict(zip(HEAD, row, strict=True)) for row in rows]}
        return answer(twin, name="to-adjudicate", payload=payload, head=HEAD, rows=rows)
    ctx = {
        "here": "labeling", "queue": queue, "n": len(waiting), "shown": A_PAGE,
        "rows": [{"one": one, "href": _address(one.cluster, queue)} for one in waiting[:A_PAGE]],
    }  # fmt: skip
    return render(request, "labeling/adjudicate.html", ctx | links_context(request, "json", "csv"))


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def decide(request: HttpRequest, number: str) -> HttpResponse:
    """One cluster's labels side by side; what is posted becomes what is agreed on."""
    _must_adjudicate(request.user)
    cluster, queue = _cluster(request.user, number), _queue(request)
    labels = reads.labels_of(request.user, cluster)
    agreed = reads.agreed_label(request.user, cluster)
    tags = list(Tag.objects.filter(Q(retired_at=None) | Q(labels__in=labels)).distinct())
    form = AgreedForm(request.POST or None, tags=tags, initial=_initial(request, labels, agreed))
    conflict = None
    if request.method == "POST":
        try:
            if _is_saved(request, cluster, form, labels):
                messages.success(request, f"Agreed on cluster {cluster.label}.")
                return redirect(_with_queue(reverse("clusters:adjudicate-next"), queue))
        except ConflictError as error:
            conflict = error.current
            messages.warning(request, str(error))
    ctx = _shown(cluster, labels, tags, queue) | {
        "form": form, "agreed": conflict or agreed, "conflict": conflict,
        "votes": reads.votes_for(agreed.kind, labels) if agreed else None,
        "version": conflict.version if conflict else agreed.version if agreed else reads.agreed_version(cluster),
    }  # fmt: skip
    status = 409 if conflict else 422 if form.is_bound else 200
    return render(request, "labeling/decide.html", ctx, status=status)


def _is_saved(request: HttpRequest, cluster: Cluster, form: AgreedForm, labels: list[Label]) -> bool:
    """Write what was posted: one label as it is, or the form; False where the form was refused."""
    chosen = {str(label.pk): label for label in labels}
    taken = chosen.get(request.POST.get("take", ""))
    if taken:
        version = whole_number(request.POST.get("version", "")) or 0
        agree_with(request.user, cluster, taken, version=version)
        return True
    if not form.is_valid():
        return False
    said = form.cleaned_data
    content = Content(said["name"], said["description"], said["kind"], said["confidence"], tuple(said["tags"]),
                      said["misfits"])  # fmt: skip
    try:
        origin = chosen.get(request.POST.get("from", ""))
        agree_on(request.user, cluster, content, version=said["version"], chosen=origin)
    except ValidationError as error:
        for name, problems in error.message_dict.items() if hasattr(error, "error_dict") else [("", error.messages)]:
            form.add_error(name if name in form.fields else None, " ".join(problems))
        return False
    return True


def _initial(request: HttpRequest, labels: list[Label], agreed: Label | None) -> dict[str, Any]:
    """The form begins with the label asked for, what is agreed on already, or the first label."""
    wanted = whole_number(request.GET.get("from", ""))
    start = next((label for label in labels if label.pk == wanted), None) or agreed or (labels[0] if labels else None)
    if start is None:
        return {"version": 0}
    return start.content | {
        "misfits": " ".join(map(str, start.misfits)), "version": agreed.version if agreed else 0,
    }  # fmt: skip


def _shown(cluster: Cluster, labels: list[Label], tags: list[Tag], queue: Queue | None) -> dict[str, Any]:
    """Labels beside each other, their tags as a matrix, and some of the cluster's contexts."""
    clustering = cluster.clustering
    given = [{tag.slug for tag in label.tags.all()} for label in labels]
    matrix = [
        {"tag": tag, "cells": [tag.slug in one for one in given], "n": sum(tag.slug in one for one in given)}
        for tag in tags
        if any(tag.slug in one for one in given)
    ]
    first = labels[0].description if labels else ""
    ctx: dict[str, Any] = {
        "here": "labeling", "cluster": cluster, "clustering": clustering, "run": clustering.run, "queue": queue,
        "columns": [{"label": label, "pieces": _pieces(first, label.description), "key": i}
                    for i, label in enumerate(labels, 1)],
        "matrix": sorted(matrix, key=lambda row: (-row["n"], row["tag"].ordinal)),
        "cluster_href": cluster_address(clustering.run.slug, clustering.k, cluster.label, clustering.affinity),
        "list_href": _with_queue(reverse("clusters:adjudicate"), queue),
        "skip_href": changed(reverse("clusters:adjudicate-next"), QueryDict(), after=cluster.pk,
                             **({"queue": queue.pk} if queue else {})),
    }  # fmt: skip
    if has_text(clustering.run):
        reader = Reader(clustering.run)
        members = sample_of_members(clustering, [cluster], CANDIDATES)[cluster.label]
        ctx["contexts"] = [reader.context(place, TOKENS) for place in reader.unlike(members, CONTEXTS)]
    return ctx


def _pieces(before: str, after: str) -> list[tuple[str, bool]]:
    """The second text in pieces, each with whether the first one lacks it; all alike where there is no first."""
    if not before:
        return [(after, False)] if after else []
    return [(piece.text, piece.kind == "ins") for piece in word_changes(before, after) if piece.kind != "del"]


@require_safe
@never_cache
@login_required
def go_on(request: HttpRequest) -> HttpResponse:
    """To the cluster behind `after` in the list, or the first; to the list where none is left."""
    _must_adjudicate(request.user)
    queue, after = _queue(request), whole(request.GET, "after")
    waiting = [one.cluster for one in reads.to_adjudicate(request.user, queue)]
    place = next((i for i, cluster in enumerate(waiting, 1) if cluster.pk == after), 0)
    if not waiting:
        return redirect(_with_queue(reverse("clusters:adjudicate"), queue))
    return redirect(_address(waiting[place % len(waiting)], queue))


def _with_queue(path: str, queue: Queue | None) -> str:
    return f"{path}?queue={queue.pk}" if queue else path


def _address(cluster: Cluster, queue: Queue | None) -> str:
    return _with_queue(reverse("clusters:adjudicate-cluster", args=[cluster.pk]), queue)


def _cluster(user: User, number: str) -> Cluster:
    """A cluster of a visible run whose labels are not hidden from this person."""
    key = whole_number(number)
    clusters = Cluster.objects.filter(clustering__run__in=visible_runs(user)).select_related("clustering__run__corpus")
    cluster = clusters.filter(pk=key).first() if key is not None else None
    if cluster is None:
        raise NotFound(f"There is no cluster numbered {number[:20]}", advice="The list shows what waits.",
                       href=reverse("clusters:adjudicate"), text="To adjudicate")  # fmt: skip
    if blind_clusters(user).filter(item__cluster=cluster).exists():
        raise NotFound(
            "The labels of this cluster are hidden from you", advice="A blind queue asks for yours first.",
            href=reverse("clusters:labeling-next"), text="Label the next",
        )  # fmt: skip
    return cluster


def _queue(request: HttpRequest) -> Queue | None:
    number = whole(request.GET, "queue")
    return get_queue(request.user, str(number)) if number is not None else None


def _plain(one: Disagreement) -> list[Any]:
    cluster, clustering = one.cluster, one.cluster.clustering
    return [clustering.run.slug, clustering.affinity, clustering.k, cluster.label, cluster.rank, cluster.size, one.n,
            one.score, one.kind, one.tags, one.words]  # fmt: skip


def _must_adjudicate(user: User) -> None:
    if not may_adjudicate(user):
        raise PermissionDenied("Deciding what is agreed on needs the adjudicator role. An administrator can give it.")


adjudication_urls: list[URLPattern] = [
    *page("labeling/adjudicate", index, "adjudicate"),
    path("labeling/adjudicate/next/", go_on, name="adjudicate-next"),
    path("labeling/adjudicate/<str:number>/", decide, name="adjudicate-cluster"),
]
