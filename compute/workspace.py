"""What a run has computed so far: files that are whole and right, or computed again.

Every file has a note beside it with its hash and a stamp of what it was computed from. A file that was cut short,
altered, or computed from something else is as good as absent. Nothing here knows what the arrays mean.

With a store, what is saved goes there too, and what is missing here is looked for there: so hosts that share no disk
work on one run.
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
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np

from compute.bundle import file_sha256, storage_errors, sync_directory
from compute.errors import StorageError
from compute.store.objects import Store

NOTE = ".note"
_TRIES = 3  # at writing where another process removes the folder
_LOCK_PAUSE = 0.5  # seconds
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # a file system that knows none
_WORK = "work"  # where the store keeps notes
_TOUCH_EVERY = 86400.0  # seconds between notes in the store that an array is still used
_SHA256 = re.compile(r"[0-9a-f]{64}")
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
    """A folder of stamped arrays and JSON values; several processes may read, write and remove at once.

    `tell` is called while the store is waited for; what it raises ends the wait.
    """

    def __init__(self, root: Path, store: Store | None = None, tell: Callable[[], None] = lambda: None) -> None:
        self.root = Path(root)
        self.store = store
        self.tell = tell
        make_folder(self.root)

    @cached_property
    def here(self) -> Workspace:
        """The same files without the store: for what no other host needs."""
        return Workspace(self.root) if self.store else self

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

    def is_known(self, name: str, stamp: str) -> bool:
        """Whether an array with this stamp is whole here, or in the store as far as its note there tells."""
        if self.here.has(name, stamp):
            return True
        note = self._note_in_store(self.root / f"{name}.npy", stamp)
        return bool(note and self.store and self.store.has_object(note["sha256"], note["bytes"], self.tell))

    def settle_json(self, name: str, value: Any, stamp: str) -> Any:
        """Write a value unless another host was first; give the one that stands for all of them."""
        self.here.save_json(name, value, stamp)
        path = self.root / f"{name}.json"
        note = self._note_here(path, stamp)
        if self.store is None or note is None:
            return value
        own = json.dumps(note).encode()
        self.store.put(path.with_name(note["file"]), note["sha256"], self.tell)
        standing = self.store.settle(self._key(path), own, self.tell)
        if standing == own:
            return value
        if _read_note(standing, path, stamp) is None:  # of other inputs, or damaged
            self.store.write(self._key(path), own, self.tell)
            return value
        self.here.remove(name)
        found = self.load_json(name, stamp)
        return value if found is None else found

    def is_begun(self, name: str) -> bool:
        """Whether there is an array of this name, whole or not: reads nothing of it."""
        return (self.root / f"{name}.npy{NOTE}").is_file()

    def touch(self, name: str) -> None:
        """Note that an array was used just now; `remove_unused` spares it."""
        note = self.root / f"{name}.npy{NOTE}"
        with contextlib.suppress(OSError):
            is_old = time.time() - note.stat().st_mtime > _TOUCH_EVERY
            os.utime(note)
            if is_old and self.store is not None:
                self.store.write(self._key(note.with_suffix("")), note.read_bytes(), self.tell)

    def remove_unused(self, seconds: float) -> None:
        """Drop what was neither written nor touched for so long."""
        for name in self.unused(seconds):
            self.remove(name)

    def unused(self, seconds: float) -> list[str]:
        """Names of arrays that were neither written nor touched for so long."""
        found = []
        for note in sorted(self.root.glob(f"*.npy{NOTE}")):
            with contextlib.suppress(OSError):
                if time.time() - note.stat().st_mtime > seconds:
                    found.append(note.name.removesuffix(f".npy{NOTE}"))
        return found

    def remove(self, name: str) -> None:
        """Drop a folder, an array or a value of that name, where there is one."""
        path = self.root / name
        shutil.rmtree(path, ignore_errors=True)
        for file in path.parent.glob(f"{path.name}.*"):
            if _CONTENT.fullmatch(file.name.removeprefix(path.name)):
                file.unlink(missing_ok=True)
        if self.store is not None:
            self.store.remove(self._keys(path), self.tell)

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
        """The note of a file that is whole and has the stamp; what only the store has is brought here."""
        path = self.root / f"{name}{suffix}"
        note = self._note_here(path, stamp)
        if note is not None or self.store is None:
            return note
        note = self._note_in_store(path, stamp)
        return note if note is not None and self._fetched(path, note) else None

    def _note_here(self, path: Path, stamp: str) -> dict[str, Any] | None:
        try:
            note = _read_note(path.with_name(path.name + NOTE).read_bytes(), path, stamp)
            if note is None:
                return None
            file = path.with_name(note["file"])
            return note if note["bytes"] == file.stat().st_size and note["sha256"] == file_sha256(file) else None
        except OSError:
            return None

    def _note_in_store(self, path: Path, stamp: str) -> dict[str, Any] | None:
        content = self.store.read(self._key(path), self.tell) if self.store else None
        return None if content is None else _read_note(content, path, stamp)

    def _fetched(self, path: Path, note: dict[str, Any]) -> bool:
        """Bring a file and its note here; False where the store has no such file that is whole."""
        assert self.store is not None  # noqa: S101  (asked for only where there is one)
        partial = _partial_of(path)
        if not self.store.fetch(note["sha256"], note["bytes"], partial, self.tell):
            return False
        with storage_errors(self.root):
            _publish(partial, path, note)
        return True

    def _write(self, name: str, suffix: str, write: Callable[[Any], object], stamp: str, facts: dict[str, Any]) -> None:
        """Write the content under a name of its own, then turn the note over to it, then drop the old content."""
        path = self.root / f"{name}{suffix}"
        with storage_errors(self.root):
            for n_left in reversed(range(_TRIES)):
                try:
                    note = _write_noted(path, write, stamp, facts)
                    break
                except FileNotFoundError:  # another process removed the folder meanwhile
                    if not n_left:
                        raise
        if self.store is not None:
            with contextlib.suppress(FileNotFoundError):  # another process has just put a new one in its place
                self.store.put(path.with_name(note["file"]), note["sha256"], self.tell)
                self.store.write(self._key(path), json.dumps(note).encode(), self.tell)

    def _key(self, path: Path) -> str:
        """Of a file's note in the store."""
        return f"{_WORK}/{self.root.name}/{path.relative_to(self.root).as_posix()}{NOTE}"

    def _keys(self, path: Path) -> list[str]:
        """Of the notes in the store of all that `remove` drops."""
        assert self.store is not None  # noqa: S101  (asked for only where there is one)
        within = f"{_WORK}/{self.root.name}/{path.relative_to(self.root).as_posix()}"
        own = {f"{within}{suffix}{NOTE}" for suffix in (".npy", ".json")}
        found = [one.key for one in self.store.listed(f"{within}/", self.tell)]
        return [*found, *own]


