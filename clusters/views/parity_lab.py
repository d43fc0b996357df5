"""The lab of multitask sparse parity: its presets, settings of one's own, and its experiments."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern
from django.views.decorators.http import require_http_methods

from clusters.forms.parity_start import ParityForm
from clusters.htmx import render_page
from clusters.queries.experiments import visible_experiments
from clusters.views import twins
from clusters.views.lab_forms import filled, start_own
from clusters.views.labs import MOST, answer_list, lab_context, start_preset
from clusters.views.parity import KIND, parity_urls
from compute.labs.parity import LAB

FOLDED = ("fit_from", "fit_to", "n_stacked")


@require_http_methods(["GET", "HEAD", "POST"])
def lab(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """Presets that one click starts, a form of all settings, and what was done."""
    if twin:
        return answer_list(twin, "parity", visible_experiments(request.user, [KIND])[:MOST], [KIND])
    if request.method == "POST" and "preset" in request.POST:
        return start_preset(request, [KIND])
    if request.method == "POST":
        form = ParityForm(request.POST)
        return start_own(request, KIND, form, lambda status: _page(request, form, status))
    return _page(request, ParityForm(initial=filled(request, KIND, ParityForm)))


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
