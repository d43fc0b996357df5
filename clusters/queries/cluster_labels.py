"""What is said of one cluster, and of the clusters of a list, as far as a person may see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db.models import BigIntegerField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast

from clusters.models import Assignment, Cluster, Clustering, Label, Tag
from clusters.queries.access import User
from clusters.queries.labels import (
    AGREED,
    MACHINE,
    PERSON,
    blind_clusters,
    labels_of_seen,
    own_labels,
    visible_labels,
)

SUBMITTED = Label.State.SUBMITTED
HOLDINGS = ("any", "labeled", "agreed", "unlabeled", "not-by-me")  # what a list of clusters may be narrowed to


@dataclass(frozen=True)
class ClusterLabels:
    """The labels of one cluster that a person may see; `tags` by label."""

    own: Label | None
    others: list[Label]  # submitted by other people, the earliest first
    agreed: Label | None
    machine: list[Label]
    is_blind: bool  # others' labels are hidden until the person's own is in
    tags: dict[int, list[Tag]]
    vocabulary: list[Tag]  # the tags that are offered

    @property
    def naming(self) -> Label | None:
        """The label whose name stands on the page: what is agreed on, or what a person said last."""
        if self.agreed is not None and self.agreed.name:
            return self.agreed
        own = [self.own] if self.own is not None else []
        named = [label for label in (*own, *self.others) if label.name and label.submitted_at]
        return max(named, key=lambda label: (label.submitted_at, label.pk), default=None)

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """What people say the cluster is, the commonest first."""
        said = [label for label in (self.own, *self.others) if label is not None and label.state == SUBMITTED]
        return Counter(label.get_kind_display() for label in said if label.kind).most_common()


def labels_of_cluster(user: User, cluster: Cluster) -> ClusterLabels:
    """Everything of a cluster whose run this person sees; two reads.

    Whether others' labels are hidden is read after the labels, so none is shown that a queue has just asked for.
    """
    seen = Label.objects.filter(Q(state=SUBMITTED) | own_labels(user), cluster=cluster)
    labels = list(seen.order_by("submitted_at", "pk"))
    tags, offered, is_blind = _tags_of([label.pk for label in labels], user, cluster)
    mine = (one for one in labels if user.is_authenticated and one.origin == PERSON and one.author_id == user.pk)
    own = next(mine, None)
    if is_blind:
        labels = [own] if own is not None else []
        tags = {one.pk: tags.get(one.pk, []) for one in labels}
    return ClusterLabels(
        own=own,
        others=[one for one in labels if one.origin == PERSON and one is not own],
        agreed=next((one for one in labels if one.origin == AGREED), None),
        machine=[one for one in labels if one.origin == MACHINE],
        is_blind=is_blind,
        tags=tags,
        vocabulary=offered,
    )


def _tags_of(labels: list[int], user: User, cluster: Cluster) -> tuple[dict[int, list[Tag]], list[Tag], bool]:
    """Every label's tags, the tags that are offered, and whether others' labels are hidden: one read for all."""
    number, waiting = BigIntegerField(), blind_clusters(user).filter(item__cluster=cluster)
    every = Tag.objects.order_by().annotate(on_label=Value(0, output_field=number), is_blind=Exists(waiting))
    used = Tag.objects.order_by().filter(labels__in=labels)
    used = used.annotate(on_label=Cast("labels__pk", number), is_blind=Value(False))
    tags: dict[int, list[Tag]] = {}
    offered: list[Tag] = []
    rows = list((every.union(used, all=True) if labels else every).order_by("ordinal", "slug"))
    is_blind = any(tag.is_blind for tag in rows) if rows else waiting.exists()
    for tag in rows:
        if tag.on_label:
            tags.setdefault(tag.on_label, []).append(tag)
        elif tag.retired_at is None:
            offered.append(tag)
    return tags, offered, is_blind


def next_unlabeled(user: User, cluster: Cluster) -> Cluster | None:
    """The next cluster by rank that the person has said nothing of; from the last, on to the first."""
    own = Label.objects.filter(cluster=OuterRef("pk"), author_id=user.pk, origin=PERSON)
    left = Cluster.objects.filter(~Exists(own), clustering=cluster.clustering_id).exclude(pk=cluster.pk)
    left = left.order_by("rank").only("label", "rank", "clustering")
    return left.filter(rank__gt=cluster.rank).first() or left.first()


def is_asked_for(user: User, cluster: Cluster) -> bool:
    """Whether an open queue waits for the person's label of the cluster."""
    waiting = Assignment.objects.filter(person_id=user.pk, done_at=None, item__queue__closed_at=None)
    return waiting.filter(item__cluster=cluster).exists()


@dataclass
class Standing:
    """What a list of clusters says of one cluster's labels."""

    name: str = ""
    is_agreed: bool = False
    n_labels: int = 0  # people who submitted one
    is_mine: bool = False
    tags: list[str] = field(default_factory=list)  # of the label that names it, else of all


def standings(user: User, clusters: Sequence[int]) -> dict[int, Standing]:
    """How the clusters with these primary keys, of a run that this person sees, are labeled; two reads."""
    found: dict[int, Standing] = {}
    labels = list(
        labels_of_seen(user)
        .filter(cluster__in=clusters, state=SUBMITTED)
        .exclude(origin=MACHINE)
        .order_by("submitted_at", "pk")
        .prefetch_related("tags")
    )
    for label in sorted(labels, key=lambda one: one.origin == AGREED):  # the last word is the one agreed on
        standing = found.setdefault(label.cluster_id, Standing())
        if label.origin == AGREED:
            standing.is_agreed = True
        else:
            standing.n_labels += 1
            standing.is_mine |= label.author_id == user.pk
        standing.name = label.name or standing.name
        standing.tags = [tag.name for tag in label.tags.all()] or standing.tags
    return found


def counted_labels(user: User, clustering: Clustering) -> dict[int, tuple[bool, int]]:
    """Of every labeled cluster of a clustering: whether a label is agreed on, and how many people labeled it."""
    rows = (
        visible_labels(user)
        .filter(cluster__clustering=clustering, state=SUBMITTED)
        .exclude(origin=MACHINE)
        .order_by()
        .values_list("cluster_id", "origin")
    )
    found: dict[int, tuple[bool, int]] = {}
    for cluster, origin in rows:
        agreed, n = found.get(cluster, (False, 0))
        found[cluster] = (agreed or origin == AGREED, n + (origin == PERSON))
    return found


def narrowed(clusters: QuerySet[Cluster], user: User, holding: str, tag: str) -> QuerySet[Cluster]:
    """The clusters of a list that are labeled so, and with this tag; as the person may see it."""
    seen = visible_labels(user).filter(state=SUBMITTED).exclude(origin=MACHINE)
    here = seen.filter(cluster=OuterRef("pk"))
    if holding == "labeled":
        clusters = clusters.filter(Exists(here))
    elif holding == "agreed":
        clusters = clusters.filter(Exists(here.filter(origin=AGREED)))
    elif holding == "unlabeled":
        clusters = clusters.filter(~Exists(here))
    elif holding == "not-by-me":
        clusters = clusters.filter(
            ~Exists(Label.objects.filter(cluster=OuterRef("pk"), author_id=user.pk, origin=PERSON, state=SUBMITTED))
        )
    return clusters.filter(Exists(here.filter(tags__slug=tag))) if tag else clusters
