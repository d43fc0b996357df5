"""What is said of every cluster of one clustering, worked out for all clusters at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clusters.values.facts import EMERGENCE_NATS
from compute.numerics.emergence import crossings
from compute.numerics.ranks import cluster_order

N_ANSWERS, N_NEAREST = 10, 5
ROWS_AT_ONCE = 32
Floats = np.ndarray


@dataclass(frozen=True, eq=False)
class ClusteredText:
    """What the clustered tokens say, and where."""

    document: np.ndarray  # int64 (n,)
    position: np.ndarray  # int64 (n,)
    answer_id: np.ndarray  # int64 (n,)
    last_id: np.ndarray  # int64 (n,): the token before the predicted one
    labels: dict[int, str]  # token id → text
    contexts: list[str]  # of every token, the text before it


@dataclass(frozen=True, eq=False)
class Clustered:
    """The clustered tokens, one row each, in the order of the similarity matrix."""

    text: ClusteredText | None  # None where the bundle came without its corpus
    curves: Floats  # float64 (n, n_sizes), nats
    monogenicity: Floats | None  # float32 (n,)
    sizes: Floats  # float64 (n_sizes,): non-embedding parameters
    step_curves: Floats  # float32 (n, n_steps), nats: the clustered network while it was trained; no columns if unknown
    steps: Floats  # float64 (n_steps,)


@dataclass(frozen=True, eq=False)
class Partition:
    """One clustering, its clusters by rank."""

    labels: np.ndarray  # (n,)

    @cached_property
    def order(self) -> np.ndarray:
        """Labels by rank."""
        return cluster_order(self.labels)

    @cached_property
    def rank(self) -> np.ndarray:
        """Every token's cluster, as rank from 0."""
        place = np.empty(int(self.order.max()) + 1, np.int64)
        place[self.order] = np.arange(len(self.order))
        return place[self.labels]

    @cached_property
    def sizes(self) -> np.ndarray:
        return np.bincount(self.rank, minlength=len(self.order))

    @cached_property
    def by_rank(self) -> np.ndarray:
        """Rows, those of the largest cluster first."""
        return np.argsort(self.rank, kind="stable")

    @cached_property
    def starts(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]])

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum over every cluster's members, float64 (n_clusters, …)."""
        return np.add.reduceat(values[self.by_rank], self.starts, axis=0, dtype=np.float64)


def summarise(partition: Partition, tokens: Clustered, similarity: np.ndarray | None) -> list[dict[str, Any]]:
    """Fields of every cluster, by rank."""
    within, across, nearest = _similarities(partition, similarity)
    said = _said(partition, tokens.text)
    curves = partition.sums(tokens.curves) / partition.sizes[:, None]
    step_curves = partition.sums(tokens.step_curves) / partition.sizes[:, None]
    emergence = _emergence(curves, tokens.sizes), _emergence(step_curves, tokens.steps)
    monogenicity = _means(partition, tokens.monogenicity)
    return [
        {
            "label": int(label),
            "rank": r + 1,
            "size": int(partition.sizes[r]),
            **said[r],
            "similarity_within": _number(within[r]),
            "similarity_across": _number(across[r]),
            "mean_curve": [_number(value) for value in curves[r]],
            "mean_monogenicity": _number(monogenicity[r]),
            "emergence_parameters": _number(emergence[0][r]),
            "emergence_step": _number(emergence[1][r]),
            "nearest": nearest[r],
        }
        for r, label in enumerate(partition.order)
    ]


def _said(partition: Partition, text: ClusteredText | None) -> list[dict[str, Any]]:
    """What every cluster's tokens say; nothing where the bundle came without its corpus."""
    if text is None:
        silent: dict[str, Any] = {
            "n_documents": None,
            "top_answers": [],
            "n_answers": 0,
            "top_last": [],
            "dominant_share": None,
        }
        return [silent] * len(partition.order)
    answers, n_answers = _commonest(partition, text.answer_id, text.labels)
    last, _ = _commonest(partition, text.last_id, text.labels)
    documents = _n_distinct(partition.rank, text.document, len(partition.order))
    return [
        {
            "n_documents": int(documents[r]),
            "top_answers": answers[r],
            "n_answers": int(n_answers[r]),
            "top_last": last[r],
            "dominant_share": answers[r][0][1] / int(partition.sizes[r]),
        }
        for r in range(len(partition.order))
    ]


