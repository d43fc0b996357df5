"""What adjudicators do with queues: make, describe, share again, close, delete."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.forms import Form
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods, require_POST

from clusters.charts.numbers import count
from clusters.forms.clusters import ClusterListQuery, cluster_list_query
from clusters.forms.queues import (
    DescriptionForm,
    PeopleForm,
    QueueForm,
    clustering_choices,
    filter_of,
    place_of,
)
from clusters.models import Clustering
from clusters.queries.access import may_adjudicate
from clusters.queries.cluster_list import Matches, matching_clusters
from clusters.queries.clusters import clustering_at, ladder, visible_run
from clusters.queries.queues import adjudicators, labelers, visible_clusterings
from clusters.services import queues as services
from clusters.views.addresses import clusters_address
from clusters.views.queues import get_queue, queue_context


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new(request: HttpRequest) -> HttpResponse:
    """A queue to be made: of which clusters, for whom."""
    if not may_adjudicate(request.user):
        raise PermissionDenied("Sharing out work needs the adjudicator role. An administrator can add you to it.")
    place = place_of(request.GET)
    choices = clustering_choices(visible_clusterings(request.user))
    if place is None:
        return render(request, "labeling/new.html", {"here": "labeling", "clusterings": choices})
    run = visible_run(request.user, place.run)
    clustering = clustering_at(run, str(place.k), place.affinity, ladder(run))
    clustering.run = run
    query = filter_of(request.GET)
    asked = cluster_list_query(query)
    matches = matches_of(clustering, asked)
    able, deciding = list(labelers(run)), adjudicators()
    usual = [one.pk for one in able if one.pk not in deciding]
    initial = {"name": f"{run.name}, {place.affinity}, k = {place.k}"[:120], "people": usual}
    form = QueueForm(request.POST or None, people=able, initial=initial)
    if request.method == "POST" and form.is_valid():
        plan = services.Plan(
            name=form.cleaned_data["name"], people=tuple(form.cleaned_data["people"]), query=query.urlencode(),
            labels_each=form.cleaned_data["labels_each"], is_blind=form.cleaned_data["is_blind"],
            guidelines=form.cleaned_data["guidelines"],
        )  # fmt: skip
        try:
            queue = services.make_queue(request.user, clustering, matches.pks[: form.cleaned_data["at_most"]], plan)
        except ValidationError as error:
            _refused(form, error)
        else:
            n = queue.items.count()
            messages.success(request, f"{count(n)} cluster{'' if n == 1 else 's'} shared out.")
            return redirect(queue)
    ctx = {
        "here": "labeling", "run": run, "clustering": clustering, "asked": asked, "form": form, "query": query,
        "n_matches": len(matches), "clusterings": choices, "of": place.text, "people": able,
        "list_href": _list_href(clustering, query),
    }  # fmt: skip
    return render(request, "labeling/new.html", ctx, status=422 if form.is_bound else 200)


@require_POST
@login_required
def describe(request: HttpRequest, number: str) -> HttpResponse:
    queue = get_queue(request.user, number)
    form = DescriptionForm(request.POST)
    if form.is_valid():
        try:
            services.describe_queue(request.user, queue, **form.cleaned_data)
        except ValidationError as error:
            _refused(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect(queue)
    queue.refresh_from_db()
    return render(request, "labeling/queue.html", queue_context(request, queue, description=form), status=422)


@require_POST
@login_required
def share(request: HttpRequest, number: str) -> HttpResponse:
    """Who works on the queue from now on."""
    queue = get_queue(request.user, number)
    form = PeopleForm(request.POST, people=labelers(queue.clustering.run))
    if form.is_valid():
        try:
            n = services.share_again(request.user, queue, form.cleaned_data["people"])
        except ValidationError as error:
            _refused(form, error)
        else:
            moved = "Nothing had to move" if n == 0 else f"{count(n)} cluster{'' if n == 1 else 's'} went to others"
            messages.success(request, f"Shared out again. {moved}; what was done stays.")
            return redirect(queue)
    return render(request, "labeling/queue.html", queue_context(request, queue, sharing=form), status=422)


@require_POST
@login_required
def close(request: HttpRequest, number: str) -> HttpResponse:
    """Close the queue, or with `open` open it again."""
    queue = get_queue(request.user, number)
    if request.POST.get("open"):
        services.reopen_queue(request.user, queue)
        messages.success(request, "Open again: people are asked for what is left.")
    else:
        services.close_queue(request.user, queue)
        messages.success(request, "Closed: nobody is asked any more.")
    return redirect(queue)


@require_POST
@login_required
def delete(request: HttpRequest, number: str) -> HttpResponse:
    queue = get_queue(request.user, number)
    try:
        services.delete_queue(request.user, queue)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
        return redirect(queue)
    messages.success(request, f"“{queue.name}” is removed.")
    return redirect("clusters:labeling")


def matches_of(clustering: Clustering, asked: ClusterListQuery) -> Matches:
    """The clusters that a list's filter chooses, in its order."""
    return matching_clusters(
        clustering, sort=asked.sort, is_reversed=asked.is_reversed, answer=asked.answer, text=asked.text,
        least=asked.least, most=asked.most,
    )  # fmt: skip


def _list_href(clustering: Clustering, query: QueryDict) -> str:
    address = clusters_address(clustering.run.slug, clustering.k, clustering.affinity)
    return f"{address}{'&' if '?' in address else '?'}{query.urlencode()}" if query else address


def _refused(form: Form, error: ValidationError) -> None:
    """Say beside the fields what a service refused."""
    problems: dict[str, Any] = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
    for name, said in problems.items():
        form.add_error(name if name in form.fields else None, " ".join(said))


urls: list[URLPattern] = [
    path("labeling/queues/new/", new, name="queue-new"),
    path("labeling/queues/<str:number>/describe/", describe, name="queue-describe"),
    path("labeling/queues/<str:number>/share/", share, name="queue-share"),
    path("labeling/queues/<str:number>/close/", close, name="queue-close"),
    path("labeling/queues/<str:number>/delete/", delete, name="queue-delete"),
]
