"""Queues of clusters to label: mine, and the work as a whole."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from clusters.forms.queues import whole
from clusters.models import Assignment, Cluster
from clusters.parameters import changed, whole_number
from clusters.queries import queues as reads
from clusters.queries.access import may_adjudicate, may_label
from clusters.views import queue_changes
from clusters.views.addresses import cluster_address
from clusters.views.queues import HEAD, get_queue, queue_row, show
from clusters.views.twins import answer, links_context, page


def next_address(queue: object = "", after: int | None = None) -> str:
    """Where the next cluster of this person's queue is: after a submit, say."""
    query = QueryDict(mutable=True)
    if queue:
        query["queue"] = str(queue)
    return changed(reverse("clusters:labeling-next"), query, after=after)


def assigned_address(assignment: Assignment) -> str:
    """The page of a cluster that somebody is asked to label, at their label."""
    cluster, clustering = assignment.item.cluster, assignment.item.cluster.clustering
    address = cluster_address(clustering.run.slug, clustering.k, cluster.label, clustering.affinity)
    return f"{address}{'&' if '?' in address else '?'}queue={assignment.item.queue_id}#label"


@require_safe
@never_cache
def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """My queues, and all of them."""
    rows = reads.progress_of(request.user, reads.visible_queues(request.user))
    if twin:
        table = [queue_row(one) for one in rows]
        payload = {"queues": [dict(zip(HEAD, row, strict=True)) for row in table]}
        return answer(twin, name="labeling", payload=payload, head=HEAD, rows=table)
    mine = [one for one in rows if one.mine.n and not one.queue.closed_at]
    ctx = {
        "here": "labeling", "rows": rows, "mine": sorted(mine, key=lambda one: (one.mine.is_done, one.queue.pk)),
        "n_waiting": sum(one.mine.n_left for one in mine), "may_label": may_label(request.user),
        "may_share": may_adjudicate(request.user), "n_to_adjudicate": sum(one.n_to_adjudicate for one in rows),
    }  # fmt: skip
    return render(request, "labeling/index.html", ctx | links_context(request, "json", "csv"))


@require_safe
@never_cache
@login_required
def go_on(request: HttpRequest) -> HttpResponse:
    """To the next cluster that is asked of this person; to what is finished where none is left."""
    number = whole(request.GET, "queue")
    queue = get_queue(request.user, str(number)) if number is not None else None
    assignment = reads.next_assignment(request.user, queue, after=whole(request.GET, "after"))
    if assignment:
        return redirect(assigned_address(assignment))
    if not may_label(request.user):
        raise PermissionDenied("Only labelers have queues. An administrator can add you to that role.")
    done = [one for one in reads.progress_of(request.user, [queue] if queue else []) if one.mine.n]
    others = reads.n_waiting(request.user)
    ctx = {"here": "labeling", "queue": queue, "done": done[0] if done else None, "n_waiting": others}
    return render(request, "labeling/finished.html", ctx)


def queue_panel(request: HttpRequest, cluster: Cluster) -> dict[str, Any]:
    """What "labeling/_next.html" shows beside a cluster's label: the queue it is in, and what comes next."""
    asked = whole_number(request.GET.get("queue", ""))
    turn = reads.turn_of(request.user, cluster, asked)
    if turn is None:
        return {}
    following = turn.next
    is_last = following is not None and following.item.cluster_id == cluster.pk
    is_hidden = turn.is_waiting and turn.queue.is_blind
    return {
        "queue_turn": turn, "queue_is_last": is_last,
        "queue_n_others": reads.n_others(request.user, cluster) if is_hidden else 0,
        "queue_is_hidden": is_hidden,
        "queue_next_href": assigned_address(following) if following and not is_last else "",
    }  # fmt: skip


labeling_urls: list[URLPattern] = [
    *page("labeling", index, "labeling"),
    path("labeling/next/", go_on, name="labeling-next"),
    *queue_changes.urls,
    *page("labeling/queues/<str:number>", show, "queue"),
]
