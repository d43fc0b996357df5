"""What is read of single predictions that were found: for a page's list, and for tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from clusters.display import token_label
from clusters.queries.finder.columns import Columns
from clusters.stored.arrays import array_of, corpus_of, vocabulary_of
from clusters.values.finding import MEASURES, SCORES
from compute.numerics.curves import CLASS_NAMES


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


class TableRows:
    """Rows of the finder's table for any predictions, column by column.

    Scores and losses over size that the run has are always among them, shapes (keys of `SHAPES`) where they are named.
    """

    def __init__(self, columns: Columns, shapes: Sequence[str] = ()) -> None:
        self._columns = columns
        self._measured = [*(key for key in SCORES if key in columns.scores), *shapes]
        self._labels: dict[int, str] = {}

    @cached_property
    def head(self) -> list[str]:
        """Names of the columns."""
        sizes = self._columns.sizes if self._columns.size_losses else []
        facts = ["index", "document", "position", "token_id", "answer", "kind", "class", "is_induced", "is_clustered"]
        return [*facts, *(MEASURES[key].name for key in self._measured), *(f"loss_nats {one['lm']}" for one in sizes)]

    def block(self, indices: np.ndarray) -> list[Any]:
        """One array or list a column."""
        columns = self._columns
        documents, positions = corpus_of(columns.run).locate(indices)
        codes = columns.facets[indices].astype(np.int64) - 1
        kinds, _, _, induced, clustered = np.unravel_index(codes, columns.facets_shape)
        ids = columns.answers[indices].astype(np.int64) - 1
        return [
            indices, documents, positions, ids, self._answers(ids), [columns.kinds[kind] for kind in kinds.tolist()],
            classes_of(columns, indices), induced.astype(bool).tolist(), clustered.astype(bool).tolist(),
            *(np.asarray(columns.values(key)[indices]) for key in self._measured),
            *(np.asarray(one[indices]) for one in columns.size_losses),
        ]  # fmt: skip

    def of(self, indices: np.ndarray) -> list[list[Any]]:
        """Row by row, as plain values."""
        block = (one.tolist() if isinstance(one, np.ndarray) else one for one in self.block(indices))
        return list(map(list, zip(*block, strict=True)))

    def _answers(self, ids: np.ndarray) -> list[str]:
        vocabulary, known = vocabulary_of(self._columns.run), self._labels
        numbers = ids.tolist()
        for token_id in set(numbers) - known.keys():
            known[token_id] = token_label(vocabulary, token_id)
        return [known[number] for number in numbers]
