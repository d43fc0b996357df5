"""The folders of bundles that the site keeps: which may go, and how they go together with the rows that name them."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import transaction

from clusters.queries.bundles import HOLDERS, Holder, is_named
from clusters.stored.arrays import forget_bundles
from compute.errors import StorageError

TRASH = ".trash-"  # a folder that starts so is deleted, and kept for a while
PARTIAL = ".*.partial-*"  # a bundle that is being written, or was when its writer was killed
MOVING_SECONDS = 60.0  # after which a deletion that moved a bundle away has ended, in one way or the other


@contextmanager
def deleted_with(holder: Holder) -> Iterator[int]:
    """A transaction that deletes a row together with its bundle, where that lies in the data folder; gives its bytes.

    The bundle is moved out of sight as the last act of the transaction: either both are gone or neither. Its files go
    KEEP_DELETED_DAYS later, so that a backup that read the database before can still copy them; with 0, at once.
    """
    folder = deletable_folder(holder)
    trash = folder.with_name(f"{TRASH}{uuid.uuid4().hex[:12]}-{folder.name}") if folder else None
    try:
        with transaction.atomic():
            yield folder_bytes(folder) if folder else 0
            if folder and trash:
                os.utime(folder)  # its days in the trash count from now
                folder.rename(trash)
    except OSError as error:
        raise StorageError(f"{folder} cannot be removed ({error.strerror}); nothing was deleted.") from error
    except BaseException:
        if folder and trash and trash.exists():
            trash.rename(folder)
        raise
    forget_bundles()
    if trash and not settings.KEEP_DELETED_DAYS:
        shutil.rmtree(trash, ignore_errors=True)
    restore_kept()


def deletable_folder(holder: Holder) -> Path | None:
    """The bundle's folder, if deleting its row would free it: ours, there, and no other row's."""
    if not holder.bundle_path:
        return None
    root, folder = Path(settings.BUNDLE_DIR).resolve(), Path(holder.bundle_path)
    ours = folder.resolve().parent == root and folder.is_dir() and not folder.is_symlink()
    rows = {model: model._default_manager.filter(bundle_path=holder.bundle_path) for model in HOLDERS}
    named = [(model, pk) for model, found in rows.items() for pk in found.values_list("pk", flat=True)]
    return folder if ours and named == [(type(holder), holder.pk)] else None


def folder_bytes(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())


def restore_kept(settled: float = MOVING_SECONDS) -> None:
    """Give bundles back whose rows are still there: a process was killed while it deleted them.

    What was moved away within the last `settled` seconds may be somebody's deletion under way.
    """
    for folder in Path(settings.BUNDLE_DIR).glob(f"{TRASH}*"):
        if age_of(folder) >= settled:
            put_back(folder)


def age_of(folder: Path) -> float:
    """Seconds since something was added; 0 where it has gone meanwhile."""
    try:
        return time.time() - folder.lstat().st_mtime
    except OSError:
        return 0.0


def put_back(trash: Path) -> bool:
    """A process that was killed before its transaction ended has kept the row: give it its bundle again."""
    name = trash.name.removeprefix(TRASH).partition("-")[2]
    place = trash.with_name(name) if name else trash
    if place == trash or place.exists() or not is_named(bundle_path=str(place)):
        return False
    trash.rename(place)
    return True
