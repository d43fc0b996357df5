"""Runs: rename, archive, hide, share, delete. Only the owner and superusers may; each deed is recorded with it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User as Person
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone

from clusters.display import clean_text, one_line
from clusters.models import Checkpoint, Corpus, Membership, Run
from clusters.queries.access import User, may_manage
from clusters.services.audit import record
from clusters.services.bundles import deleted_with
from clusters.stored.derived import forget_derived
from compute.models import Job

MAX_NAME = 120


def rename_run(user: User, run: Run, name: str) -> Run:
    """Give the run another name; its address stays, so that links keep working."""
    _must_manage(user, run)
    shown = one_line(name)
    if not shown:
        raise ValidationError("Give the run a name; this one is empty.")
    if len(shown) > MAX_NAME:
        raise ValidationError(f"The name is {len(shown)} characters long; at most {MAX_NAME} fit.")
    return _changed(user, run, "rename", name=shown, before=run.name)


def archive_run(user: User, run: Run) -> Run:
    """Put the run out of the list; nothing is lost."""
    _must_manage(user, run)
    return run if run.archived_at else _changed(user, run, "archive", archived_at=timezone.now())


def unarchive_run(user: User, run: Run) -> Run:
    _must_manage(user, run)
    return _changed(user, run, "unarchive", archived_at=None)


def set_private(user: User, run: Run, is_private: bool) -> Run:
    """Show the run to its owner and to superusers only, or to everyone again."""
    _must_manage(user, run)
    return _changed(user, run, "hide" if is_private else "publish", is_private=is_private)


def add_reader(user: User, run: Run, name: str) -> Person:
    """Let somebody see the private run, and the job that made it."""
    _must_manage(user, run)
    written = clean_text(name.strip())
    person = get_user_model().objects.filter(username=written, is_active=True).first()
    if person is None:
        raise ValidationError(f"Nobody here is called “{written[:150]}”. Names are written as people sign in.")
    if person.pk == run.owner_id:
        raise ValidationError(f"The run is {written}'s own; its owner sees it anyway.")
    with transaction.atomic():
        run.readers.add(person)
        record(user, "run.share", run.slug, reader=person.get_username())
    return person


def remove_reader(user: User, run: Run, name: str) -> None:
    _must_manage(user, run)
    person = run.readers.filter(username=name).first() if name.isprintable() else None
    if person is None:
        raise ValidationError(f"The run is not shared with “{clean_text(name)[:150]}”.")
    with transaction.atomic():
        run.readers.remove(person)
        record(user, "run.unshare", run.slug, reader=person.get_username())


def delete_run(user: User, run: Run) -> int:
    """Remove the run's rows, and its bundle where that lies in the data folder; give the bytes that become free."""
    _must_manage(user, run)
    with deleted_with(run) as n_bytes:
        record(user, "run.delete", run.slug, name=run.name, bundle=run.bundle_sha256, bytes=n_bytes)
        _delete_rows(run)
    forget_derived(run.bundle_sha256)
    return n_bytes


def _delete_rows(run: Run) -> None:
    Membership.objects.filter(cluster__clustering__run=run).delete()  # most of the rows, in one statement
    Job.objects.filter(probe__bundle_sha256=run.bundle_sha256).delete()  # nobody could open their answers any more
    used = list(Checkpoint.objects.filter(runcheckpoint__run=run).values_list("pk", flat=True))
    corpus = run.corpus_id
    Run.objects.get(pk=run.pk).delete()
    Checkpoint.objects.filter(pk__in=used, runcheckpoint=None, runs=None).delete()
    Corpus.objects.filter(pk=corpus, runs=None).delete()


def _must_manage(user: User, run: Run) -> None:
    if not may_manage(user, run):
        raise PermissionDenied(f"Only its owner or an administrator may change the run “{run.name}”.")


def _changed(user: User, run: Run, deed: str, *, before: str = "", **fields: Any) -> Run:
    """Write the fields and who changed them; `before` is what a reader of the audit would miss."""
    with transaction.atomic():
        for name, value in fields.items():
            setattr(run, name, value)
        run.save(update_fields=list(fields))
        record(user, f"run.{deed}", run.slug, **({"before": before, "after": run.name} if before else {}))
    return run