def _read_note(content: bytes, path: Path, stamp: str) -> dict[str, Any] | None:
    """A note of this file with this stamp; None where it is damaged or of something else."""
    try:
        note: dict[str, Any] = json.loads(content)
        is_sound = _SHA256.fullmatch(note["sha256"]) and note["file"] == _content_name(path, note["sha256"])
        is_sound = is_sound and type(note["bytes"]) is int and note["bytes"] >= 0 and isinstance(note["facts"], dict)
        return note if is_sound and note["stamp"] == stamp else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _content_name(path: Path, sha256: str) -> str:
    return f"{path.name.removesuffix(path.suffix)}.{sha256[:16]}{path.suffix}"


def _partial_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}.part")


def _write_noted(path: Path, write: Callable[[Any], object], stamp: str, facts: dict[str, Any]) -> dict[str, Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial_of(path)
    sha256, n_bytes = _write_whole(partial, write)
    note = {"file": _content_name(path, sha256), "sha256": sha256, "bytes": n_bytes, "stamp": stamp, "facts": facts}
    _publish(partial, path, note)
    return note


def _publish(partial: Path, path: Path, note: dict[str, Any]) -> None:
    """Give the content its name, turn the note over to it, drop the old content."""
    file = path.with_name(note["file"])
    partial.replace(file)
    _write_whole(partial, lambda out: out.write(json.dumps(note).encode()))
    partial.replace(path.with_name(path.name + NOTE))
    sync_directory(path.parent)
    for old in path.parent.glob(f"{path.name.removesuffix(path.suffix)}.*{path.suffix}"):
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
