"""The text of a run's corpus as bytes, end to end, and where each token begins in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clusters.models import Run
from clusters.stored.arrays import bundle_of, corpus_of, vocabulary_of
from clusters.stored.derived import derived
from compute.numerics.corpus import TokenizedCorpus

TOKENS_PER_BLOCK = 1 << 19
BYTES_PER_CHUNK = 8 << 20


@dataclass(frozen=True, eq=False)
class CorpusText:
    """Bytes of all tokens; token i is ``bytes[starts[i]:starts[i + 1]]``, memory-mapped."""

    corpus: TokenizedCorpus
    bytes: np.ndarray  # uint8
    starts: np.ndarray  # uint32, or uint64 from 4 GB on; (n_tokens + 1,)

    @cached_property
    def document_starts(self) -> np.ndarray:
        """Where each document's text begins, int64 (n_documents + 1,)."""
        return self.starts[self.corpus.offsets].astype(np.int64)

    def chunks(self, first_document: int) -> Iterator[tuple[int, int]]:
        """Ranges of whole documents with some megabytes of text each."""
        at, n = first_document, self.corpus.n_documents
        while at < n:
            end = int(np.searchsorted(self.document_starts, self.document_starts[at] + BYTES_PER_CHUNK, side="right"))
            following = min(max(end - 1, at + 1), n)
            yield at, following
            at = following

    def tokens_at(self, begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and last tokens of spans of bytes that are not empty."""
        wide = self.starts.dtype.type
        return (
            np.searchsorted(self.starts, begin.astype(wide), side="right") - 1,
            np.searchsorted(self.starts, (end - 1).astype(wide), side="right") - 1,
        )

    def documents_of(self, tokens: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.corpus.offsets, tokens, side="right") - 1


def text_of(run: Run) -> CorpusText:
    """The run's text; made where it is not there yet."""
    starts = derived(run, "search/starts", lambda: _starts(run))
    return CorpusText(corpus_of(run), derived(run, "search/text", lambda: _text(run, starts)), starts)


def make_text(run: Run) -> None:
    """Make the text now, so that no reader waits for it."""
    if can_search(run):
        text_of(run)


def can_search(run: Run) -> bool:
    """Whether the run's bundle holds the corpus itself, and not only numbers about it."""
    return all(map(bundle_of(run).has, ("corpus/token_ids", "vocabulary/bytes")))


def _lengths(run: Run) -> np.ndarray:
    """Bytes of every id; the last stands for ids beyond the vocabulary (models pad theirs), which have none."""
    return np.append(np.diff(vocabulary_of(run).offsets), 0)


def _starts(run: Run) -> np.ndarray:
    ids, lengths = corpus_of(run).token_ids, _lengths(run)
    starts = np.zeros(len(ids) + 1, np.uint64)
    at = 0
    for first in range(0, len(ids), TOKENS_PER_BLOCK):
        ends = at + np.cumsum(lengths[np.minimum(ids[first : first + TOKENS_PER_BLOCK], len(lengths) - 1)])
        starts[first + 1 : first + 1 + len(ends)] = ends
        at = int(ends[-1])
    return starts.astype(np.uint32) if at < 1 << 32 else starts


def _text(run: Run, starts: np.ndarray) -> np.ndarray:
    vocabulary, ids, lengths = vocabulary_of(run), corpus_of(run).token_ids, _lengths(run)
    text = np.empty(int(starts[-1]), np.uint8)
    for first in range(0, len(ids), TOKENS_PER_BLOCK):
        own = np.minimum(ids[first : first + TOKENS_PER_BLOCK], len(lengths) - 1)
        n, begin = lengths[own], starts[first : first + len(own)].astype(np.int64)
        if len(own) and n.sum():
            source = np.arange(n.sum()) + np.repeat(vocabulary.offsets[own] - (begin - begin[0]), n)
            text[begin[0] : begin[0] + len(source)] = vocabulary.bytes[source]
    return text
