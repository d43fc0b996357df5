"""The folder that backups share: where things lie in it, who may write to it when, and how old backups go.

Whoever writes or reads a backup shares a lock (`objects/.lock`), and old ones are removed by whoever holds it alone: a
backup counts on objects that were there when it looked, and names them only at its end. First the folders go, each
under another name before it is emptied; then the objects that none of the folders left names. So what is left is whole
wherever it stops, and the next time goes on.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusters.services.bundles import age_of
from compute.bundle import sync_directory

FORMAT, VERSION = "quantaweb-backup", 1
MANIFEST, OBJECTS, LOCK = "manifest.json", "objects", ".lock"
PARTIAL, REMOVED = ".{}.partial", ".{}.removed"  # a backup that is being written; one that is being removed
SETTLED = 86_400.0  # seconds after which what is partial was left behind by a process that was killed
_DATED = re.compile(r"\d{8}T\d{6}(\d{6})?Z")
_HIDDEN = re.compile(r"\.(\d{8}T\d{6}(?:\d{6})?Z)\.(partial|removed)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Thinned:
    """What was removed; `left` says, in a sentence, why something that could have gone has not."""

    backups: list[str]
    n_objects: int = 0
    n_bytes: int = 0  # of these objects
    n_whole: int = 0  # backups left that count
    left: str = ""


@dataclass(frozen=True)
class _Found:
    """A folder that is a backup, or looks like one: then it has no manifest that this release reads."""

    path: Path
    manifest: dict[str, Any] | None
    objects: frozenset[str] = frozenset()

    def is_whole(self, there: set[str]) -> bool:
        """Whether it was made without a problem and nothing of it is missing; no hash is looked at."""
        if self.manifest is None or self.manifest["problems"] or not self.objects <= there:
            return False
        return (self.path / self.manifest["database"]["file"]).is_file()


def place(objects: Path, sha256: str) -> Path:
    return objects / sha256[:2] / sha256


@contextmanager
def held(folder: Path, *, alone: bool = False) -> Iterator[bool]:
    """Share the folder with others who write and read backups, or have it alone; gives whether that is so.

    Who shares waits until old backups are removed, and goes on unlocked where the folder cannot be locked (it is
    read-only, or its file system knows no locks). Who wants it alone does not wait. The lock goes with the process.
    """
    descriptor = -1
    try:
        descriptor = os.open(folder / OBJECTS / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
        is_held = True
    except OSError:
        is_held = False
    try:
        yield is_held
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def thin(made: Path, keep: int) -> Thinned:
    """Remove backups beside the one that was just made, but for the newest `keep` whole ones, and what only they named.

    That one is among those that stay. While fewer than `keep` are whole, all stay. A backup that is not whole goes once
    `keep` newer ones are. A folder that was renamed stays, with its objects, and so does whatever is no backup.
    """
    if keep < 1:
        raise ValueError("at least one backup stays")
    folder = made.parent
    with held(folder, alone=True) as is_alone:
        if not is_alone:
            return Thinned([], left="another backup is being written or read, or this folder cannot be locked")
        _clear(folder)
        there = {path.name: path for path in (folder / OBJECTS).glob("[0-9a-f][0-9a-f]/*") if _is_object(path)}
        found = list(_backups(folder))
        old = _old(found, made, keep, set(there))
        for one in old:
            _remove(one.path)
        sync_directory(folder)  # before their objects go: a folder that came back would miss them
        names, left = [one.path.name for one in old], [one for one in found if one not in old]
        if why := _unsure(folder, left):
            return Thinned(names, left=why)
        unnamed = sorted(set(there).difference(*(one.objects for one in left)))
        n_bytes = sum(there[name].lstat().st_size for name in unnamed)
        for name in unnamed:
            there[name].unlink()
        return Thinned(names, len(unnamed), n_bytes)


def _old(found: list[_Found], made: Path, keep: int, there: set[str]) -> list[_Found]:
    """The backups that go."""
    dated = [one for one in found if _DATED.fullmatch(one.path.name) and not one.path.is_symlink()]
    whole = [one for one in dated if one.is_whole(there)]
    whole.sort(key=lambda one: (one.path.name == made.name, one.path.name), reverse=True)  # whatever the clock said
    kept = whole[:keep]
    if len(kept) < keep:
        return []
    oldest = min(one.path.name for one in kept)
    broken = [one for one in dated if one.manifest and one not in whole and one.path.name < oldest]
    return whole[keep:] + broken


def _backups(folder: Path) -> Iterator[_Found]:
    """Every backup of the folder, under whatever name, and what may be one."""
    for path in sorted(folder.iterdir()):
        is_dated = bool(_DATED.fullmatch(path.name))
        if _HIDDEN.fullmatch(path.name) or not path.is_dir() or not (is_dated or (path / MANIFEST).exists()):
            continue
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            if manifest["format"] != FORMAT and not is_dated:
                continue  # somebody else's
            if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
                raise ValueError("of another version")
            names = frozenset(sha256 for entry in manifest["folders"] for sha256 in entry["files"].values())
            _ = manifest["problems"], manifest["database"]["file"]
            yield _Found(path, manifest, names)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            yield _Found(path, None)


def _unsure(folder: Path, left: list[_Found]) -> str:
    """Why no object may go; empty where it is known which are needed."""
    if unread := [one.path.name for one in left if one.manifest is None]:
        return f"which files {', '.join(unread[:3])} needs cannot be read, so all files stay; mend or move that folder"
    if partial := [path.name for path in folder.glob(PARTIAL.format("*")) if _HIDDEN.fullmatch(path.name)]:
        return f"{partial[0]} may be a backup that is being written, so all files stay; a day later it counts no more"
    return ""


def _clear(folder: Path) -> None:
    """Remove what killed processes left behind; nobody writes here now who knows of the lock."""
    for path in folder.iterdir():
        if (known := _HIDDEN.fullmatch(path.name)) and (known[2] == "removed" or age_of(path) > SETTLED):
            shutil.rmtree(path)
    for path in (folder / OBJECTS).glob(PARTIAL.format("*")):
        if age_of(path) > SETTLED:
            path.unlink()


def _remove(backup: Path) -> None:
    gone = backup.with_name(REMOVED.format(backup.name))
    backup.rename(gone)
    shutil.rmtree(gone)


def _is_object(path: Path) -> bool:
    return bool(_SHA256.fullmatch(path.name)) and path.is_file() and not path.is_symlink()
