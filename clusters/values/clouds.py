"""Clouds of points whose intrinsic dimension was counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cloud:
    """Points of a run and their dimension; without one, the sentence that says why."""

    name: str
    unit: str  # of the radii
    n_points: int
    dimension: float | None = None
    low: float | None = None
    high: float | None = None
    radii: tuple[float, ...] = ()
    neighbours: tuple[float, ...] = ()
    problem: str = ""
