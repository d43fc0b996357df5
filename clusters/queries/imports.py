"""Reads of what people brought: their own; administrators see all."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db.models import QuerySet

from clusters.models import Import
from clusters.queries.access import User, is_admin


def visible_imports(user: User) -> QuerySet[Import]:
    """The person's imports, newest first, with the jobs and runs they became."""
    imports = Import.objects.select_related("job", "run", "owner")
    if is_admin(user):
        return imports
    return imports.filter(owner_id=user.pk) if user.is_authenticated else imports.none()


def folder_of(one: Import) -> Path:
    """Where what was sent lies until it is read in."""
    return imports_folder() / one.key


def imports_folder() -> Path:
    return Path(settings.DATA_DIR) / "imports"


STATES = ("waiting", "running", "done", "refused", "cancelled", "dry run")


def state_of(one: Import) -> str:
    """One of STATES; of labels the last, until they are written."""
    if one.done_at:
        return "done"
    if one.kind == Import.Kind.LABELS:
        return "dry run"
    if one.job is None:
        return "refused"
    states = {"queued": "waiting", "failed": "refused", "succeeded": "done", "cancelled": "cancelled"}
    return states.get(one.job.state, "running")


def problem_of(one: Import) -> str:
    """Why a bundle or published clusters were refused; empty where they were not."""
    if one.kind == Import.Kind.LABELS or one.done_at:
        return ""
    return one.job.error if one.job else "Its job was deleted."
