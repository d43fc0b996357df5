"""A run, filled in, estimated and queued."""

from __future__ import annotations

import math
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from clusters.forms.run import RunForm
from clusters.forms.suites import RUN_FORMS, kind_of
from clusters.htmx import wants_fragment
from clusters.models import RegisteredCorpus
from clusters.parameters import chosen, whole_number
from clusters.queries.access import visible_jobs
from clusters.queries.corpora import visible_corpora
from clusters.services import jobs as services
from clusters.views.preflight import preflight
from clusters.views.shown_settings import sees_paths
from compute.config import RunConfig
from compute.errors import ComputeError, ConfigError
from compute.jobs.quotas import QuotaError
from compute.models import Job
from compute.registry import SUITES

_NOTES = {
    "demo": ("Demo", "Six small networks that come along; minutes on a laptop."),
    "hub": ("From the Hub", "Any causal language models, named by their ids."),
    "folders": ("Own folders", "Networks that lie on the server."),
}

_FOLDED = {
    "compare": ("vectors", "gradient_scope", "auto_hours", "block_tokens", "sketch_size", "refine"),
    "cluster": ("seed", "n_init"),
    "work": ("n_curves", "precision", "documents_per_shard"),
}


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new(request: HttpRequest) -> HttpResponse:
    """Settings of a run; "estimate" says what they cost, "start" queues the job."""
    person = request.user
    if not isinstance(person, User) or not person.has_perm("compute.add_job"):
        raise PermissionDenied(services.NOT_RUNNER)
    job, config = _earlier(request)
    given = request.POST if request.method == "POST" else request.GET
    kind = chosen(given, "suite", list(RUN_FORMS), kind_of(config) if config else "demo")
    corpora = list(visible_corpora(person))
    try:
        form = _form(request, kind, corpora, job, config)
    except ComputeError as error:
        return render(request, "jobs/new.html", _page(request, kind) | {"problem": str(error)}, status=503)
    is_estimate = request.method == "POST" and "estimate" in request.POST
    if request.method == "POST" and form.is_valid() and not is_estimate:
        return _start(request, form, person)
    ctx = _page(request, kind) | {"form": form, "preflight": preflight(form), "open": _open_parts(form)}
    if is_estimate and wants_fragment(request):
        return render(request, "jobs/_preflight.html", ctx)
    return render(request, "jobs/new.html", ctx, status=422 if form.is_bound and form.errors else 200)


def _start(request: HttpRequest, form: RunForm, person: User) -> HttpResponse:
    values, corpus = form.cleaned_data, form.chosen_corpus
    is_private = values["is_private"] or (corpus is not None and corpus.is_private)
    try:
        job = services.start_run(person, values["config"], is_private=is_private, priority=_priority(request.POST))
    except QuotaError as error:
        form.add_error(None, error.sentence)
        ctx = _page(request, kind_of(values["config"]))
        ctx |= {"form": form, "preflight": preflight(form), "open": _open_parts(form)}
        return _refused(request, ctx, error)
    why = " It is private, as its corpus is." if is_private and not values["is_private"] else ""
    messages.success(request, " ".join(filter(None, [f"Job {job.pk} is queued.{why}", values["mode_reason"]])))
    return redirect("clusters:job", job.pk)


def _refused(request: HttpRequest, ctx: dict[str, Any], error: QuotaError) -> HttpResponse:
    response = render(request, "jobs/new.html", ctx, status=409 if error.seconds_left is None else 429)
    if error.seconds_left is not None:
        response["Retry-After"] = str(math.ceil(error.seconds_left))
    return response


def _priority(query: QueryDict) -> int:
    return Job.Priority.LOW if query.get("priority") == "low" else Job.Priority.NORMAL


def _form(
    request: HttpRequest, kind: str, corpora: list[RegisteredCorpus], job: Job | None, config: RunConfig | None
) -> RunForm:
    cls = RUN_FORMS[kind]
    if request.method == "POST":
        return cls(request.POST, corpora=corpora)
    initial: dict[str, Any] = {}
    if job and config and kind_of(config) == kind:
        initial = cls.initial_of(config, corpora, sees_paths=sees_paths(request.user, job))
    return cls(initial=initial | _named(request.GET, cls), corpora=corpora)


def _named(query: QueryDict, cls: type[RunForm]) -> dict[str, Any]:
    """Fields that the address itself fills in."""
    many = ("affinities", "sizes")
    return {name: query.getlist(name) if name in many else query[name] for name in cls.base_fields if name in query}


def _earlier(request: HttpRequest) -> tuple[Job | None, RunConfig | None]:
    """The job to change and start again, if one is named, and its settings if they can still be read."""
    key = whole_number(request.GET.get("from", ""))
    job = visible_jobs(request.user).filter(pk=key).first() if key else None
    if job is None:
        return None, None
    try:
        return job, RunConfig.from_json(job.config)
    except ConfigError:
        return None, None


def _open_parts(form: RunForm) -> dict[str, bool]:
    """Which folded parts hold something to mend."""
    return {part: bool(set(names) & set(form.errors)) for part, names in _FOLDED.items()}


def _page(request: HttpRequest, kind: str) -> dict[str, Any]:
    known = {name: (suite.title, suite.note) for name, suite in SUITES.items()}
    notes = {"demo": _NOTES["demo"], **known, "hub": _NOTES["hub"], "folders": _NOTES["folders"]}
    return {
        "here": "jobs",
        "kind": kind,
        "kinds": [{"key": key, "title": title, "note": note} for key, (title, note) in notes.items()],
        "is_known": kind in SUITES,
        "roots": settings.ALLOWED_ROOTS,
    }
