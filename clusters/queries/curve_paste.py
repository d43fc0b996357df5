"""What is known of a curve that somebody pasted: worked out once for all who look at the same numbers."""

from __future__ import annotations

import math

from clusters.stored.recent import Recent
from clusters.stored.turns import Turns
from clusters.values.readings import Unit
from compute.curve_text import Points
from compute.numerics.fits import CurveReading, read_curve

_recent: Recent[CurveReading] = Recent(64)
_fitting = Turns()  # one fit of broken laws at a time


def is_read(points: Points, unit: Unit) -> bool:
    """Whether the reading of these points is kept, so that it takes no time."""
    return _recent.known(_key(points, unit)) is not None


def reading_of(points: Points, unit: Unit) -> CurveReading:
    """Scores, laws and theories' readings of the points, whose losses are in this unit; BeingPrepared after a wait."""
    x, losses = key = _key(points, unit)
    known = _recent.known(key)
    if known:
        return known
    with _fitting.taken():
        return _recent.get(key, lambda: read_curve(x, losses))


def _key(points: Points, unit: Unit) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scales, and losses in nats."""
    factor = math.log(2) if unit == "bits" else 1.0
    return points.x, tuple(y * factor for y in points.y)
