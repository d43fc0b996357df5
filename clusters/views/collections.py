"""Collections of clusters, tokens and filters."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import URLPattern

from clusters.models import Cluster, Run


def add_panel(
    request: HttpRequest, run: Run, cluster: Cluster | None = None, token: int | None = None
) -> dict[str, Any]:
    """What "collections/_add.html" shows: where this cluster, token or page can be kept."""
    return {}


collection_urls: list[URLPattern] = []
