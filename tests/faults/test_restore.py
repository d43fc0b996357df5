"""A backup on a machine that has nothing: every row, every file and every label is as it was, and the site answers."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from clusters.models import Label, RegisteredCorpus, Run
from compute.bundle import open_bundle
from tests.api.seeds import seeded_site
from tests.databases import ROOT, Site, default_database
from tests.faults.serving import SQLITE_IN_CI, serving
from tests.postgres import find_binaries

MOVED = {"clusters_run": "bundle_path", "clusters_registeredcorpus": "source", "compute_job": "workspace"}


@pytest.fixture(autouse=True)
def with_postgres_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    if folder := find_binaries():
        monkeypatch.setenv("PATH", str(folder), prepend=":")


def rows() -> dict[str, list[str]]:
    """All rows of all tables but what says where files lie."""
    found = {}
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            names = [one.name for one in connection.introspection.get_table_description(cursor, table)]
            shown = [name for name in names if name != MOVED.get(table)]
            cursor.execute(f'SELECT {", ".join(f"""{chr(34)}{name}{chr(34)}""" for name in shown)} FROM "{table}"')
            found[table] = sorted(map(repr, cursor.fetchall()))
    return found


def hashes(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.rglob("*")) if file.is_file()}  # fmt: skip


def manage(site: Site, *command: str) -> str:
    done = subprocess.run([sys.executable, "manage.py", *command], env=site.environment, cwd=ROOT, capture_output=True,
                          text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@SQLITE_IN_CI
def test_an_empty_machine_holds_everything_again(site: Site, request: Any, tmp_path: Path, settings: Any,
                                                 measured: Any) -> None:  # fmt: skip
    settings.CORPUS_DIR = site.data / "corpora"
    seeded_site(site.data / "bundles")
    (settings.CORPUS_DIR / "abc").mkdir(parents=True)
    (settings.CORPUS_DIR / "abc" / "texts.jsonl").write_text('{"text": "été"}\n')
    RegisteredCorpus.objects.create(name="mine", kind="upload", source=str(settings.CORPUS_DIR / "abc" / "texts.jsonl"))
    before, files = rows(), hashes(site.data / "bundles")
    connection.close()
    began = time.monotonic()
    manage(site, "backup", str(tmp_path / "backups"))
    saved_after = time.monotonic() - began
    [backup] = (tmp_path / "backups").glob("*Z")

    empty = Site(_new_database(site, request, tmp_path / "empty"), tmp_path / "empty")
    shutil.rmtree(site.data / "bundles")
    shutil.rmtree(site.data / "corpora")
    began = time.monotonic()
    manage(empty, "restore", str(backup))
    manage(empty, "migrate", "--verbosity", "0")
    restored_after = time.monotonic() - began
    with default_database(empty.url):
        after = rows()
        assert {table: len(one) for table, one in after.items()} == {table: len(one) for table, one in before.items()}
        assert after == before
        assert {name: one for name, one in hashes(empty.data / "bundles").items() if not name.startswith(".")} == files
        run = Run.objects.get()
        open_bundle(run.bundle_path).verify()
        assert Path(RegisteredCorpus.objects.get().source).read_text() == '{"text": "été"}\n'
        assert Label.objects.get().name == "the first"
        assert User.objects.filter(username="admin").exists()
        with serving(empty) as web, web.client() as client:
            assert client.get("/readyz").json()["checks"]["database"].endswith("current")
            for place in ("/", "/runs/synthetic/", "/runs/synthetic/k/6/clusters/0/", "/runs/synthetic/similarity/"):
                assert client.get(place).status_code == 200
    measured(24, "a backup on an empty machine", rows=sum(map(len, before.values())), tables=len(before),
             files=len(files), labels=1, different=0, seconds_to_back_up=saved_after,
             seconds_to_restore=restored_after)  # fmt: skip


def _new_database(site: Site, request: Any, data: Path) -> str:
    data.mkdir()
    if site.url.startswith("sqlite"):
        return f"sqlite:///{data / 'quantaweb.sqlite3'}"
    server = request.getfixturevalue("postgres")
    server.drop("qw_empty_machine")
    return str(server.create("qw_empty_machine"))


@SQLITE_IN_CI
def test_a_backup_of_the_other_database_is_refused_and_nothing_touched(
    site: Site, request: Any, tmp_path: Path, measured: Any
) -> None:
    """Rows of one kind of database are not read into the other; the sentence says what to set."""
    manage(site, "backup", str(tmp_path / "backups"))
    [backup] = (tmp_path / "backups").glob("*Z")
    data = tmp_path / "other"
    data.mkdir()
    url = f"sqlite:///{data / 'quantaweb.sqlite3'}"
    if site.url.startswith("sqlite"):
        server = request.getfixturevalue("postgres")
        server.drop("qw_other_kind")
        url = server.create("qw_other_kind")
    other = Site(url, data)
    done = subprocess.run([sys.executable, "manage.py", "restore", str(backup)], env=other.environment, cwd=ROOT,
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert done.returncode != 0
    assert "set QW_DATABASE_URL to a database of the same kind" in done.stderr
    with default_database(url):
        assert connection.introspection.table_names() == []
    measured(24, "a backup of the other kind of database", restored=0)
