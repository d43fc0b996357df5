"""Runs: rename, archive, hide, share, delete. Only the owner and superusers may; each deed is recorded with it."""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User as Person
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone

from clusters.display import clean_text, one_line
from clusters.models import Checkpoint, Corpus, Membership, Run
from clusters.queries.access import User, may_manage
from clusters.services.audit import record
from clusters.stored.arrays import forget_bundles
from clusters.stored.derived import forget_derived
from compute.errors import StorageError
from compute.models import Job

logger = logging.getLogger(__name__)
MAX_NAME = 120
TRASH = ".trash-"  # a folder that starts so is deleted, and kept for a while
PARTIAL = ".*.partial-*"  # a bundle that is being written, or was when its writer was killed
ABANDONED_SECONDS = DAY_SECONDS = 86400


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
    """Remove the run's rows, and its bundle where that lies in the data folder; give the bytes that become free.

    The bundle is moved out of sight as the last act of the transaction: either both are gone or neither. Its files go
    KEEP_DELETED_DAYS later, so that a backup that read the database before can still copy them.
    """
    _must_manage(user, run)
    folder = deletable_folder(run)
    n_bytes = folder_bytes(folder) if folder else 0
    trash = folder.with_name(f"{TRASH}{uuid.uuid4().hex[:12]}-{folder.name}") if folder else None
    try:
        with transaction.atomic():
            record(user, "run.delete", run.slug, name=run.name, bundle=run.bundle_sha256, bytes=n_bytes)
            _delete_rows(run)
            if folder and trash:
                os.utime(folder)  # its days in the trash count from now
                folder.rename(trash)
    except OSError as error:
        raise StorageError(f"{folder} cannot be removed ({error.strerror}); the run was kept.") from error
    except BaseException:
        if folder and trash and trash.exists():
            trash.rename(folder)
        raise
    forget_bundles()
    forget_derived(run.bundle_sha256)
    empty_trash()
    return n_bytes


def deletable_folder(run: Run) -> Path | None:
    """The bundle's folder, if deleting the run would free it: ours, there, and no other run's."""
    root, folder = Path(settings.BUNDLE_DIR).resolve(), Path(run.bundle_path)
    ours = folder.resolve().parent == root and folder.is_dir() and not folder.is_symlink()
    shared = Run.objects.filter(bundle_path=run.bundle_path).exclude(pk=run.pk).exists()
    return folder if ours and not shared else None


def folder_bytes(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())


def empty_trash() -> None:
    """Remove bundles that were deleted days ago; what a run still needs goes back to its place."""
    for folder in Path(settings.BUNDLE_DIR).glob(f"{TRASH}*"):
        if put_back(folder) or age_of(folder) < settings.KEEP_DELETED_DAYS * DAY_SECONDS:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            logger.warning("%s could not be removed; delete it by hand.", folder)
    for folder in Path(settings.BUNDLE_DIR).glob(PARTIAL):
        if age_of(folder) > ABANDONED_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def age_of(folder: Path) -> float:
    """Seconds since something was added; 0 where it has gone meanwhile."""
    try:
        return time.time() - folder.lstat().st_mtime
    except OSError:
        return 0.0


def put_back(trash: Path) -> bool:
    """A process that was killed before its transaction ended has kept the run: give it its bundle again."""
    name = trash.name.removeprefix(TRASH).partition("-")[2]
    place = trash.with_name(name) if name else trash
    if place == trash or place.exists() or not Run.objects.filter(bundle_path=str(place)).exists():
        return False
    trash.rename(place)
    return True


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
