"""Labels suggested for a cluster: from other clusterings, or by a language model."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import URLPattern

from clusters.models import Cluster


def suggestion_panel(request: HttpRequest, cluster: Cluster) -> dict[str, Any]:
    """What "suggestions/_panel.html" shows beside a cluster's label."""
    return {}


suggestion_urls: list[URLPattern] = []
