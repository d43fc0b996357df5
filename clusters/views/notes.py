"""Notes and bookmarks at tokens."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import URLPattern

from clusters.models import Run


def note_panel(request: HttpRequest, run: Run, index: int) -> dict[str, Any]:
    """What "notes/_panel.html" shows on a token's page."""
    return {}


note_urls: list[URLPattern] = []
