"""Scaling exponents across studies, people's own entries, and what was measured here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from clusters.charts.exponents import exponents_chart
from clusters.charts.numbers import NOTHING, fixed
from clusters.forms.exponents import FALLING, ExponentQuery, StudyForm, exponent_query
from clusters.htmx import render_page
from clusters.models import Study
from clusters.parameters import changed
from clusters.queries import exponents as reads
from clusters.services import exponents as services
from clusters.values.exponents import ORIGINS, OURS, PUBLISHED, SORTS, Measurement, sorted_by
from clusters.views import twins

HEAD = (
    "origin", "source", "task", "year", "domain", "alpha_N", "alpha_N_low", "alpha_N_high", "alpha_D", "alpha_D_low",
    "alpha_D_high", "alpha_S", "alpha_S_low", "alpha_S_high", "predicted_alpha_D", "dimension", "note", "link",
)  # fmt: skip
NUMERIC = ("n", "d", "s", "predicted", "dimension")
PREDICTED = ("Kaplan et al.", "Hoffmann et al.")  # whose alpha_D the theory is asked for, among the facts
FULLEST = "Rosenfeld et al."  # the study with most tasks


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """All exponents as a table and a figure; a POST adds an entry."""
    form = StudyForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        if not request.user.is_authenticated:
            return redirect_to_login(reverse("clusters:exponents"))
        if _is_saved(form, lambda values: services.add_study(request.user, **values)):
            messages.success(request, f"“{form.cleaned_data['name']}” stands in the table now.")
            return HttpResponseRedirect(reverse("clusters:exponents"))
    rows = reads.measurements(request.user)
    domains = sorted({row.domain for row in rows if row.domain})
    asked = exponent_query(request.GET, domains)
    shown = [row for row in rows if not asked.domain or row.domain == asked.domain]
    shown = sorted_by(shown, asked.sort, is_falling=asked.is_falling)
    chart = exponents_chart(shown, number=1)
    if twin:
        payload = {
            "collected_by": reads.provenance(),
            "exponents": [row.as_json() for row in shown],
            "figures": [chart],
        }
        return twins.answer(
            twin, name="exponents", head=HEAD, rows=map(_cells, shown), charts=[chart],
            payload=payload if twin == "json" else None, figure=request.GET.get("figure"),
        )  # fmt: skip
    ctx = {
        "here": "labs", "asked": asked, "chart": chart, "facts": _facts(rows), "rows": list(map(_row, shown)),
        "columns": _columns(request, asked), "domains": _domains(request, asked, domains), "form": form,
        "provenance": reads.provenance(), "n_all": len(rows), **twins.links_context(request, "json", "csv"),
    }  # fmt: skip
    return render_page(request, "exponents/show.html", ctx, status=422 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: HttpRequest, pk: int) -> HttpResponse:
    """One's own entry: changed, or deleted."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.path)
    study = reads.own_study(request.user, pk)
    if request.method == "POST" and request.POST.get("action") == "delete":
        services.delete_study(request.user, study)
        messages.success(request, f"“{study.name}” is deleted.")
        return HttpResponseRedirect(reverse("clusters:exponents"))
    form = StudyForm(request.POST if request.method == "POST" else None, initial=_initial(study))
    if request.method == "POST" and _is_saved(
        form, lambda values: services.change_study(request.user, study, **values)
    ):
        messages.success(request, f"“{form.cleaned_data['name']}” is changed.")
        return HttpResponseRedirect(reverse("clusters:exponents"))
    ctx = {"here": "labs", "study": study, "form": form}
    return render_page(request, "exponents/change.html", ctx, status=422 if form.errors else 200)


def _is_saved(form: StudyForm, save: Any) -> bool:
    """Whether the form's values were kept; otherwise it says why not."""
    if not form.is_valid():
        return False
    try:
        save(form.values())
    except ValidationError as error:
        for name, said in error.message_dict.items() if hasattr(error, "error_dict") else [(None, error.messages)]:
            form.add_error(name, said)
        return False
    return True


