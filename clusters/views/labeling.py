"""Queues of clusters to label: mine, and the work as a whole."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import URLPattern

from clusters.models import Cluster


def queue_panel(request: HttpRequest, cluster: Cluster) -> dict[str, Any]:
    """What "labeling/_next.html" shows beside a cluster's label: the queue it is in, and what comes next."""
    return {}


labeling_urls: list[URLPattern] = []
