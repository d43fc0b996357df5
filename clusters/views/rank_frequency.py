"""How the sizes of clusters fall with rank."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase


def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    raise NotImplementedError
