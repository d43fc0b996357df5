"""Looks through every token of the corpus: by its bytes, by expressions, by answer, by sequences of tokens.

A hit is a span of tokens within one document. Matches of text are taken from the left and do not overlap, and those
that stand in the same tokens are one hit; sequences of tokens may overlap.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from clusters.models import Run
from clusters.queries.finder.answers import ids_of_answer
from clusters.queries.search.expressions import expression, spans
from clusters.queries.search.text import CorpusText, text_of
from clusters.stored.arrays import vocabulary_of
from clusters.stored.recent import Recent
from clusters.values.searching import MOST_HITS, NotSearchableError, Question
from compute.numerics.vocabulary import Vocabulary

MOST_IN_SEQUENCE = 64
DOCUMENTS_AT_ONCE = 32
SLICE_SECONDS = 0.01
_ITEM = re.compile(r'\s*(?:(\d{1,9})(?![^\s"*])|(\*)|"((?:[^"\\]|\\.)*)")')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
Piece = tuple[int, np.ndarray, np.ndarray]  # documents that are done, first and last tokens of hits among them
_kept: Recent[Found] = Recent(32)


@dataclass(frozen=True, eq=False)
class Found:
    """Hits in order: first and last tokens, counted over the corpus's tokens."""

    first: np.ndarray
    last: np.ndarray
    n_searched: int  # documents that were looked through from the first on, or from where the search began
    n_documents: int
    is_over: bool  # there are more than were counted

    @property
    def is_complete(self) -> bool:
        """Whether every document was looked through, or more was found than is counted."""
        return self.is_over or self.n_searched == self.n_documents

    def after(self, place: tuple[int, int] | None) -> Found:
        """The hits behind a place."""
        if place is None:
            return self
        first, last = place
        kept = (self.first > first) | ((self.first == first) & (self.last > last))
        return Found(self.first[kept], self.last[kept], self.n_searched, self.n_documents, self.is_over)


def search(run: Run, question: Question, *, seconds: float) -> Found:
    """All hits up to the most that are counted, as far as the time goes; what is complete is remembered a while."""
    key = (run.bundle_sha256, question)
    known = _kept.known(key)
    if known is not None:
        return known
    found = look(run, question, seconds=seconds)
    return _kept.get(key, lambda: found) if found.is_complete else found


def look(
    run: Run, question: Question, *, seconds: float, from_document: int = 0, most: int = MOST_HITS,
    after: tuple[int, int] | None = None,
) -> Found:  # fmt: skip
    """Hits behind a place, from a document on."""
    text, deadline = text_of(run), time.monotonic() + seconds
    firsts, lasts, n, done = [], [], 0, from_document
    total = text.corpus.n_documents
    previous = after or (-1, -1)
    for upto, first, last in _pieces(run, text, question, from_document, deadline):
        first, last = _new_only(first, last, previous)
        if len(first):
            firsts.append(first)
            lasts.append(last)
            n += len(first)
            previous = (int(first[-1]), int(last[-1]))
        done = upto
        if n > most or (upto < total and time.monotonic() > deadline):
            break
    empty = np.empty(0, np.int64)
    first, last = (np.concatenate(parts)[:most] if parts else empty for parts in (firsts, lasts))
    return Found(first, last, done, total, n > most)


def _pieces(run: Run, text: CorpusText, question: Question, document: int, deadline: float) -> Iterator[Piece]:
    if question.mode == "regex" or (question.mode == "exact" and question.ignores_case):
        return _by_expression(text, question, document, deadline)
    if question.mode == "exact":
        return _by_bytes(text, question.text.encode(), document)
    if question.mode == "answer":
        return _by_answer(text, _answers(run, question), document)
    return _by_sequence(text, parse_sequence(vocabulary_of(run), question.text), document)


