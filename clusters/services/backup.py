"""Backups of the whole site: the database first, then every file that it names, by hash.

    FOLDER/
      objects/ab/ab12…            every file of every bundle and uploaded corpus, once, named by its SHA-256
      20261122T140000Z/           one backup; its manifest.json is written last, so a folder without one is no backup
        manifest.json             what the database held (rows a table), and which objects make up which folder
        database.sqlite3          a copy made by SQLite's own online backup, or
        database.dump             pg_dump's custom format

Bundles are immutable, so what was saved once is never copied again. The secret key is not in it: keep that elsewhere.
How files are saved and come back is in `backup_files.py`; what backups share, how old ones go, in `backup_folder.py`.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from clusters.models import RegisteredCorpus, Run
from clusters.queries.bundles import HOLDERS, Holder
from clusters.services import postgres
from clusters.services.audit import record
from clusters.services.backup_files import (
    Kept,
    Objects,
    Report,
    bring_back,
    check_objects,
    no_report,
    put_back,
    sync_file,
)
from clusters.services.backup_folder import FORMAT, MANIFEST, OBJECTS, PARTIAL, VERSION, held
from clusters.services.verification import check_again
from compute.bundle import file_sha256, folder_here
from compute.errors import StorageError
from compute.models import Job

BEGUN = "restoring"  # a file in the data folder while a backup is brought back
WORDS = "clusters_token_words"  # SQLite's own tables of the index of words begin so
ACTION = "site.backup"  # of the audit's entry that tells when there was one


@dataclass(frozen=True)
class Backup:
    path: Path
    n_rows: int
    n_objects: int
    n_new: int
    problems: list[str]  # a sentence for each folder that could not be saved whole


def back_up(folder: Path, *, report: Report = no_report) -> Backup:
    """Save the database and what it names. A damaged file is told, and does not keep the rest from being saved."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    objects = Path(folder) / OBJECTS
    objects.mkdir(parents=True, exist_ok=True)
    partial = Path(folder) / PARTIAL.format(stamp)
    with held(Path(folder)):
        partial.mkdir()
        try:
            rows, kept, dump = _save_database(partial)
            report(f"database: {sum(rows.values()):,} rows")
            saved = Objects(objects)
            folders = [entry for one in kept if (entry := saved.keep(one, report))]
            manifest: dict[str, Any] = {
                "format": FORMAT, "version": VERSION, "made_at": stamp, "database": dump, "rows": rows,
                "data_folder": str(settings.DATA_DIR), "folders": folders, "problems": saved.problems,
            }  # fmt: skip
            manifest["database"]["sha256"] = file_sha256(partial / dump["file"])
            _write(partial / MANIFEST, json.dumps(manifest, indent=1).encode())
            final = Path(folder) / stamp
            partial.rename(final)
            record(None, ACTION, stamp, files=saved.n, new=saved.n_new, problems=len(saved.problems))
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Backup(final, sum(rows.values()), saved.n, saved.n_new, saved.problems)


def restore(backup: Path, *, replace: bool = False, report: Report = no_report) -> dict[str, int]:
    """Bring back everything; give the rows of each table, which are those that the backup counted.

    Nothing is touched before every object was found with the hash that its name says. The database is replaced at once
    or not at all, tables that the backup does not know included. If it is cut short after that, the same command goes
    on: what stands in the database then is this backup's.
    """
    with held(backup.parent):
        manifest = _read_manifest(backup)
        _check_dump(backup, manifest)
        objects = backup.parent / OBJECTS
        check_objects(manifest["folders"], objects, report)
        begun = Path(settings.DATA_DIR) / BEGUN
        if not replace and not _is_begun(begun, manifest) and _is_in_use():
            raise StorageError(
                "This site's database is not empty, and restoring would replace it. Restore into a new one, or repeat "
                "with --replace to lose what is there."
            )
        if manifest["database"]["engine"] != connection.vendor:
            raise StorageError(
                f"The backup is of {manifest['database']['engine']}, and this site uses {connection.vendor}: set "
                "QW_DATABASE_URL to a database of the same kind."
            )
        _note_begin(begun, manifest)
        _load_database(backup / manifest["database"]["file"])
        for entry in manifest["folders"]:
            _note_place(entry, bring_back(entry, objects, report))
        _doubt_what_is_not_whole(manifest["folders"])
        _move_jobs(manifest["data_folder"])
        found = _counted(manifest["rows"])
        if wrong := {name: n for name, n in manifest["rows"].items() if found.get(name) != n}:
            raise StorageError(f"After restoring, these tables have other numbers of rows than the backup: {wrong}.")
        begun.unlink()
    return found


