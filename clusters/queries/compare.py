"""Reads for two clusterings side by side, of one run or of two: which tokens they share, and how far they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clusters.models import Cluster, Run
from clusters.queries.access import User, visible_runs
from clusters.queries.clusters import flat_indices, labels_of
from clusters.stored.recent import Recent
from clusters.values.facts import Sizes
from compute.errors import BundleError
from compute.numerics.agreement import (
    FATES,
    Contingency,
    Information,
    adjusted_rand,
    by_chance,
    contingency,
    fates,
    information,
    matching,
    parts_within,
    spread_over_halves,
)
from compute.numerics.ranks import cluster_order

MOST_RUNS = 200  # offered to compare with
MOST_KEPT = 64  # comparisons remembered: at 10,000 tokens about 0.5 MB each


@dataclass(frozen=True)
class Side:
    """One of the two clusterings."""

    run: Run
    affinity: str
    k: int

    @property
    def name(self) -> str:
        """As the address writes it."""
        return f"{self.affinity}-{self.k}"

    @property
    def key(self) -> tuple[str, str, int]:
        return self.run.bundle_sha256, self.affinity, self.k


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two clusterings say about the tokens that both hold; clusters count from 0 by rank."""

    table: Contingency
    labels_a: np.ndarray  # of the clusters, by rank
    labels_b: np.ndarray
    n_a: int  # tokens that each clustering holds
    n_b: int
    rand: float
    rand_error: float
    shared: Information
    shared_error: float  # of the normalized mutual information
    shared_by_chance: float

    @property
    def n_tokens(self) -> int:
        """Tokens in both."""
        return self.table.n_tokens

    @cached_property
    def matched(self) -> np.ndarray:
        """Cells of the table that pair clusters one to one, most shared tokens first."""
        return matching(self.table)

    @cached_property
    def n_matched_tokens(self) -> int:
        return int(self.table.shared[self.matched].sum())

    @cached_property
    def fates_a(self) -> np.ndarray:
        return fates(self.table)

    @cached_property
    def fates_b(self) -> np.ndarray:
        return fates(self.swapped)

    @cached_property
    def swapped(self) -> Contingency:
        return self.table.swapped()


@dataclass(frozen=True)
class Whole:
    """A cluster of one side and those of the other that it is made of."""

    cluster: int  # rank from 0
    size: int
    parts: list[tuple[int, int, int]]  # cluster of the other side, shared tokens, its size


def comparable(a: Run, b: Run) -> bool:
    """Whether a flat index means the same token in both runs."""
    return a.pk == b.pk or a.corpus_id == b.corpus_id


def compare(a: Side, b: Side) -> Comparison | None:
    """The two over the tokens they share; None where they share none, or a bundle holds no labels."""
    try:
        return _compared.get((a.key, b.key), lambda: _compare(a, b))
    except BundleError:
        return None


def runs_to_compare(user: User, run: Run) -> list[dict[str, Any]]:
    """Slug and name of the visible runs, this one first."""
    others = visible_runs(user).filter(archived_at__isnull=True).exclude(pk=run.pk).values("slug", "name")
    return [{"slug": run.slug, "name": run.name}, *map(dict, others[:MOST_RUNS])]


def sizes_of(side: Side) -> Sizes:
    """The sizes of a side's clusters, by rank."""
    row = side.run.clusterings.get(affinity=side.affinity, k=side.k)
    return Sizes(row.k, row.sizes, row.n_singletons)


def clusters_by_rank(side: Side, ranks: Sequence[int]) -> dict[int, Cluster]:
    """Rows of some clusters of a side, by rank from 0."""
    rows = Cluster.objects.filter(
        clustering__run=side.run, clustering__affinity=side.affinity, clustering__k=side.k,
        rank__in=[rank + 1 for rank in ranks],
    ).only("rank", "label", "size", "top_answers")  # fmt: skip
    return {row.rank - 1: row for row in rows}


