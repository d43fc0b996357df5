"""Databases as an earlier release left them, upgraded to now."""

from __future__ import annotations

import io
import json
import lzma
import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import override_settings

from clusters.models import Run
from clusters.stored.arrays import forget_bundles
from tests.databases import default_database
from tests.faults.figures import measured
from tests.postgres import Server, postgres

__all__ = ["measured", "postgres"]

RELEASES = Path(__file__).resolve().parents[1] / "data" / "releases"
PREVIOUS = "clusters-0010"  # whose code may still run while workers are upgraded
NAMES = sorted(path.name for path in RELEASES.iterdir())
OF_THE_PREVIOUS = pytest.mark.parametrize(
    "upgraded", [f"{PREVIOUS}-sqlite", f"{PREVIOUS}-postgres"], indirect=True, scope="module"
)
Rows = dict[str, list[tuple[Any, ...]]]


@dataclass
class Upgraded:
    """A release's database after it was migrated, and what it held before."""

    release: str
    url: str
    data: Path
    tables: dict[str, dict[str, bool]]  # by column: may it hold null
    before: Rows = field(default_factory=dict)
    leaves: dict[str, str] = field(default_factory=dict)  # the last migration of each app that it had

    def rows(self) -> Rows:
        """What its columns hold now, ordered by the first of them that is a key."""
        with connection.cursor() as cursor:
            return {table: _rows(cursor, table, sorted(columns)) for table, columns in self.tables.items()}


def _rows(cursor: Any, table: str, columns: list[str]) -> list[tuple[Any, ...]]:
    names = ", ".join(f'"{name}"' for name in columns)
    cursor.execute(f'SELECT {names} FROM "{table}"')
    found = [tuple(bytes(one) if isinstance(one, memoryview) else one for one in row) for row in cursor.fetchall()]
    return sorted(found, key=repr)


@pytest.fixture(scope="module", params=[f"{name}-{kind}" for name in NAMES for kind in ("sqlite", "postgres")])
def upgraded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[Upgraded]:
    """Every release on each database, migrated to now; tests leave it as it is."""
    release, _, kind = request.param.rpartition("-")
    data = tmp_path_factory.mktemp("upgraded")
    with django_db_blocker.unblock(), restored(request, release, kind, data) as url, default_database(url):
        tables = json.loads((RELEASES / release / "tables.json").read_text())
        found = Upgraded(release, url, data, tables)
        found.before, found.leaves = found.rows(), _leaves()
        call_command("migrate", verbosity=0)
        with override_settings(DATA_DIR=data, BUNDLE_DIR=data / "bundles", WORKSPACE_DIR=data / "workspaces"):
            forget_bundles()
            for pk, path in Run.objects.values_list("pk", "bundle_path"):
                Run.objects.filter(pk=pk).update(bundle_path=data / "bundles" / Path(path).name)
            yield found
        forget_bundles()


def _leaves() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, MAX(name) FROM django_migrations WHERE app IN ('clusters', 'compute') GROUP BY app")
        return dict(cursor.fetchall())


@contextmanager
def restored(request: pytest.FixtureRequest, release: str, kind: str, data: Path) -> Iterator[str]:
    """The release's files in a data folder and its rows in a database."""
    place = RELEASES / release
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress((place / "bundles.tar.xz").read_bytes()))) as archive:
        archive.extractall(data / "bundles", filter="data")
    if kind == "sqlite":
        (data / "quantaweb.sqlite3").write_bytes(lzma.decompress((place / "sqlite.xz").read_bytes()))
        yield f"sqlite:///{data / 'quantaweb.sqlite3'}"
        return
    server: Server = request.getfixturevalue("postgres")
    name = f"qw_release_{os.getpid()}_{release.replace('-', '_')}"
    url = server.create(name)
    command = [str(server.binaries / "psql"), "--quiet", "--set=ON_ERROR_STOP=1", "--username=postgres"]
    statements = lzma.decompress((place / "postgres.sql.xz").read_bytes())
    subprocess.run([*command, f"--host={server.folder}", name], input=statements, check=True, stdout=subprocess.DEVNULL)
    try:
        yield url
    finally:
        server.drop(name)
