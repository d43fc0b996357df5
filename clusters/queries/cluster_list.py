"""Reads of the cluster list: which clusters of one clustering match, in which order, and some of their members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import BadRequest
from django.db.models import F, QuerySet
from django.db.models.expressions import Combinable

from clusters.models import Cluster, Clustering, Run
from clusters.queries.access import User
from clusters.queries.cluster_labels import counted_labels, narrowed
from clusters.queries.clusters import evenly, flat_indices, labels_of

_KEYS: dict[str, tuple[Combinable, bool]] = {  # what a list is sorted by, and whether the largest value comes first
    "size": (F("size"), True),
    "coherence": (F("similarity_within") - F("similarity_across"), True),
    "within": (F("similarity_within"), True),
    "dominant": (F("dominant_share"), True),
    "monogenicity": (F("mean_monogenicity"), True),
    "emergence": (F("emergence_parameters"), False),
    "emergence-step": (F("emergence_step"), False),
    "rank": (F("rank"), True),
}


@dataclass(frozen=True)
class Matches:
    """The clusters that a list shows, in its order; a clustering has some thousand at most, so all are named."""

    pks: list[int]
    ranks: list[int]
    n_unknown: int  # clusters without a value to sort by; they stand last
    rows: np.ndarray | None  # rows of the tokens that match; None where tokens were not asked about

    def __len__(self) -> int:
        return len(self.pks)

    def start_after(self, rank: int | None) -> int:
        """Place of the first cluster after the one of this rank."""
        if rank is None:
            return 0
        if rank not in self.ranks:
            raise BadRequest("after names a cluster that this list does not hold; leave it out to begin.")
        return self.ranks.index(rank) + 1


def matching_clusters(
    clustering: Clustering,
    *,
    sort: str,
    is_reversed: bool = False,
    answer: str = "",
    text: str = "",
    least: int | None = None,
    most: int | None = None,
    user: User | None = None,
    holding: str = "any",
    tag: str = "",
) -> Matches:
    """Clusters with a token whose answer and context contain the texts, of a size within the bounds, labeled so.

    Labels count as far as the `user` may see them.
    """
    user = user or AnonymousUser()
    clusters: QuerySet[Cluster] = clustering.clusters.all()
    rows = _rows_with(clustering.run, answer, text) if answer or text else None
    if rows is not None:
        labels = labels_of(clustering.run, clustering.affinity, clustering.k)
        clusters = clusters.filter(label__in=np.unique(labels[rows]).tolist())
    if least is not None:
        clusters = clusters.filter(size__gte=least)
    if most is not None:
        clusters = clusters.filter(size__lte=most)
    clusters = narrowed(clusters, user, holding, tag)
    if sort == "label":
        return _by_label(clusters, user, clustering, rows, is_reversed=is_reversed)
    expression, is_falling = _KEYS[sort]
    is_falling ^= is_reversed
    key = F("sort_key")
    order = key.desc(nulls_last=True) if is_falling else key.asc(nulls_last=True)
    ranks_fall = sort in ("size", "rank") and (sort == "rank") != is_reversed
    clusters = clusters.annotate(sort_key=expression).order_by(order, F("rank").desc() if ranks_fall else F("rank"))
    found = list(clusters.values_list("pk", "rank", "sort_key"))
    return Matches(
        pks=[pk for pk, _, _ in found],
        ranks=[rank for _, rank, _ in found],
        n_unknown=sum(key is None for _, _, key in found),
        rows=rows,
    )


def _by_label(
    clusters: QuerySet[Cluster], user: User, clustering: Clustering, rows: np.ndarray | None, *, is_reversed: bool
) -> Matches:
    """The same, those first that are agreed on, then those that most people labeled, then by rank."""
    counted = counted_labels(user, clustering)
    found = list(clusters.order_by("rank").values_list("pk", "rank"))
    found.sort(key=lambda one: counted.get(one[0], (False, 0)), reverse=not is_reversed)
    return Matches([pk for pk, _ in found], [rank for _, rank in found], 0, rows)


def clusters_at(pks: Sequence[int]) -> list[Cluster]:
    """These clusters, in this order, with what a list shows of them."""
    found = Cluster.objects.defer("top_last", "nearest").in_bulk(pks)
    return [found[pk] for pk in pks]


def sample_of_members(
    clustering: Clustering, clusters: Sequence[Cluster], n: int, rows: np.ndarray | None = None
) -> dict[int, list[int]]:
    """Flat indices of up to n members of each cluster, evenly spread, by label; only those at the rows given."""
    labels = np.asarray(labels_of(clustering.run, clustering.affinity, clustering.k))
    rows = np.arange(len(labels)) if rows is None else rows
    flat, own = flat_indices(clustering.run), labels[rows]
    return {one.label: flat[evenly(rows[own == one.label], n)].tolist() for one in clusters}


def _rows_with(run: Run, answer: str, text: str) -> np.ndarray:
    """Rows of the tokens whose answer, and whose text before it, contain these."""
    tokens = run.tokens.all()
    if answer:
        tokens = tokens.filter(answer__icontains=answer)
    if text:
        tokens = tokens.filter(context__icontains=text)
    return np.array(sorted(tokens.order_by().values_list("row", flat=True)), np.int64)
