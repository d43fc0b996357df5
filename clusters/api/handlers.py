"""Addresses under /api/ that are none, and what breaks there: in the API's one shape, not as pages."""

from __future__ import annotations

import sys

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect, JsonResponse
from django.urls import is_valid_path, resolve
from django.views.decorators.csrf import csrf_exempt

from clusters.views import errors as pages
from clusters.views.outage import outage_of

PREFIX = "/api/"
_BROKEN = "Something went wrong here; it was written to the server's log. Ask again, or tell whoever runs this site."


@csrf_exempt
def nowhere(request: HttpRequest, path: str) -> HttpResponse:
    """The last of the API's addresses: every other one. A read that lacks the last slash is sent on."""
    is_place = not path.endswith("/") and is_valid_path(f"{request.path_info}/") and not _leads_here(f"{path}/")
    if is_place and request.method in ("GET", "HEAD"):
        return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
    hint = f"Addresses end with a slash: {request.path}/." if is_place else "The schema lists them: /api/schema/."
    return _error(404, "not_found", f"There is no address {request.path[:200]} in the API. {hint}")


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if not _is_api(request):
        return pages.bad_request(request, exception)
    return _error(400, "bad_request", f"The request cannot be read{f': {exception}' if settings.DEBUG else ''}.")


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if not _is_api(request):
        return pages.forbidden(request, exception)
    return _error(403, "permission_denied", str(exception or "You may not do that."))


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if not _is_api(request):
        return pages.not_found(request, exception)
    return _error(404, "not_found", f"There is no address {request.path[:200]} in the API.")


def server_error(request: HttpRequest) -> HttpResponse:
    """A bug; or the database went away while a middleware asked it."""
    if not _is_api(request):
        return pages.server_error(request)
    outage = outage_of(sys.exc_info()[1])
    if outage is None:
        return _error(500, "error", _BROKEN)
    response = _error(503, "unavailable", f"{outage.title}. {outage.sentence}")
    response["Retry-After"] = str(outage.retry_seconds)
    return response


def _leads_here(path: str) -> bool:
    return resolve(f"{PREFIX}{path}").func is nowhere


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(PREFIX) and not request.path_info.startswith(f"{PREFIX}docs/")  # pages


def _error(status: int, code: str, message: str) -> HttpResponse:
    said = {"status": status, "code": code, "message": message}
    return JsonResponse({"error": said}, status=status, json_dumps_params={"ensure_ascii": False})
