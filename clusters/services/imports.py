"""What people bring: a bundle or published clusters, read in by a job, and labels, written after a dry run."""

from __future__ import annotations

import os
import shutil
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User as Person
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone

from clusters.forms.label_file import MAX_BYTES, LabelFile, LabelFileError, read_label_file
from clusters.models import Import, Run
from clusters.queries.access import User, may_label, may_start_jobs
from clusters.queries.imports import folder_of
from clusters.services.audit import record
from clusters.services.locks import lock_person
from clusters.services.room import require_room
from compute.errors import ComputeError, StorageError
from compute.jobs import kinds
from compute.models import Job
from compute.published import read_labels

KIND = "import"
ARCHIVE, LABELS, CONTEXTS, SENT = "archive", "labels.json", "contexts.json", "labels"  # names in an import's folder
MOST_OPEN = 3  # of one person at a time
MOST_LOOKED_AT = 5  # files of labels of one person whose dry run waits, each of MAX_BYTES at most
KEPT_SECONDS = 7 * 86_400
NOT_RUNNER = "Bringing runs needs the runner role; an administrator can add you to it."
NOT_LABELER = "Bringing labels needs the labeler role; an administrator can add you to it."


def start_bundle(user: User, *, file: Any = None, path: Path | None = None, name: str, is_private: bool) -> Import:
    """Have a worker read in an archive that was sent, or a folder or archive on the server."""
    person = _runner(user)
    shown = str(path) if path else file.name
    one = Import(kind=Import.Kind.BUNDLE, owner=person, file_name=shown[:255], key=uuid.uuid4().hex)
    one.asked = {"name": name, "path": str(path) if path else "", "is_private": is_private}
    return _started(person, one, {ARCHIVE: file} if file else {})


def start_published(user: User, *, labels: Any, contexts: Any = None, name: str, is_private: bool) -> Import:
    """Have a worker make a run of published labels; the labels are looked at first."""
    person = _runner(user)
    one = Import(kind=Import.Kind.PUBLISHED, owner=person, file_name=labels.name[:255], key=uuid.uuid4().hex)
    one.asked = {"name": name, "contexts": contexts.name if contexts else "", "is_private": is_private}
    return _started(person, one, {LABELS: labels} | ({CONTEXTS: contexts} if contexts else {}))


def start_labels(user: User, *, file: Any, asked: dict[str, Any]) -> tuple[Import, LabelFile]:
    """Keep a file of labels, once it is known to be one; nothing is written before its dry run was seen."""
    if not (isinstance(user, Person) and may_label(user)):
        raise PermissionDenied(NOT_LABELER)
    _check_looked_at(user)  # before anything is read; again when it is written
    raw = file.read(MAX_BYTES + 1)
    try:
        found = read_label_file(raw)
    except LabelFileError as error:
        raise ValidationError({"file": str(error)}) from None
    one = Import(kind=Import.Kind.LABELS, owner=user, file_name=file.name[:255], key=uuid.uuid4().hex, asked=asked)
    try:
        _kept(one, {SENT: [raw]}, len(raw))
        with transaction.atomic():
            _check_looked_at(lock_person(user))
            one.save()
            record(user, "import.look", one.file_name, rows=len(found.rows))
    except BaseException:
        forget_files(one)
        raise
    return one, found


def delete_dry_run(user: User, one: Import) -> None:
    """Forget a file of labels that was looked at and not written."""
    with transaction.atomic():
        if not Import.objects.filter(pk=one.pk, kind=Import.Kind.LABELS, done_at=None).delete()[0]:
            raise ValidationError(
                "Only labels that wait to be written can be deleted; these are, or it is another kind."
            )
        record(user, "import.delete", one.file_name)
    forget_files(one)


def read_sent_labels(one: Import) -> LabelFile:
    """The file of labels again; ValidationError where it has been removed since."""
    try:
        return read_label_file((folder_of(one) / SENT).read_bytes())
    except OSError:
        raise ValidationError("The file was removed, a week after it came or when its labels were written.") from None


