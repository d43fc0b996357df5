"""Bundles: a folder of arrays and a manifest, written whole or not at all, opened memory-mapped.

Needs numpy only, so that the web process can read one. The layout is in docs/architecture.md.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import threading
import tokenize
import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from compute.errors import BundleError, StorageError

FORMAT, VERSION = "quantaweb-bundle", 1
MAX_HEADER_BYTES = 10_000  # of an array's file
DAMAGED = ".damaged-"  # a folder that starts so was put aside, and is kept for a while
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ARRAY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


_headers = threading.Lock()


def open_array(path: Path) -> np.ndarray:
    """An array of a file, memory-mapped.

    NumPy parses a file's header with `ast`, and CPython 3.11 fails now and then where two threads do that at once.

    Raises
    ------
    ValueError, OSError
        If it is no array's file, or its header says what cannot be.
    """
    _require_short_header(path)
    with _headers:
        try:
            array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        except (tokenize.TokenError, OverflowError, MemoryError, TypeError, AttributeError) as error:
            raise ValueError(f"its header cannot be read: {str(error)[:100]}") from None
    return array


def _require_short_header(path: Path) -> None:
    """NumPy takes as much memory as the header says it is long, before it looks at it."""
    with path.open("rb") as file:
        start = file.read(12)
    length = int.from_bytes(start[8:10] if start[6:7] == b"\x01" else start[8:12], "little")
    if start[:6] == b"\x93NUMPY" and length > MAX_HEADER_BYTES:
        raise ValueError(f"its header is {length:,} bytes long; at most {MAX_HEADER_BYTES:,} are taken")


class BundleWriter:
    """Writes a bundle into a hidden folder beside its place and renames it when whole.

    Use as a context manager; leaving it by an exception, or without `publish`, removes what was written.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = Path(directory)
        self.name = name
        self._arrays: dict[str, dict[str, Any]] = {}
        self._files: dict[str, dict[str, Any]] = {}
        self._partial = self.directory / f".{name}.partial-{uuid.uuid4().hex[:12]}"

    def __enter__(self) -> BundleWriter:
        with storage_errors(self.directory):
            self._partial.mkdir(parents=True)
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)

    def add_array(self, name: str, array: np.ndarray, *, unit: str = "") -> None:
        """Write one array; `unit` is a word for people ("nats", "tokens")."""
        if not _ARRAY_NAME.fullmatch(name) or ".." in name:
            raise BundleError(f"{name!r} cannot name an array.")
        path = self._partial / f"{name}.npy"
        with storage_errors(self.directory):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as handle:
                np.save(handle, np.ascontiguousarray(array), allow_pickle=False)
                _flush(handle)
        self._arrays[name] = {
            "file": f"{name}.npy",
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "sha256": file_sha256(path),
            "unit": unit,
        }

    def add_lines(self, name: str, rows: Iterator[dict[str, Any]]) -> None:
        """Write a JSON-lines file that is part of the hash."""
        path = self._partial / name
        with storage_errors(self.directory), path.open("wb") as handle:
            for row in rows:
                handle.write(json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n")
            _flush(handle)
        self._files[name] = {"sha256": file_sha256(path), "bytes": path.stat().st_size}

    def publish(self, manifest: dict[str, Any], run: dict[str, Any]) -> Path:
        """Complete the manifest and move the bundle to `<directory>/<name>-<hash12>`; give that path.

        Publishing the same content twice gives the bundle that is there already; a damaged one is put aside.
        """
        whole = manifest | {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "arrays": self._arrays,
            "files": self._files,
        }
        whole["sha256"] = manifest_sha256(whole)
        target = self.directory / f"{self.name}-{whole['sha256'][:12]}"
        with storage_errors(self.directory):
            _write_json(self._partial / "manifest.json", whole)
            _write_json(self._partial / "run.json", run)
            try:
                self._partial.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                self._settle_with(target, whole["sha256"])
            sync_directory(self.directory)
        return target

    def _settle_with(self, target: Path, sha256: str) -> None:
        """Leave the bundle that is there; take its place where one of its arrays is damaged."""
        there = open_bundle(target)
        if there.sha256 != sha256:
            raise BundleError(f"{target} holds another bundle; move it away and publish again.")
        try:
            there.verify()
        except BundleError:
            put_aside(target)
            self._partial.rename(target)


class Bundle:
    """A published bundle; arrays are memory-mapped when asked for."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    @property
    def sha256(self) -> str:
        return str(self.manifest["sha256"])

    @cached_property
    def run(self) -> dict[str, Any]:
        """Times, host and versions; empty where `run.json` was left out."""
        try:
            return json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    @property
    def n_bytes(self) -> int:
        """What the bundle takes on disk."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def has(self, name: str) -> bool:
        return name in self.manifest["arrays"]

    def array(self, name: str) -> np.ndarray:
        """The array, read-only and memory-mapped, checked against the manifest's shape and dtype."""
        entry = self.manifest["arrays"].get(name)
        if entry is None:
            raise BundleError(f"The bundle {self.path.name} holds no array {name!r}.")
        path = self.path / entry["file"]
        try:
            array = open_array(path)
        except (OSError, ValueError, EOFError) as error:
            raise BundleError(f"{path} is missing or cut short ({error}); copy or compute the bundle again.") from error
        if list(array.shape) != entry["shape"] or str(array.dtype) != entry["dtype"]:
            raise BundleError(
                f"{path} is {array.dtype} {list(array.shape)}, but the manifest says {entry['dtype']} "
                f"{entry['shape']}; copy or compute the bundle again."
            )
        return array

    def documents(self) -> list[dict[str, Any]]:
        """Source and kind of every document, in corpus order."""
        with (self.path / "documents.jsonl").open(encoding="utf-8") as handle:
            return [json.loads(line) for line in handle]

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The hash that every file must have, by name; the manifest has its own."""
        listed = {entry["file"]: entry["sha256"] for entry in self.manifest["arrays"].values()}
        return listed | {name: entry["sha256"] for name, entry in self.manifest["files"].items()}

    def verify(self) -> None:
        """Recompute every hash; a single altered byte raises BundleError naming the file."""
        for name in self.hashes:
            self.verify_file(name)

    def verify_file(self, name: str) -> None:
        """Recompute one file's hash."""
        path = self.path / name
        if not path.is_file():
            raise BundleError(f"{path} is missing; copy or compute the bundle again.")
        if file_sha256(path) != self.hashes[name]:
            raise BundleError(f"{path} was altered or cut short; copy or compute the bundle again.")


def open_bundle(path: Path | str) -> Bundle:
    """Open a bundle and check its manifest (not every array: see `Bundle.verify`)."""
    path = Path(path)
    file = path / "manifest.json"
    if not file.is_file():
        raise BundleError(f"{path} is no bundle: it has no manifest.json. Name the folder that holds one.")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        known = manifest["format"] == FORMAT and manifest["version"] == VERSION
        whole = isinstance(manifest["arrays"], dict) and isinstance(manifest["files"], dict)
        inside = all(_is_inside(entry["file"]) for entry in manifest["arrays"].values())
        intact = manifest["sha256"] == manifest_sha256(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise BundleError(f"{file} cannot be read ({error}); copy or compute the bundle again.") from error
    if not known:
        raise BundleError(
            f"{file} has format {manifest['format']!r} version {manifest['version']!r}; "
            f"this program reads {FORMAT!r} version {VERSION}."
        )
    if not (whole and inside and intact and all(_is_inside(name) for name in manifest["files"])):
        raise BundleError(f"{file} was altered: its hash does not match. Copy or compute the bundle again.")
    return Bundle(path, manifest)


def folder_here(stored: Path | str, root: Path) -> Path:
    """Where a folder that a row names lies on this host: as stored, or by its name beside this host's others."""
    path = Path(stored)
    if path.is_dir() or not _FOLDER_NAME.fullmatch(path.name):
        return path
    return root / path.name


def put_aside(folder: Path) -> None:
    """Hide a damaged folder beside its place; how long it is kept counts from now."""
    os.utime(folder, follow_symlinks=False)
    folder.rename(folder.with_name(f"{DAMAGED}{folder.name}-{uuid.uuid4().hex[:12]}"))


def manifest_sha256(manifest: dict[str, Any]) -> str:
    """Hash of everything in a manifest but the hash itself."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class storage_errors:  # noqa: N801  (reads as a statement: `with storage_errors(folder):`)
    """Turns a full disk or an unwritable folder into a sentence."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, OSError):
            return
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"The disk that holds {self.directory} is full. Free some space and start again; what is done is kept."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT):
            raise StorageError(
                f"{self.directory} cannot be written ({error.strerror}). Mend its permissions or choose another folder."
            ) from error


def sync_directory(directory: Path) -> None:
    """Make a rename in this folder outlast a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_inside(name: str) -> bool:
    return bool(name) and not name.startswith("/") and ".." not in Path(name).parts and "\\" not in name


def _write_json(path: Path, data: dict[str, Any]) -> None:
    with path.open("wb") as handle:
        handle.write(json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        _flush(handle)


def _flush(handle: Any) -> None:
    handle.flush()
    os.fsync(handle.fileno())
