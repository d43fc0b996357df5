"""Reads of clusterings and clusters; who belongs to a cluster is read from the bundle's label arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from django.db.models import Exists, F, OuterRef, QuerySet

from clusters.arrays import array_of, bundle_of
from clusters.models import Affinity, Cluster, Clustering, Membership, Run
from clusters.parameters import whole_number
from clusters.queries.access import User, visible_runs
from clusters.queries.missing import Missing
from clusters.readings import Part, Rung, Similarities
from compute.errors import BundleError

PAGE_SIZE = 12
N_SAMPLED = 200  # members whose similarities are drawn
_ORDERS = {
    "size": (F("rank").asc(),),
    "within": (F("similarity_within").desc(nulls_last=True), F("rank").asc()),
    "dominant": (F("dominant_share").desc(), F("rank").asc()),
    "monogenicity": (F("mean_monogenicity").desc(nulls_last=True), F("rank").asc()),
    "rank": (F("rank").desc(),),
}


def visible_run(user: User, slug: str) -> Run:
    """The run of this name, if this person may see it."""
    run = visible_runs(user).select_related("corpus", "checkpoint").filter(slug=slug).first()
    if run is None:
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


def page_of_clusters(clustering: Clustering, *, sort: str, answer: str, page: int) -> tuple[list[Cluster], bool]:
    """One page of clusters, and whether there is another; nothing is counted."""
    clusters: QuerySet[Cluster] = clustering.clusters.order_by(*_ORDERS[sort])
    if answer:
        members = Membership.objects.filter(cluster=OuterRef("pk"), token__answer__icontains=answer)
        clusters = clusters.filter(Exists(members))
    start = (page - 1) * PAGE_SIZE
    found = list(clusters[start : start + PAGE_SIZE + 1])
    return found[:PAGE_SIZE], len(found) > PAGE_SIZE


def neighbours_by_rank(cluster: Cluster) -> tuple[Cluster | None, Cluster | None]:
    """The clusters one rank above and one below."""
    near = Cluster.objects.filter(clustering=cluster.clustering_id, rank__in=(cluster.rank - 1, cluster.rank + 1))
    by_rank = {other.rank: other for other in near.only("label", "rank", "clustering")}
    return by_rank.get(cluster.rank - 1), by_rank.get(cluster.rank + 1)


def nearest_clusters(cluster: Cluster) -> list[tuple[Cluster, float]]:
    """The clusters whose gradients are most like this one's, with the cosine of their means."""
    labels = [label for label, _ in cluster.nearest]
    rows = Cluster.objects.filter(clustering=cluster.clustering_id, label__in=labels)
    by_label = {other.label: other for other in rows.defer("mean_curve", "nearest")}
    return [(by_label[label], value) for label, value in cluster.nearest if label in by_label]


def labels_of(run: Run, affinity: str, k: int) -> np.ndarray:
    """Label of every clustered token, int32 of shape (n_selected,)."""
    return array_of(run, f"clustering/{affinity}/k{k}")


def flat_indices(run: Run) -> np.ndarray:
    """Flat index of every clustered token, ascending."""
    return array_of(run, "selection/flat_index")


def member_rows(clustering: Clustering, label: int) -> np.ndarray:
    """Rows of the similarity matrix that belong to the cluster, ascending."""
    return np.flatnonzero(labels_of(clustering.run, clustering.affinity, clustering.k) == label)


def similarities(run: Run, affinity: str, rows: np.ndarray) -> Similarities:
    """Read the members' rows of the similarity matrix; of a large cluster, those of an even sample."""
    matrix = array_of(run, f"similarity/{affinity}")
    sample = evenly(rows, N_SAMPLED)
    read = np.asarray(matrix[sample])  # (n_sampled, n_selected)
    inside = read[:, sample]
    others = np.ones(matrix.shape[1], bool)
    others[rows] = False
    return Similarities(
        within=inside[np.triu_indices(len(sample), 1)],
        across=read[:, others].ravel(),
        n_members=len(rows),
        n_sampled=len(sample),
    )


def evenly(values: np.ndarray, n: int) -> np.ndarray:
    """At most n of the values, evenly spread: the same ones every time."""
    if len(values) <= n:
        return values
    return values[np.linspace(0, len(values) - 1, n).round().astype(int)]


def crosswalk(
    run: Run, affinity: str, ks: Sequence[int], k: int, rows: np.ndarray, *, reach: int = 2, most: int = 5
) -> list[Rung]:
    """Where the tokens at these rows sit at the `reach` smaller and the `reach` larger ks."""
    at = ks.index(k)
    near = ks[max(at - reach, 0) : at + reach + 1]
    parts: list[list[Part]] = []
    places: list[np.ndarray] = []  # of every token: the place of its part
    for other in near:
        found, place = _parts(labels_of(run, affinity, other), rows, most)
        parts.append(found)
        places.append(place)
    flows = [Counter(zip(a.tolist(), b.tolist(), strict=True)) for a, b in pairwise(places)]
    return [Rung(*rung) for rung in zip(near, parts, [*flows, Counter()], strict=True)]


def _parts(labels: np.ndarray, rows: np.ndarray, most: int) -> tuple[list[Part], np.ndarray]:
    own = np.asarray(labels)[rows]
    shared = Counter(own.tolist())
    order = sorted(shared, key=lambda label: (-shared[label], label))
    keep = order if len(order) <= most else order[: most - 1]
    sizes = np.bincount(labels)
    parts = [Part(label, shared[label], int(sizes[label])) for label in keep]
    rest = order[len(keep) :]
    if rest:
        n_rest, n_size = sum(shared[label] for label in rest), sum(int(sizes[label]) for label in rest)
        parts.append(Part(None, n_rest, n_size, len(rest)))
    place_of = {label: min(place, len(keep)) for place, label in enumerate(order)}
    return parts, np.array([place_of[label] for label in own.tolist()], int)


def sample_of_members(
    clustering: Clustering, clusters: Sequence[Cluster], n: int, *, answer: str = ""
) -> dict[int, list[int]]:
    """Flat indices of up to n members of each cluster, evenly spread, by label; only those with the answer."""
    labels = np.asarray(labels_of(clustering.run, clustering.affinity, clustering.k))
    keep = np.ones(len(labels), bool)
    if answer and clusters:
        keep[:] = False
        keep[list(clustering.run.tokens.filter(answer__icontains=answer).values_list("row", flat=True))] = True
    flat = flat_indices(clustering.run)
    return {c.label: flat[evenly(np.flatnonzero((labels == c.label) & keep), n)].tolist() for c in clusters}
