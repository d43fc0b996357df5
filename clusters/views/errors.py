"""Pages for what went wrong: each says what and what to do."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable

from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import Resolver404, reverse
from django.utils.cache import patch_vary_headers

from clusters.context_processors import THEMES
from clusters.htmx import wants_fragment
from clusters.stored.arrays import forget_bundles
from clusters.views.outage import Outage, outage_of
from compute.errors import BeingPrepared, BundleError

logger = logging.getLogger(__name__)
RETRY_S = 5


class NotFound(Http404):
    """Something named in the address doesn't exist: says which, and where one may go instead."""

    def __init__(self, sentence: str, *, advice: str = "", href: str = "", text: str = "") -> None:
        super().__init__(sentence)
        self.advice = advice
        self.place = {"href": href, "text": text} if href else None


class UnreadableBundles:
    """Answers where a bundle was moved away or cut short while its run was open: the next page opens it anew."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, BundleError):
            return None
        logger.error("%s: %s", request.path, exception)
        forget_bundles()
        advice = "Its bundle was moved away, altered or cut short. Put it back, then open this page again."
        return not_found(request, NotFound("The data of this run cannot be read", advice=advice))


class Unprepared:
    """Answers where what a page shows is still worked out for somebody else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, BeingPrepared):
            return None
        response = _page(request, 503, {"reason": str(exception), "advice": "Try again in a moment."})
        response["Retry-After"] = str(RETRY_S)
        return response


class DatabaseAway:
    """Answers while the database cannot be reached, is too busy, or has no room: 503, and when to ask again."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        outage = outage_of(exception)
        return None if outage is None else unavailable(request, outage)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 400, {"reason": _sentence(exception)})


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 403, {"reason": _sentence(exception)})


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    reason, _, rest = _sentence(exception).partition(". ")
    ctx = {
        "reason": reason.removesuffix("."),
        "advice": getattr(exception, "advice", "") or rest,
        "place": getattr(exception, "place", None) or _lab(request),
        "path": request.path,
    }
    return _page(request, 404, ctx)


def _lab(request: HttpRequest) -> dict[str, str] | None:
    """Where an address in the laboratory leads back to."""
    is_lab = request.path.startswith("/labs/") and request.path != "/labs/"
    return {"href": reverse("clusters:labs"), "text": "Laboratory"} if is_lab else None


def server_error(request: HttpRequest) -> HttpResponse:
    """Answered without the database, which may be what broke, in a middleware too."""
    if outage := outage_of(sys.exc_info()[1]):
        return unavailable(request, outage)
    return HttpResponse(render_to_string("errors/500.html", {"theme": "auto"}), status=500)


def unavailable(request: HttpRequest, outage: Outage) -> HttpResponse:
    """A page, a part of one, or JSON, made without a query."""
    logger.warning("%s: %s", request.path, outage.title)
    again = request.method in ("GET", "HEAD")
    ctx: dict[str, object] = {"reason": outage.title, "advice": outage.sentence, "outage": outage, "again": again}
    if getattr(request, "is_embedded", False) or request.GET.get("embed") == "true":
        response = _alone(request, 503, ctx)
    elif request.path.endswith(".json"):
        response = _as_json(request, 503, ctx)
    elif wants_fragment(request):
        response = HttpResponse(render_to_string("errors/_outage.html", ctx), status=503)
    else:
        theme = request.COOKIES.get("theme", "auto")
        page = ctx | {"theme": theme if theme in THEMES else "auto"}
        response = HttpResponse(render_to_string("errors/outage.html", page), status=503)
    response["Retry-After"] = str(outage.retry_seconds)
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["HX-Request"])
    return response


def _page(request: HttpRequest, status: int, ctx: dict[str, object]) -> HttpResponse:
    if getattr(request, "is_embedded", False):
        return _alone(request, status, ctx)
    if request.path.endswith(".json"):
        return _as_json(request, status, ctx)
    return render(request, f"errors/{status}.html", ctx, status=status)


def _as_json(request: HttpRequest, status: int, ctx: dict[str, object]) -> HttpResponse:
    said = [text for text in (ctx.get("reason"), ctx.get("advice")) if text]
    message = ". ".join(map(str, said)) or f"{request.path} is not here."
    told = json.dumps({"error": {"status": status, "message": message}})
    return HttpResponse(told, content_type="application/json", status=status)


def _alone(request: HttpRequest, status: int, ctx: dict[str, object]) -> HttpResponse:
    """For a frame on another site: knows nobody and sets no cookie, as the figure would."""
    text = render_to_string("errors/alone.html", ctx | {"theme": request.GET.get("theme", "")})
    response = HttpResponse(text, status=status)
    response.xframe_options_exempt = True
    response._csp_replace = {"frame-ancestors": ["*"]}  # type: ignore[attr-defined]
    return response


def _sentence(exception: Exception | None) -> str:
    """What the exception tells a person; nothing where it speaks of code."""
    if exception is None or isinstance(exception, (Resolver404, SuspiciousOperation)):
        return ""
    text = str(exception)
    return "" if "matches the given query" in text else text
