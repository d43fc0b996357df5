"""The list of runs, and one run's overview."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase

from clusters.models import Run
from clusters.queries.access import visible_runs
from clusters.views.errors import NotFound


def get_run(request: HttpRequest, slug: str) -> Run:
    """The run if this person may see it; otherwise a page that says so."""
    runs = visible_runs(request.user).select_related("corpus", "checkpoint", "job", "owner")
    run = runs.filter(slug=slug).first()
    if run is None:
        raise NotFound(
            f"There is no run “{slug}”",
            advice="It may have been renamed, deleted, or made private. The list of runs shows those that you can see.",
        )
    return run


def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    raise NotImplementedError


def overview(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    raise NotImplementedError
