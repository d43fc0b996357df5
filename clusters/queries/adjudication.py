"""Reads of what waits for an adjudicator, and of one cluster's labels side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from clusters.models import Assignment, Cluster, Clustering, Label, Queue, QueueItem
from clusters.queries.access import User, visible_runs
from clusters.queries.agreement import Disagreement, disagreements, said_now
from clusters.queries.labels import blind_clusters, visible_labels

PERSON, AGREED, SUBMITTED = Label.Origin.PERSON, Label.Origin.AGREED, Label.State.SUBMITTED


def waiting_clusters(user: User, queue: Queue | None = None) -> QuerySet[Cluster]:
    """Clusters whose labels are all in and of which none is agreed on.

    Those of queues where nobody is still asked, and those outside queues that two people or more labeled. What is
    hidden from this person, for their own label is asked for, is left out.
    """
    clusters = Cluster.objects.filter(clustering__run__in=visible_runs(user))
    clusters = clusters.exclude(pk__in=blind_clusters(user))
    clusters = clusters.filter(~Exists(Label.objects.filter(cluster=OuterRef("pk"), origin=AGREED, state=SUBMITTED)))
    asked = Assignment.objects.filter(done_at=None, item__cluster=OuterRef("pk"), item__queue__closed_at=None)
    if queue is not None:
        items = QueueItem.objects.filter(queue=queue, cluster=OuterRef("pk"))
        left = asked.filter(item__queue=queue) if queue.closed_at is None else asked.none()
        labeled = Label.objects.filter(cluster=OuterRef("pk"), origin=PERSON, state=SUBMITTED)
        return clusters.filter(Exists(items), ~Exists(left), Exists(labeled))
    n = Count("labels", Q(labels__origin=PERSON, labels__state=SUBMITTED))
    queued = QueueItem.objects.filter(cluster=OuterRef("pk"))
    return clusters.annotate(n_in=n).filter(~Exists(asked)).filter(Q(n_in__gte=2) | Q(Exists(queued), n_in__gte=1))


def to_adjudicate(user: User, queue: Queue | None = None) -> list[Disagreement]:
    """Clusters that wait, those that people disagree on most first, by what their labels say now."""
    waiting = waiting_clusters(user, queue).only("label", "rank", "size", "clustering")
    clusters = {cluster.pk: cluster for cluster in waiting}
    places = Clustering.objects.select_related("run").only("affinity", "k", "run__slug", "run__name")
    clusterings = places.in_bulk({cluster.clustering_id for cluster in clusters.values()})
    for cluster in clusters.values():
        cluster.clustering = clusterings[cluster.clustering_id]
    said = said_now(submitted_labels(user, clusters))
    found = disagreements(said, clusters)
    several = {one.cluster.pk for one in found}
    alone = [Disagreement(clusters[one.cluster], 1, [one.kind], 0, 0, 0) for one in said if one.cluster not in several]
    return [*found, *sorted(alone, key=lambda one: (one.cluster.clustering_id, one.cluster.rank))]


def submitted_labels(user: User, clusters: Iterable[int]) -> QuerySet[Label]:
    """People's submitted labels of these clusters that this person may see."""
    return visible_labels(user).filter(cluster__in=list(clusters), origin=PERSON, state=SUBMITTED)


def labels_of(user: User, cluster: Cluster) -> list[Label]:
    """People's labels of one cluster, by author."""
    labels = submitted_labels(user, [cluster.pk]).prefetch_related("tags")
    return list(labels.order_by("author_name", "pk"))


def agreed_label(user: User, cluster: Cluster) -> Label | None:
    """What is agreed on of the cluster, if this person may see it."""
    return visible_labels(user).filter(cluster=cluster, origin=AGREED).prefetch_related("tags").first()


def agreed_version(cluster: Cluster) -> int:
    """The version that an agreement would replace: also one that was withdrawn; 0 where there never was any."""
    return Label.objects.filter(cluster=cluster, origin=AGREED).values_list("version", flat=True).first() or 0


@dataclass(frozen=True)
class Votes:
    """How many of the people who labeled a cluster say what is agreed on: "3 of 3 say skill"."""

    n: int
    n_same: int
    kind: str

    @property
    def text(self) -> str:
        return f"{self.n_same} of {self.n} say {self.kind}" if self.kind else ""


def votes_for(kind: str, labels: Sequence[Label]) -> Votes:
    """How people's kinds stand to the agreed one; labels that leave it open count as not saying so."""
    said = Counter(label.kind for label in labels)
    return Votes(len(labels), said[kind], Label.Kind(kind).label if kind else "")
