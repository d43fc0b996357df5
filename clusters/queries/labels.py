"""Reads of labels: whose a person may see, and which of them names a cluster."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Case, F, IntegerField, Q, QuerySet, Value, When

from clusters.models import Assignment, Cluster, Label, TokenNote
from clusters.queries.access import User, visible_runs

PERSON, AGREED, MACHINE = Label.Origin.PERSON, Label.Origin.AGREED, Label.Origin.MACHINE


def blind_clusters(user: User) -> QuerySet[Assignment, int]:
    """Clusters whose other labels are hidden from this person: theirs is asked for by an open queue, and not yet in.

    Nobody knows who reads without an account, so from such readers labels are hidden until everybody's are in.
    """
    waiting = Assignment.objects.filter(done_at=None, item__queue__is_blind=True, item__queue__closed_at=None)
    if user.is_authenticated:
        waiting = waiting.filter(person_id=user.pk)
    return waiting.values_list("item__cluster_id", flat=True)


def visible_labels(user: User) -> QuerySet[Label]:
    """Labels of visible runs: the person's own, and others' once submitted, unless theirs is still asked for."""
    return labels_of_seen(user).filter(cluster__clustering__run__in=visible_runs(user))


def labels_of_seen(user: User) -> QuerySet[Label]:
    """The same of clusters that come from a run which this person was found to see; every other read asks above."""
    submitted = Q(state=Label.State.SUBMITTED) & ~Q(cluster_id__in=blind_clusters(user))
    return Label.objects.filter(submitted | own_labels(user))


def own_labels(user: User) -> Q:
    """What the person wrote as a label of their own, draft or not."""
    return Q(author_id=user.pk, origin=PERSON) if user.is_authenticated else Q(pk=None)


def own_label(user: User, cluster: Cluster) -> Label | None:
    """What this person says of the cluster, draft or not."""
    if not user.is_authenticated:
        return None
    return Label.objects.filter(cluster=cluster, author_id=user.pk, origin=PERSON).first()


def naming_order(labels: QuerySet[Label]) -> QuerySet[Label]:
    """The labels that may name a cluster, best first: agreed on, then people's, the latest first; never a machine's."""
    place = Case(When(origin=AGREED, then=Value(0)), default=Value(1), output_field=IntegerField())
    named = labels.filter(state=Label.State.SUBMITTED).exclude(origin=MACHINE).exclude(name="")
    return named.annotate(place=place).order_by("place", F("submitted_at").desc(), "-pk")


def names_of(user: User, clusters: Iterable[int], *, are_seen: bool = False) -> dict[int, Label]:
    """The label that names each of these clusters to this person, by the cluster's primary key.

    `are_seen` says that the clusters were read from a run which this person sees.
    """
    named: dict[int, Label] = {}
    labels = labels_of_seen(user) if are_seen else visible_labels(user)
    for label in naming_order(labels.filter(cluster_id__in=list(clusters))):
        named.setdefault(label.cluster_id, label)
    return named


def visible_notes(user: User) -> QuerySet[TokenNote]:
    """Notes at tokens of visible runs that say something, and all of the person's own."""
    own = Q(author_id=user.pk) if user.is_authenticated else Q(pk=None)
    return TokenNote.objects.filter(Q(run__in=visible_runs(user)) & (own | ~Q(text="")))
