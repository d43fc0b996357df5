"""What the address of an experiment on sparse parity asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from django.core.exceptions import BadRequest
from django.http import Http404, QueryDict

from clusters.parameters import chosen, real_number, unit_of, whole_number
from clusters.values.parity import RESOURCES, Network, Resource, Sweep, Window
from clusters.values.readings import Unit

ENDS = {"N": ("n_from", "n_to"), "S": ("s_from", "s_to"), "D": ("d_from", "d_to")}  # names of the fields of windows
MOST_X = 1e15


@dataclass(frozen=True)
class Asked:
    """One α, one network, the windows that somebody typed, and how it is shown."""

    unit: Unit
    alpha: float
    network: Network | None  # None: the page chooses
    finite: Network | None  # of the part on finitely many samples
    windows: dict[str, Window]
    heat: Resource | None
    with_paper: bool


def asked_of(query: QueryDict, known: Sweep) -> Asked:
    """BadRequest or Http404 with a sentence for what the experiment does not have."""
    network = _network(query, "network", known)
    finite = _network(query, "finite", known)
    alpha = _alpha(query, known, network or finite)
    for one in (network, finite):
        if one is not None and one.alpha != alpha:
            raise Http404(
                f"Network {one.index} was trained at α = {one.alpha:g}, not at {alpha:g}. "
                f"Leave out alpha, or choose a network of α = {alpha:g}."
            )
    if finite is not None and finite.n_samples is None:
        raise BadRequest(
            f"finite is {finite.index}, but that network saw every batch once: it has no samples to repeat."
        )
    heat = query.get("heat")
    return Asked(
        unit=unit_of(query),
        alpha=alpha,
        network=network,
        finite=finite,
        windows={name: window for name, ends in ENDS.items() if (window := _window(query, *ends))},
        heat=next(one for one in RESOURCES if one == chosen(query, "heat", RESOURCES, "N")) if heat else None,
        with_paper=chosen(query, "paper", ("on", "off"), "on") == "on",
    )


def _alpha(query: QueryDict, known: Sweep, network: Network | None) -> float:
    text = query.get("alpha")
    if not text:
        return network.alpha if network else _usual(known)
    named = {f"{alpha:g}": alpha for alpha in known.alphas}
    if text not in named:
        raise BadRequest(f"alpha is {text[:20]!r}; this experiment was done at {', '.join(named)}.")
    return named[text]


def _usual(known: Sweep) -> float:
    """The paper's α where it was tried, else the first."""
    return next((alpha for alpha in known.alphas if math.isclose(alpha, 0.4)), known.alphas[0])


def _network(query: QueryDict, name: str, known: Sweep) -> Network | None:
    text = query.get(name)
    if not text:
        return None
    index = whole_number(text)
    if index is None or index >= len(known.networks):
        raise Http404(
            f"This experiment has no network “{text[:20]}”. "
            f"It trained {len(known.networks):,}, numbered from 0 to {len(known.networks) - 1:,}."
        )
    return known.networks[index]


def _window(query: QueryDict, first: str, last: str) -> Window | None:
    """None where both fields are empty; one alone leaves the other end open."""
    low, high = _number(query, first), _number(query, last)
    if low is None and high is None:
        return None
    window = Window(low if low is not None else 0.0, high if high is not None else MOST_X)
    if window.first >= window.last:
        raise BadRequest(
            f"{first} is {window.first:,.6g} and {last} {window.last:,.6g}; the first must be the smaller one."
        )
    return window


def _number(query: QueryDict, name: str) -> float | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    value = real_number(text)
    if value is None or not 0 <= value <= MOST_X:
        raise BadRequest(f"{name} is {text[:20]!r}; give a number from 0 to {MOST_X:g}.")
    return value
