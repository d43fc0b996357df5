"""The lab of multitask sparse parity: its presets, settings of one's own, and its experiments."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect
from django.urls import URLPattern
from django.views.decorators.http import require_http_methods

from clusters.forms.parity_start import ParityForm, initial_of
from clusters.htmx import render_page
from clusters.queries.experiments import get_experiment, visible_experiments
from clusters.services.experiments import start_experiment
from clusters.views import twins
from clusters.views.labs import HEAD, MOST, entry, lab_context, start_preset
from clusters.views.parity import KIND, parity_urls
from compute.errors import ConfigError
from compute.jobs.quotas import QuotaError
from compute.labs.frame import Preset
from compute.labs.parity import LAB, ParityConfig

FOLDED = ("fit_from", "fit_to", "n_stacked")


@require_http_methods(["GET", "HEAD", "POST"])
def lab(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """Presets that one click starts, a form of all settings, and what was done."""
    if twin:
        found = visible_experiments(request.user, [KIND])[:MOST]
        rows = [list(entry(one).values()) for one in found]
        presets = [{"preset": one.key, "title": one.title, "needs_gpu": one.needs_gpu, "config": one.config.to_json()}
                   for one in LAB.presets]  # fmt: skip
        payload = {"experiments": [dict(zip(HEAD, row, strict=True)) for row in rows], "presets": presets}
        return twins.answer(twin, name="parity", payload=payload, head=HEAD, rows=rows)
    if request.method == "POST" and "preset" in request.POST:
        return start_preset(request, [KIND])
    if request.method == "POST":
        return _start(request, ParityForm(request.POST))
    return _page(request, ParityForm(initial=_initial(request)))


def _start(request: HttpRequest, form: ParityForm) -> HttpResponse:
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    if not form.is_valid():
        return _page(request, form, status=422)
    try:
        made = start_experiment(
            request.user, KIND, form.config, name=form.cleaned_data["name"], is_private=form.cleaned_data["is_private"]
        )
    except (QuotaError, ValidationError) as error:
        form.add_error(None, error.messages[0] if isinstance(error, ValidationError) else str(error))
        return _page(request, form, status=409)
    messages.success(request, f"“{made.name}” waits for a worker; this page shows how far it is.")
    return redirect(made)


def _initial(request: HttpRequest) -> dict[str, Any]:
    """The fields as a preset, an earlier experiment, or the address itself fills them."""
    like = request.GET.get("like", "")
    preset = LAB.preset(like) if like else LAB.presets[0]
    config = _settings(preset) if preset else _earlier(request, like)
    return initial_of(config) | {"name": f"{config.name}-2"[:80] if like else ""} | _named(request.GET)


def _earlier(request: HttpRequest, slug: str) -> ParityConfig:
    """The settings of an experiment that this person may see; a preset's where they are of an older form."""
    experiment = get_experiment(request.user, slug, [KIND])
    try:
        return ParityConfig.from_json(experiment.config)
    except ConfigError:
        return _settings(LAB.presets[0])


def _settings(preset: Preset) -> ParityConfig:
    return ParityConfig.from_json(preset.config.to_json())


def _named(query: QueryDict) -> dict[str, str]:
    return {name: str(query[name]) for name in ParityForm.base_fields if name in query}


def _page(request: HttpRequest, form: ParityForm, status: int = 200) -> HttpResponse:
    ctx = {
        **lab_context(request, [KIND]),
        "form": form,
        "is_folded_wrong": any(name in form.errors for name in FOLDED),
        "is_asked": form.is_bound or bool(request.GET),
        "starts": [{"key": one.key, "title": one.title} for one in LAB.presets],
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "labs/parity.html", ctx, status=status)


parity_lab_urls: list[URLPattern] = [*twins.page("labs/parity", lab, "parity-lab"), *parity_urls]