def _initial(study: Study) -> dict[str, Any]:
    return {name: getattr(study, name) for name in services.FIELDS}


def _facts(rows: Sequence[Measurement]) -> list[dict[str, str]]:
    """What the published rows say as a whole."""
    published = [row for row in rows if row.origin == PUBLISHED]
    fullest = [row for row in published if row.source == FULLEST]
    below = sum(bool(row.is_below) for row in fullest)
    ours = sum(row.origin in OURS for row in rows)
    facts = [
        {
            "name": "published laws",
            "value": str(len(published)),
            "sub": f"of {len({r.source for r in published})} studies",
        },
        {
            "name": f"below the diagonal, {FULLEST}",
            "value": f"{below} of {len(fullest)}",
            "sub": "flatter over data than over parameters",
        },
    ]
    for row in published:
        if row.source in PREDICTED:
            facts.append({
                "name": f"predicted over data, {row.source} {row.year}", "value": fixed(row.predicted, 4),
                "sub": f"measured {fixed(row.alpha_d, 3)}",
            })  # fmt: skip
    return [*facts, {"name": "measured here", "value": str(ours), "sub": "runs and experiments"}]


def _columns(request: HttpRequest, asked: ExponentQuery) -> list[dict[str, Any]]:
    """Heads of columns as links that sort by them, and turn the order where they already do."""
    return [
        {
            "key": key, "is_number": key in NUMERIC, "is_on": key == asked.sort,
            "order": "descending" if asked.is_falling else "ascending",
            "href": changed(request.path, request.GET, sort=None if key == "source" else key,
                            order=FALLING if key == asked.sort and not asked.is_falling else None) + "#h-table",
        }
        for key in SORTS
    ]  # fmt: skip


def _domains(request: HttpRequest, asked: ExponentQuery, domains: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"text": name or "all", "is_on": name == asked.domain,
         "href": changed(request.path, request.GET, domain=name or None)}
        for name in ("", *domains)
    ]  # fmt: skip


def _row(row: Measurement) -> dict[str, Any]:
    space = row.dimension
    return {
        "row": row, "origin": ORIGINS[row.origin], "is_ours": row.origin in OURS,
        "n": _value(row.alpha_n), "n_interval": _span(row.interval_n), "d": _value(row.alpha_d),
        "d_interval": _span(row.interval_d), "s": _value(row.alpha_s), "s_interval": _span(row.interval_s),
        "predicted": fixed(row.predicted, 4),
        "dimension": fixed(space.value, 1) if space else NOTHING,
        "dimension_interval": _span((space.low, space.high), 1) if space else "",
    }  # fmt: skip


def _value(value: float | None) -> str:
    """An exponent with the digits that it was given with, three at least where it was fitted here."""
    if value is None:
        return NOTHING
    return f"{value:.3g}".replace("-", "−")


def _span(interval: tuple[float, float] | None, digits: int = 3) -> str:
    if interval is None or math.isnan(interval[0]) or math.isnan(interval[1]):
        return ""
    low, high = interval
    return f"from {fixed(low, digits)} on" if math.isinf(high) else f"{fixed(low, digits)} to {fixed(high, digits)}"


def _cells(row: Measurement) -> list[object]:
    ends: list[object] = []
    for value, interval in (
        (row.alpha_n, row.interval_n), (row.alpha_d, row.interval_d), (row.alpha_s, row.interval_s)
    ):  # fmt: skip
        ends += [value, *(interval or (None, None))]
    space = row.dimension.value if row.dimension else None
    return [row.origin, row.source, row.task, row.year, row.domain, *ends, row.predicted, space, row.note, row.link]


exponent_urls: list[URLPattern] = [
    *twins.page("exponents", show, "exponents"),
    path("exponents/<int:pk>/", change, name="exponent-change"),
]
