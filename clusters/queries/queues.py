"""Reads of queues: whose turn it is, and how far everybody is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User as Person
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet

from clusters.models import Assignment, Cluster, Clustering, Label, Queue, QueueItem, Run
from clusters.queries.access import User, may_label, visible_runs

BACKEND = "django.contrib.auth.backends.ModelBackend"
OPEN = Q(item__queue__closed_at=None)


def visible_queues(user: User) -> QuerySet[Queue]:
    """Queues of visible runs, for those who label."""
    if not may_label(user):
        return Queue.objects.none()
    queues = Queue.objects.filter(clustering__run__in=visible_runs(user))
    return queues.select_related("clustering__run").defer("clustering__run__manifest", "clustering__run__score_density")


def labelers(run: Run) -> QuerySet[Person]:
    """People who may label and see the run, by name."""
    people = Person.objects.with_perm("clusters.add_label", backend=BACKEND)
    if run.is_private:
        people = people.filter(Q(is_superuser=True) | Q(pk=run.owner_id) | Q(shared_runs=run))
    return people.distinct().order_by("username")


def adjudicators() -> set[int]:
    """Who may decide; a new queue does not ask them unless somebody chooses so."""
    return set(Person.objects.with_perm("clusters.adjudicate_label", backend=BACKEND).values_list("pk", flat=True))


@dataclass(frozen=True)
class Progress:
    """How much of something is in."""

    n: int
    n_done: int

    @property
    def n_left(self) -> int:
        return self.n - self.n_done

    @property
    def is_done(self) -> bool:
        return self.n > 0 and self.n_left == 0


@dataclass(frozen=True)
class PersonProgress(Progress):
    person: int
    name: str


@dataclass(frozen=True)
class QueueProgress:
    """A queue, how far it is, and how far one person is with their part."""

    queue: Queue
    all: Progress
    mine: Progress
    n_clusters: int
    n_ready: int  # clusters with every label in
    n_agreed: int

    @property
    def n_to_adjudicate(self) -> int:
        return self.n_ready - self.n_agreed


def progress_of(user: User, queues: Iterable[Queue]) -> list[QueueProgress]:
    """How far these queues are; two queries, however many they are."""
    queues = list(queues)
    whose = Q(person_id=user.pk) if user.is_authenticated else Q(pk=None)
    work: dict[int, dict[str, Any]] = {
        row["queue"]: dict(row)
        for row in Assignment.objects.filter(item__queue__in=queues)
        .order_by()
        .values(queue=F("item__queue"))
        .annotate(n=Count("pk"), n_done=Count("done_at"), own=Count("pk", whose), own_done=Count("done_at", whose))
    }
    agreed = Label.objects.filter(cluster=OuterRef("cluster"), origin=Label.Origin.AGREED, state=Label.State.SUBMITTED)
    waiting = Assignment.objects.filter(item=OuterRef("pk"), done_at=None)
    items: dict[int, dict[str, Any]] = {
        row["queue"]: dict(row)
        for row in QueueItem.objects.filter(queue__in=queues)
        .annotate(is_waiting=Exists(waiting), is_agreed=Exists(agreed))
        .order_by()
        .values("queue")
        .annotate(n=Count("pk"), n_ready=Count("pk", Q(is_waiting=False)),
                  n_agreed=Count("pk", Q(is_waiting=False, is_agreed=True)))
    }  # fmt: skip
    return [_progress(queue, work.get(queue.pk, {}), items.get(queue.pk, {})) for queue in queues]


def _progress(queue: Queue, work: dict[str, Any], items: dict[str, Any]) -> QueueProgress:
    return QueueProgress(
        queue, Progress(work.get("n", 0), work.get("n_done", 0)), Progress(work.get("own", 0), work.get("own_done", 0)),
        items.get("n", 0), items.get("n_ready", 0), items.get("n_agreed", 0),
    )  # fmt: skip


def people_of(queue: Queue) -> list[PersonProgress]:
    """Everybody who has a part in the queue, by name, with how much of it is in."""
    rows = (
        Assignment.objects.filter(item__queue=queue)
        .values("person", name=F("person__username"))
        .annotate(n=Count("pk"), n_done=Count("done_at"))
        .order_by("name")
    )
    return [PersonProgress(row["n"], row["n_done"], row["person"], row["name"]) for row in rows]


def items_of(queue: Queue) -> QuerySet[Any]:
    """The queue's clusters in its order: how many labels of each are asked for and in, and whether one is agreed."""
    agreed = Label.objects.filter(cluster=OuterRef("cluster"), origin=Label.Origin.AGREED, state=Label.State.SUBMITTED)
    items = queue.items.select_related("cluster").order_by("ordinal")
    items = items.only("ordinal", "queue", "cluster__label", "cluster__rank", "cluster__size", "cluster__clustering")
    return items.annotate(
        n_asked=Count("assignments"), n_done=Count("assignments__done_at"), is_agreed=Exists(agreed)
    ).prefetch_related("assignments__person")


