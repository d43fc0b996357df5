"""Ranks as the authors of published clusters count them."""

from __future__ import annotations

from django import template

from clusters.models import Run

register = template.Library()


@register.filter
def published_rank(rank: int, run: Run) -> int | None:
    """The rank as the source of a run's labels counts it; None where the run was computed, or counts as we do."""
    source = run.manifest.get("source")
    origin = source.get("rank_origin") if isinstance(source, dict) else None
    return rank - 1 + origin if isinstance(origin, int) and origin != 1 else None
