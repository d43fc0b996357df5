"""The quantization model live: every knob in the address, every number from its closed form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern
from django.views.decorators.http import require_safe

from clusters.charts import theory as figures
from clusters.charts import theory_bend as bends
from clusters.charts.chart import Chart
from clusters.charts.numbers import NOTHING, compact, count, fixed, percent
from clusters.forms.theory import TheoryQuery, case_choices, number_text, theory_query
from clusters.htmx import render_page, wants_fragment
from clusters.views import twins
from compute.numerics import quantization as model
from compute.numerics.knobs import BY_NAME, Knob, Knobs
from compute.numerics.manifold import dimension
from compute.numerics.quantization import RESOURCES

GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("world", "The world of quanta", ("alpha", "n_quanta", "a", "b", "gain")),
    ("cost", "What a quantum takes", ("capacity", "tau", "batch_size", "first_steps")),
    ("network", "One network", ("n_parameters", "n_samples", "n_steps")),
    ("measuring", "What one measures", ("window_first", "window_last", "resolution", "measured")),
)  # fmt: skip
USUALLY_OPEN = ("world", "cost")
PRESETS: tuple[tuple[str, str], ...] = (
    ("the theory, α = 0.4", ""),
    ("500 parity tasks", "n_quanta=500&first_steps=700&n_parameters=301502&n_samples=5000000&n_steps=200000"),
    ("language, α = 0.083", "alpha=0.083"),
    ("case 1", "case=removed"),
    ("case 2", "case=lowered"),
)
CASE_KNOBS = {"constant": ("a", "b"), "removed": (), "lowered": ("gain",)}  # the others stay out of the way
PLACEHOLDERS = {"n_quanta": "∞", "first_steps": "τ ζ / B", "window_last": "50", "measured": "none"}
HEAD = ("n", "use", "loss", "loss_integral", "loss_midpoint", "local_exponent")
CHECKED = (1, 10, 100, 1000)  # n of the small table of approximations
FIGURES = ("use", "loss", "errors", "over-parameters", "over-samples", "over-steps", "slopes", "bend", "window")


@require_safe
def show(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """The model with the knobs of the address; 400 with a sentence for each that means nothing."""
    asked = theory_query(request.GET)
    if twin and asked.problems:
        raise BadRequest(" ".join(asked.problems.values()))
    makers = _makers(asked.knobs)
    if twin:
        figure = request.GET.get("figure")
        drawn = twins.drawn(makers, figure)
        table = model.table_over_n(asked.knobs, model.n_grid(model.reach(asked.knobs)))
        return twins.answer(
            twin, name="theory", head=HEAD, rows=zip(*table.values(), strict=True), charts=drawn, figure=figure,
            payload=model.summary(asked.knobs) | {"over_n": table, "figures": drawn} if twin == "json" else None,
        )  # fmt: skip
    ctx = {
        "here": "labs",
        "groups": [_group(key, text, names, asked) for key, text, names in GROUPS],
        "cases": case_choices(asked.knobs),
        "presets": [_preset(request, text, query) for text, query in PRESETS],
        **_results(asked, makers),
        **twins.links_context(request, "json", "csv"),
    }
    status = 400 if asked.problems and not wants_fragment(request) else 200  # who still types is no wrong address
    return render_page(request, "theory/show.html", ctx, fragment="theory/_results.html", status=status)


def _makers(knobs: Knobs) -> dict[str, Callable[[], Chart]]:
    """What makes each figure, numbered as they are read."""
    found = model.measured_exponents(knobs)
    makers: tuple[Callable[..., Chart], ...] = (
        figures.use_chart, figures.loss_chart, figures.error_chart,
        *(partial(figures.resource_chart, resource=resource) for resource in RESOURCES), figures.slopes_chart,
        partial(bends.bend_chart, found=found), partial(bends.window_chart, found=found),
    )  # fmt: skip
    return {
        slug: partial(make, knobs, number=i)
        for i, (slug, make) in enumerate(zip(FIGURES, makers, strict=True), 1)
    }  # fmt: skip


def _results(asked: TheoryQuery, makers: dict[str, Callable[[], Chart]]) -> dict[str, Any]:
    """All that changes with the knobs."""
    said = model.summary(asked.knobs)
    return {
        "asked": asked,
        "problems": [_problem(name, text, asked) for name, text in asked.problems.items()],
        "charts": {slug.replace("-", "_"): make() for slug, make in makers.items()},
        "facts": _facts(asked.knobs, said),
        "checks": _checks(asked.knobs),
        "exponents": _exponents(said),
        "entropy": {"exact": fixed(said["entropy_nats"], 4), "integral": fixed(said["entropy_integral_nats"], 4)},
        "correction": _correction(asked.knobs, said),
        "worked_out": _worked_out(asked, said),
    }


def _worked_out(asked: TheoryQuery, said: dict[str, Any]) -> dict[str, str]:
    """What stands for fields that are empty, for their sliders."""
    found = {"first_steps": said["first_steps"], "window_last": said["knobs"]["window_last"]}
    return {name: f"{value:.4g}" for name, value in found.items() if name not in asked.texts and value is not None}


def _problem(name: str, sentence: str, asked: TheoryQuery) -> dict[str, str]:
    knob = BY_NAME.get(name)
    instead = _shown(knob, asked.knobs) if knob else asked.knobs.case
    return {"name": name, "sentence": sentence, "instead": instead}


def _shown(knob: Knob, knobs: Knobs) -> str:
    """What stands for a knob that meant nothing."""
    value = knobs.as_dict()[knob.name]
    if value is None:
        return {"n_quanta": "infinitely many", "first_steps": "τ ζ / B"}.get(knob.name, "none")
    return number_text(value)


def _group(key: str, text: str, names: tuple[str, ...], asked: TheoryQuery) -> dict[str, Any]:
    """Knobs that belong together; open where something in it is not as usual."""
    knobs = [
        {
            "knob": BY_NAME[name], "value": asked.typed(BY_NAME[name]), "problem": asked.problems.get(name, ""),
            "placeholder": PLACEHOLDERS.get(name, ""),
            "case": next((case for case, own in CASE_KNOBS.items() if name in own), ""),
        }
        for name in names
    ]  # fmt: skip
    return {
        "key": key,
        "text": text,
        "knobs": knobs,
        "is_open": key in USUALLY_OPEN or any(n in asked.texts for n in names),
    }


def _preset(request: HttpRequest, text: str, query: str) -> dict[str, Any]:
    href = f"{request.path}?{query}" if query else request.path
    return {"text": text, "href": href, "is_on": request.GET.urlencode() == query}


def _facts(knobs: Knobs, said: dict[str, Any]) -> list[dict[str, str]]:
    together, exact, measured = said["joint"], said["exponents"], said["measured_exponents"]
    limits = " and ".join(RESOURCES[one] for one in together["limited_by"])
    n = together["n"]
    whole = knobs.n_quanta is not None and n >= knobs.n_quanta
    window = f"over n = {count(knobs.window[0])}–{count(knobs.window[1])}" if knobs.window else "no window of n"
    if knobs.window and knobs.n_seen != knobs.n_quanta:
        window += f", of the first {count(knobs.n_seen)} quanta alone"
    loss, least = fixed(together["loss"], 3), fixed(said["unlearned_loss"], 3)
    seen = fixed(measured["parameters"], 3) if measured else NOTHING
    return [
        {"name": "quanta learned", "value": count(n) if n >= 10 else fixed(n, 1) if n else "0",
         "sub": "all that there are" if whole else f"limited by {limits}"},
        {"name": "mean loss", "value": loss, "sub": f"{least} with nothing learned"},
        {"name": "exponent over parameters", "value": fixed(exact["parameters"], 3), "sub": "α"},
        {"name": "over data, and over steps", "value": fixed(exact["data"], 3), "sub": "α / (1 + α)"},
        {"name": "exponent that one would measure", "value": seen, "sub": window},
    ]  # fmt: skip


def _checks(knobs: Knobs) -> list[dict[str, str]]:
    """The exact loss beside the approximations, at a few n."""
    there = [n for n in CHECKED if knobs.n_quanta is None or n <= knobs.n_quanta]
    table = model.table_over_n(knobs, there)
    return [
        {
            "n": count(n), "exact": fixed(exact, 6), "integral": fixed(integral, 6), "midpoint": fixed(midpoint, 6),
            "integral_error": _error(exact, integral), "midpoint_error": _error(exact, midpoint),
        }
        for n, exact, integral, midpoint in zip(
            there, table["loss"], table["loss_integral"], table["loss_midpoint"], strict=True
        )
    ]  # fmt: skip


def _error(exact: float, other: float) -> str:
    if exact <= 0:
        return NOTHING
    share = other / exact - 1
    return percent(abs(share)) if share else "0%"


def _exponents(said: dict[str, Any]) -> list[dict[str, str]]:
    """A row an exponent: the theory's, what the window shows, what other theories make of it."""
    exact, measured = said["exponents"], said["measured_exponents"] or {}
    rows = (
        ("parameters", "loss over parameters"),
        ("data", "loss over data, seen in several epochs"),
        ("steps", "loss over steps of a single epoch"),
        ("quanta_in_data", "quanta learned over data, and over steps"),
    )
    return [
        {"key": key, "law": law, "value": fixed(exact[key], 6), "measured": fixed(measured.get(key), 4)}
        for key, law in rows
    ]  # fmt: skip


def _correction(knobs: Knobs, said: dict[str, Any]) -> dict[str, str]:
    """What a measured exponent means: the α behind it, and the dimension that manifold theory reads off it."""
    asked = knobs.measured if knobs.measured is not None else knobs.alpha
    space = dimension(asked)
    return {
        "measured": "" if knobs.measured is None else f"{knobs.measured:g}",
        "alpha": "" if said["true_alpha"] is None else fixed(said["true_alpha"], 4),
        "problem": said["true_alpha_problem"],
        "exponent": f"{asked:g}",
        "dimension": fixed(space.value, 1),
        "parameters": compact(knobs.n_parameters),
    }


theory_urls: list[URLPattern] = [*twins.page("theory", show, "theory")]
