"""Sharing out clusters among labelers: queues made, changed, closed, dealt again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User as Person
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone

from clusters.display import clean_lines, one_line
from clusters.models import Assignment, Cluster, Clustering, Label, Queue, QueueItem
from clusters.queries.access import User, may_adjudicate
from clusters.queries.queues import labelers
from clusters.services.audit import record
from clusters.values.sharing import Share, dealt

MAX_CLUSTERS, MAX_EACH, MAX_NAME, MAX_QUERY, MAX_GUIDELINES = 2000, 20, 120, 500, 10_000


@dataclass(frozen=True)
class Plan:
    """What a queue is to be. `people` are primary keys; `query` is the cluster list's, from which its clusters came."""

    name: str
    people: tuple[int, ...]
    labels_each: int = 2
    is_blind: bool = True
    guidelines: str = ""
    query: str = ""


def make_queue(user: User, clustering: Clustering, clusters: Sequence[int], plan: Plan) -> Queue:
    """Share these clusters (primary keys, in the queue's order) out among the people.

    Who has a submitted label of a cluster already counts as done with it. Raises PermissionDenied, ValidationError.
    """
    _must_share(user)
    people = _checked(plan, clustering, clusters)
    with transaction.atomic():
        queue = Queue.objects.create(
            name=_one_line(plan.name), clustering=clustering, query=plan.query, guidelines=_text(plan.guidelines),
            labels_each=plan.labels_each, is_blind=plan.is_blind, created_by_id=user.pk,
        )  # fmt: skip
        items = [QueueItem(queue=queue, cluster_id=pk, ordinal=i) for i, pk in enumerate(clusters, 1)]
        QueueItem.objects.bulk_create(items)
        shares = dealt([Share()] * len(items), people, plan.labels_each, seed=queue.pk)
        _assign(queue, list(zip(items, shares, strict=True)))
        record(user, "queue.make", _target(queue), queue=queue.pk, n_clusters=len(items), people=len(people))
    return queue


def describe_queue(user: User, queue: Queue, *, name: str, guidelines: str) -> Queue:
    """Rename the queue and rewrite its guidelines."""
    _must_share(user)
    if problems := _wording(name, guidelines):
        raise ValidationError(problems)
    with transaction.atomic():
        queue.name, queue.guidelines = _one_line(name), _text(guidelines)
        queue.save(update_fields=["name", "guidelines"])
        record(user, "queue.describe", _target(queue), queue=queue.pk)
    return queue


def share_again(user: User, queue: Queue, people: Iterable[int]) -> int:
    """Let these people, and no others, do what is not done yet; how many turns were given to somebody else.

    Labels that are in stay counted, whoever wrote them. A label that somebody who stays has begun stays theirs.
    """
    _must_share(user)
    with transaction.atomic():
        queue = Queue.objects.select_for_update().get(pk=queue.pk)
        chosen = _chosen(queue.clustering, people, queue.labels_each)
        items = list(queue.items.order_by("ordinal").prefetch_related("assignments"))
        drafts = Label.objects.filter(
            cluster__queue_items__queue=queue, author_id__in=chosen, origin=Label.Origin.PERSON
        ).values_list("cluster_id", "author_id")
        shares = _shares(items, chosen, set(drafts))
        found = dealt(shares, chosen, queue.labels_each, seed=queue.pk)
        gone, new = _differences(items, shares, found)
        Assignment.objects.filter(pk__in=gone, done_at=None).delete()
        n = _assign(queue, new)
        record(user, "queue.share", _target(queue), queue=queue.pk, people=len(chosen), moved=n)
    return n


def close_queue(user: User, queue: Queue) -> Queue:
    """Ask nobody any more; what is hidden from people for this queue's sake is hidden no longer."""
    return _closed(user, queue, is_closed=True)


def reopen_queue(user: User, queue: Queue) -> Queue:
    return _closed(user, queue, is_closed=False)


def delete_queue(user: User, queue: Queue) -> None:
    """Remove a queue in which nobody has done anything; one with labels in can only be closed."""
    _must_share(user)
    with transaction.atomic():
        queue = Queue.objects.select_for_update().get(pk=queue.pk)
        n = Assignment.objects.filter(item__queue=queue).exclude(done_at=None).count()
        if n:
            labels = "1 label is in" if n == 1 else f"{n} labels are in"
            raise ValidationError(f"“{queue.name}” stays: {labels}. Close it instead; nobody is asked any more then.")
        record(user, "queue.delete", _target(queue), queue=queue.pk)
        queue.delete()


def _closed(user: User, queue: Queue, *, is_closed: bool) -> Queue:
    _must_share(user)
    if (queue.closed_at is not None) == is_closed:
        return queue
    with transaction.atomic():
        queue.closed_at = timezone.now() if is_closed else None
        queue.save(update_fields=["closed_at"])
        record(user, "queue.close" if is_closed else "queue.reopen", _target(queue), queue=queue.pk)
    return queue


