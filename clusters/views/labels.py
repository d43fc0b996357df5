"""Labels: the panel on a cluster's page, one label's history, the list of all."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import URLPattern

from clusters.models import Cluster


def label_panel(request: HttpRequest, cluster: Cluster) -> dict[str, Any]:
    """What "labels/_panel.html" shows beside a cluster's contexts."""
    return {}


label_urls: list[URLPattern] = []