def restore_bundle(backup: Path, name: str, *, report: Report = no_report) -> Path:
    """Make one bundle's folder what it was, by the name of its run or experiment, or by its own; give its place.

    What is there is put aside. No row changes, but that a run's files are to be checked again.
    """
    with held(backup.parent):
        holder, objects = _holder(name), backup.parent / OBJECTS
        folders = _read_manifest(backup)["folders"]
        saved = [one for one in folders if one["key"] == holder.bundle_sha256 and not one.get("lacks")]
        if not saved:
            raise StorageError(f"{backup} does not hold the bundle of {name} whole; try another backup.")
        check_objects(saved[:1], objects, report)
        place = folder_here(holder.bundle_path, Path(settings.BUNDLE_DIR))
        put_back(saved[0], place, objects)
    if isinstance(holder, Run):
        check_again(holder)
    return place


def _holder(name: str) -> Holder:
    named = Q(slug=name) | Q(bundle_path__endswith=f"/{name}")
    found = [one for model in HOLDERS for one in model._default_manager.filter(named).exclude(bundle_sha256="")]
    if len(found) != 1:
        raise StorageError(
            f"{len(found) or 'No'} bundles are named {name!r}. Give the name of a run or an experiment as in its "
            "address, or that of its bundle's folder."
        )
    return found[0]


def _note_begin(begun: Path, manifest: dict[str, Any]) -> None:
    begun.parent.mkdir(parents=True, exist_ok=True)
    _write(begun, manifest["database"]["sha256"].encode())


def _is_begun(begun: Path, manifest: dict[str, Any]) -> bool:
    """Whether an earlier try at this very backup was cut short, and nobody has written anything since."""
    is_this = begun.is_file() and begun.read_text() == manifest["database"]["sha256"]
    return is_this and _counted(manifest["rows"]) == manifest["rows"]


# ── the database ──


def _save_database(folder: Path) -> tuple[dict[str, int], list[Kept], dict[str, str]]:
    """Save one moment of the database; rows by table and the folders it names, of the same moment."""
    if connection.vendor == "sqlite":
        file = folder / "database.sqlite3"
        there = _there()
        with closing(sqlite3.connect(file)) as copy:
            connection.connection.backup(copy)
            saved = copy.cursor()
            return _rows(saved, _tables() & there), _named(saved, there), {"file": file.name, "engine": "sqlite"}
    file = folder / "database.dump"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT pg_export_snapshot()")
        [snapshot] = cursor.fetchone()
        postgres.dump(file, snapshot)
        there = _there()
        return _rows(cursor, _tables() & there), _named(cursor, there), {"file": file.name, "engine": "postgresql"}


def _load_database(file: Path) -> None:
    """Put what the file holds in the place of everything that is there: all of it, or nothing and an error."""
    if connection.vendor == "postgresql":
        postgres.load(file)
        return
    with closing(sqlite3.connect(file)) as saved:
        connection.ensure_connection()
        saved.backup(connection.connection)
    connection.close()


def _there() -> set[str]:
    """The tables of this database, which may be of an older or newer release than this code."""
    return set(connection.introspection.table_names())


def _tables() -> set[str]:
    return {model._meta.db_table for model in apps.get_models(include_auto_created=True) if model._meta.managed}


