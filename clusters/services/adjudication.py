"""Deciding what is agreed on of a cluster."""

from __future__ import annotations

from clusters.models import Cluster, Label
from clusters.queries.access import User
from clusters.services.labels import Content, save_label


def agree_on(user: User, cluster: Cluster, content: Content, *, version: int, chosen: Label | None = None) -> Label:
    """Write what is agreed on; `chosen` is the person's label that it is taken from, unchanged or edited.

    Raises ConflictError where another adjudicator decided meanwhile, PermissionDenied, ValidationError.
    """
    source = {"label": chosen.pk, "version": chosen.version, "author": chosen.author_name} if chosen else None
    return save_label(user, cluster, content, version=version, submit=True, origin=Label.Origin.AGREED, source=source)


def agree_with(user: User, cluster: Cluster, chosen: Label, *, version: int) -> Label:
    """Agree on one person's label as it is."""
    return agree_on(user, cluster, Content.of(chosen.content), version=version, chosen=chosen)