def assignments_of(user: User) -> QuerySet[Assignment]:
    """What is asked of this person by queues of runs that they see, in the queues' order, the oldest queue first."""
    if not may_label(user):
        return Assignment.objects.none()
    mine = Assignment.objects.filter(person_id=user.pk, item__queue__clustering__run__in=visible_runs(user))
    return mine.order_by("item__queue_id", "item__ordinal")


def next_assignment(user: User, queue: Queue | int | None = None, after: int | None = None) -> Assignment | None:
    """The next cluster that this person is still asked to label, in the queue's order; None where all are in.

    Of one queue, or of all open ones, the oldest first. `after` is a cluster's primary key: the search begins behind
    its place and goes round.
    """
    waiting = assignments_of(user).filter(OPEN, done_at=None)
    waiting = waiting.select_related("item__queue", "item__cluster__clustering__run")
    if queue is not None:
        waiting = waiting.filter(item__queue=queue)
    if after is not None:
        place = _place_of(user, queue, after)
        if place is not None:
            behind = Q(item__queue_id=place[0], item__ordinal__gt=place[1]) | Q(item__queue_id__gt=place[0])
            return waiting.filter(behind).first() or waiting.first()
    return waiting.first()


def _place_of(user: User, queue: Queue | int | None, cluster: int) -> tuple[int, int] | None:
    items = QueueItem.objects.filter(cluster_id=cluster, assignments__person_id=user.pk, queue__closed_at=None)
    if queue is not None:
        items = items.filter(queue=queue)
    return items.order_by("queue_id").values_list("queue_id", "ordinal").first()


@dataclass(frozen=True)
class Turn:
    """One queue as the page of a cluster shows it to somebody who works on it."""

    queue: Queue
    mine: Progress
    is_asked: bool  # for this cluster
    is_waiting: bool  # for this person's label of this cluster
    next: Assignment | None


def turn_of(user: User, cluster: Cluster, asked: int | None = None) -> Turn | None:
    """The open queue that this person works on here: the one asked for, one that holds the cluster, or the oldest."""
    if not user.is_authenticated:
        return None
    here = Q(item__cluster=cluster)
    rows = (
        Assignment.objects.filter(OPEN, person_id=user.pk, item__queue__clustering__run__in=visible_runs(user))
        .order_by()
        .values(queue=F("item__queue"))
        .annotate(n=Count("pk"), n_done=Count("done_at"), n_here=Count("pk", here), n_in=Count("done_at", here))
    )
    found = list(rows)
    if not found or not may_label(user):
        return None
    row = min(found, key=lambda r: (r["queue"] != asked, not r["n_here"], r["n"] == r["n_done"], r["queue"]))
    following = next_assignment(user, row["queue"], after=cluster.pk)
    queue = following.item.queue if following else Queue.objects.get(pk=row["queue"])
    is_waiting = row["n_here"] > row["n_in"]
    return Turn(queue, Progress(row["n"], row["n_done"]), row["n_here"] > 0, is_waiting, following)


def n_others(user: User, cluster: Cluster) -> int:
    """How many other people's labels of the cluster are in."""
    submitted = Label.objects.filter(cluster=cluster, origin=Label.Origin.PERSON, state=Label.State.SUBMITTED)
    return submitted.exclude(author_id=user.pk).count()


def n_waiting(user: User) -> int:
    """How many labels open queues still ask of this person."""
    return assignments_of(user).filter(OPEN, done_at=None).count()


def visible_clusterings(user: User) -> QuerySet[Clustering]:
    """Every clustering that may be shared out: of visible runs that are not archived, the newest run first."""
    runs = visible_runs(user).filter(archived_at=None)
    clusterings = Clustering.objects.filter(run__in=runs).select_related("run").order_by("-run_id", "-affinity", "k")
    return clusterings.only("affinity", "k", "run__slug", "run__name")
