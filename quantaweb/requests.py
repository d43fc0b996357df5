"""Every request gets a name and one line in the log: what was asked for by its pattern, never by its address."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed
from django.utils.cache import patch_cache_control
from django.utils.functional import LazyObject, empty

from clusters.services.health import WATCHERS

logger = logging.getLogger(__name__)
HEADER = "X-Request-ID"
_VALID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


UNUSED = ", ".join(
    f"{name}=()"
    for name in ("camera", "display-capture", "geolocation", "microphone", "payment", "usb", "browsing-topics")
)


class RequestLog:
    """The outermost middleware: names the request in all its log lines and in its answer, and times it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get(HEADER, "")
        name = given if _VALID.fullmatch(given) else uuid.uuid4().hex
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=name):
            is_known = request.method in METHODS
            response = self._get_response(request) if is_known else HttpResponseNotAllowed(METHODS)
            response[HEADER] = name
            response.setdefault("Permissions-Policy", UNUSED)
            if settings.SESSION_COOKIE_NAME in request.COOKIES or "Authorization" in request.headers:
                _keep_private(response)
            _note(request, response.status_code, (time.perf_counter() - started) * 1000)
        return response


def _keep_private(response: HttpResponseBase) -> None:
    """What a person was answered is for their browser alone; static files are everybody's."""
    said = response.get("Cache-Control", "")
    if not any(word in said for word in ("no-store", "private", "public")):
        patch_cache_control(response, private=True)


def _note(request: HttpRequest, status: int, ms: float) -> None:
    found = request.resolver_match
    is_watcher = found is not None and found.url_name in WATCHERS and status < 500
    fields = {
        "method": request.method if request.method in METHODS else "other",
        "route": f"/{found.route}" if found else "",  # none: a static file, or an address that is none
        "status": status,
        "ms": round(ms, 1),
        "user_id": _person(request),
    }
    logger.log(logging.DEBUG if is_watcher else logging.INFO, "request", extra=fields)


def _person(request: HttpRequest) -> int | None:
    """Whoever was recognised while the request was answered; nobody is looked up for the log's sake."""
    user = request.__dict__.get("user")
    if isinstance(user, LazyObject):
        wrapped = user.__dict__.get("_wrapped", empty)
        user = None if wrapped is empty else wrapped
    return getattr(user, "pk", None)
