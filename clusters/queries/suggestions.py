"""Reads of suggested labels: other clusterings' labels by shared tokens, and those of a language model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from django.db.models import Exists, OuterRef, Q, QuerySet

from clusters.models import Cluster, Clustering, Label, LabelSuggestion, Run
from clusters.queries.access import User, visible_runs
from clusters.queries.clusters import flat_indices, labels_of
from clusters.queries.labels import blind_clusters, visible_labels
from clusters.stored.recent import Recent
from clusters.values.suggestions import MOST, Overlaps, Place, Suggestion, overlaps
from compute.errors import BundleError

AGREED, PERSON, MACHINE = Label.Origin.AGREED, Label.Origin.PERSON, Label.Origin.MACHINE
MOST_KEPT = 256  # overlaps of two whole clusterings: some tens of kB each
_FIELDS = (
    "pk", "version", "name", "description", "author_name", "author_id", "origin", "cluster__label", "cluster__size",
    "cluster__clustering_id",
)  # fmt: skip
_sizes: Recent[np.ndarray] = Recent(MOST_KEPT)
_kept: Recent[Overlaps] = Recent(MOST_KEPT)


def latest_of_machine(user: User, cluster: Cluster, labels: Sequence[Label]) -> Label | None:
    """The latest of a language model's labels of one cluster that the person did not dismiss, with what was asked."""
    if not labels:
        return None
    found = Label.objects.filter(pk__in=[label.pk for label in labels])
    if user.is_authenticated:
        found = found.exclude(Exists(_dismissed(user, cluster)))
    return found.select_related("machine_answer").order_by("-pk").first()


def suggestions_for(user: User, cluster: Cluster, most: int = MOST) -> list[Suggestion]:
    """Labels of other clusterings whose clusters overlap this one most, of distinct names; nothing that was dismissed.

    While an open blind queue waits for this person's label of the cluster, only labels of their own are offered.
    """
    run, clustering = cluster.clustering.run, cluster.clustering
    sources = list(_sources(user, clustering))
    rows = np.flatnonzero(labels_of(run, clustering.affinity, clustering.k) == cluster.label)
    found = {source.pk: pairs for source in sources if (pairs := _overlaps(clustering, source, rows)) is not None}
    wanted = {key: pairs.other.tolist() for key, pairs in found.items() if len(pairs.other)}
    if not wanted:
        return []
    near = {label for labels in wanted.values() for label in labels}  # some of other clusterings: dropped below
    labels = _labels(user, clustering).filter(cluster__clustering_id__in=wanted, cluster__label__in=near)
    labels = labels.exclude(Exists(_dismissed(user, cluster)))
    is_blind = blind_clusters(user).filter(item__cluster=cluster)
    labels = labels.filter(Q(author_id=user.pk) | ~Exists(is_blind))
    return _offered(list(labels.values_list(*_FIELDS)), sources, found, {cluster.label: cluster.pk}, most)


def suggestions_of(user: User, clustering: Clustering, most: int = MOST) -> list[Suggestion]:
    """All that could be carried over to a clustering's clusters without a label of this person's, the likest first."""
    labels = list(_labels(user, clustering).values_list(*_FIELDS))
    keys = {row[-1] for row in labels}
    sources = [source for source in _sources(user, clustering) if source.pk in keys]
    found = {source.pk: pairs for source in sources if (pairs := _whole(clustering, source)) is not None}
    mine = Label.objects.filter(cluster__clustering=clustering, author_id=user.pk, origin=PERSON)
    targets = dict(clustering.clusters.exclude(pk__in=mine.values("cluster_id")).values_list("label", "pk"))
    decided = LabelSuggestion.objects.filter(
        person_id=user.pk, cluster__clustering=clustering, decision=LabelSuggestion.Decision.DISMISSED
    )
    dismissed = set(decided.values_list("cluster_id", "source_id"))
    blind = set(blind_clusters(user).filter(item__cluster__clustering=clustering))
    own = {row[0] for row in labels if row[_FIELDS.index("author_id")] == user.pk}
    offered = _offered(labels, sources, found, targets, most, dismissed=dismissed, blind=blind, own=own)
    return sorted(offered, key=order_of)


def suggestion_of(user: User, cluster: Cluster, source: int) -> Suggestion | None:
    """The suggestion that this label is for the cluster, dismissed or not; None where it is none to this person."""
    clustering = cluster.clustering
    row = _labels(user, clustering).filter(pk=source).values_list(*_FIELDS).first() if source < 2**63 else None
    if row is None or (row[5] != user.pk and blind_clusters(user).filter(item__cluster=cluster).exists()):
        return None
    place = Clustering.objects.select_related("run").get(pk=row[-1])
    rows = np.flatnonzero(labels_of(clustering.run, clustering.affinity, clustering.k) == cluster.label)
    pairs = _overlaps(clustering, place, rows)
    if pairs is None:
        return None
    offered = _offered([row], [place], {place.pk: pairs}, {cluster.label: cluster.pk}, 1)
    return offered[0] if offered else None


def machine_label(user: User, number: int) -> Label | None:
    """A language model's label with what was asked and answered, if this person may see it."""
    if number >= 2**63:
        return None
    labels = visible_labels(user).filter(origin=MACHINE, pk=number, machine_answer__isnull=False)
    return labels.select_related("machine_answer__job", "cluster__clustering__run").prefetch_related("tags").first()


def without_machine(clustering: Clustering, most: int) -> list[Cluster]:
    """The largest clusters that no language model has named yet."""
    named = Label.objects.filter(origin=MACHINE, cluster__clustering=clustering)
    return list(clustering.clusters.exclude(pk__in=named.values("cluster_id")).order_by("rank")[:most])


