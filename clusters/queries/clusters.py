"""Reads of clusterings and clusters; who belongs to a cluster is read from the bundle's label arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from django.db.models import Q

from clusters.models import Affinity, Cluster, Clustering, Run
from clusters.parameters import whole_number
from clusters.queries.access import User, may_see
from clusters.queries.missing import Missing
from clusters.stored.arrays import array_of, bundle_of
from compute.errors import BundleError

MOST_TIED = 6  # clusters of the same size that are named


def visible_run(user: User, slug: str) -> Run:
    """The run of this name, if this person may see it."""
    runs = Run.objects.select_related("corpus", "checkpoint")
    run = runs.filter(slug=slug).first() if slug.isprintable() else None  # no database compares with NUL
    if run is None or not may_see(user, run):
        raise Missing(f"There is no run “{slug[:80]}”", "Choose one from the list of runs.")
    try:
        bundle_of(run)
    except BundleError as error:
        raise Missing(
            f"The data of “{run.name}” cannot be read",
            "Its bundle was moved away, altered or cut short. Put it back, then open this page again.",
        ) from error
    return run


def ladder(run: Run) -> dict[str, list[int]]:
    """Every k that the run has, ascending, by affinity."""
    rows = run.clusterings.order_by("affinity", "k").values_list("affinity", "k")
    ks: dict[str, list[int]] = {}
    for affinity, k in rows:
        ks.setdefault(affinity, []).append(k)
    return {affinity: ks[affinity] for affinity in Affinity.values if affinity in ks}


def clustering_at(run: Run, k_text: str, affinity: str, ks: dict[str, list[int]]) -> Clustering:
    """The clustering that an address names; 404 with the ks that there are."""
    k = whole_number(k_text)
    if k is None or k not in ks.get(affinity, []):
        there = ", ".join(map(str, ks.get(affinity, []))) or "none"
        raise Missing(f"“{run.name}” has no {affinity} clustering at k = {k_text[:20]}", f"It has k = {there}.")
    return run.clusterings.get(affinity=affinity, k=k)


def cluster_at(clustering: Clustering, label_text: str) -> Cluster:
    """The cluster that an address names; 404 with the labels that there are."""
    label = whole_number(label_text)
    found = None if label is None else clustering.clusters.filter(label=label).first()
    if found is None:
        raise Missing(
            f"There is no cluster {label_text[:20]} at k = {clustering.k}, {clustering.affinity} affinity",
            f"Labels run from 0 to {clustering.k - 1}; open the list of clusters to choose one.",
        )
    return found


def cluster_named(run: Run, k_text: str, affinity: str, ks: dict[str, list[int]], label_text: str) -> Cluster:
    """The cluster that an address names, with its clustering and run, in one read; 404 with what there is instead."""
    k, label = whole_number(k_text), whole_number(label_text)
    found = None
    if k is not None and k in ks.get(affinity, []) and label is not None:
        clusters = Cluster.objects.select_related("clustering")
        found = clusters.filter(
            clustering__run=run, clustering__affinity=affinity, clustering__k=k, label=label
        ).first()  # fmt: skip
    cluster = found or cluster_at(clustering_at(run, k_text, affinity, ks), label_text)
    cluster.clustering.run = run
    return cluster


@dataclass(frozen=True)
class Surroundings:
    """The clusters beside one in the order by rank, those that share its size, and those most like it."""

    previous: Cluster | None
    following: Cluster | None
    tied: list[Cluster]  # those nearest in rank, by rank
    n_tied: int
    nearest: list[tuple[Cluster, float]]  # with the cosine of their mean gradients and this one's


def surroundings(clustering: Clustering, cluster: Cluster) -> Surroundings:
    """What stands near a cluster, in one read; ties stand together, for clusters are ranked by size."""
    first, n = clustering.sizes.index(cluster.size) + 1, clustering.sizes.count(cluster.size)
    ties = sorted((r for r in range(first, first + n) if r != cluster.rank), key=lambda r: (abs(r - cluster.rank), r))
    ranks = {cluster.rank - 1, cluster.rank + 1, *ties[:MOST_TIED]}
    rows = clustering.clusters.filter(Q(rank__in=ranks) | Q(label__in=[label for label, _ in cluster.nearest]))
    others = list(rows.defer("mean_curve", "nearest", "top_last"))
    by_rank, by_label = {one.rank: one for one in others}, {one.label: one for one in others}
    return Surroundings(
        previous=by_rank.get(cluster.rank - 1),
        following=by_rank.get(cluster.rank + 1),
        tied=[by_rank[rank] for rank in sorted(ties[:MOST_TIED]) if rank in by_rank],
        n_tied=n - 1,
        nearest=[(by_label[label], value) for label, value in cluster.nearest if label in by_label],
    )


def labels_of(run: Run, affinity: str, k: int) -> np.ndarray:
    """Label of every clustered token, int32 of shape (n_selected,)."""
    return array_of(run, f"clustering/{affinity}/k{k}")


def flat_indices(run: Run) -> np.ndarray:
    """Flat index of every clustered token, ascending."""
    return array_of(run, "selection/flat_index")


def member_rows(clustering: Clustering, label: int) -> np.ndarray:
    """Rows of the similarity matrix that belong to the cluster, ascending."""
    return np.flatnonzero(labels_of(clustering.run, clustering.affinity, clustering.k) == label)


def evenly(values: np.ndarray, n: int) -> np.ndarray:
    """At most n of the values, evenly spread: the same ones every time."""
    if len(values) <= n:
        return values
    return values[np.linspace(0, len(values) - 1, n).round().astype(int)]
