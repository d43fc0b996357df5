"""Where clusters live; the affinity stands in an address only where it isn't the usual one."""

from __future__ import annotations

from functools import lru_cache

from django.urls import get_script_prefix, get_urlconf, reverse

from clusters.models import Affinity


def cluster_address(slug: str, k: int, label: int, affinity: str) -> str:
    """A cluster's page."""
    return _with_affinity(_path("clusters:cluster", slug, k, label), affinity)


def clusters_address(slug: str, k: int, affinity: str) -> str:
    """The list of a clustering's clusters."""
    return _with_affinity(_path("clusters:clusters", slug, k), affinity)


def _path(name: str, *args: str | int) -> str:
    return _known(get_urlconf(), get_script_prefix(), name, *args)


@lru_cache(maxsize=8192)  # a page names dozens, and Django looks each up anew
def _known(urlconf: str | None, prefix: str, name: str, *args: str | int) -> str:
    return reverse(name, urlconf=urlconf, args=args)


def _with_affinity(path: str, affinity: str) -> str:
    return path if affinity == Affinity.SIGNED else f"{path}?affinity={affinity}"
