"""The token finder: which predictions are learned suddenly, gradually, or never."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from clusters.charts import token as charts
from clusters.contexts import Reader
from clusters.models import Run, Token
from clusters.parameters import TOKEN_SORTS, token_list_query
from clusters.queries import tokens as reads
from clusters.queries.clusters import visible_run
from clusters.views.twins import answer, links_context, page

ROW_TOKENS = 16


def index(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """A page of clustered tokens."""
    run = visible_run(request.user, slug)
    asked = token_list_query(request.GET)
    found, has_more = reads.page_of_tokens(run, sort=asked.sort, answer=asked.answer, page=asked.page)
    if twin:
        head, rows = _rows_of(found)
        payload = {"page": asked.page, "has_more": has_more,
                   "tokens": [dict(zip(head, row, strict=True)) for row in rows]}  # fmt: skip
        return answer(twin, name=f"{slug}-tokens", payload=payload, head=head, rows=rows)
    ctx = {
        "run": run, "here": "tokens", "asked": asked, "sorts": TOKEN_SORTS, "has_more": has_more,
        "previous_page": asked.page - 1,
        "next_page": asked.page + 1, "hits": _hits(run, found), "sizes": run.manifest["sizes"],
    } | links_context(request, "json", "csv")  # fmt: skip
    return render(request, "tokens/index.html", ctx)


def _hits(run: Run, found: list[Token]) -> list[dict[str, Any]]:
    reader = Reader(run)
    indices = [token.flat_index for token in found]
    curves = reads.size_curves(run, indices)
    return [
        {
            "token": token,
            "context": reader.context(place, ROW_TOKENS),
            "spark": charts.token_spark(curve),
            "shape": charts.CLASS_SHAPES.get(token.curve_class, ""),
        }
        for token, place, curve in zip(found, reader.places(indices), curves, strict=True)
    ]


def _rows_of(found: list[Token]) -> tuple[list[str], list[list[Any]]]:
    head = ["index", "document", "position", "answer", "loss_nats", "monogenicity", "n_eff", "class"]
    rows = [
        [t.flat_index, t.document, t.position, t.answer, t.loss_nats, t.monogenicity, t.n_eff, t.curve_class]
        for t in found
    ]
    return head, rows


finder_urls = [*page("runs/<slug:slug>/tokens", index, "tokens")]
