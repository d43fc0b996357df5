"""Counts every answer and its time by route, never by address: routes are few, and addresses hold what people typed."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from clusters.services.counters import REQUEST_SECONDS, RESPONSES
from clusters.services.health import WATCHERS

NOWHERE = "none"  # static files, and addresses that lead nowhere


class Measured:
    """A middleware near the outermost. Of a streamed answer the time to its beginning counts."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        since = time.perf_counter()
        response = self._get_response(request)
        found = request.resolver_match
        if found is None or found.url_name not in WATCHERS:
            route = f"/{found.route}" if found else NOWHERE
            RESPONSES.labels(route, str(response.status_code)).inc()
            REQUEST_SECONDS.labels(route).observe(time.perf_counter() - since)
        return response
