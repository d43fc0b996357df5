"""The parts of the search page: what can be asked, examples, rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from clusters.charts.numbers import count
from clusters.contexts import Reader, TokenBox
from clusters.display import clean_text
from clusters.forms.search import Asked
from clusters.models import Run, Token
from clusters.queries.clusters import flat_indices
from clusters.queries.search.contexts import Excerpt
from clusters.queries.search.hits import Hit, labels_at
from clusters.values.searching import MODES, Question
from clusters.views.addresses import cluster_address

PLACES = {"corpus": "whole corpus", "contexts": "clustered contexts"}
NAMES = {"words": "words", "exact": "exact text", "regex": "regular expression", "answer": "answer token",
         "sequence": "token sequence"}  # fmt: skip
HINTS = {
    ("contexts", "words"): (
        "Contexts with all the words, the best match first where at most 500 match; words in “quotes” stand together."
    ),
    ("contexts", "exact"): "Letter for letter in the 200 tokens before a clustered token; ⏎ is a new line.",
    ("contexts", "regex"): "RE2 syntax over the 200 tokens before a clustered token; ⏎ is a new line.",
    ("corpus", "exact"): "Byte for byte, within one document; ⏎ stands for a new line. Matches do not overlap.",
    ("corpus", "regex"): "RE2 syntax: \\b \\w \\d \\pL (?i) [^…] {2,5}; no look-around. ^ and $ are a document’s ends. "
                         "Matches do not overlap.",
    ("corpus", "answer"): "Predictions whose ground-truth next token holds the text; spaces count.",
    ("corpus", "sequence"): 'Ids such as 262, texts in quotes such as " the", * for any one token. They may overlap.',
}  # fmt: skip
BEFORE, BEHIND, MOST_SHOWN = 16, 8, 48  # tokens
CONTEXT_CHARS = 400


def href(path: str, asked: Asked) -> str:
    query = asked.query()
    return f"{path}?{query}" if query else path


def frame(path: str, run: Run, asked: Asked, ks: dict[str, list[int]], examples: Sequence[Question]) -> dict[str, Any]:
    """Everything around the list."""
    here = replace(asked, after=None)
    own = {"q", "case", "whole", "k", "affinity", "after"}
    return {
        "places": [
            {"text": text, "href": href(path, here.at(place)), "is_on": place == asked.place}
            for place, text in PLACES.items()
        ],
        "modes": [
            {"text": NAMES[mode], "href": href(path, replace(here, mode=mode)), "is_on": mode == asked.mode}
            for mode in MODES[asked.place]
        ],
        "hidden": [pair for pair in here.parts() if pair[0] not in own],
        "hint": HINTS[asked.place, asked.mode],
        "has_case": asked.mode in ("exact", "regex"),
        "ks": ks.get(asked.affinity, []), "affinities": list(ks),
        "examples": [_example(path, asked, question) for question in examples],
        "n_documents": run.corpus.n_documents, "n_corpus_tokens": run.corpus.n_tokens,
    }  # fmt: skip


def title(asked: Asked, listed: Any) -> str:
    """What was found, in a line."""
    if listed is None:
        return "Search every token"
    what = {"answer": "prediction", "sequence": "sequence"}.get(asked.mode, "place")
    what = "context" if asked.place == "contexts" else what
    number = f"More than {count(listed.n)}" if listed.is_over else count(listed.n) if listed.n else "No"
    plural = "s" if listed.n > 1 else ""
    said = f"{number} {what}{plural} with “{_shown(asked.q, 40)}”"
    return said + (" so far" if listed.is_partial else "")


def corpus_rows(run: Run, asked: Asked, hits: Sequence[Hit]) -> list[dict[str, Any]]:
    reader, clustered = Reader(run), _clustered_near(run, hits)
    rows = []
    for hit in hits:
        boxes, is_cut, n_left = _boxes(reader, hit, clustered)
        rows.append({
            "index": hit.index, "document": hit.document, "position": hit.last, "loss": hit.loss_nats,
            "boxes": boxes, "is_cut": is_cut, "n_left": n_left, "is_on": hit.index == asked.token is not None,
            "label": hit.label, "cluster_href": _cluster(run, asked, hit.label),
            "facts": {
                "document": hit.document, "first_position": hit.first, "last_position": hit.last, "token": hit.index,
                "text": hit.text, "loss_nats": hit.loss_nats, "cluster": hit.label,
            },
        })  # fmt: skip
    return rows


def context_rows(run: Run, asked: Asked, found: Sequence[Excerpt], *, first: int) -> list[dict[str, Any]]:
    labels = labels_at(run, np.array([one.token.flat_index for one in found], np.int64),
                       affinity=asked.affinity, k=asked.k).tolist()  # fmt: skip
    rows = []
    for place, (one, label) in enumerate(zip(found, labels, strict=True), first):
        token = one.token
        rows.append({
            "index": token.flat_index, "document": token.document, "position": token.position,
            "loss": token.loss_nats, "pieces": one.pieces, "is_cut": one.is_cut, "answer": token.answer,
            "label": label if label >= 0 else None, "cluster_href": _cluster(run, asked, label),
            "is_on": token.flat_index == asked.token, "facts": _context_facts(place, token, label),
        })  # fmt: skip
    return rows


def context_table(run: Run, asked: Asked, keys: Sequence[int]) -> Iterator[list[object]]:
    """Every context that matches, a thousand at a time."""
    for begin in range(0, len(keys), 1000):
        own = keys[begin : begin + 1000]
        tokens = Token.objects.in_bulk(own)
        listed = [tokens[key] for key in own if key in tokens]
        flat = np.array([token.flat_index for token in listed], np.int64)
        labels = labels_at(run, flat, affinity=asked.affinity, k=asked.k).tolist()
        for place, (token, label) in enumerate(zip(listed, labels, strict=True), begin + 1):
            yield list(_context_facts(place, token, label).values())


def _context_facts(place: int, token: Token, label: int) -> dict[str, object]:
    return {
        "place": place, "token": token.flat_index, "document": token.document, "position": token.position,
        "answer": token.answer, "loss_nats": token.loss_nats, "cluster": label if label >= 0 else None,
        "context": token.context[-CONTEXT_CHARS:],
    }  # fmt: skip


def _example(path: str, asked: Asked, question: Question) -> dict[str, str]:
    there = replace(
        asked, q=question.text, place=question.place, mode=question.mode, is_whole=question.is_whole,
        ignores_case=False, after=None, token=None,
    )  # fmt: skip
    place = f"{NAMES[question.mode]}, {PLACES[question.place]}"
    return {"text": _shown(question.text, 60), "kind": place, "href": href(path, there)}


def _cluster(run: Run, asked: Asked, label: int | None) -> str:
    if label is None or label < 0 or asked.k is None:
        return ""
    return cluster_address(run.slug, asked.k, label, asked.affinity)


def _clustered_near(run: Run, hits: Sequence[Hit]) -> frozenset[int]:
    """Flat indices of clustered tokens; only those that a row may show."""
    shown = [hit.index for hit in hits if hit.index is not None]
    if not shown:
        return frozenset()
    flat = flat_indices(run)
    near = np.array(shown)[:, None] + np.arange(-80, 16)
    rows = np.minimum(np.searchsorted(flat, near.ravel()), max(len(flat) - 1, 0))
    return frozenset(flat[rows].tolist()) if len(flat) else frozenset()


def _boxes(reader: Reader, hit: Hit, clustered: frozenset[int]) -> tuple[list[TokenBox], bool, int]:
    """The span's boxes, marked, with some before and behind; whether text was left out before, and tokens within."""
    begin = max(hit.first - BEFORE, 0)
    shown = min(hit.last, hit.first + MOST_SHOWN - 1)
    end = min(shown + 1 + BEHIND, int(reader.corpus.lengths[hit.document])) if shown == hit.last else shown + 1
    boxes = reader.document(hit.document, begin, end, clustered)
    marked = [
        replace(box, mark="hit") if hit.first <= place <= shown else box for place, box in enumerate(boxes, begin)
    ]
    return marked, begin > 0, hit.last - shown


def _shown(text: str, limit: int) -> str:
    """Text in a line, with spaces at its ends drawn."""
    inner = text.strip(" ")
    if not inner:
        return "␣" * min(len(text), limit)
    begin = len(text) - len(text.lstrip(" "))
    return clean_text("␣" * begin + inner + "␣" * (len(text) - begin - len(inner)), limit=limit)
