"""What is known of hits in the corpus: where they stand, how well they are predicted, whose cluster they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clusters.display import clean_text
from clusters.models import Run
from clusters.queries.clusters import flat_indices, labels_of
from clusters.queries.search.corpus import Found
from clusters.queries.search.text import text_of
from clusters.stored.arrays import bundle_of
from clusters.stored.columns import clustered_checkpoint, losses_under


@dataclass(frozen=True)
class Hit:
    """A span of tokens in one document; `index` is the flat index of the last, None where nothing predicts it."""

    document: int
    first: int
    last: int
    index: int | None
    loss_nats: float | None
    label: int | None  # of the last token's cluster
    text: str


def hits_of(run: Run, found: Found, *, affinity: str, k: int | None) -> Iterator[Hit]:
    """Every hit with its facts."""
    text = text_of(run)
    corpus = text.corpus
    documents = text.documents_of(found.first)
    begin = corpus.offsets[documents]
    positions = found.last - begin
    flat = np.where(positions > 0, corpus.prediction_starts[documents] + positions - 1, -1)
    losses, labels = _losses(run, flat), labels_at(run, flat, affinity=affinity, k=k)
    bounds = zip(text.starts[found.first].tolist(), text.starts[found.last + 1].tolist(), strict=True)
    columns = (documents, found.first - begin, positions, flat, losses, labels)
    raw = (text.bytes[start:end].tobytes() for start, end in bounds)
    for facts, own in zip(zip(*(one.tolist() for one in columns), strict=True), raw, strict=True):
        document, first, last, index, loss, label = facts
        yield Hit(
            document, first, last, index if index >= 0 else None, loss if np.isfinite(loss) else None,
            label if label >= 0 else None, clean_text(own.decode("utf-8", "replace"), limit=2000),
        )  # fmt: skip


def labels_at(run: Run, flat: np.ndarray, *, affinity: str, k: int | None) -> np.ndarray:
    """Label of each token's cluster by flat index; −1 where it was not clustered."""
    labels = np.full(len(flat), -1, np.int64)
    if k is None or not bundle_of(run).has("selection/flat_index"):
        return labels
    selected = flat_indices(run)
    rows = np.minimum(np.searchsorted(selected, flat), max(len(selected) - 1, 0))
    is_clustered = selected[rows] == flat
    labels[is_clustered] = labels_of(run, affinity, k)[rows[is_clustered]]
    return labels


def _losses(run: Run, flat: np.ndarray) -> np.ndarray:
    values = losses_under(run, clustered_checkpoint(run))
    if values is None:
        return np.full(len(flat), np.nan)
    known = np.asarray(values[np.maximum(flat, 0)], np.float64)
    return np.where(flat >= 0, known, np.nan)