def _similarities(partition: Partition, similarity: np.ndarray | None) -> tuple[Floats, Floats, list[list[Any]]]:
    """Mean cosine over pairs within, and to all other tokens; the nearest clusters by cosine of centroids.

    All three come from block sums B[a, b] = Σ S[i, j] over i in a, j in b: for unit rows the centroids' cosine
    is B[a, b] / √(B[a, a] B[b, b]).
    """
    sizes = partition.sizes.astype(np.float64)
    n = len(partition.labels)
    if similarity is None:
        unknown = np.full(len(sizes), np.nan)
        return unknown, unknown, [[] for _ in sizes]
    blocks = np.empty((len(sizes), len(sizes)))
    for r, members in enumerate(np.split(partition.by_rank, partition.starts[1:])):
        blocks[r] = np.add.reduceat(_sum_of_rows(similarity, members)[partition.by_rank], partition.starts)
    own = np.diagonal(blocks)
    with np.errstate(divide="ignore", invalid="ignore"):
        within = (own - partition.sums(np.diagonal(similarity))) / (sizes * (sizes - 1))
        across = (blocks.sum(axis=1) - own) / (sizes * (n - sizes))
        cosine = blocks / np.sqrt(np.outer(own, own))
    return within, across, _nearest(partition, cosine)


def _sum_of_rows(table: Floats, rows: np.ndarray) -> Floats:
    """Sum of some rows, float64; a few at a time, so that they stay in the processor's cache."""
    parts = (table[rows[first : first + ROWS_AT_ONCE]] for first in range(0, len(rows), ROWS_AT_ONCE))
    return sum((part.sum(axis=0, dtype=np.float64) for part in parts), np.zeros(table.shape[1]))


def _emergence(curves: Floats, scale: Floats) -> Floats:
    """Where each mean curve falls below EMERGENCE_NATS for good; NaN where it never does, or from the start on."""
    found = np.full(len(curves), np.nan)
    if not len(scale) or scale[0] < 0 or np.any(np.diff(scale) <= 0):
        return found
    known = np.isfinite(curves).all(axis=1)
    found[known] = crossings(curves[known], scale, EMERGENCE_NATS).scale
    return found


def _nearest(partition: Partition, cosine: Floats) -> list[list[Any]]:
    np.fill_diagonal(cosine, -np.inf)
    cosine[~np.isfinite(cosine)] = -np.inf
    best = np.argsort(-cosine, axis=1, kind="stable")[:, :N_NEAREST]
    return [
        [[int(partition.order[b]), round(float(cosine[a, b]), 6)] for b in best[a] if np.isfinite(cosine[a, b])]
        for a in range(len(cosine))
    ]


def _commonest(
    partition: Partition, ids: np.ndarray, labels: dict[int, str]
) -> tuple[list[list[list[Any]]], np.ndarray]:
    """The commonest tokens of every cluster with their counts, and how many different ones it has."""
    width = int(ids.max()) + 1
    pairs, first, counts = np.unique(partition.rank * width + ids, return_index=True, return_counts=True)
    rank = pairs // width
    place = np.lexsort((first, -counts, rank))
    n_distinct = np.bincount(rank, minlength=len(partition.order))
    ends = np.cumsum(n_distinct)
    tops = [
        [[labels[int(pairs[i] % width)], int(counts[i])] for i in place[end - n : min(end, end - n + N_ANSWERS)]]
        for n, end in zip(n_distinct, ends, strict=True)
    ]
    return tops, n_distinct


def _n_distinct(rank: np.ndarray, values: np.ndarray, n_clusters: int) -> np.ndarray:
    width = int(values.max()) + 1
    return np.bincount(np.unique(rank * width + values) // width, minlength=n_clusters)


def _means(partition: Partition, values: Floats | None) -> Floats:
    """Mean over the members that have a value; NaN where none has."""
    if values is None:
        return np.full(len(partition.order), np.nan)
    present = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return partition.sums(np.where(present, values, 0)) / partition.sums(present)


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
