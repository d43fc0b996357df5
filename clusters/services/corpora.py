"""Registered corpora: take a file in, note a data set or a path, take a corpus away."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.text import slugify

from clusters.models import RegisteredCorpus
from clusters.queries.access import User
from clusters.queries.corpora import may_remove, open_jobs_on
from clusters.services.bundles import TRASH
from clusters.services.locks import lock_person
from clusters.services.room import require_room
from compute.errors import CorpusError, StorageError
from compute.jobs import places

MOST_UPLOADS = 20  # files of one person that are kept, each of UPLOAD_BYTES at most
PARTIAL = ".partial-"  # a folder that starts so holds a file that nobody has checked yet


class CorpusInUseError(Exception):
    """A corpus cannot be taken away while work has still to read it."""


def add_upload(owner: Any, file: Any, *, suffix: str, name: str, text_field: str, is_private: bool) -> RegisteredCorpus:
    """Keep a file that somebody sent, under a name of ours, once it is known to be whole and harmless.

    Raises
    ------
    CorpusError
        If it is no corpus, or one more than a person may have here; nothing of it is left behind then.
    StorageError
        If it cannot be kept.
    """
    _check_uploads(owner)  # before anything is kept; again when it is written
    require_room(file.size)
    key = uuid.uuid4().hex
    partial = Path(settings.CORPUS_DIR) / f"{PARTIAL}{key}"
    final = Path(settings.CORPUS_DIR) / key
    file_name = f"{slugify(name)[:60] or 'corpus'}{suffix}"
    try:
        facts = _written_and_checked(file, partial / file_name, text_field)
        with transaction.atomic():
            _check_uploads(lock_person(owner))
            corpus = RegisteredCorpus.objects.create(
                name=name, kind=RegisteredCorpus.Kind.UPLOAD, source=str(final / file_name), file_name=file.name,
                text_field=text_field, owner=owner, is_private=is_private, **facts,
            )  # fmt: skip
            partial.rename(final)
    except OSError as error:
        raise StorageError(f"The file could not be kept ({error.strerror}). Tell whoever runs this site.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return corpus


def _check_uploads(owner: Any) -> None:
    if RegisteredCorpus.objects.filter(owner=owner, kind=RegisteredCorpus.Kind.UPLOAD).count() >= MOST_UPLOADS:
        raise CorpusError(
            f"{MOST_UPLOADS} files of yours are kept here, as many as may be. Remove a corpus that you need no more, "
            "or have the file put on the server and register its path."
        )


def _written_and_checked(file: Any, path: Path, text_field: str) -> dict[str, Any]:
    from compute.texts.apart import check_upload_apart  # Parquet's reader is not installed everywhere
    from compute.texts.uploads import check_upload

    path.parent.mkdir(mode=0o700, parents=True)
    with path.open("xb") as copy:
        for chunk in file.chunks():
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    try:
        facts = (check_upload_apart if path.suffix == ".parquet" else check_upload)(path, text_field=text_field)
    except CorpusError as error:
        raise CorpusError(str(error).replace(str(path), file.name)) from error
    except ImportError as error:
        raise CorpusError(
            f"This site cannot read {path.suffix} files: {error.name} is not installed with it. Send JSONL."
        ) from error
    return {"n_documents": facts.n_documents, "n_bytes": facts.n_bytes, "sha256": facts.sha256}


def add_named(owner: Any, kind: str, *, source: str, **fields: Any) -> RegisteredCorpus:
    """Note a data set of the Hub or a path on the server; the text itself stays where it is."""
    return RegisteredCorpus.objects.create(kind=kind, source=source, owner=owner, **fields)


def stated_text(folder: str) -> tuple[str, str] | None:
    """The hash over an upload's texts and the field they lie in, by its folder's name; None where nobody noted it."""
    uploads = RegisteredCorpus.objects.filter(kind=RegisteredCorpus.Kind.UPLOAD, source__contains=f"/{folder}/")
    return uploads.exclude(sha256="").values_list("sha256", "text_field").first()


def remove_corpus(user: User, corpus: RegisteredCorpus) -> None:
    """Take a corpus off the list; an uploaded file goes with it, other text stays where it is.

    The file goes KEEP_DELETED_DAYS later, so that a backup that read the database before can still copy it; with 0,
    at once.

    Raises
    ------
    CorpusInUseError
        If a job that is not done yet reads it.
    """
    if not may_remove(user, corpus):
        raise PermissionDenied(f"Only its owner or staff may remove the corpus “{corpus.name}”.")
    with transaction.atomic():
        job = open_jobs_on(corpus).order_by("pk").first()
        if job is not None:
            raise CorpusInUseError(f"Job {job.pk} still reads this corpus. Wait for it, or cancel it first.")
        RegisteredCorpus.objects.filter(pk=corpus.pk).delete()
    folder = _own_folder(corpus)
    if folder is not None:
        trash = folder.with_name(f"{TRASH}{uuid.uuid4().hex[:12]}-{folder.name}")
        with suppress(OSError):  # what stays where it was is tidied away
            os.utime(folder)  # its days in the trash count from now
            folder.rename(trash)
        if not settings.KEEP_DELETED_DAYS:
            shutil.rmtree(trash, ignore_errors=True)


def _own_folder(corpus: RegisteredCorpus) -> Path | None:
    """The folder of an upload; None for text that is not ours."""
    folder = Path(corpus.source).parent
    is_ours = corpus.kind == RegisteredCorpus.Kind.UPLOAD and folder.parent == Path(settings.CORPUS_DIR)
    return folder if is_ours else None


places.register_texts(stated_text)
