"""Search: text, expressions, answers and sequences of tokens, over the whole corpus or over clustered contexts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from clusters.forms.search import Asked, asked_of
from clusters.htmx import render_page, wants_fragment
from clusters.models import Run
from clusters.queries.clusters import visible_run
from clusters.queries.missing import Missing
from clusters.queries.runs import affinities_of, default_k, ks_of
from clusters.queries.search import contexts, corpus
from clusters.queries.search.examples import examples_of
from clusters.queries.search.hits import hits_of
from clusters.queries.search.text import can_search, text_of
from clusters.values.searching import MODES, MOST_HITS, NotSearchableError, Question
from clusters.views import search_parts as parts
from clusters.views.twins import answer, csv_response, links_context, page

PAGE_SIZE = 20
SECONDS, MORE_SECONDS, TABLE_SECONDS = 0.2, 0.1, 5.0
MORE = "rows"  # ?part=rows: the next rows alone, for the list that is open
HEAD = ("document", "first_position", "last_position", "token", "text", "loss_nats", "cluster")
CONTEXT_HEAD = ("place", "token", "document", "position", "answer", "loss_nats", "cluster", "context")


@dataclass(frozen=True)
class Listed:
    """What was found, and the rows of one page."""

    n: int
    is_over: bool
    n_searched: int
    n_whole: int  # documents or contexts
    rows: list[dict[str, Any]]
    after: tuple[int, int] | None

    @property
    def is_partial(self) -> bool:
        return not self.is_over and self.n_searched < self.n_whole


def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """The form, and what was found; what cannot be looked for is answered with a sentence."""
    run = visible_run(request.user, slug)
    if not can_search(run):
        if twin:
            raise Missing(f"“{run.name}” came without its corpus", "Compute the run here to search its text.")
        return render_page(request, "runs/search.html", {"run": run, "here": "search", "has_text": False})
    ks = {affinity: ks_of(run, affinity) for affinity in affinities_of(run)}
    asked = asked_of(request.GET, ks=ks, usual_k=default_k(run))
    try:
        question = asked.question
        if twin == "csv":
            _require(question)
            return _table(run, asked, question)
        is_more = not twin and request.GET.get("part") == MORE and wants_fragment(request)
        listed = _listed(run, asked, question, is_more=is_more) if question.text else None
    except NotSearchableError as error:
        if twin:
            raise BadRequest(str(error)) from error
        return _page(request, run, asked, ks, error=str(error), status=400)
    if twin:
        _require(question)
        return answer(twin, name=f"{slug}-search", payload=_payload(asked, question, listed, request.path))
    return _page(request, run, asked, ks, listed=listed)


def _require(question: Question) -> None:
    if not question.text:
        raise BadRequest("q is empty; say what to look for.")


def _page(
    request: HttpRequest, run: Run, asked: Asked, ks: dict[str, list[int]], *, listed: Listed | None = None,
    error: str = "", status: int = 200,
) -> HttpResponseBase:  # fmt: skip
    path = reverse("clusters:search", args=[run.slug])
    ctx = {
        "run": run, "here": "search", "has_text": True, "asked": asked, "listed": listed, "error": error, "part": MORE,
        "next_href": parts.href(path, replace(asked, after=listed.after)) if listed and listed.after else "",
    }  # fmt: skip
    if not (request.GET.get("part") == MORE and wants_fragment(request)):
        links = links_context(request, "json", "csv") if listed else links_context(request)
        ctx |= links | parts.frame(path, run, asked, ks, examples_of(run))
        ctx |= {"title": parts.title(asked, listed), "most": MOST_HITS, "n_modes": len(MODES[asked.place])}
        ctx["first_href"] = parts.href(path, replace(asked, after=None))
    return render_page(request, "runs/search.html", ctx, fragment="runs/_search_rows.html", status=status)


def _listed(run: Run, asked: Asked, question: Question, *, is_more: bool) -> Listed:
    return (
        _in_contexts(run, asked, question) if asked.place == "contexts" else _in_corpus(run, asked, question, is_more)
    )


def _in_corpus(run: Run, asked: Asked, question: Question, is_more: bool) -> Listed:
    """A page of hits; what stands behind it is looked for anew where nothing remembers it."""
    text = text_of(run)
    if asked.after is not None and asked.after[0] >= text.corpus.n_tokens:
        raise BadRequest("after lies behind the end of the corpus; leave it out for the first page.")
    whole = None if is_more else corpus.search(run, question, seconds=SECONDS)
    behind = whole.after(asked.after) if whole else None
    if behind is None or (
        asked.after and len(behind.first) <= PAGE_SIZE and (behind.is_over or not behind.is_complete)
    ):
        document = int(text.documents_of(np.array(asked.after[:1]))[0]) if asked.after else 0
        behind = corpus.look(
            run, question, seconds=MORE_SECONDS, from_document=document, most=PAGE_SIZE, after=asked.after
        )
    shown = replace(behind, first=behind.first[:PAGE_SIZE], last=behind.last[:PAGE_SIZE])
    after = None
    if len(behind.first) > PAGE_SIZE or (behind.is_over and len(shown.first)):
        after = (int(shown.first[-1]), int(shown.last[-1]))
    elif not behind.is_complete and behind.n_searched > 0:
        end = int(text.corpus.offsets[behind.n_searched]) - 1
        after = (end, end) if (end, end) > (asked.after or (-1, -1)) else None
    rows = parts.corpus_rows(run, asked, list(hits_of(run, shown, affinity=asked.affinity, k=asked.k)))
    counted = whole or behind
    return Listed(len(counted.first), counted.is_over, counted.n_searched, counted.n_documents, rows, after)


def _in_contexts(run: Run, asked: Asked, question: Question) -> Listed:
    found = contexts.search(run, question, seconds=SECONDS)
    at = asked.after[0] if asked.after else 0
    shown = contexts.excerpts(question, found.keys[at : at + PAGE_SIZE])
    after = (at + PAGE_SIZE, 0) if at + PAGE_SIZE < len(found.keys) else None
    rows = parts.context_rows(run, asked, shown, first=at + 1)
    return Listed(len(found.keys), False, found.n_searched, found.n_tokens, rows, after)


def _table(run: Run, asked: Asked, question: Question) -> HttpResponseBase:
    """All hits that are counted; the last line says where that is not all there are."""
    filename = f"{run.slug}-search.csv"
    if asked.place == "contexts":
        matches = contexts.search(run, question, seconds=TABLE_SECONDS)
        rows = parts.context_table(run, asked, matches.keys)
        end = _unsearched(matches.n_searched, matches.n_tokens, "contexts")
        return csv_response(filename, CONTEXT_HEAD, rows, end=end)
    found = corpus.search(run, question, seconds=TABLE_SECONDS)
    hits = hits_of(run, found, affinity=asked.affinity, k=asked.k)
    table: Iterator[list[object]] = (
        [hit.document, hit.first, hit.last, hit.index, hit.text, hit.loss_nats, hit.label] for hit in hits
    )
    end = "; there are more" if found.is_over else _unsearched(found.n_searched, found.n_documents, "documents")
    return csv_response(filename, HEAD, table, end=end)


def _unsearched(n_searched: int, n_whole: int, what: str) -> str:
    """What a table leaves out because its time was up; nothing where it is whole."""
    return f"; only {n_searched} of {n_whole} {what} were searched in time" if n_searched < n_whole else ""


def _payload(asked: Asked, question: Question, listed: Listed | None, path: str) -> dict[str, Any]:
    if listed is None:
        return {}
    unit = "documents" if asked.place == "corpus" else "contexts"
    return {
        "q": question.text, "in": asked.place, "mode": asked.mode, "ignores_case": question.ignores_case,
        "is_whole": question.is_whole, "k": asked.k, "affinity": asked.affinity,
        "n_hits": listed.n, "is_more_than_counted": listed.is_over,
        f"n_{unit}_searched": listed.n_whole if listed.is_over else listed.n_searched, f"n_{unit}": listed.n_whole,
        "is_complete": not listed.is_partial,
        "hits": [row["facts"] for row in listed.rows],
        "next": parts.href(path, replace(asked, after=listed.after)) if listed.after else None,
    }  # fmt: skip


search_urls = [*page("runs/<slug:slug>/search", show, "search")]
