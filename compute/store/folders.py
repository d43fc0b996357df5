"""Folders in the store: a record lists every file with its hash; published bundles and texts that somebody sent."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from compute.bundle import file_sha256, open_bundle, put_aside, storage_errors, sync_directory
from compute.errors import BundleError, StorageError
from compute.store.objects import Store, Tell
from compute.store.removal import outlast

BUNDLES, CORPORA = "bundles", "corpora"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_LOCK_PAUSE = 0.5  # seconds
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """One file of a folder."""

    sha256: str
    n_bytes: int
    mtime_ns: int  # kept, because a text's stamp names it


Check = Callable[[Path, Path, Mapping[str, Entry]], None]  # what was brought, where it is to lie, its files


def record_key(kind: str, name: str) -> str:
    return f"{kind}/{name}.json"


def push_bundle(store: Store, path: Path, tell: Tell = lambda: None) -> None:
    """Leave a published bundle for other hosts; what is there already is not sent again."""
    bundle = open_bundle(path)
    push_folder(store, record_key(BUNDLES, bundle.sha256), path, hashes=bundle.hashes, tell=tell)


def fetch_bundle(store: Store, sha256: str, root: Path, tell: Tell = lambda: None) -> Path | None:
    """Bring a bundle into a folder of bundles and give its path; None where the store has none, or no whole one."""

    def check(path: Path, place: Path, entries: Mapping[str, Entry]) -> None:
        bundle = open_bundle(path)
        stated = {name: entry.sha256 for name, entry in entries.items()}
        if bundle.sha256 != sha256 or any(stated.get(name) != hashed for name, hashed in bundle.hashes.items()):
            raise BundleError(f"The store gives other files than those of bundle {sha256[:12]}; publish it again.")
        if _is_other(place, sha256):
            raise BundleError(f"{place} holds another bundle; move it away, and it is fetched again.")

    return fetch_folder(store, record_key(BUNDLES, sha256), root, check=check, tell=tell)


def push_folder(
    store: Store, key: str, folder: Path, *, hashes: Mapping[str, str] | None = None, tell: Tell = lambda: None
) -> None:
    """Send every file, then the record that names them; `hashes` are known ones, which are not computed again."""
    known = hashes or {}
    entries = {}
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() or not file.is_file():
            continue
        tell()
        name, facts = file.relative_to(folder).as_posix(), file.stat()
        sha256 = known.get(name) or file_sha256(file)
        store.put(file, sha256, tell)
        entries[name] = asdict(Entry(sha256, facts.st_size, facts.st_mtime_ns))
    record = json.dumps({"name": folder.name, "files": entries}, sort_keys=True).encode()
    store.write(key, record, tell)
    if outlast(store, tell):  # it may have removed an old record of this name
        store.write(key, record, tell)


def fetch_folder(
    store: Store, key: str, root: Path, *, check: Check = lambda *brought: None, tell: Tell = lambda: None
) -> Path | None:
    """Bring a folder beside others; what an interrupted attempt brought is kept. None where it cannot be had whole.

    `check` may refuse with BundleError what was brought; a damaged folder of that name is put aside.
    """
    found = read_record(store, key, tell)
    if found is None:
        return None
    name, entries = found
    partial = root / f".{name}.partial-fetch"
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    with _alone(root / f".{name}.lock", tell):
        if _is_there(root / name, entries):
            check(root / name, root / name, entries)
            return root / name
        for file, entry in entries.items():
            if not _fetched(store, partial / file, entry, tell):
                return None
            os.utime(partial)  # it is being fetched: what looks abandoned is tidied away
        try:
            check(partial, root / name, entries)
        except BundleError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _put_in_place(partial, root / name)
    return root / name


def read_record(store: Store, key: str, tell: Tell = lambda: None) -> tuple[str, dict[str, Entry]] | None:
    """Name and files of a folder; None where no record is there, StorageError where it says what no record may."""
    content = store.read(key, tell)
    if content is None:
        return None
    try:
        record = json.loads(content)
        entries = {name: Entry(**entry) for name, entry in record["files"].items()}
        is_good = _NAME.fullmatch(record["name"]) and all(map(_is_inside, entries))
        is_good = is_good and all(map(_is_sound, entries.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        is_good = False
    if not is_good:
        raise StorageError(f"The record {key} in the store {store.name} was altered; remove it and publish again.")
    return str(record["name"]), entries


def _fetched(store: Store, path: Path, entry: Entry, tell: Tell) -> bool:
    """One file, unless an earlier attempt brought it whole."""
    if _is_whole(path, entry):
        return True
    part = path.with_name(f".{path.name}.{uuid4().hex[:12]}.part")
    if not store.fetch(entry.sha256, entry.n_bytes, part, tell):
        return False
    with storage_errors(path.parent):
        os.utime(part, ns=(entry.mtime_ns, entry.mtime_ns))
        part.replace(path)
    return True


def _is_other(place: Path, sha256: str) -> bool:
    """Whether a bundle of another hash lies there; what can be opened as none is damaged."""
    try:
        return open_bundle(place).sha256 != sha256
    except BundleError:
        return False


def _is_whole(path: Path, entry: Entry) -> bool:
    return path.is_file() and path.stat().st_size == entry.n_bytes and file_sha256(path) == entry.sha256


def _is_there(folder: Path, entries: Mapping[str, Entry]) -> bool:
    return all(_is_whole(folder / name, entry) for name, entry in entries.items())


def _put_in_place(partial: Path, target: Path) -> None:
    for left in partial.rglob(".*.part"):  # of attempts that were killed
        left.unlink(missing_ok=True)
    with storage_errors(target.parent):
        try:
            partial.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            put_aside(target)
            partial.rename(target)
        sync_directory(target.parent)


def _is_sound(entry: Entry) -> bool:
    numbers = (entry.n_bytes, entry.mtime_ns)
    return bool(_SHA256.fullmatch(entry.sha256)) and all(type(n) is int and 0 <= n < 2**63 for n in numbers)


def _is_inside(name: str) -> bool:
    parts = name.split("/")
    return all(part not in ("", ".", "..") for part in parts) and "\\" not in name and "\0" not in name


@contextmanager
def _alone(lock: Path, tell: Tell) -> Iterator[None]:
    """One process of this host at a time; the lock goes with the process."""
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                tell()
                time.sleep(_LOCK_PAUSE)
        yield
