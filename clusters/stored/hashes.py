"""Which files of a bundle were found right so far, kept beside what is derived: a check goes on where it was cut.

A file counts as checked while its size and its time of change stay as they were.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from filelock import FileLock, Timeout

from clusters.models import Run
from compute.bundle import Bundle

_NAME = "checked.json"


@contextmanager
def alone(run: Run) -> Iterator[bool]:
    """Whether no other process checks this run's files; the lock goes with the process, however that ends."""
    folder = _folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{_NAME}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def checked(run: Run, bundle: Bundle) -> set[str]:
    """Names of the files that were found right and have not changed since."""
    return {name for name, state in _kept(run).items() if name in bundle.hashes and state == _state(bundle.path / name)}


def n_checked(run: Run) -> int:
    """How many files were found right."""
    return len(_kept(run))


def keep_checked(run: Run, bundle: Bundle, names: set[str]) -> None:
    """Note the files that were found right; a full disk only means that they are checked again."""
    folder = _folder(run)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{_NAME}.partial"
        partial.write_text(json.dumps({name: _state(bundle.path / name) for name in sorted(names)}))
        partial.replace(folder / _NAME)


def forget_checked(run: Run) -> None:
    """All are checked, or have to be checked again."""
    (_folder(run) / _NAME).unlink(missing_ok=True)


def _kept(run: Run) -> dict[str, list[int]]:
    with suppress(OSError, ValueError):
        found = json.loads((_folder(run) / _NAME).read_text())
        return found if isinstance(found, dict) else {}
    return {}


def _folder(run: Run) -> Path:
    return Path(settings.DERIVED_DIR) / run.bundle_sha256


def _state(path: Path) -> list[int]:
    """Size and time of change; nothing where there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
