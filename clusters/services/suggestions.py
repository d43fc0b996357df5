"""Take a suggested label as one's own draft, or dismiss it. Nothing is ever copied without being asked for."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from clusters.models import Cluster, Label, LabelSuggestion
from clusters.queries.access import User, may_label
from clusters.queries.missing import Missing
from clusters.queries.suggestions import machine_label, suggestion_of
from clusters.services.audit import record
from clusters.services.labels import Content, save_label

ACCEPTED, DISMISSED = LabelSuggestion.Decision.ACCEPTED, LabelSuggestion.Decision.DISMISSED


def accept(user: User, cluster: Cluster, source: int, *, version: int | None = None) -> LabelSuggestion:
    """Write the suggestion as the person's draft; its history says where it came from.

    Only where they have no label of the cluster yet: ConflictError else, and nothing is overwritten. `version` is the
    source's as it was shown; where it has changed since, ValidationError says so. How sure its author was is not taken
    over, and of the members that do not fit only those that are members here.
    """
    label, measured = _found(user, cluster, source)
    if version is not None and version != label.version:
        raise ValidationError(f"“{label.name}” was changed since you saw it. Look at it again, then take it.")
    content = Content(
        label.name, label.description, label.kind, None, tuple(tag.slug for tag in label.tags.all()),
        _members(cluster, label.misfits),
    )  # fmt: skip
    with transaction.atomic():
        save_label(user, cluster, content, version=0, action="accept", source=_source(label, measured))
        return _keep(user, cluster, label, measured, ACCEPTED)


def dismiss(user: User, cluster: Cluster, source: int) -> LabelSuggestion:
    """Show this person the suggestion no more."""
    label, measured = _found(user, cluster, source)
    with transaction.atomic():
        record(user, "suggestion.dismiss", f"{cluster.clustering} cluster {cluster.label}", source=label.pk)
        return _keep(user, cluster, label, measured, DISMISSED)


def _found(user: User, cluster: Cluster, source: int) -> tuple[Label, dict[str, Any]]:
    """The label that is suggested, and how its cluster overlaps this one: nothing where it is of this very cluster."""
    if not may_label(user):
        raise PermissionDenied("Only labelers may take or dismiss suggestions; ask an administrator for the role.")
    machine = machine_label(user, source)
    if machine is not None and machine.cluster_id == cluster.pk:
        return machine, {}
    one = suggestion_of(user, cluster, source)
    if one is None:
        raise Missing(
            "There is no such suggestion for this cluster",
            "Its label may have been withdrawn meanwhile; open the cluster’s page again.",
        )
    return Label.objects.get(pk=source), one.source


def _source(label: Label, measured: dict[str, Any]) -> dict[str, Any]:
    return measured or {"label": label.pk, "version": label.version, "machine": label.author_name}


def _keep(
    user: User, cluster: Cluster, label: Label, measured: dict[str, Any], decision: LabelSuggestion.Decision
) -> LabelSuggestion:
    kept, _ = LabelSuggestion.objects.update_or_create(
        cluster=cluster, source=label, person_id=user.pk,
        defaults={
            "source_version": label.version, "jaccard": measured.get("jaccard"), "n_shared": measured.get("n_shared"),
            "decision": decision,
        },
    )  # fmt: skip
    return kept


def _members(cluster: Cluster, indices: list[int]) -> tuple[int, ...]:
    found = cluster.memberships.filter(token__flat_index__in=indices).values_list("token__flat_index", flat=True)
    return tuple(sorted(found))