def _new_only(first: np.ndarray, last: np.ndarray, previous: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Spans without those that repeat the one before, and without what is not behind the previous one."""
    if not len(first):
        return first, last
    kept = (first > previous[0]) | ((first == previous[0]) & (last > previous[1]))
    kept[1:] &= (first[1:] != first[:-1]) | (last[1:] != last[:-1])
    return first[kept], last[kept]


# ── by the bytes of the text ──


def _by_bytes(text: CorpusText, wanted: bytes, document: int) -> Iterator[Piece]:
    for first, following in text.chunks(document):
        bounds = text.document_starts[first : following + 1].tolist()
        base, data = bounds[0], text.bytes[bounds[0] : bounds[-1]].tobytes()
        places: list[int] = []
        at = data.find(wanted)
        while at >= 0 and len(places) <= MOST_HITS * 4:
            is_within = base + at + len(wanted) <= bounds[bisect_right(bounds, base + at)]
            if is_within:
                places.append(base + at)
            at = data.find(wanted, at + (len(wanted) if is_within else 1))
        begin = np.array(places, np.int64)
        yield following, *text.tokens_at(begin, begin + len(wanted))


def _by_expression(text: CorpusText, question: Question, document: int, deadline: float) -> Iterator[Piece]:
    """Each document by itself: nothing reaches over its end, and ^ and $ are its ends."""
    bounds = text.document_starts.tolist()
    found = expression(question, longest=int(np.diff(text.document_starts).max(initial=0)))
    view = text.bytes.data
    places: list[tuple[int, int]] = []
    since, at_once = time.monotonic(), 0
    for number in range(document, len(bounds) - 1):
        begin = bounds[number]
        own, is_whole = spans(found, view[begin : bounds[number + 1]], MOST_HITS * 4, deadline)
        if not is_whole:
            yield number, *_tokens(text, places)
            return
        places += [(begin + a, begin + b) for a, b in own]
        at_once, now = at_once + 1, time.monotonic()
        if at_once >= DOCUMENTS_AT_ONCE or now - since > SLICE_SECONDS or len(places) > MOST_HITS:
            yield number + 1, *_tokens(text, places)
            places, since, at_once = [], now, 0
    yield len(bounds) - 1, *_tokens(text, places)


def _tokens(text: CorpusText, places: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    if not places:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    ends = np.array(places, np.int64)
    return text.tokens_at(ends[:, 0], ends[:, 1])


# ── by ids of tokens ──


def _by_answer(text: CorpusText, ids: np.ndarray, document: int) -> Iterator[Piece]:
    """Predicted tokens with one of the ids; nothing predicts the first of a document."""
    offsets = text.corpus.offsets

    def without_first(places: np.ndarray) -> np.ndarray:
        return places[offsets[text.documents_of(places)] != places]

    for following, places in _places(text, ids, document):
        kept = without_first(places)
        yield following, kept, kept


def _by_sequence(text: CorpusText, wanted: list[np.ndarray | None], document: int) -> Iterator[Piece]:
    """Runs of tokens in one document; None stands for any one token."""
    known = [(place, ids) for place, ids in enumerate(wanted) if ids is not None]
    anchor, anchor_ids = known[0]
    token_ids, offsets, n = text.corpus.token_ids, text.corpus.offsets, len(wanted)
    for following, places in _places(text, anchor_ids, document):
        starts = places - anchor
        documents = text.documents_of(places)
        starts = starts[(starts >= offsets[documents]) & (starts + n <= offsets[documents + 1])]
        for place, ids in known[1:]:
            starts = starts[np.isin(token_ids[starts + place], ids)]
        yield following, starts, starts + n - 1


def _places(text: CorpusText, ids: np.ndarray, document: int) -> Iterator[tuple[int, np.ndarray]]:
    """Where tokens with one of the ids stand, by chunks of documents."""
    token_ids, offsets = text.corpus.token_ids, text.corpus.offsets
    is_wanted: Callable[[np.ndarray], np.ndarray]
    if len(ids) == 1:
        one = token_ids.dtype.type(ids[0])
        is_wanted = lambda own: own == one  # noqa: E731
    else:
        table = np.zeros(int(np.iinfo(np.uint16).max + 1 if token_ids.dtype == np.uint16 else ids.max() + 2), bool)
        table[ids] = True
        is_wanted = lambda own: table[np.minimum(own, len(table) - 1)]  # noqa: E731
    for first, following in text.chunks(document):
        begin, end = int(offsets[first]), int(offsets[following])
        yield following, np.flatnonzero(is_wanted(np.asarray(token_ids[begin:end]))) + begin


def _answers(run: Run, question: Question) -> np.ndarray:
    ids = ids_of_answer(vocabulary_of(run), question.text, is_whole=question.is_whole)
    if not len(ids):
        how = "is exactly" if question.is_whole else "holds"
        raise NotSearchableError(f"No token of the vocabulary {how} “{question.text[:60]}”. Look for it as exact text.")
    return ids


def parse_sequence(vocabulary: Vocabulary, text: str) -> list[np.ndarray | None]:
    """Ids that fit at each place of a sequence such as `262 " cat" *`; None fits any one token."""
    wanted: list[np.ndarray | None] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        item = _ITEM.match(text, at)
        if item is None:
            raise NotSearchableError(
                f"“{text[at:end].strip()[:30]}” is no token. Write ids such as 262, tokens’ texts in quotes such as "
                '" the", and * for any one token, with spaces between.'
            )
        wanted.append(_ids_at(vocabulary, item))
        at = item.end()
    if len(wanted) > MOST_IN_SEQUENCE:
        raise NotSearchableError(f"The sequence has {len(wanted)} tokens; at most {MOST_IN_SEQUENCE} are looked for.")
    if all(ids is None for ids in wanted):
        raise NotSearchableError("A sequence of * alone is everywhere; name at least one token.")
    return wanted


def _ids_at(vocabulary: Vocabulary, item: re.Match[str]) -> np.ndarray | None:
    number, star, quoted = item.groups()
    if star:
        return None
    if number is not None:
        if int(number) >= len(vocabulary):
            raise NotSearchableError(
                f"There is no token {number}: ids of this vocabulary count from 0 to {len(vocabulary) - 1}."
            )
        return np.array([int(number)])
    text = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted, flags=re.DOTALL)
    ids = ids_of_answer(vocabulary, text, is_whole=True) if text else np.empty(0, np.int64)
    if not len(ids):
        raise NotSearchableError(
            f"No token of the vocabulary is exactly “{text[:40]}”: it may be several, or want a space before it."
        )
    return ids
