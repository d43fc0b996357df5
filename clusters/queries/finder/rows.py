"""What is read of single predictions that were found: for a page's list, and all of them for a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from clusters.display import token_label
from clusters.queries.finder.columns import Columns
from clusters.queries.finder.search import Found
from clusters.stored.arrays import array_of, corpus_of, vocabulary_of
from clusters.values.finding import SCORES
from compute.numerics.curves import CLASS_NAMES

ROWS_AT_ONCE = 20_000


def scores_of(columns: Columns, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Every score that the run has, and the loss of the clustered network, of some predictions."""
    names = [*(key for key in SCORES if key in columns.scores), *(["loss"] if columns.losses is not None else [])]
    return {name: np.asarray(columns.values(name)[indices], np.float64) for name in names}


def values_of(columns: Columns, name: str, indices: np.ndarray) -> np.ndarray:
    """One column, of some predictions."""
    return np.asarray(columns.values(name)[indices], np.float64)


def curves_of(columns: Columns, indices: np.ndarray) -> np.ndarray:
    """Losses in nats over size of some predictions, float64 (n, n_sizes)."""
    if not columns.size_losses:
        return np.empty((len(indices), 0))
    return np.stack([np.asarray(losses[indices], np.float64) for losses in columns.size_losses], axis=1)


def classes_of(columns: Columns, indices: np.ndarray) -> list[str]:
    """The class of every curve; "unknown" where it was not scored."""
    if not columns.has_class:
        return ["unknown"] * len(indices)
    codes = array_of(columns.run, "curves/class")[indices].tolist()
    return [CLASS_NAMES[code] if code < len(CLASS_NAMES) else "unknown" for code in codes]


def table_head(columns: Columns) -> list[str]:
    """Names of the columns of `table_rows`."""
    losses = [f"loss_nats {size['lm']}" for size in columns.sizes] if columns.size_losses else []
    scores = [SCORES[key].name for key in SCORES if key in columns.scores]
    return ["index", "document", "position", "token_id", "answer", "kind", "class", "is_induced", "is_clustered",
            *scores, *losses]  # fmt: skip


def all_rows(columns: Columns, found: Found) -> Iterator[list[Any]]:
    """Rows of all predictions found, by place in the corpus, read block by block."""
    labels: dict[int, str] = {}
    for block in found.blocks():
        for first in range(0, len(block), ROWS_AT_ONCE):
            yield from _rows(columns, block[first : first + ROWS_AT_ONCE], labels)


def rows_of(columns: Columns, indices: np.ndarray) -> list[list[Any]]:
    """Rows of some predictions."""
    return list(_rows(columns, indices, {}))


def _rows(columns: Columns, indices: np.ndarray, labels: dict[int, str]) -> Iterator[list[Any]]:
    documents, positions = corpus_of(columns.run).locate(indices)
    kinds, _, _, induced, clustered = np.unravel_index(
        columns.facets[indices].astype(np.int64) - 1, columns.facets_shape
    )
    ids = (columns.answers[indices].astype(np.int64) - 1).tolist()
    vocabulary = vocabulary_of(columns.run)
    for token_id in set(ids) - labels.keys():
        labels[token_id] = token_label(vocabulary, token_id)
    scores = scores_of(columns, indices)
    values = [scores[key].tolist() for key in SCORES if key in columns.scores]
    yield from map(
        list,
        zip(
            indices.tolist(), documents.tolist(), positions.tolist(), ids, (labels[i] for i in ids),
            (columns.kinds[kind] for kind in kinds.tolist()), classes_of(columns, indices),
            induced.astype(bool).tolist(), clustered.astype(bool).tolist(), *values,
            *curves_of(columns, indices).T.tolist(), strict=True,
        ),
    )  # fmt: skip
