"""What the page of an experiment on sparse parity says around its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest

from clusters.charts.chart import Chart
from clusters.charts.numbers import count, fixed
from clusters.charts.parity_exponents import PAPER_SOURCE
from clusters.forms.parity import ENDS
from clusters.parameters import changed
from clusters.values.parity import NOUNS, RESOURCES, Law, Resource
from clusters.views.parity_figures import Read
from clusters.views.parity_missing import at_paper_scale, missing

TITLES = {
    "heat": "Which tasks are learned", "convergence": "When tasks are learned", "stopping": "Stopping early",
    "overfitting": "Too few samples", "grokking": "Fitting before generalising",
}  # fmt: skip


def page_context(
    request: HttpRequest, read: Read, charts: Mapping[str, Chart | None], later: Sequence[str]
) -> dict[str, Any]:
    """Everything but the experiment's masthead and progress; `later` names figures that come when they are seen."""
    why = missing(read)
    return {
        "read": read,
        "asked": read.asked,
        "exponent": f"{1 + read.alpha:.4g}",
        "alpha_text": f"{read.alpha:g}",
        "finding": _finding(read),
        "facts": _facts(read),
        "charts": charts,
        "later": {name: {"slug": name, "title": title} for name, title in TITLES.items() if name in later},
        "missing": {name.replace("-", "_"): text for name, text in why.items()},
        "alphas": _alphas(request, read),
        "networks": [(one.index, f"{read.name(one)}: {_learned(one.n_learned)}") for one in read.networks],
        "finite_networks": [(one.index, read.name(one)) for one in read.networks if one.n_samples is not None],
        "laws": _laws(request, read, charts, why),
        "counts": _later(later, why, "learned", "Tasks learned with more {}"),
        "heats": _heats(request, read),
        "sweeps": _later(later, why, "exponents", "Exponent over {} against α"),
        "exponent_names": [(one, NOUNS[one].removeprefix("training ")) for one in RESOURCES],
        "exponent_rows": _exponent_rows(read),
        "at_paper_scale": at_paper_scale(),
        "paper_source": PAPER_SOURCE,
        "paper_href": changed(request.path, request.GET, paper="off" if read.asked.with_paper else None),
    }


def _learned(n: int) -> str:
    return f"{count(n)} task{'' if n == 1 else 's'} learned"


def _finding(read: Read) -> str:
    """What came out, in the page's heading."""
    most, n_tasks = max(one.n_learned for one in read.networks), read.known.n_tasks
    if not most:
        return f"None of {count(n_tasks)} tasks is learned"
    many = f"{count(most)} of {count(n_tasks)} tasks {'is' if most == 1 else 'are'} learned"
    falls = [one for one in read.measured.values() if one and one.law.is_fitted and one.law.exponent > 0]
    straight = [one for one in falls if (one.law.r_squared or 0) > 0.95]
    if most > 1 and straight:
        return f"{many}; the loss over all of them falls as a power"
    return many


def _facts(read: Read) -> list[dict[str, str]]:
    """The numbers above the figures: name, value, and how sure."""
    networks, most = read.networks, max(one.n_learned for one in read.networks)
    n_diverged = sum(not one.is_sound for one in networks)
    sub = f"{count(n_diverged)} diverged" if n_diverged else f"at α = {read.alpha:g}"
    facts = [
        {"name": "networks trained", "value": count(len(networks)), "sub": sub},
        {"name": "tasks learned at best", "value": count(most), "sub": f"of {count(read.known.n_tasks)}"},
    ]
    return facts + [_exponent_fact(read, one) for one in RESOURCES]


def _exponent_fact(read: Read, resource: Resource) -> dict[str, str]:
    measured = read.measured[resource]
    name = {"letter": resource, "name": f"over {NOUNS[resource].removeprefix('training ')}"}
    if measured is None or not measured.law.is_fitted:
        return name | {"value": "–", "sub": "not measured here"}
    law = measured.law
    interval = f"{fixed(law.low)} to {fixed(law.high)}; " if law.has_interval else ""
    finite = f", finite K {fixed(law.finite_k)}" if law.finite_k is not None else ""
    return name | {"value": fixed(law.exponent), "sub": f"{interval}theory {fixed(law.theory)}{finite}"}


def _alphas(request: HttpRequest, read: Read) -> list[dict[str, Any]]:
    """The values of α to choose from; networks and windows of one say nothing of another."""
    gone = dict.fromkeys(("network", "finite", *(name for ends in ENDS.values() for name in ends)))
    return [
        {
            "text": f"{alpha:g}",
            "is_on": alpha == read.alpha,
            "href": changed(request.path, request.GET, alpha=f"{alpha:g}", **gone),
        }
        for alpha in sorted(read.known.alphas)
    ]


def _laws(
    request: HttpRequest, read: Read, charts: Mapping[str, Chart | None], why: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Every law's figure with the two fields of its window, or why there is none."""
    found = []
    for one in RESOURCES:
        slug, measured = f"loss-{one.lower()}", read.measured[one]
        part: dict[str, Any] = {"title": f"Loss over {NOUNS[one]}", "noun": NOUNS[one], "chart": charts.get(slug)}
        if measured is None:
            part["missing"] = why[slug]
        else:
            if measured.is_typed:
                part["reset"] = changed(request.path, request.GET, **dict.fromkeys(ENDS[one]))
            window = measured.window
            ends = (window.first, window.last) if window and not measured.is_typed else (None, None)
            part["fields"] = [
                {
                    "name": name,
                    "value": request.GET.get(name, ""),
                    "placeholder": "" if end is None else f"{end:.6g}",
                    "word": word,
                }
                for name, end, word in zip(ENDS[one], ends, ("from", "to"), strict=True)
            ]
        found.append(part)
    return found


def _later(slugs: Sequence[str], why: Mapping[str, str], kind: str, titles: str) -> list[dict[str, str]]:
    """A figure of this kind for every resource, which comes when it is seen, or why there is none."""
    return [
        {"slug": slug if (slug := f"{kind}-{one.lower()}") in slugs else "", "title": titles.format(NOUNS[one]),
         "missing": why.get(slug, "")}
        for one in RESOURCES
    ]  # fmt: skip


def _heats(request: HttpRequest, read: Read) -> list[dict[str, Any]]:
    return [
        {"text": NOUNS[one].removeprefix("training "), "is_on": one == read.heat,
         "href": changed(request.path, request.GET, heat=one)}
        for one in read.heats
    ]  # fmt: skip


def _exponent_rows(read: Read) -> list[dict[str, Any]]:
    """One row an α: measured, theory and finite K of every resource; nothing where there is one α."""
    if not read.sweeps:
        return []
    rows = []
    for alpha in sorted(read.known.alphas):
        laws = [read.known.law(one, alpha) for one in RESOURCES]
        rows.append({"alpha": f"{alpha:g}", "cells": [_cell(law) for law in laws]})
    return rows


def _cell(law: Law | None) -> dict[str, str]:
    if law is None or not law.is_fitted:
        return {"value": "–"}
    return {
        "value": fixed(law.exponent, 3),
        "interval": f"{fixed(law.low)} to {fixed(law.high)}" if law.has_interval else "",
        "theory": fixed(law.theory, 3), "finite": fixed(law.finite_k, 3),
    }  # fmt: skip
