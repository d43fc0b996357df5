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
