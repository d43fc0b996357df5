"""Folders that the database names: saved as objects that are named by their hash, and made what they were."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from clusters.services.backup_folder import place
from clusters.services.bundles import TRASH
from clusters.stored.derived import forget_derived
from compute.bundle import file_sha256, open_bundle, put_aside, sync_directory
from compute.errors import BundleError, StorageError

Report = Callable[[str], None]


def no_report(text: str) -> None:
    """For whoever does not want to know."""


@dataclass(frozen=True)
class Kept:
    """A folder of files that the database names."""

    kind: str  # "bundle" or "corpus"
    key: str  # a run's bundle_sha256, or the primary key of a corpus
    path: Path


# ── out of the site ──


class Objects:
    """The store that all backups of a folder share."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.n, self.n_new = folder, 0, 0
        self.problems: list[str] = []

    def keep(self, one: Kept, report: Report) -> dict[str, Any] | None:
        """Save each file of a folder that can be saved; None where it cannot be opened. What lacks is a problem."""
        report(f"{one.kind} {one.path.name}")
        try:
            folder = _now_at(one.path)
            names = {str(path.relative_to(folder)) for path in _files(folder)}
            stated = _stated(one, folder)
        except (OSError, BundleError, StorageError) as error:
            self.problems.append(f"{one.kind} {one.path}: {error}")
            return None
        files, lacks = {}, {name: f"{name} is missing" for name in stated if name not in names}
        for name in sorted(names):
            try:
                files[name] = self._put(_now_at(one.path) / name, stated.get(name, ""))
            except (OSError, StorageError) as error:
                lacks[name] = f"{name} {getattr(error, 'strerror', None) or error}"
        if lacks:
            more = f" and {len(lacks) - 3} more" if len(lacks) > 3 else ""
            self.problems.append(f"{one.kind} {one.path}: {', '.join(list(lacks.values())[:3])}{more}")
        self.n += len(files)
        return {"kind": one.kind, "key": one.key, "name": one.path.name, "files": files, "lacks": sorted(lacks)}

    def _put(self, path: Path, stated: str) -> str:
        """Save a file once; a stated hash that is there already is that of a bundle's file, which never changes."""
        if stated and place(self.folder, stated).exists():
            return stated
        partial = self.folder / f".{uuid.uuid4().hex}.partial"
        try:
            shutil.copyfile(path, partial)
            sha256 = file_sha256(partial)
            if stated and sha256 != stated:
                raise StorageError("is not as its hash says")
            target = place(self.folder, sha256)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                sync_file(partial)
                partial.rename(target)
                sync_directory(target.parent)
                self.n_new += 1
        finally:
            partial.unlink(missing_ok=True)
        return sha256


def _now_at(path: Path) -> Path:
    """Where the folder is now: what was deleted since the database was read is kept for some days."""
    deleted = sorted(path.parent.glob(f"{TRASH}*-{path.name}")) if not path.is_dir() else []
    return deleted[-1] if deleted else path


def _stated(one: Kept, folder: Path) -> dict[str, str]:
    """The hashes that a bundle's manifest says its files have."""
    if one.kind != "bundle":
        return {}
    bundle = open_bundle(folder)
    if bundle.sha256 != one.key:
        raise BundleError("another bundle is there than the one that was read in.")
    return bundle.hashes


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise StorageError("the folder is not there.")
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def sync_file(path: Path) -> None:
    """Make what was written outlast a power cut."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


# ── into a site ──


def check_objects(entries: list[dict[str, Any]], objects: Path, report: Report) -> None:
    """Every object that these folders need is there and has the hash that its name says; else StorageError."""
    wanted = sorted({sha256 for entry in entries for sha256 in entry["files"].values()})
    for i, sha256 in enumerate(wanted, 1):
        path = place(objects, sha256)
        if not path.is_file() or file_sha256(path) != sha256:
            raise StorageError(
                f"Object {sha256} is {'damaged' if path.is_file() else 'missing'} in {objects}; nothing was restored."
            )
        if i % 200 == 0:
            report(f"checked {i:,} of {len(wanted):,} files")


def bring_back(entry: dict[str, Any], objects: Path, report: Report) -> Path:
    """Put a folder where this site keeps its kind; give its place."""
    report(f"{entry['kind']} {entry['name']}")
    home = Path(settings.BUNDLE_DIR if entry["kind"] == "bundle" else settings.CORPUS_DIR)
    target = home / Path(entry["name"]).name
    if target == home or target.name == "..":
        raise StorageError(f"The backup names a file outside its folder: {entry['name']}.")
    if entry["kind"] == "bundle" and _is_another(target, entry["key"]):
        target = home / f"{target.name}-{entry['key'][:12]}"
    put_back(entry, target, objects)
    return target


def put_back(entry: dict[str, Any], target: Path, objects: Path) -> None:
    """Make a folder what it was when it was saved; one that is there and is otherwise is put aside."""
    if _is_as_saved(entry, target):
        return
    with _partial_folder(target) as partial:
        for name, sha256 in entry["files"].items():
            path = partial / name
            if not path.resolve().is_relative_to(partial.resolve()):
                raise StorageError(f"The backup names a file outside its folder: {name}.")
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place(objects, sha256), path)
    if entry["kind"] == "bundle":
        forget_derived(entry["key"])  # it may have been worked out of what is damaged


def _is_another(folder: Path, sha256: str) -> bool:
    """Whether a bundle of another hash lies there; what can be opened as none is damaged."""
    try:
        return open_bundle(folder).sha256 != sha256
    except BundleError:
        return False


def _is_as_saved(entry: dict[str, Any], folder: Path) -> bool:
    files = {folder / name: sha256 for name, sha256 in entry["files"].items()}
    return folder.is_dir() and all(path.is_file() and file_sha256(path) == sha256 for path, sha256 in files.items())


@contextmanager
def _partial_folder(target: Path) -> Iterator[Path]:
    """A folder that gets its name when it is whole."""
    partial = target.with_name(f".{target.name}.partial-restore")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if os.path.lexists(target):
            put_aside(target)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
