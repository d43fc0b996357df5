"""For machines that watch this one: is it alive, is it ready, and its numbers."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from clusters.services.counters import counted
from clusters.services.health import READY, findings
from clusters.services.metrics import Site

LOOPBACK = ("127.0.0.1", "::1")


@require_safe
@never_cache
def livez(request: HttpRequest) -> HttpResponse:
    """This process answers; nothing is read or written."""
    return HttpResponse("alive\n", content_type="text/plain; charset=utf-8")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether requests should come here: 503 while the database, its migrations, the broker or the disk forbid it."""
    found = findings(READY)
    is_ready = all(is_good for is_good, _ in found.values())
    told = _is_trusted(request)
    checks = {name: said if told else ("good" if is_good else "problem") for name, (is_good, said) in found.items()}
    return JsonResponse({"ready": is_ready, "checks": checks}, status=200 if is_ready else 503)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Requests of this server's processes, and the state of jobs, workers and disk, as Prometheus reads them."""
    if not _is_trusted(request):
        raise Http404("Numbers are for this machine, or for whoever sends QW_METRICS_KEY as a bearer token.")
    registry = CollectorRegistry()
    registry.register(Site())
    text = generate_latest(registry) + counted(settings.METRICS_DIR)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


def _is_trusted(request: HttpRequest) -> bool:
    """A request of this machine that no proxy passed on, or one with the key."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    if settings.METRICS_KEY and secrets.compare_digest(given.encode(), settings.METRICS_KEY.encode()):
        return True
    return request.META.get("REMOTE_ADDR") in LOOPBACK and "HTTP_X_FORWARDED_FOR" not in request.META


health_urls = [
    path("livez", livez, name="livez"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]