def order_of(one: Suggestion) -> tuple[float, int, int]:
    """A table's order: the likest first."""
    return -round(one.jaccard, 9), one.cluster, one.label


def _labels(user: User, clustering: Clustering) -> QuerySet[Label]:
    """Submitted, named labels of people for clusters of other clusterings of the same text."""
    same_text = _named(visible_labels(user)).filter(cluster__clustering__run__corpus_id=clustering.run.corpus_id)
    return same_text.exclude(cluster__clustering=clustering)


def _named(labels: QuerySet[Label]) -> QuerySet[Label]:
    return labels.filter(state=Label.State.SUBMITTED, origin__in=(AGREED, PERSON)).exclude(name="")


def _sources(user: User, clustering: Clustering) -> QuerySet[Clustering]:
    """The clusterings that any of those labels may be of: which of them the person sees is asked of the labels."""
    named = _named(Label.objects.filter(cluster__clustering=OuterRef("pk")))
    rows = Clustering.objects.filter(Exists(named), run__corpus_id=clustering.run.corpus_id, run__in=visible_runs(user))
    rows = rows.exclude(pk=clustering.pk).select_related("run").order_by()
    return rows.only("affinity", "k", "run__slug", "run__bundle_path", "run__bundle_sha256", "run__damage")


def _dismissed(user: User, cluster: Cluster) -> QuerySet[LabelSuggestion]:
    return LabelSuggestion.objects.filter(
        cluster=cluster, person_id=user.pk, source_id=OuterRef("pk"), decision=LabelSuggestion.Decision.DISMISSED
    )


def _offered(
    labels: Sequence[tuple],
    sources: Iterable[Clustering],
    found: dict[int, Overlaps],
    targets: dict[int, int],
    most: int,
    *,
    dismissed: Iterable[tuple[int, int]] = (),
    blind: Iterable[int] = (),
    own: Iterable[int] = (),
) -> list[Suggestion]:
    """For each target cluster (label → primary key) the likest labels, each name once; agreed ones stand for all."""
    by_cluster = _by_cluster(labels)
    where = {source.pk: source for source in sources}
    hidden, unseen, mine = set(dismissed), set(blind), set(own)
    by_target: dict[int, list[Suggestion]] = defaultdict(list)
    for key, pairs in found.items():
        columns = (column.tolist() for column in (pairs.own, pairs.other, pairs.shared, pairs.jaccard))
        for label, other, n_shared, jaccard in zip(*columns, strict=True):
            target = targets.get(label)
            for row in by_cluster.get((key, other), ()) if target is not None else ():
                if (target, row[0]) not in hidden and (target not in unseen or row[0] in mine):
                    by_target[label].append(_suggestion(row, where[key], targets[label], jaccard, n_shared))
    return [one for offers in by_target.values() for one in _best(offers, most)]


def _by_cluster(labels: Sequence[tuple]) -> dict[tuple[int, int], list[tuple]]:
    """Labels by clustering and cluster; where one is agreed on, it alone."""
    found: dict[tuple[int, int], list[tuple]] = defaultdict(list)
    for row in labels:
        found[row[-1], row[7]].append(row)
    return {place: [row for row in rows if row[6] == AGREED] or rows for place, rows in found.items()}


def _best(offers: list[Suggestion], most: int) -> list[Suggestion]:
    offers.sort(key=lambda one: (-one.jaccard, not one.is_agreed, -one.label))
    names = {one.name.casefold(): one for one in reversed(offers)}  # the likest of each name
    return sorted(names.values(), key=lambda one: (-one.jaccard, not one.is_agreed, -one.label))[:most]


def _suggestion(row: tuple, source: Clustering, target: int, jaccard: float, n_shared: int) -> Suggestion:
    key, version, name, description, author, _, origin, label, size, _ = row
    place = Place(source.run.slug, source.affinity, source.k, label, size)
    return Suggestion(target, key, version, name, description, author, origin == AGREED, place, jaccard, n_shared)


def _whole(clustering: Clustering, source: Clustering) -> Overlaps | None:
    """Every pair of clusters that overlap enough, remembered."""
    try:
        return _kept.get((_key(clustering), _key(source)), lambda: _measured(clustering, source, None))
    except BundleError:
        return None


def _overlaps(clustering: Clustering, source: Clustering, rows: np.ndarray) -> Overlaps | None:
    """The source's clusters that overlap the cluster of these rows; None where its bundle cannot be read."""
    try:
        return _measured(clustering, source, rows)
    except BundleError:
        return None


def _measured(clustering: Clustering, source: Clustering, rows: np.ndarray | None) -> Overlaps:
    own, other = (labels_of(side.run, side.affinity, side.k) for side in (clustering, source))
    if rows is None:
        rows = np.arange(len(own))
    theirs = rows
    if source.run.bundle_sha256 != clustering.run.bundle_sha256:
        rows, theirs = _common(clustering.run, source.run, rows)
    return overlaps(np.asarray(own[rows]), np.asarray(other[theirs]), _sizes_of(clustering), _sizes_of(source))


def _common(run: Run, other: Run, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those of the rows whose token the other run clustered too, and its rows there."""
    wanted, there = flat_indices(run)[rows], flat_indices(other)
    places = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    is_there = there[places] == wanted
    return rows[is_there], places[is_there]


def _sizes_of(clustering: Clustering) -> np.ndarray:
    labels = labels_of(clustering.run, clustering.affinity, clustering.k)
    return _sizes.get(_key(clustering), lambda: np.bincount(labels))


def _key(clustering: Clustering) -> tuple[str, str, int]:
    return clustering.run.bundle_sha256, clustering.affinity, clustering.k
