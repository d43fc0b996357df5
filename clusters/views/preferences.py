"""How a person wants the pages to look, kept in a cookie."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from clusters.context_processors import THEMES

YEAR_SECONDS = 365 * 24 * 3600


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keep the chosen theme and go back to the page it was chosen on."""
    response = HttpResponseRedirect(_target(request))
    chosen = request.POST.get("theme", "")
    if chosen in THEMES:
        response.set_cookie("theme", chosen, max_age=YEAR_SECONDS, samesite="Lax", secure=settings.BEHIND_TLS)
    return response


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
