"""The page of a whole document, every token shaded by its loss under a checkpoint or by what two differ by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from clusters.charts import document as charts
from clusters.contexts import Reader, has_text, loss_shade, signed_shade
from clusters.htmx import render_page
from clusters.models import Run
from clusters.parameters import changed, chosen, context_view, page_number, selected_token
from clusters.queries import documents as reads
from clusters.queries.clusters import visible_run
from clusters.views.tokens import token_panel
from clusters.views.twins import answer, links_context, page

TOKENS_A_PAGE = 2048
MARKS = ("clusters", "class")


def show(request: HttpRequest, slug: str, number: str, twin: str | None = None) -> HttpResponseBase:
    """One document with the tokens that were clustered marked."""
    run = visible_run(request.user, slug)
    if not has_text(run):
        return _no_text(request, run, number, twin)
    document = reads.document_number(run, number)
    shown = _Shown(request, run, document)
    if twin:
        head, rows = shown.table()
        return answer(twin, name=f"{slug}-document-{document}", payload=shown.facts(), head=head, rows=rows,
                      figure=request.GET.get("figure"),
                      panels={"text": ("documents/_embedded.html", shown.context(request))})  # fmt: skip
    ctx = shown.context(request) | links_context(request, "json", "csv")
    return render_page(request, "documents/show.html", ctx, fragment="documents/_reading.html")


class _Shown:
    """What one address shows of a document."""

    def __init__(self, request: HttpRequest, run: Run, document: int) -> None:
        query = request.GET
        self.run, self.document = run, document
        self.checkpoint = reads.checkpoint_named(run, query.get("checkpoint", ""))
        other = query.get("against", "")
        self.against = reads.checkpoint_named(run, other) if other else None
        self.marks = chosen(query, "mark", MARKS, "clusters")
        self.view, self.page, self.token = context_view(query), page_number(query), selected_token(query)
        self.about = reads.facts_of(run, document)
        self.reader = Reader(run, checkpoint=self.checkpoint, against=self.against)
        self.losses, self.others = (
            reads.losses_in(run, document, column) for column in (self.reader.losses, self.reader.against)
        )
        self.clustered = reads.clustered_in(run, document)
        self.first = int(self.reader.corpus.prediction_starts[document])

    @property
    def values(self) -> np.ndarray:
        """Losses, or differences of losses, of every predicted token."""
        return self.losses - self.others if self.against else self.losses

    def facts(self) -> dict[str, Any]:
        found = charts.compared(self.values)
        head, rows = self.table()
        return vars(self.about) | {
            "checkpoint": _name(self.checkpoint),
            "against": _name(self.against) if self.against else None,
            "mean_loss_nats": _mean(self.losses),
            "mean_difference_nats": found.mean if self.against and found else None,
            "interval_nats": [found.low, found.high] if found else None,
            "tokens": [dict(zip(head, row, strict=True)) for row in rows],
        }

    def table(self) -> tuple[list[str], Iterator[list[Any]]]:
        """Every predicted token of the document."""
        head = ["index", "position", "token", "loss_nats", "is_clustered"]
        if self.against:
            head += ["other_loss_nats", "difference_nats"]
        places = self.reader.places(range(self.first, self.first + len(self.losses)))
        rows = (
            [p.index, p.position, self.reader.answer(p), p.loss_nats, p.index in self.clustered]
            + ([other, own - other] if self.against else [])
            for p, own, other in zip(places, self.losses.tolist(), self.others.tolist(), strict=True)
        )
        return head, rows

    def context(self, request: HttpRequest) -> dict[str, Any]:
        start = (self.page - 1) * TOKENS_A_PAGE
        end = min(start + TOKENS_A_PAGE, self.about.n_tokens)
        n_documents = self.reader.corpus.n_documents
        title, reading = self._words()
        return {
            "run": self.run, "here": "tokens", "facts": self.about, "checkpoint": self.checkpoint,
            "against": self.against, "view": self.view, "page": self.page, "marks": self.marks, "token": self.token,
            "mean_loss": _mean(self.losses), "title": title, "reading": reading, "strip": self._strip(),
            "boxes": self._boxes(start, end) if start < end else [], "n_clustered": len(self.clustered),
            "first_shown": start + 1, "last_shown": end, "is_cut": start > 0, "has_more": end < self.about.n_tokens,
            "previous_page": self.page - 1, "next_page": self.page + 1, "n_documents": n_documents,
            "previous": self.document - 1 if self.document else None,
            "next": self.document + 1 if self.document + 1 < n_documents else None,
            "keep": changed("", request.GET, page=None, token=None, figure=None), "choices": self._choices(request),
            "n_predicted": len(self.losses), "before": self.first - 1, "page_size": TOKENS_A_PAGE,
            "page_path": request.path, "panel": self._panel(request), "is_known": bool(np.isfinite(self.losses).any()),
        }  # fmt: skip

    def _panel(self, request: HttpRequest) -> dict[str, Any] | None:
        """The chosen token's curves and scores, where it stands in this document."""
        if self.token is None or not self.first <= self.token < self.first + len(self.losses):
            return None
        return token_panel(request, self.run, self.token)

    def _boxes(self, start: int, end: int) -> list[Any]:
        classes = reads.classes_in(self.run, self.document) if self.marks == "class" else {}
        marks = {index: f"is-{name}" for index, name in classes.items()}
        return self.reader.document(self.document, start, end, self.clustered, marks)

    def _words(self) -> tuple[str, str]:
        if self.against:
            return charts.difference_words(self.values, _said(self.checkpoint), _said(self.against))
        return charts.loss_words(self.losses, self.checkpoint.get("mean_loss_nats"), _said(self.checkpoint))

    def _strip(self) -> charts.Strip | None:
        values = self.values
        shade = signed_shade if self.against else loss_shade
        place = None if self.token is None else self.token - self.first
        return charts.strip(
            values, [shade(value if np.isfinite(value) else None) for value in values.tolist()],
            is_signed=self.against is not None, page=self.page, page_size=TOKENS_A_PAGE,
            place=place if place is not None and 0 <= place < len(values) else None,
        )  # fmt: skip

    def _choices(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The two checkpoints as links over networks and lists over their steps."""
        networks = reads.networks_of(self.run)
        rows = (("checkpoint", "Losses under", self.checkpoint), ("against", "minus those under", self.against))
        return [
            {
                "name": name, "text": text, "is_on": one is not None,
                "networks": [
                    {"lm": network.lm, "is_on": one is not None and network.lm == one["lm"],
                     "value": _name(network.nearest(one["step"] if one else self.checkpoint["step"]))}
                    for network in networks
                ],
                "steps": [
                    {"value": _name(c), "text": c["revision"] if c["step"] is None else f"{c['step']:,}",
                     "is_on": one is not None and c["revision"] == one["revision"]}
                    for network in networks if one is not None and network.lm == one["lm"]
                    for c in network.checkpoints
                ],
                "kept": [(key, value) for key, value in request.GET.items() if key not in (name, "figure")],
            }
            for name, text, one in rows
        ]  # fmt: skip


def _no_text(request: HttpRequest, run: Run, number: str, twin: str | None) -> HttpResponseBase:
    if twin:
        return answer(twin, name="document", payload={"number": number, "tokens": []}, head=["index"], rows=[])
    return render(request, "documents/no_text.html", {"run": run, "here": "tokens", "number": number})


def _name(checkpoint: dict[str, Any]) -> str:
    return f"{checkpoint['lm']}/{checkpoint['revision']}"


def _said(checkpoint: dict[str, Any]) -> str:
    """A checkpoint as a sentence names it: its step only where training goes on."""
    return checkpoint["lm"] if checkpoint["is_final"] else f"{checkpoint['lm']} at {checkpoint['revision']}"


def _mean(losses: np.ndarray) -> float | None:
    return float(losses.mean()) if len(losses) and np.isfinite(losses).all() else None


document_urls = [*page("runs/<slug:slug>/documents/<str:number>", show, "document")]
