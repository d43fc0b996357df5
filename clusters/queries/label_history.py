"""One label and its versions, as far as a person may see them."""

from __future__ import annotations

from django.db.models import F, Q, QuerySet

from clusters.models import Label, LabelRevision
from clusters.queries.access import User, may_adjudicate, may_label, visible_runs
from clusters.queries.labels import AGREED, blind_clusters, visible_labels
from clusters.queries.missing import Missing

MAX_ID = 2**63
SEEN = ("submit", "revise", "withdraw", "suggest")  # of a label that others could see


def visible_label(user: User, pk: int | None) -> Label:
    """The label of this number, if the person may see it; adjudicators share what is agreed on, withdrawn or not."""
    found = None
    if pk is not None and pk < MAX_ID:
        labels = visible_labels(user) | _withdrawn(user) if may_adjudicate(user) else visible_labels(user)
        found = labels.select_related("cluster__clustering__run").filter(pk=pk).first()
    if found is None:
        raise Missing("There is no such label", "It may be a draft of somebody else’s; the list has all you may see.")
    return found


def _withdrawn(user: User) -> QuerySet[Label]:
    """What was agreed on and is so no more."""
    labels = Label.objects.filter(origin=AGREED, state=Label.State.DRAFT)
    return labels.filter(cluster__clustering__run__in=visible_runs(user)).exclude(cluster__in=blind_clusters(user))


def visible_revisions(user: User, label: Label) -> QuerySet[LabelRevision]:
    """The label's versions, the latest first; what was only a draft is its author's alone."""
    revisions = label.revisions.order_by("-version")
    seen = Q(action__in=SEEN) | Q(at__gte=F("label__submitted_at"))
    return revisions if label.author_id == user.pk else revisions.filter(seen)


def was_seen(label: Label, revision: LabelRevision) -> bool:
    """Whether others could see this version of a submitted label: it was more than a draft when it was written.

    What was imported, accepted or restored counts since the latest submit alone; before it may have been a draft.
    """
    return revision.action in SEEN or (label.submitted_at is not None and revision.at >= label.submitted_at)


def may_change(user: User, label: Label) -> bool:
    """Whether the person may restore versions of the label and withdraw it."""
    if label.origin == AGREED:
        return may_adjudicate(user)
    return label.origin == Label.Origin.PERSON and label.author_id == user.pk and may_label(user)
