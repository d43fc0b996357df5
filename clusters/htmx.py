"""The only file that reads htmx's headers."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers


def wants_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of the page; Back and boosted links get the whole page."""
    headers = request.headers
    return (
        headers.get("HX-Request") == "true"
        and headers.get("HX-History-Restore-Request") != "true"
        and headers.get("HX-Boosted") != "true"
    )


def render_page(
    request: HttpRequest, template: str, ctx: dict[str, Any], *, fragment: str | None = None, status: int = 200
) -> HttpResponse:
    """Render the page, or its fragment where htmx asks for one."""
    name = fragment if fragment and wants_fragment(request) else template
    response = render(request, name, ctx, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def stop_polling(response: HttpResponse) -> HttpResponse:
    """Tell a polling element that this was the last answer."""
    response.status_code = 286
    return response


def redirect_to(request: HttpRequest, address: str) -> HttpResponse:
    """Send the browser to another page, whether it asked by itself or through htmx."""
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=204, headers={"HX-Redirect": address})
    return HttpResponse(status=302, headers={"Location": address})