def _rows(cursor: Any, tables: Iterable[str]) -> dict[str, int]:
    found = {}
    for table in sorted(tables):
        cursor.execute(f'SELECT COUNT(*) FROM "{table}"')  # noqa: S608 (names of our own tables)
        found[table] = int(cursor.fetchone()[0])
    return found


def _counted(tables: Iterable[str]) -> dict[str, int]:
    there = _there()
    with connection.cursor() as cursor:
        return _rows(cursor, there.intersection(tables))


def _is_in_use() -> bool:
    """Whether somebody would miss what is there: runs, people, jobs, or tables that this release has never made."""
    there = _there()
    made = {model._meta.db_table for model in apps.get_models(include_auto_created=True, include_swapped=True)}
    if [name for name in there - made if name != "django_migrations" and not name.startswith(WORDS)]:
        return True
    own = {Run._meta.db_table, "auth_user", Job._meta.db_table} & there
    with connection.cursor() as cursor:
        for table in own:
            cursor.execute(f'SELECT 1 FROM "{table}" LIMIT 1')  # noqa: S608 (names of our own tables)
            if cursor.fetchone():
                return True
    return False


def _named(cursor: Any, there: set[str]) -> list[Kept]:
    """The folders that the database names."""
    found: list[Kept] = []
    for model in HOLDERS:
        if (table := model._meta.db_table) in there:
            cursor.execute(f'SELECT bundle_sha256, bundle_path FROM "{table}" ORDER BY id')  # noqa: S608
            found += [Kept("bundle", key, Path(path)) for key, path in cursor.fetchall() if key]
    if (table := RegisteredCorpus._meta.db_table) in there:
        cursor.execute(f"SELECT id, source FROM \"{table}\" WHERE kind = 'upload' ORDER BY id")  # noqa: S608
        found += [Kept("corpus", str(pk), Path(source).parent) for pk, source in cursor.fetchall()]
    return found


def _note_place(entry: dict[str, Any], place: Path) -> None:
    """Let the database know where a folder is now."""
    if entry["kind"] == "bundle":
        there = _there()
        for model in (one for one in HOLDERS if one._meta.db_table in there):
            model._default_manager.filter(bundle_sha256=entry["key"]).update(bundle_path=str(place))
        return
    corpus = RegisteredCorpus.objects.filter(pk=entry["key"])
    corpus.update(source=str(place / Path(corpus.values_list("source", flat=True).get()).name))


def _doubt_what_is_not_whole(folders: list[dict[str, Any]]) -> None:
    """Runs whose bundle the backup does not hold whole count as unchecked."""
    whole = {entry["key"] for entry in folders if not entry.get("lacks")}
    for pk, sha256 in list(Run.objects.values_list("pk", "bundle_sha256")):
        if sha256 not in whole:
            Run.objects.filter(pk=pk).update(verified_at=None)


def _move_jobs(old: str) -> None:
    """Working files lie under another data folder now."""
    new = str(settings.DATA_DIR)
    for job in Job.objects.exclude(workspace="", bundle_path="").only("workspace", "bundle_path"):
        moved = {name: getattr(job, name).replace(old, new, 1) for name in ("workspace", "bundle_path")}
        Job.objects.filter(pk=job.pk).update(**moved)


def _read_manifest(backup: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((backup / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{backup} is no backup: it has no manifest.json that can be read.") from error
    if manifest.get("format") != FORMAT or manifest.get("version") != VERSION:
        raise StorageError(f"{backup} is of another kind or version; this release reads version {VERSION}.")
    return manifest


def _check_dump(backup: Path, manifest: dict[str, Any]) -> None:
    file = backup / manifest["database"]["file"]
    if not file.is_file() or file_sha256(file) != manifest["database"]["sha256"]:
        raise StorageError(f"{file.name} is missing or damaged; nothing was restored.")


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    sync_file(path)