def labels_that_came(user: User, one: Import) -> Import:
    """The labels that lay beside a bundle, as an import of their own, to be looked at."""
    came = folder_of(one) / SENT
    if one.run is None or not came.is_file():
        raise ValidationError("No labels came with this bundle, or they were removed a week after it came.")
    with came.open("rb") as file:
        named = _Named(file, f"labels of {one.file_name}")
        return start_labels(user, file=named, asked={"run": one.run.slug, "author": "", "as_agreed": False})[0]


def forget_files(one: Import) -> None:
    shutil.rmtree(folder_of(one), ignore_errors=True)


class _Named:
    """A file of the server's own, as uploads are."""

    def __init__(self, file: Any, name: str) -> None:
        self.read, self.name = file.read, name


def _runner(user: User) -> Person:
    if not (isinstance(user, Person) and may_start_jobs(user)):
        raise PermissionDenied(NOT_RUNNER)
    _check_open(user)  # before anything is kept; again when it is written
    return user


def _check_open(user: Person) -> None:
    waiting = Import.objects.filter(owner=user, job__state__in=Job.OPEN_STATES).count()
    if waiting >= MOST_OPEN:
        raise ValidationError(f"{waiting} imports of yours are still being read in. Wait for one of them.")


def _check_looked_at(user: Person) -> None:
    since = timezone.now() - timedelta(seconds=KEPT_SECONDS)
    waiting = Import.objects.filter(owner=user, kind=Import.Kind.LABELS, done_at=None, created_at__gte=since)
    numbers = [str(pk) for pk in waiting.order_by("pk").values_list("pk", flat=True)]
    if len(numbers) >= MOST_LOOKED_AT:
        raise ValidationError(
            f"{len(numbers)} files of labels wait for you to write them: imports {', '.join(numbers)}. "
            "Write one or delete it first; each is forgotten after a week."
        )


def _started(person: Person, one: Import, files: dict[str, Any]) -> Import:
    try:
        _kept(one, {name: file.chunks() for name, file in files.items()}, sum(file.size for file in files.values()))
        if one.kind == Import.Kind.PUBLISHED:
            _looked_at(folder_of(one) / LABELS)
        with transaction.atomic():
            _check_open(lock_person(person))
            one.job = kinds.enqueue(
                KIND,
                name=one.asked["name"] or one.file_name.rpartition("/")[2] or "import",
                config={"kind": one.kind},
                requested_by=person,
                is_private=one.asked["is_private"],
                unit="percent",
                prepare=lambda job: None,
            )
            one.save()
            record(person, f"import.{one.kind}", one.file_name, job=one.job.pk)
    except BaseException:
        forget_files(one)
        raise
    return one


def _looked_at(labels: Path) -> None:
    try:
        read_labels(labels)
    except ComputeError as error:
        raise ValidationError({"labels": str(error)}) from None


def _kept(one: Import, files: dict[str, Any], n_bytes: int) -> None:
    """Write the files into the import's folder; all of them or none."""
    require_room(n_bytes)
    folder = folder_of(one)
    try:
        folder.mkdir(mode=0o700, parents=True)
        for name, chunks in files.items():
            with (folder / name).open("xb") as copy:
                for chunk in chunks:
                    copy.write(chunk)
                copy.flush()
                os.fsync(copy.fileno())
    except OSError as error:
        forget_files(one)
        raise StorageError(f"The file could not be kept ({error.strerror}). Tell whoever runs this site.") from error


def finished(one: Import, run: Run | None, result: dict[str, Any]) -> None:
    """Note what came of an import."""
    one.run, one.result, one.done_at = run, result, timezone.now()
    one.save(update_fields=["run", "result", "done_at"])


def bundle_folder() -> Path:
    return Path(settings.BUNDLE_DIR)
