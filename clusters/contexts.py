"""Tokens with the text before them, each in a box shaded by its loss; read by slices from a run's arrays."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from clusters.display import display_text, display_tokens, token_label
from clusters.models import Run
from clusters.stored.arrays import array_of, bundle_of, corpus_of, vocabulary_of
from clusters.stored.columns import clustered_checkpoint, losses_under
from compute.numerics.vocabulary import Vocabulary

LOSS_EDGES_NATS = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0)  # l0 is below the first, l7 from the last on (printed to 12)
SIGNED_EDGES_NATS = (0.1, 0.5, 2.0)  # d1 from the first on, d3 from the last; below the first a difference is no shade
LOSS_SHADES = tuple(f"l{i}" for i in range(len(LOSS_EDGES_NATS) + 1))
SAME_TOKENS = 8  # contexts with as many last tokens and the answer in common are shown once


@dataclass(slots=True)  # not frozen: a page makes thousands, and that would take twice as long
class TokenBox:
    """One token as a page shows it."""

    index: int | None  # flat index; None for the first token of a document, which nothing predicts
    lines: list[str]  # cut after each newline picture
    shade: str  # "l0" to "l7"
    tip: str
    is_answer: bool = False
    is_clustered: bool = False
    mark: str = ""  # a class of the token's own, such as that of its loss curve


@dataclass(frozen=True, slots=True)
class Place:
    """Where a token stands, and how well it is predicted."""

    index: int
    document: int
    position: int
    loss_nats: float | None


@dataclass(frozen=True, slots=True)
class Context:
    """A token and what stands before it; `same` are others with the same last tokens and answer."""

    place: Place
    boxes: list[TokenBox]
    is_cut: bool
    same: list[Place] = field(default_factory=list)


def loss_shade(loss_nats: float | None) -> str:
    """The class of a box's shade: edges 0 .1 .2 .4 .8 1.5 3 6 12 nats, the same on every page."""
    return "l0" if loss_nats is None else LOSS_SHADES[bisect_right(LOSS_EDGES_NATS, loss_nats)]


def signed_shade(difference_nats: float | None) -> str:
    """The class of a box's shade by a difference of losses: "d-3" much lower to "d3" much higher."""
    if difference_nats is None:
        return "l0"
    size = sum(abs(difference_nats) >= edge for edge in SIGNED_EDGES_NATS)
    return f"d{'-' if difference_nats < 0 else ''}{size}" if size else "l0"


def has_text(run: Run) -> bool:
    """Whether the run's bundle holds the corpus itself, and not only numbers about it."""
    has = bundle_of(run).has
    return all(has(name) for name in ("corpus/token_ids", "corpus/offsets", "vocabulary/bytes", "vocabulary/offsets"))


