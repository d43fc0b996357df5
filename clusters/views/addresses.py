"""Where clusters live; the affinity stands in an address only where it isn't the usual one."""

from __future__ import annotations

from django.urls import reverse

from clusters.models import Affinity


def cluster_address(slug: str, k: int, label: int, affinity: str) -> str:
    """A cluster's page."""
    return _with_affinity(reverse("clusters:cluster", args=[slug, k, label]), affinity)


def clusters_address(slug: str, k: int, affinity: str) -> str:
    """The list of a clustering's clusters."""
    return _with_affinity(reverse("clusters:clusters", args=[slug, k]), affinity)


def _with_affinity(path: str, affinity: str) -> str:
    return path if affinity == Affinity.SIGNED else f"{path}?affinity={affinity}"
