"""Fitted laws as the page on scaling shows them: rows of tables, a few numbers on top."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from clusters.charts.numbers import compact, count, fixed, percent
from clusters.charts.scaling import LAW_STYLES, loss_range, loss_text, unit_factor
from clusters.models import Clustering, Run
from clusters.values.laws import LAW_NAMES, ClusterLaws, Fitted, NetworkLaw
from clusters.values.readings import Unit
from compute.numerics.bnsl import NARROWEST, is_determined, is_sharp
from compute.numerics.laws import LAWS, Trial
from compute.numerics.manifold import Dimension

FORMULAS = {  # pieces, every second one raised
    "power": ("b x", "−c₀"),
    "offset": ("a + b x", "−c₀"),
    "break-1": ("a + b x", "−c₀", " (1 + (x/d₁)", "1/f₁", ")", "−c₁f₁"),
    "break-2": ("the same with two breaks",),
    "break-3": ("the same with three breaks",),
}
BY_LAW = {
    "power": "by the power law",
    "offset": "by the law with a floor",
    "break-1": "by the law with one break",
    "break-2": "by the law with two breaks",
    "break-3": "by the law with three breaks",
}
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
VAGUE_TEXT = "not determined"


def law_rows(found: Fitted, unit: Unit) -> list[dict[str, Any]]:
    """One row a law, also for those that had too few points."""
    best = found.comparison.best
    rows = []
    for trial in found.comparison.trials:
        row: dict[str, Any] = {
            "name": LAW_NAMES[trial.name], "formula": FORMULAS[trial.name], "n": LAWS[trial.name],
            "is_best": best is not None and best.name == trial.name, "css": f"f{LAW_STYLES[trial.name][0]}",
        }  # fmt: skip
        if trial.law is None:
            row["missing"] = f"needs {trial.n_needed} points; the window holds {found.comparison.n_points}"
        else:
            smallest = min(point.mean_nats for point in found.inside)
            expected = float(trial.law.predict(found.next_x)) * unit_factor(unit)
            row |= {
                "parameters": _parameters(trial, unit, smallest), "rms": percent(trial.rms),
                "held_out": _held_out(trial, found), "next": f"{loss_text(expected)} {unit}",
            }  # fmt: skip
        rows.append(row)
    untried = [name for name in LAWS if name not in {trial.name for trial in found.comparison.trials}]
    return rows + [
        {
            "name": LAW_NAMES[name],
            "formula": FORMULAS[name],
            "css": f"f{LAW_STYLES[name][0]}",
            "missing": "not fitted yet",
        }
        for name in untried
    ]


def _held_out(trial: Trial, found: Fitted) -> str:
    if math.isfinite(trial.held_out_rms):
        return percent(trial.held_out_rms)
    n_known = found.comparison.n_points - found.comparison.n_held_out
    return f"needs {trial.n_needed} other points; has {n_known}"


def _parameters(trial: Trial, unit: Unit, smallest: float) -> list[dict[str, str]]:
    """Name, value and interval of every number that the law is made of; a floor lies below the smallest loss."""
    law, factor = trial.law, unit_factor(unit)
    if law is None:
        return []
    left_out = {"b", "a"} if trial.name == "power" else {"b"}  # b is the level at x = 1, far from every point
    found = []
    for name in sorted(law.parameters.keys() - left_out, key=lambda name: (name[1:] or "0", name[0] == "a")):
        value, scale = law.parameters[name], factor if name == "a" else 1.0
        low, high = trial.intervals.get(name, (math.nan, math.nan))
        if name == "a":
            low, high = max(low, 0.0), min(high, smallest)
        text, interval = _number(name, value * scale), _interval(name, low * scale, high * scale)
        if name[0] == "f" and is_sharp(value):
            text, interval = "", f"sharper than {NARROWEST}"
        if interval == VAGUE_TEXT:  # such a value would say more than is known
            text = ""
        found.append({"name": name.translate(SUBSCRIPTS), "value": text, "interval": interval})
    return found


def _number(name: str, value: float) -> str:
    return compact(value) if name[0] == "d" else fixed(value, 3 if name[0] == "c" else 2)


def _interval(name: str, low: float, high: float) -> str:
    """Where the truth may lie; "not determined" where that is nearly anywhere."""
    if math.isnan(low):
        return "no interval"
    if not is_determined(name, low, high):
        return VAGUE_TEXT
    return f"{_number(name, low)} to {_number(name, high)}"


def summary(found: Fitted, unit: Unit, letter: str) -> dict[str, str]:
    """The numbers over the table: the plain exponent, the law that foretells best, what is expected next."""
    power, best = found.comparison.trials[0], found.comparison.best
    low, high = power.intervals.get("c0", (math.nan, math.nan))
    interval = f"{fixed(low, 3)} to {fixed(high, 3)}" if math.isfinite(low) else "no interval"
    values = {
        "letter": letter, "alpha": fixed(power.law.exponent, 3) if power.law else "–", "interval": interval,
        "n": f"{count(found.comparison.n_points)} points from {compact(found.inside[0].x)} to "
             f"{compact(found.inside[-1].x)}",
    }  # fmt: skip
    if letter == "N" and found.manifold:
        values |= {"dimension": fixed(found.manifold.value, 1), "dimension_interval": _dimensions(found.manifold)}
    if best and best.law:
        values["best"] = BY_LAW[best.name]
    spread = found.comparison.spread_at(found.next_x)
    if spread:
        factor = unit_factor(unit)
        law = (best or found.comparison.fitted[0]).law
        values["next"] = loss_text(float(law.predict(found.next_x)) * factor) if law else "–"
        values["spread"] = f"laws: {loss_range(spread, factor)}"
    return values


def _dimensions(found: Dimension) -> str:
    if math.isnan(found.low):
        return "no interval"
    return f"{fixed(found.low, 1)} " + (f"to {fixed(found.high, 1)}" if math.isfinite(found.high) else "or more")


def network_rows(laws: list[NetworkLaw]) -> list[dict[str, Any]]:
    """The exponent of every network over its steps."""
    rows = []
    for law in laws:
        fit = law.fit
        n = sum(law.window.holds(point.x) for point in law.points)
        rows.append(
            {
                "lm": law.lm, "size": law.n_non_embedding, "n": n, "window": f"{count(law.window.first)}–"
                f"{count(law.window.last)}", "alpha": fixed(fit.alpha, 3) if fit else "–",
                "interval": f"{fixed(fit.low, 3)} to {fixed(fit.high, 3)}"
                            if fit and math.isfinite(fit.low) else "no interval",
                "r_squared": fixed(fit.r_squared, 3) if fit else "–",
            }
        )  # fmt: skip
    return rows


def cluster_rows(
    run: Run, clustering: Clustering | None, laws: ClusterLaws | None, sort: str, most: int
) -> list[dict[str, Any]]:
    """The first clusters in the order asked for, with their exponents and answers."""
    if clustering is None or laws is None:
        return []
    places = laws.known
    if sort != "rank":
        key = laws.alpha[places]
        places = places[np.argsort(key if sort == "flat" else -key, kind="stable")]
    shown = places[:most].tolist()
    rows = clustering.clusters.filter(rank__in=[place + 1 for place in shown])
    answers = {rank: (top, n) for rank, top, n in rows.values_list("rank", "top_answers", "n_answers")}
    return [
        {
            "rank": place + 1, "label": laws.labels[place], "size": laws.sizes[place],
            "alpha": fixed(float(laws.alpha[place]), 3), "r_squared": fixed(float(laws.r_squared[place]), 2),
            "interval": f"{fixed(float(laws.low[place]), 3)} to {fixed(float(laws.high[place]), 3)}"
                        if math.isfinite(laws.low[place]) else "no interval",
            "answers": [text for text, _ in answers[place + 1][0][:3]],
            "n_more": max(answers[place + 1][1] - 3, 0),
        }
        for place in shown
    ]  # fmt: skip


def laws_payload(found: Fitted | None, letter: str, **more: Any) -> dict[str, Any] | None:
    """Everything that was fitted, for the JSON twin."""
    if found is None:
        return None
    best = found.comparison.best
    if letter == "N":
        more["manifold_dimension"] = found.manifold and asdict(found.manifold)
    return {
        **more,
        "window": [found.window.first, found.window.last],
        "points": [[point.x, point.mean_nats, point.name] for point in found.points],
        "held_out": [point.name for point in found.held_out],
        "best": best.name if best else None,
        "laws": [asdict(trial) for trial in found.comparison.trials],
        "next": {"x": found.next_x, "spread_nats": found.comparison.spread_at(found.next_x)},
    }
