"""What has to be true before the site serves or computes: a folder that can be written, a database that is current."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from clusters.services.health import unapplied_migrations
from compute.errors import StorageError


def require_data_folder() -> None:
    """Make the data folder (for its owner only) and try to write into it."""
    for folder in map(Path, (settings.DATA_DIR, settings.BUNDLE_DIR, settings.WORKSPACE_DIR, settings.STATIC_ROOT)):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as handle:
                handle.write(b"quantaweb")
        except OSError as error:
            raise StorageError(
                f"The data folder {folder} cannot be written ({error.strerror}). "
                "Mend its permissions, or choose another with QW_DATA_DIR."
            ) from error


def migrate() -> bool:
    """Bring the database up to date, one process at a time; False where nothing was left to do."""
    if not unapplied_migrations():
        return False
    with file_lock("migrate"):
        if not unapplied_migrations():
            return False
        call_command("migrate", verbosity=0, interactive=False)
    return True


@contextmanager
def file_lock(name: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock in the data folder; it goes with the process, however that ends."""
    path = Path(settings.DATA_DIR) / f"{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