def _assign(queue: Queue, rows: Sequence[tuple[QueueItem, Sequence[int]]]) -> int:
    """Ask the people; whose label is in already is done."""
    people = {person for _, named in rows for person in named}
    submitted = set(
        Label.objects.filter(
            cluster__in=[item.cluster_id for item, _ in rows], author_id__in=people,
            origin=Label.Origin.PERSON, state=Label.State.SUBMITTED,
        ).values_list("cluster_id", "author_id")
    )  # fmt: skip
    now = timezone.now()
    made = [
        Assignment(item=item, person_id=person, done_at=now if (item.cluster_id, person) in submitted else None)
        for item, named in rows
        for person in named
    ]
    Assignment.objects.bulk_create(made)
    return len(made)


def _shares(items: Sequence[QueueItem], chosen: Sequence[int], drafts: set[tuple[int, int]]) -> list[Share]:
    """What of every cluster is done or begun, and what may go to others."""
    shares = []
    for item in items:
        asked = sorted(item.assignments.all(), key=lambda one: one.pk)
        kept = [
            one.person_id for one in asked
            if one.done_at or (one.person_id in chosen and (item.cluster_id, one.person_id) in drafts)
        ]  # fmt: skip
        shares.append(Share(tuple(kept), tuple(one.person_id for one in asked if one.person_id not in kept)))
    return shares


def _differences(
    items: Sequence[QueueItem], shares: Sequence[Share], found: Sequence[Sequence[int]]
) -> tuple[list[int], list[tuple[QueueItem, list[int]]]]:
    """Assignments that go, and those that come."""
    gone, new = [], []
    for item, share, people in zip(items, shares, found, strict=True):
        gone += [one.pk for one in item.assignments.all() if one.person_id in set(share.movable) - set(people)]
        new.append((item, [person for person in people if person not in share.movable]))
    return gone, new


def _checked(plan: Plan, clustering: Clustering, clusters: Sequence[int]) -> list[int]:
    """The people's keys, in order; ValidationError by field where the queue cannot be made."""
    problems = _wording(plan.name, plan.guidelines)
    if not clusters:
        problems["clusters"] = "No cluster matches: nothing would be shared out. Widen the filter."
    elif len(clusters) > MAX_CLUSTERS:
        problems["clusters"] = f"A queue holds at most {MAX_CLUSTERS:,} clusters; these are {len(clusters):,}."
    elif Cluster.objects.filter(clustering=clustering, pk__in=clusters).count() != len(set(clusters)):
        problems["clusters"] = "Some of these clusters are not of this clustering."
    if not 1 <= plan.labels_each <= MAX_EACH:
        problems["labels_each"] = f"Ask for 1 to {MAX_EACH} labels of each cluster, not {plan.labels_each}."
    if len(plan.query) > MAX_QUERY:
        problems["query"] = f"The filter is {len(plan.query):,} characters long; at most {MAX_QUERY} fit."
    people: list[int] = []
    try:
        people = _chosen(clustering, plan.people, plan.labels_each)
    except ValidationError as error:
        problems |= {name: said[0] for name, said in error.message_dict.items() if name not in problems}
    if problems:
        raise ValidationError(problems)
    return people


def _chosen(clustering: Clustering, people: Iterable[int], each: int) -> list[int]:
    """The people's keys, once each; ValidationError where they are too few, or somebody may not label this run."""
    asked = sorted(set(people))
    able = set(labelers(clustering.run).filter(pk__in=asked).values_list("pk", flat=True))
    if strangers := [pk for pk in asked if pk not in able]:
        names = Person.objects.filter(pk__in=strangers).order_by("username").values_list("username", flat=True)
        who = ", ".join(names) or f"the person numbered {strangers[0]}"
        raise ValidationError({"people": f"Not a labeler who sees “{clustering.run.name}”: {who}."})
    if len(asked) < each:
        n = len(asked)
        chosen = "nobody was chosen" if n == 0 else "1 person was chosen" if n == 1 else f"{n} people were chosen"
        raise ValidationError(
            {"people": f"Each cluster is to be labeled by {each}, but {chosen}: choose more, or ask for fewer labels."}
        )
    return asked


def _wording(name: str, guidelines: str) -> dict[str, str]:
    problems = {}
    if not _one_line(name):
        problems["name"] = "Give the queue a name, so that people know what they work on."
    elif len(_one_line(name)) > MAX_NAME:
        problems["name"] = f"The name is {len(_one_line(name))} characters long; at most {MAX_NAME} fit."
    if len(guidelines) > MAX_GUIDELINES:
        problems["guidelines"] = (
            f"The guidelines are {len(guidelines):,} characters long; at most {MAX_GUIDELINES:,} fit."
        )
    return problems


def _one_line(text: str) -> str:
    return one_line(text)


def _text(text: str) -> str:
    return clean_lines(text)


def _must_share(user: User) -> None:
    if not may_adjudicate(user):
        raise PermissionDenied("Only adjudicators share out work; ask an administrator for the role.")


def _target(queue: Queue) -> str:
    clustering = queue.clustering
    return f"queue {queue.pk} “{queue.name}” on {clustering.run.slug} {clustering.affinity} k={clustering.k}"