def fate_counts(found: np.ndarray, sizes: np.ndarray) -> list[dict[str, Any]]:
    """How many clusters, with how many tokens, met each fate."""
    return [
        {"fate": fate, "n_clusters": int((found == i).sum()), "n_tokens": int(sizes[found == i].sum())}
        for i, fate in enumerate(FATES)
    ]


def wholes(table: Contingency, found: np.ndarray, most: int | None = None) -> list[Whole]:
    """The clusters of a that split, largest first, each with its parts in b."""
    split = np.flatnonzero(found == FATES.index("split"))
    largest = split[np.argsort(-table.sizes_a[split], kind="stable")][:most]
    return [
        Whole(
            cluster=int(cluster),
            size=int(table.sizes_a[cluster]),
            parts=[
                (int(table.b[cell]), int(table.shared[cell]), int(table.sizes_b[table.b[cell]]))
                for cell in parts_within(table, int(cluster))
            ],
        )
        for cluster in largest
    ]


def shares(comparison: Comparison, most: int) -> tuple[list[int], list[int], np.ndarray]:
    """The largest clusters of a, those of b that hold most of them, and the share of each row in each column.

    The array has one column more: the share in all other clusters of b.
    """
    table = comparison.table
    rows = [rank for rank in range(len(table.sizes_a)) if table.sizes_a[rank]][:most]
    columns: list[int] = []
    for row in rows:
        cells = np.flatnonzero(table.a == row)
        best = int(table.b[cells[np.argmax(table.shared[cells])]])
        if best not in columns:
            columns.append(best)
    found = np.zeros((len(rows), len(columns) + 1))
    place_of = {column: place for place, column in enumerate(columns)}
    for i, row in enumerate(rows):
        for cell in np.flatnonzero(table.a == row):
            found[i, place_of.get(int(table.b[cell]), len(columns))] += table.share_a[cell]
    return rows, columns, found


_compared: Recent[Comparison | None] = Recent(MOST_KEPT)  # by the bundles, affinities and ks of both


def _compare(a: Side, b: Side) -> Comparison | None:
    if not comparable(a.run, b.run):
        return None
    common = _common(a.run, b.run)
    (ranks_a, labels_a), (ranks_b, labels_b) = (_ranked(side) for side in (a, b))
    of_a, of_b = ranks_a[common[0]], ranks_b[common[1]]
    if not len(of_a):
        return None
    table = contingency(of_a, of_b, len(labels_a), len(labels_b))
    rand_error, shared_error = spread_over_halves(_both, of_a, of_b)
    return Comparison(
        table=table,
        labels_a=labels_a,
        labels_b=labels_b,
        n_a=len(ranks_a),
        n_b=len(ranks_b),
        rand=adjusted_rand(table),
        rand_error=float(rand_error),
        shared=information(table),
        shared_error=float(shared_error),
        shared_by_chance=by_chance(_normalized, of_a, of_b),
    )


def _both(table: Contingency) -> tuple[float, float]:
    return adjusted_rand(table), _normalized(table)


def _normalized(table: Contingency) -> float:
    return information(table).normalized


def _common(a: Run, b: Run) -> tuple[np.ndarray, np.ndarray]:
    """Rows of either run's labels that belong to the tokens in both."""
    if a.pk == b.pk:
        rows = np.arange(a.n_tokens)
        return rows, rows
    _, of_a, of_b = np.intersect1d(flat_indices(a), flat_indices(b), assume_unique=True, return_indices=True)
    return of_a, of_b


def _ranked(side: Side) -> tuple[np.ndarray, np.ndarray]:
    """The rank, from 0, of every token's cluster; the labels by rank."""
    labels = np.asarray(labels_of(side.run, side.affinity, side.k))
    order = cluster_order(labels)
    rank = np.empty(int(order.max()) + 1, np.int64)
    rank[order] = np.arange(len(order))
    return rank[labels], order
