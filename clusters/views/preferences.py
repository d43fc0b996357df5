"""How a person wants the pages to look: kept in a cookie and, for those who are signed in, in their profile."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from clusters.context_processors import THEMES, preferences
from clusters.services.profile import save_theme

YEAR_SECONDS = 365 * 24 * 3600


class PreferredUnit:
    """A page of a run whose address names no unit is shown in the reader's own.

    The unit is put into the page's query, so that its links and downloads name it: what is passed on shows the same
    to everybody. Scripts and other sites' frames get nats unless they ask.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        query = request.GET
        is_page = request.method in ("GET", "HEAD") and request.path.startswith("/runs/") and request.path[-1] == "/"
        if is_page and not query.get("unit") and query.get("embed") != "true" and preferences(request).unit == "bits":
            changed = query.copy()
            changed["unit"] = "bits"
            changed._mutable = False
            request.GET = changed  # type: ignore[assignment]
        return self._get_response(request)


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keep the chosen theme and go back to the page it was chosen on."""
    response = HttpResponseRedirect(_target(request))
    chosen = request.POST.get("theme", "")
    if chosen in THEMES:
        keep_theme(response, chosen)
        if request.user.is_authenticated:
            save_theme(request.user, chosen)
    return response


def keep_theme(response: HttpResponse, chosen: str) -> None:
    response.set_cookie("theme", chosen, max_age=YEAR_SECONDS, samesite="Lax", secure=settings.BEHIND_TLS)


@require_POST
def end_tour(request: HttpRequest) -> HttpResponse:
    """The first visit's tour was seen or closed: don't show it again."""
    response = HttpResponseRedirect(_target(request))
    response.set_cookie("tour", "seen", max_age=YEAR_SECONDS, samesite="Lax", secure=settings.BEHIND_TLS)
    return response


def _target(request: HttpRequest) -> str:
    """The page to go back to, if it is one of ours."""
    target = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if is_ours else "/"
