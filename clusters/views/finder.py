"""The token finder: which of all predictions are learned at once, bit by bit, or never."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from clusters.charts.chart import Chart
from clusters.charts.finder import density_chart
from clusters.charts.numbers import percent
from clusters.contexts import has_text
from clusters.forms.finder import Asked, asked_of, lasso_text
from clusters.htmx import render_page, wants_fragment
from clusters.queries.clusters import visible_run
from clusters.queries.exports import tokens_table
from clusters.queries.finder.columns import Columns
from clusters.queries.finder.pages import page_of
from clusters.queries.finder.rows import TableRows
from clusters.queries.finder.search import density, facet_counts, search
from clusters.queries.missing import Missing
from clusters.values.finding import LEAST_SIZES, ORDERS, Criteria
from clusters.views.finder_parts import Parts, class_counts, dots
from clusters.views.twins import answer, links_context, page, stream

PAGE_SIZE = 20
ANSWERS = "answers"  # ?figure=answers: the commonest answers, loaded after the page
MORE = "rows"  # ?part=rows: the next rows alone, for the list that is open


def index(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """Predictions that satisfy thresholds, a lasso, facets; how many; the first of them."""
    run = visible_run(request.user, slug)
    if not has_text(run):
        if twin:
            raise Missing(f"“{run.name}” came without its corpus", "Compute the run here to look through its tokens.")
        return render_page(request, "tokens/no_corpus.html", {"run": run, "here": "tokens"})
    columns = Columns(run)
    asked = asked_of(request.GET, columns.offer)
    found = search(columns, asked.criteria)
    if twin == "csv" and not request.GET.get("figure"):
        return stream(request, tokens_table(columns, found, asked.shapes), twin)
    indices, after = page_of(columns, found, ORDERS[asked.sort], PAGE_SIZE, asked.after)
    parts = Parts(columns, asked, reverse("clusters:tokens", args=[slug]))
    next_href = parts.href(asked.other(after=after)) if after else ""
    if twin == "json":
        return answer(twin, name=f"{slug}-tokens", payload=_payload(parts, found.count, indices, next_href))
    figure = request.GET.get("figure")
    if twin and figure == ANSWERS:
        panel = ("tokens/_facet.html", {"run": run, "facet": parts.answers_facet()})
        return answer(twin, name=f"{slug}-tokens", payload=None, panels={ANSWERS: panel}, figure=figure)
    if twin:
        charts = _charts(columns, asked, indices)
        return answer(twin, name=f"{slug}-tokens", payload=None, charts=charts, figure=figure)
    ctx = {
        "run": run, "here": "tokens", "asked": asked, "n_found": found.count, "n": columns.n,
        "hits": parts.hits(indices), "next_href": next_href, "n_sizes": len(columns.sizes),
        "is_first": asked.after is None, "part": MORE,
    }  # fmt: skip
    is_more = request.GET.get("part") == MORE
    if not (is_more and wants_fragment(request)):
        ctx |= _frame(request, parts)
    fragment = "tokens/_rows.html" if is_more else "tokens/_finder.html"
    return render_page(request, "tokens/index.html", ctx, fragment=fragment)


def _frame(request: HttpRequest, parts: Parts) -> dict[str, Any]:
    """Everything around the list."""
    columns, asked, offer = parts.columns, parts.asked, parts.offer
    lasso = asked.criteria.lasso
    return links_context(request, "json", "csv") | {
        "title": _title(columns), "why_unscored": _why_unscored(columns), "rules": parts.rules(),
        "facets": parts.facets(facet_counts(columns, asked.criteria)), "orders": parts.orders(),
        "planes": parts.plane_links(), "plane": columns.planes.get(asked.plane), "units": parts.unit_links(),
        "chips": parts.chips(), "fields": parts.fields(), "hidden": parts.hidden(),
        "lasso": lasso_text(lasso) if lasso else "", "first_href": parts.href(asked.other()),
        "all_href": parts.path,
        "has_slope": {"slope", "r2"} <= offer.scores, "spark_over": parts.spark_over,
        "step_lm": columns.step_network.lm if columns.step_network else "", "spark_top": f"{parts.spark_top:g}",
    }  # fmt: skip


def _charts(columns: Columns, asked: Asked, indices: Sequence[int]) -> list[Chart]:
    plane = columns.planes.get(asked.plane)
    if plane is None:
        return []
    counts = facet_counts(columns, asked.criteria)
    classes = class_counts(counts, Parts(columns, asked, "").picked()) if columns.has_class else {}
    return [
        density_chart(
            density(columns, asked.criteria, plane), plane, asked.criteria,
            n_found=search(columns, asked.criteria).count, classes=classes,
            dots=dots(columns, asked, indices, reverse("clusters:tokens", args=[columns.run.slug])),
        )
    ]  # fmt: skip


def _title(columns: Columns) -> str:
    """What the run's classes say of all its predictions."""
    if not columns.has_class:
        return "Any prediction of the corpus"
    classes = class_counts(facet_counts(columns, Criteria()), [[], [], [], [], []])
    one, many = (percent(classes[name] / columns.n) for name in ("monogenic", "polygenic"))
    return f"{one} of tokens fall in one step, {many} bit by bit"


def _why_unscored(columns: Columns) -> str:
    """Why there is no plane to draw; "" where there is one."""
    if columns.planes:
        return ""
    n = len(columns.sizes)
    if n < LEAST_SIZES:
        return (
            f"A curve needs {LEAST_SIZES} sizes of network to tell one step from many, and this run has {n}. Tokens "
            "can be found by their losses; run more sizes of the suite to have scores."
        )
    return (
        "This run’s bundle brought no scores of curves. Compute it again with this version to have them; until then "
        "tokens can be found by their losses."
    )


def _payload(parts: Parts, n_found: int, indices: Sequence[int], next_href: str) -> dict[str, Any]:
    columns = parts.columns
    table = TableRows(columns, parts.asked.shapes)
    facets = {
        facet["key"]: {bar["text"]: bar["n"] for bar in (*facet["bars"], *facet["more"])}
        for facet in parts.facets(facet_counts(columns, parts.asked.criteria))
    }
    listed = table.of(np.asarray(indices, np.int64))
    return {
        "n_found": n_found, "n_predictions": columns.n, "sort": parts.asked.sort, "facets": facets,
        "tokens": [dict(zip(table.head, row, strict=True)) for row in listed],
        "next": next_href.replace("/tokens/?", "/tokens.json?") or None,
    }  # fmt: skip


finder_urls = [*page("runs/<slug:slug>/tokens", index, "tokens")]
