"""What a run has computed so far: files that are whole and right, or computed again.

Every file has a note beside it with its hash and a stamp of what it was computed from. A file that was cut short,
altered, or computed from something else is as good as absent. Nothing here knows what the arrays mean.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np

from compute.bundle import file_sha256, storage_errors, sync_directory
from compute.errors import StorageError

NOTE = ".note"
_TRIES = 3  # at writing where another process removes the folder
_LOCK_PAUSE = 0.5  # seconds
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # a file system that knows none
_CONTENT = re.compile(rf"(\.[0-9a-f]{{16}})?\.(npy|json)({re.escape(NOTE)})?")


def digest(facts: Any) -> str:
    """Hash of JSON-safe facts: the stamp of what is computed from them."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def make_folder(path: Path) -> None:
    """Make sure that a folder is there and can be written."""
    with storage_errors(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise StorageError(f"{path} is a file, so no folder can be there. Move it away or name another.") from error
    if not os.access(path, os.W_OK):
        raise StorageError(f"{path} cannot be written. Mend its permissions or choose another folder.")


class Workspace:
    """A folder of stamped arrays and JSON values; several processes may read, write and remove at once."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        make_folder(self.root)

    def save(self, name: str, array: np.ndarray, stamp: str, **facts: Any) -> None:
        """Write an array, whole or not at all, with a few JSON-safe facts that belong to it."""
        array = np.ascontiguousarray(array)
        self._write(name, ".npy", lambda file: np.lib.format.write_array(file, array, allow_pickle=False), stamp, facts)

    def save_json(self, name: str, value: Any, stamp: str) -> None:
        """Write a JSON value, whole or not at all."""
        self._write(name, ".json", lambda file: file.write(json.dumps(value, sort_keys=True).encode()), stamp, {})

    def load(self, name: str, stamp: str, *, mmap: bool = False) -> np.ndarray | None:
        """The array with this stamp; None where there is none that is whole."""
        found = self.load_with_facts(name, stamp, mmap=mmap)
        return None if found is None else found[0]

    def load_with_facts(self, name: str, stamp: str, *, mmap: bool = False) -> tuple[np.ndarray, dict[str, Any]] | None:
        """The array with this stamp and its facts; None where there is none that is whole."""
        note = self._note(name, ".npy", stamp)
        if note is None:
            return None
        path = (self.root / name).with_name(note["file"])
        try:
            return np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False), note["facts"]
        except FileNotFoundError:  # another process has just put a new one in its place, or removed it
            return None

    def load_json(self, name: str, stamp: str) -> Any | None:
        """The value with this stamp; None where there is none that is whole."""
        note = self._note(name, ".json", stamp)
        if note is None:
            return None
        try:
            return json.loads((self.root / name).with_name(note["file"]).read_bytes())
        except FileNotFoundError:
            return None

    def has(self, name: str, stamp: str) -> bool:
        """Whether an array with this stamp is there and whole."""
        return self._note(name, ".npy", stamp) is not None

    def is_begun(self, name: str) -> bool:
        """Whether there is an array of this name, whole or not: reads nothing of it."""
        return (self.root / f"{name}.npy{NOTE}").is_file()

    def touch(self, name: str) -> None:
        """Note that an array was used just now; `remove_unused` spares it."""
        with contextlib.suppress(OSError):
            os.utime(self.root / f"{name}.npy{NOTE}")

    def remove_unused(self, seconds: float) -> None:
        """Drop what was neither written nor touched for so long."""
        for note in self.root.glob(f"*.npy{NOTE}"):
            with contextlib.suppress(OSError):
                if time.time() - note.stat().st_mtime > seconds:
                    self.remove(note.name.removesuffix(f".npy{NOTE}"))

    def remove(self, name: str) -> None:
        """Drop a folder, an array or a value of that name, where there is one."""
        path = self.root / name
        shutil.rmtree(path, ignore_errors=True)
        for file in path.parent.glob(f"{path.name}.*"):
            if _CONTENT.fullmatch(file.name.removeprefix(path.name)):
                file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self, name: str, *, is_shared: bool = False, tell: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold a lock of this name among processes, or share it; `tell` is called while others keep it from us.

        It goes with the process, however that ends. Where the file system knows no locks, nobody waits.
        """
        with storage_errors(self.root):
            descriptor = os.open(self.root / f".{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            while not _is_locked(descriptor, fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX):
                tell()
                time.sleep(_LOCK_PAUSE)
            yield
        finally:
            os.close(descriptor)

    def require_space(self, n_bytes: int, what: str) -> None:
        """Refuse work whose files would not fit the disk."""
        free = shutil.disk_usage(self.root).free
        if free < n_bytes:
            raise StorageError(
                f"{what} need {n_bytes / 1e9:.1f} GB in {self.root}, but only {free / 1e9:.1f} GB are free. "
                "Free some space, cluster fewer tokens, or choose a folder on another disk; what is done is kept."
            )

    def _note(self, name: str, suffix: str, stamp: str) -> dict[str, Any] | None:
        """The note of a file that is whole and has the stamp."""
        path = self.root / f"{name}{suffix}"
        try:
            note: dict[str, Any] = json.loads(path.with_name(path.name + NOTE).read_bytes())
            file = path.with_name(note["file"])
            is_ours = note["stamp"] == stamp and note["bytes"] == file.stat().st_size and "facts" in note
            return note if is_ours and note["sha256"] == file_sha256(file) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, name: str, suffix: str, write: Callable[[Any], object], stamp: str, facts: dict[str, Any]) -> None:
        """Write the content under a name of its own, then turn the note over to it, then drop the old content."""
        path = self.root / f"{name}{suffix}"
        with storage_errors(self.root):
            for n_left in reversed(range(_TRIES)):
                try:
                    _write_noted(path, suffix, write, stamp, facts)
                    break
                except FileNotFoundError:  # another process removed the folder meanwhile
                    if not n_left:
                        raise


def _write_noted(path: Path, suffix: str, write: Callable[[Any], object], stamp: str, facts: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex[:12]}.part")
    sha256, n_bytes = _write_whole(partial, write)
    file = path.with_name(f"{path.name.removesuffix(suffix)}.{sha256[:16]}{suffix}")
    partial.replace(file)
    note = {"file": file.name, "sha256": sha256, "bytes": n_bytes, "stamp": stamp, "facts": facts}
    _write_whole(partial, lambda out: out.write(json.dumps(note).encode()))
    partial.replace(path.with_name(path.name + NOTE))
    sync_directory(path.parent)
    for old in path.parent.glob(f"{path.name.removesuffix(suffix)}.*{suffix}"):
        if old != file and len(old.name) == len(file.name):
            old.unlink(missing_ok=True)


def _is_locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


class _HashingFile:
    """Hashes what is written on its way to the file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.sha256 = hashlib.sha256()
        self.n_bytes = 0

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self.n_bytes += memoryview(data).nbytes
        return self.file.write(data)


def _write_whole(path: Path, write: Callable[[Any], object]) -> tuple[str, int]:
    """Write a file and flush it to the disk, or leave none; give its hash and size."""
    try:
        with path.open("wb") as file:
            hashing = _HashingFile(file)
            write(hashing)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return hashing.sha256.hexdigest(), hashing.n_bytes
