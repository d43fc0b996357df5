"""What pages work out of a run's arrays once and then keep: files beside the bundle's hash, safe to delete.

    codes = derived(run, "finder/density_codes", lambda: density_codes(run))

gives the array memory-mapped; the first caller makes it while the others wait. A change of what is made asks for
another name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from django.conf import settings
from filelock import FileLock

from clusters.models import Run
from compute.errors import StorageError


def derived(run: Run, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The named array of a run, read-only and memory-mapped; made where it is not there yet."""
    path = _path(run.bundle_sha256, name)
    if not path.exists():
        with _lock(path):
            if not path.exists():
                _write(path, make())
    return _open(str(path), path.stat().st_mtime_ns)


def has_derived(run: Run, name: str) -> bool:
    """Whether the named array was made already."""
    return _path(run.bundle_sha256, name).exists()


def forget_derived(sha256: str) -> None:
    """Delete all that was kept of a bundle."""
    _open.cache_clear()
    shutil.rmtree(Path(settings.DERIVED_DIR) / sha256, ignore_errors=True)


def _path(sha256: str, name: str) -> Path:
    return Path(settings.DERIVED_DIR) / sha256 / f"{name}.npy"


def _lock(path: Path) -> FileLock:
    """One maker at a time, in this process and in all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.lock")


def _write(path: Path, array: np.ndarray) -> None:
    """Whole or not at all; what a killed writer left is written over, for there is one writer at a time."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(
            f"{path.parent} cannot be written ({error.strerror}). Free some space and try again."
        ) from error


@lru_cache(maxsize=256)  # each holds a file open
def _open(path: str, changed_ns: int) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)
