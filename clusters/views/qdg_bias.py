"""How far QDG can be trusted: experiments where the truth is known, how they are started, and what slopes mean."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods, require_safe

from clusters.charts import qdg_bias as figures
from clusters.forms.qdg_bias import FORMS, BiasForm, measured_slope
from clusters.htmx import render_page
from clusters.parameters import chosen
from clusters.queries import qdg_bias as queries
from clusters.queries.experiments import get_experiment, visible_experiments
from clusters.queries.qdg_bias import KINDS
from clusters.queries.rank_frequency import toy_slopes
from clusters.values.qdg_bias import Readout, read_backwards
from clusters.views import qdg_bias_parity, qdg_bias_toy, twins
from clusters.views.lab_forms import filled, start_own
from clusters.views.labs import MOST, answer_list, experiment_context, lab_context, start_preset
from clusters.views.qdg_bias_toy import readout_context
from compute.labs import LABS


@require_http_methods(["GET", "HEAD", "POST"])
def lab(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """What a measured slope says of the truth, presets that one click starts, and what was done."""
    if request.method == "POST":
        return _started(request)
    slope = measured_slope(request.GET)
    readout = read_backwards(toy_slopes(), slope) if slope is not None else None
    if twin:
        return _twin(request, twin, readout)
    kind = chosen(request.GET, "kind", KINDS, KINDS[0])
    forms = {one: form(initial=_initial(request, one)) for one, form in FORMS.items()}
    return _page(request, forms, readout, opened=kind if {"kind", "like"} & set(request.GET) else "")


def _started(request: HttpRequest) -> HttpResponse:
    if "preset" in request.POST:
        return start_preset(request, KINDS)
    kind = request.POST.get("kind", "")
    if kind not in FORMS:
        raise BadRequest(f"kind must be one of {', '.join(KINDS)}.")
    form = FORMS[kind](request.POST)
    forms = {one: form if one == kind else made(initial=_initial(request, one)) for one, made in FORMS.items()}
    return start_own(request, kind, form, lambda status: _page(request, forms, None, opened=kind, status=status))


def _initial(request: HttpRequest, kind: str) -> dict[str, Any]:
    """What fills one of the two forms; an address that speaks of the other leaves it as it is at first."""
    if request.GET.get("kind", KINDS[0]) != kind:
        return FORMS[kind].initial_of(LABS[kind].presets[0].config) | {"name": ""}
    return filled(request, kind, FORMS[kind])


def _page(
    request: HttpRequest, forms: dict[str, BiasForm], readout: Readout | None, *, opened: str,
    status: int = 200,
) -> HttpResponse:  # fmt: skip
    ctx = {
        **lab_context(request, KINDS),
        **readout_context(toy_slopes(), readout),
        "slopes": figures.slopes_chart(toy_slopes(), readout, number=1),
        "toy": toy_slopes(),
        "n_draws": len(toy_slopes().slopes[0]),
        "newest": queries.calibrating(request.user),
        "forms": [
            {"kind": kind, "title": LABS[kind].title, "form": form, "is_open": opened == kind,
             "starts": LABS[kind].presets}
            for kind, form in forms.items()
        ],
        **twins.links_context(request, "json", "csv"),
    }  # fmt: skip
    return render_page(request, "labs/qdg_bias.html", ctx, status=status)


def _twin(request: HttpRequest, twin: str, readout: Readout | None) -> HttpResponseBase:
    found = visible_experiments(request.user, KINDS)[:MOST]
    more = {"toy": vars(toy_slopes()), "readout": qdg_bias_toy.readout_payload(readout)}
    charts = [figures.slopes_chart(toy_slopes(), readout, number=1)]
    figure = request.GET.get("figure")
    return answer_list(twin, "qdg-bias", found, KINDS, payload=more, charts=charts, figure=figure)


@require_safe
def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """One experiment of either kind."""
    experiment = get_experiment(request.user, slug, KINDS)
    if not experiment.is_finished:
        if twin:
            return twins.answer(twin, name=experiment.slug, payload={"experiment": experiment.slug, "found": None})
        return render_page(request, "labs/open.html", experiment_context(request, experiment))
    page = qdg_bias_toy if experiment.kind == KINDS[0] else qdg_bias_parity
    return page.show(request, experiment, twin)


qdg_bias_urls: list[URLPattern] = [
    *twins.page("labs/qdg-bias", lab, "qdg-bias-lab"),
    *twins.page("labs/qdg-bias/<slug:slug>", show, "qdg-bias-experiment"),
    path("labs/qdg-bias/<slug:slug>/matrix-<str:theme>.png", qdg_bias_parity.picture, name="qdg-bias-picture"),
]
