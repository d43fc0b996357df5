"""What the address of a run's page on dynamics asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from django.core.exceptions import BadRequest
from django.http import QueryDict

from clusters.parameters import real_number, ungrouped, unit_of, whole_number
from clusters.values.distributions import LN2
from clusters.values.facts import EMERGENCE_NATS
from clusters.values.laws import Window
from clusters.values.readings import Unit

MOST_NATS = 20.0


@dataclass(frozen=True)
class Asked:
    """The window of steps, if one was typed, the loss under which a cluster counts as learned, and the unit."""

    unit: Unit
    window: Window | None
    threshold: float  # in that unit

    @property
    def factor(self) -> float:
        """From nats to the unit."""
        return 1 / LN2 if self.unit == "bits" else 1.0

    @property
    def threshold_nats(self) -> float:
        return self.threshold / self.factor


def asked_of(query: QueryDict) -> Asked:
    """BadRequest with a sentence for what cannot be."""
    unit = unit_of(query)
    return Asked(unit, _window(query), _threshold(query, 1 / LN2 if unit == "bits" else 1.0, unit))


def _window(query: QueryDict) -> Window | None:
    """None where both fields are empty; one alone leaves the other end open."""
    first, last = (_step(query, name) for name in ("first", "last"))
    if first is None and last is None:
        return None
    window = Window(first or 1.0, last if last is not None else math.inf)
    if window.first >= window.last:
        raise BadRequest(f"first is step {window.first:,.0f} and last {window.last:,.0f}; first must be the smaller.")
    return window


def _step(query: QueryDict, name: str) -> float | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    value = whole_number(ungrouped(text))
    if value is None:
        raise BadRequest(f"{name} is {text[:20]!r}; give a training step as a whole number.")
    return float(value)


def _threshold(query: QueryDict, factor: float, unit: Unit) -> float:
    text = query.get("threshold", "")
    if not text:
        return round(EMERGENCE_NATS * factor, 3)
    value = real_number(text)
    if value is None or not 0 < value <= MOST_NATS * factor:
        raise BadRequest(f"threshold is {text[:20]!r}; give a loss above 0 and up to {MOST_NATS * factor:.4g} {unit}.")
    return value