class Reader:
    """Reads text and losses of one run.

    Boxes are shaded by the losses of a checkpoint (an entry of the manifest, or the array's name; without either, the
    clustered one), or by their difference to those of the checkpoint `against`.
    """

    def __init__(
        self, run: Run, column: str | None = None, *, checkpoint: dict[str, Any] | None = None,
        against: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.corpus = corpus_of(run)
        self.vocabulary = vocabulary_of(run)
        shading = checkpoint or clustered_checkpoint(run)
        self.losses = array_of(run, column) if column else losses_under(run, shading)
        self.against = losses_under(run, against) if against else None
        self.is_difference = against is not None

    def places(self, indices: Sequence[int]) -> list[Place]:
        """Document, position and loss of each flat index."""
        flat = np.asarray(indices, np.int64)
        if not len(flat):
            return []
        documents, positions = self.corpus.locate(flat)
        losses = np.full(len(flat), np.nan) if self.losses is None else np.asarray(self.losses[flat])
        rows = zip(flat, documents, positions, losses, strict=True)
        return [Place(int(i), int(document), int(position), _finite(loss)) for i, document, position, loss in rows]

    def context(self, place: Place, n_tokens: int, same: Sequence[Place] = ()) -> Context:
        """The token at a place with at most `n_tokens` before it."""
        first = max(place.position - n_tokens, 0)
        boxes = self._boxes(place.document, first, place.position + 1, answer=place.position)
        return Context(place, boxes, is_cut=first > 0, same=list(same))

    def answer(self, place: Place) -> str:
        """The token's own text, standing alone."""
        offset = int(self.corpus.offsets[place.document])
        return token_label(self.vocabulary, int(self.corpus.token_ids[offset + place.position]))

    def document(
        self, document: int, first: int, last: int, clustered: frozenset[int], marks: Mapping[int, str] | None = None
    ) -> list[TokenBox]:
        """Boxes of a document's tokens from `first` up to, not including, `last`; `marks` are classes by flat index."""
        return self._boxes(document, first, last, clustered=clustered, marks=marks or {})

    def fold(self, indices: Sequence[int]) -> list[list[int]]:
        """Flat indices grouped by their last tokens and answer; groups in order of their first member."""
        flat = np.asarray(indices, np.int64)
        if not len(flat):
            return []
        documents, positions = self.corpus.locate(flat)
        columns = positions[:, None] + np.arange(-SAME_TOKENS, 1)
        at = np.asarray(self.corpus.offsets)[documents][:, None] + np.maximum(columns, 0)
        windows = np.where(columns >= 0, self.corpus.token_ids[at].astype(np.int64), -1)
        groups: dict[bytes, list[int]] = {}
        for index, window in zip(flat.tolist(), windows, strict=True):
            groups.setdefault(window.tobytes(), []).append(index)
        return list(groups.values())

    def unlike(self, indices: Sequence[int], n: int) -> list[Place]:
        """Places of up to n of the tokens, evenly spread over those whose contexts don't repeat."""
        groups = self.fold(indices)
        picked = np.linspace(0, len(groups) - 1, min(n, len(groups))).round().astype(int)
        return self.places([groups[i][0] for i in picked])

    def _boxes(
        self, document: int, first: int, last: int, *, answer: int = -1, clustered: frozenset[int] = frozenset(),
        marks: Mapping[int, str] = MappingProxyType({}),
    ) -> list[TokenBox]:  # fmt: skip
        offset = int(self.corpus.offsets[document])
        ids = self.corpus.token_ids[offset + first : offset + last].tolist()
        before = int(self.corpus.prediction_starts[document]) - 1  # flat index of position p is before + p
        losses, others = (_known(values, before, first, last) for values in (self.losses, self.against))
        shown, vocabulary = display_tokens(self.vocabulary, ids), self.vocabulary
        boxes = []
        for position, (token_id, text, loss, other) in enumerate(zip(ids, shown, losses, others, strict=True), first):
            index = before + position if position else None
            boxes.append(
                TokenBox(
                    index=index,
                    lines=text.lines,
                    shade=signed_shade(_difference(loss, other)) if self.is_difference else loss_shade(loss),
                    tip=_tip(
                        _name(vocabulary, token_id), token_id, position, loss, other, is_answer=position == answer
                    ),
                    is_answer=position == answer,
                    is_clustered=index in clustered,
                    mark=marks.get(index, "") if index is not None else "",
                )
            )
        return boxes


@lru_cache(maxsize=32_768)  # the commoner tokens of a few vocabularies, a hundred bytes each
def _name(vocabulary: Vocabulary, token_id: int) -> str:
    """A token standing alone, as tips begin."""
    return token_label(vocabulary, token_id, limit=40).replace(" ", "␣")


def _tip(name: str, token_id: int, position: int, loss: float | None, other: float | None, *, is_answer: bool) -> str:
    known = f"{loss:.3f} nats" if loss is not None else ("not predicted" if position == 0 else "loss unknown")
    if other is not None and loss is not None:
        known += f", {other:.3f} in the other: {loss - other:+.3f}".replace("-", "−")
    return f"{name}   id {token_id}   position {position}\n{known}{'   ground truth' if is_answer else ''}"


def _known(values: np.ndarray | None, before: int, first: int, last: int) -> list[float | None]:
    """Values at some positions of a document, None where there is none: nothing predicts position 0."""
    start = min(max(first, 1), last)
    if values is None:
        return [None] * (last - first)
    return [None] * (start - first) + [_finite(value) for value in values[before + start : before + last].tolist()]


def _difference(loss: float | None, other: float | None) -> float | None:
    return None if loss is None or other is None else loss - other


def _finite(loss: float | None) -> float | None:
    return float(loss) if loss is not None and math.isfinite(loss) else None


def last_two(run: Run, indices: Sequence[int], most: int) -> list[tuple[str, int]]:
    """The commonest last two tokens before these tokens, with how often each pair occurs."""
    corpus, vocabulary = corpus_of(run), vocabulary_of(run)
    documents, positions = corpus.locate(np.asarray(indices, np.int64))
    at = (np.asarray(corpus.offsets)[documents] + positions)[positions >= 2]
    pairs = np.stack([corpus.token_ids[at - 2], corpus.token_ids[at - 1]], axis=1)
    found = Counter(map(tuple, pairs.tolist())).most_common(most)
    return [(display_text(vocabulary, pair, limit=60), count) for pair, count in found]


def most_in_one_document(run: Run, indices: Sequence[int]) -> int:
    """How many of these tokens stand in the document that holds most of them."""
    documents, _ = corpus_of(run).locate(np.asarray(indices, np.int64))
    return int(np.unique(documents, return_counts=True)[1].max())
