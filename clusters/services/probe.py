"""Probes: start one, delete one."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth.models import User as Person
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction

from clusters.models import Run
from clusters.queries import probe as reads
from clusters.queries.access import User
from clusters.services.locks import lock_person
from compute.jobs import probes
from compute.models import Job

MOST_OPEN = 3  # of one person at a time
NOT_ALLOWED = (
    "Only people with the runner role can ask: an answer is work for this server’s workers. An administrator can add "
    "you to it."
)


def may_probe(user: User) -> bool:
    """Those who may start jobs."""
    return isinstance(user, Person) and user.has_perm("compute.add_job")


def start_probe(user: User, run: Run, text: str, chosen: list[int], *, is_shared: bool) -> Job:
    """Queue a text; what is asked about a private run stays private."""
    if not isinstance(user, Person) or not may_probe(user):
        raise PermissionDenied(NOT_ALLOWED)
    config, reason = reads.settings_of(run), reads.why_not(run)
    if config is None or reason:
        raise ValidationError(reason or reads.NO_SETTINGS)
    with transaction.atomic():
        lock_person(user)
        if reads.n_open(user) >= MOST_OPEN:
            raise ValidationError(f"{MOST_OPEN} texts of yours wait for an answer. Ask again when one of them has it.")
        return probes.enqueue(
            config,
            bundle=Path(run.bundle_path),
            bundle_sha256=run.bundle_sha256,
            text=text,
            chosen=chosen,
            requested_by=user,
            is_private=run.is_private or not is_shared,
        )


def may_delete(user: User, job: Job) -> bool:
    if not (user.is_authenticated and user.is_active):
        return False
    return bool(getattr(user, "is_superuser", False)) or job.requested_by_id == user.pk


def delete_probe(user: User, job: Job) -> None:
    """Remove text, answer and job; a worker that is at it stops at its next report."""
    if not may_delete(user, job):
        raise PermissionDenied("Only whoever asked, or an administrator, may delete a probe.")
    job.delete()
