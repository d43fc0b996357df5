"""One queue: its people, its clusters, what it asks."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from clusters.forms.queues import DescriptionForm, PeopleForm
from clusters.models import Clustering, Label, Queue
from clusters.parameters import page_number, whole_number
from clusters.queries import queues as reads
from clusters.queries.access import User, may_adjudicate
from clusters.queries.labels import names_of
from clusters.views.addresses import cluster_address, clusters_address
from clusters.views.errors import NotFound
from clusters.views.twins import answer, links_context

HEAD = ("queue", "name", "run", "affinity", "k", "clusters", "labels_each", "blind", "labels", "labels_in", "mine",
        "mine_in", "ready", "agreed", "made", "closed")  # fmt: skip
A_PAGE = 50
ITEM_HEAD = ("place", "cluster", "rank", "size", "asked", "in", "agreed", "people")


def get_queue(user: User, number: str) -> Queue:
    """The queue of this number, if this person may see it."""
    key = whole_number(number)
    queue = reads.visible_queues(user).filter(pk=key).first() if key is not None else None
    if queue is None:
        raise NotFound(
            f"There is no queue {number[:20]}", advice="It may be removed, or belong to a run that you cannot see.",
            href=reverse("clusters:labeling"), text="All queues",
        )  # fmt: skip
    return queue


def queue_row(one: reads.QueueProgress) -> list[Any]:
    queue, clustering = one.queue, one.queue.clustering
    return [
        queue.pk, queue.name, clustering.run.slug, clustering.affinity, clustering.k, one.n_clusters,
        queue.labels_each, queue.is_blind, one.all.n, one.all.n_done, one.mine.n, one.mine.n_done, one.n_ready,
        one.n_agreed, queue.created_at.isoformat(), queue.closed_at.isoformat() if queue.closed_at else None,
    ]  # fmt: skip


@require_safe
@never_cache
@login_required
def show(request: HttpRequest, number: str, twin: str | None = None) -> HttpResponseBase:
    """One queue: its people, its clusters, what it asks."""
    queue = get_queue(request.user, number)
    people = reads.people_of(queue)
    if twin:
        items = reads.items_of(queue)
        table = [[item.ordinal, item.cluster.label, item.cluster.rank, item.cluster.size, item.n_asked, item.n_done,
                  item.is_agreed, " ".join(sorted(a.person.get_username() for a in item.assignments.all()))]
                 for item in items]  # fmt: skip
        progress = reads.progress_of(request.user, [queue])
        payload = {
            "queue": dict(zip(HEAD, queue_row(progress[0]), strict=True)), "guidelines": queue.guidelines,
            "people": [{"name": one.name, "labels": one.n, "labels_in": one.n_done} for one in people],
            "clusters": [dict(zip(ITEM_HEAD, row, strict=True)) for row in table],
        }  # fmt: skip
        return answer(twin, name=f"queue-{queue.pk}", payload=payload, head=ITEM_HEAD, rows=table)
    return render(request, "labeling/queue.html", queue_context(request, queue, people=people))


def queue_context(
    request: HttpRequest,
    queue: Queue,
    *,
    people: list[reads.PersonProgress] | None = None,
    **forms: Any,
) -> dict[str, Any]:
    """What the page of a queue shows; forms that were refused stand in it as they were typed."""
    people = reads.people_of(queue) if people is None else people
    clustering = queue.clustering
    [progress] = reads.progress_of(request.user, [queue])
    pages = max(-(-progress.n_clusters // A_PAGE), 1)
    page = min(page_number(request.GET), pages)
    items = list(reads.items_of(queue)[(page - 1) * A_PAGE : page * A_PAGE])
    named = names_of(request.user, [item.cluster_id for item in items])
    ctx = {
        "here": "labeling", "queue": queue, "clustering": clustering, "people": people, "progress": progress,
        "rows": [_item(request.user, item, clustering, named.get(item.cluster_id)) for item in items],
        "may_share": may_adjudicate(request.user), "may_delete": progress.all.n_done == 0,
        "page": page, "pages": pages, "previous_page": page - 1, "next_page": page + 1,
        "list_href": clusters_address(clustering.run.slug, clustering.k, clustering.affinity),
    }  # fmt: skip
    if may_adjudicate(request.user):
        ctx |= _forms(queue, [one.person for one in people]) | forms
    base = reverse("clusters:queue", args=[queue.pk]).rstrip("/")
    return ctx | links_context(request, "json", "csv", base=base)


def _item(user: User, item: Any, clustering: Clustering, label: Label | None) -> dict[str, Any]:
    cluster, asked = item.cluster, list(item.assignments.all())
    mine = next((one for one in asked if one.person_id == user.pk), None)
    address = cluster_address(clustering.run.slug, clustering.k, cluster.label, clustering.affinity)
    return {
        "item": item, "cluster": cluster, "label": label, "mine": mine,
        "people": sorted(({"name": one.person.get_username(), "done": one.done_at} for one in asked),
                         key=lambda one: one["name"]),
        "href": f"{address}{'&' if '?' in address else '?'}queue={item.queue_id}",
        "is_ready": item.n_asked == item.n_done,
    }  # fmt: skip


def _forms(queue: Queue, people: list[int]) -> dict[str, Any]:
    """What adjudicators change a queue with."""
    able = list(reads.labelers(queue.clustering.run))
    return {
        "description": DescriptionForm(initial={"name": queue.name, "guidelines": queue.guidelines}),
        "sharing": PeopleForm(people=able, initial={"people": people}),
    }
