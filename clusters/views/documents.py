"""The page of a whole document, every token shaded by its loss under a chosen checkpoint."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from clusters.contexts import Reader
from clusters.parameters import context_view, page_number
from clusters.queries import documents as reads
from clusters.queries.clusters import visible_run
from clusters.views.twins import answer, links_context, page

TOKENS_A_PAGE = 2048


def show(request: HttpRequest, slug: str, number: str, twin: str | None = None) -> HttpResponseBase:
    """One document with the tokens that were clustered marked."""
    run = visible_run(request.user, slug)
    document = reads.document_number(run, number)
    asked = request.GET.get("checkpoint", "")
    checkpoint = reads.checkpoint_named(run, asked)
    facts = reads.facts_of(run, document, checkpoint["column"])
    reader = Reader(run, checkpoint["column"])
    clustered = reads.clustered_in(run, document)
    if twin:
        head = ["index", "position", "token", "loss_nats", "is_clustered"]
        first, last = (int(i) for i in reader.corpus.prediction_starts[document : document + 2])
        places = reader.places(range(first, last))
        rows = [[p.index, p.position, reader.answer(p), p.loss_nats, p.index in clustered] for p in places]
        payload = vars(facts) | {
            "checkpoint": f"{checkpoint['lm']}/{checkpoint['revision']}",
            "tokens": [dict(zip(head, row, strict=True)) for row in rows],
        }
        return answer(twin, name=f"{slug}-document-{document}", payload=payload, head=head, rows=rows)
    page = page_number(request.GET)
    start = (page - 1) * TOKENS_A_PAGE
    end = min(start + TOKENS_A_PAGE, facts.n_tokens)
    ctx = {
        "run": run, "here": "tokens", "facts": facts, "checkpoint": checkpoint, "page": page,
        "previous_page": page - 1, "next_page": page + 1,
        "checkpoints": run.manifest["checkpoints"], "view": context_view(request.GET),
        "boxes": reader.document(document, start, end, clustered) if start < end else [],
        "n_clustered": len(clustered), "first_shown": start + 1, "last_shown": end, "is_cut": start > 0,
        "has_more": end < facts.n_tokens, "n_documents": reader.corpus.n_documents,
        "keep": f"?{urlencode({'checkpoint': asked})}" if asked else "",
        "previous": document - 1 if document else None,
        "next": document + 1 if document + 1 < reader.corpus.n_documents else None,
    } | links_context(request, "json", "csv")  # fmt: skip
    return render(request, "documents/show.html", ctx)


document_urls = [*page("runs/<slug:slug>/documents/<str:number>", show, "document")]
