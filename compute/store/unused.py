"""What nothing names any more. Whoever knows what rows name says what to keep."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from compute.errors import StorageError
from compute.store.folders import BUNDLES, CORPORA, read_record
from compute.store.objects import DAMAGED, OBJECTS, Store, Tell
from compute.store.places import Listed
from compute.store.removal import LEAST_SECONDS

WORK, COLUMNS = "work", "columns"
KEEP_COLUMNS = 30 * 86400.0  # seconds that losses which runs share are kept after they were last used
_JOB = re.compile(rf"{WORK}/job-(\d+)/")


@dataclass(frozen=True)
class Unused:
    """Keys of what could go, and the bytes that its objects take."""

    records: list[str]
    objects: list[str]
    n_bytes: int


def notes_of_jobs(store: Store) -> dict[int, list[str]]:
    """Keys of every job's notes; their objects go when nothing has named them for some days."""
    found: dict[int, list[str]] = {}
    for one in store.listed(f"{WORK}/"):
        if job := _JOB.match(one.key):
            found.setdefault(int(job[1]), []).append(one.key)
    return found


def unused(store: Store, *, seconds: float, keep: Mapping[str, Collection[str]], tell: Tell = lambda: None) -> Unused:
    """Old objects that no record names, and old records of what is not kept; removes nothing.

    Objects are listed before records are read: what was put and named meanwhile is too young to be among them.

    Raises
    ------
    StorageError
        If what was put just now would count as old.
    """
    if seconds < LEAST_SECONDS:
        raise StorageError(
            f"{seconds / 86400:g} days are too few: what was put within {LEAST_SECONDS / 86400:g} days may still be "
            "about to be named. Give more."
        )
    before = time.time() - seconds
    store.place.remove_unfinished(before)
    old = [one for key in (OBJECTS, DAMAGED) for one in store.listed(f"{key}/") if one.modified < before]
    records = [*_old_folders(store, before, keep), *_old_columns(store)]
    named = set(_named(store, set(records), tell))
    gone = [one for one in old if PurePosixPath(one.key).name not in named]
    return Unused(records, [one.key for one in gone], sum(one.n_bytes for one in gone))


def _old_folders(store: Store, before: float, keep: Mapping[str, Collection[str]]) -> Iterator[str]:
    for kind in (BUNDLES, CORPORA):
        for one in store.listed(f"{kind}/"):
            if one.modified < before and PurePosixPath(one.key).stem not in keep.get(kind, ()):
                yield one.key


def _old_columns(store: Store) -> Iterator[str]:
    old: float = time.time() - KEEP_COLUMNS
    return (one.key for one in store.listed(f"{WORK}/{COLUMNS}/") if one.modified < old)


def _named(store: Store, but: Collection[str], tell: Tell) -> Iterator[str]:
    """Hashes of all objects that records name, but for some records."""
    folders: list[Listed] = [one for kind in (BUNDLES, CORPORA) for one in store.listed(f"{kind}/")]
    for one in folders:
        found = None if one.key in but else read_record(store, one.key, tell)
        yield from (entry.sha256 for entry in (found[1].values() if found else ()))
    for one in store.listed(f"{WORK}/"):
        content = None if one.key in but else store.read(one.key, tell)
        try:
            yield str(json.loads(content or b"{}").get("sha256", ""))
        except (ValueError, AttributeError, RecursionError):
            continue
