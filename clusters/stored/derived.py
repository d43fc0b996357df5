"""What pages work out of a run's arrays once and then keep: files beside the bundle's hash, safe to delete.

    codes = derived(run, "finder/density_codes", lambda: density_codes(run))

gives the array memory-mapped; the first caller makes it while the others wait for a while. A change of what is made
asks for another name. Where nothing can be written, the array is made all the same and kept in memory if it is small.
Every file ends with the hash of what stands before; each process compares it once, and makes a damaged one anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from django.conf import settings
from filelock import AcquireReturnProxy, FileLock, Timeout

from clusters.models import Run
from clusters.stored.recent import Recent
from compute.bundle import open_array
from compute.errors import BeingPrepared

logger = logging.getLogger(__name__)
LONGEST_WAIT_S = 20.0  # for somebody else who makes the same
MOST_BYTES, MOST_UNSAVED = (
    1 << 26,
    16,
)  # of one array, and how many, that this process keeps where nothing can be written
_DIGEST_BYTES, _CHUNK_BYTES = 32, 1 << 20
_unsaved: Recent[np.ndarray] = Recent(MOST_UNSAVED)
_whole: set[tuple[str, int, int]] = set()  # path, time and size of the files that this process found right


def derived(run: Run, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The named array of a run, read-only and memory-mapped; made where it is not there yet.

    Raises BeingPrepared where somebody else is still making it.
    """
    path = _path(run.bundle_sha256, name)
    if _is_whole(path):
        return _open(str(path), path.stat().st_mtime_ns)
    known = _unsaved.known(path)
    if known is not None:
        return known
    try:
        lock = _locked(path)
    except Timeout:
        raise BeingPrepared(f"Somebody asked for it first, {LONGEST_WAIT_S:.0f} seconds ago or more.") from None
    except OSError as error:
        return _in_memory(path, make(), error)
    with lock:
        if not _is_whole(path):
            array = make()
            try:
                _write(path, array)
            except OSError as error:
                return _in_memory(path, array, error)
    return _open(str(path), path.stat().st_mtime_ns)


def has_derived(run: Run, name: str) -> bool:
    """Whether the named array was made already."""
    return _path(run.bundle_sha256, name).exists()


def forget_derived(sha256: str) -> None:
    """Delete all that was kept of a bundle."""
    _open.cache_clear()
    _whole.clear()
    shutil.rmtree(Path(settings.DERIVED_DIR) / sha256, ignore_errors=True)


def _path(sha256: str, name: str) -> Path:
    return Path(settings.DERIVED_DIR) / sha256 / f"{name}.npy"


def _is_whole(path: Path) -> bool:
    """Whether the file is there and as it was written; read once by each process, for as long as nobody writes it."""
    try:
        state = path.stat()
    except OSError:
        return False
    seen = (str(path), state.st_mtime_ns, state.st_size)
    if seen not in _whole:
        if not _has_its_hash(path, state.st_size - _DIGEST_BYTES):
            logger.warning("%s is not as it was written; what it held is worked out anew.", path)
            return False
        _whole.add(seen)
    return True


def _has_its_hash(path: Path, n_bytes: int) -> bool:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while n_bytes > 0 and (piece := file.read(min(n_bytes, _CHUNK_BYTES))):
            digest.update(piece)
            n_bytes -= len(piece)
        return n_bytes == 0 and file.read() == digest.digest()


def _locked(path: Path) -> AcquireReturnProxy:
    """One maker at a time, in this process and in all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.lock").acquire(timeout=LONGEST_WAIT_S)


def _write(path: Path, array: np.ndarray) -> None:
    """Whole or not at all; what a killed writer left is written over, for there is one writer at a time."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb+") as file:
            np.save(file, array)
            file.flush()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").digest()
            file.write(digest)  # NumPy reads as much as the header says, and leaves it alone
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _in_memory(path: Path, array: np.ndarray, error: OSError) -> np.ndarray:
    """The array as it was made, for it cannot be kept on disk."""
    _warn(str(path.parent), error.strerror or str(error))
    array = array.view()
    array.flags.writeable = False
    return _unsaved.get(path, lambda: array) if array.nbytes <= MOST_BYTES else array


@lru_cache(maxsize=256)  # once for each folder and reason
def _warn(folder: str, reason: str) -> None:
    logger.warning("%s cannot be written (%s): pages work out again what would be kept there.", folder, reason)


@lru_cache(maxsize=256)  # each holds a file open
def _open(path: str, changed_ns: int) -> np.ndarray:
    return open_array(Path(path))
