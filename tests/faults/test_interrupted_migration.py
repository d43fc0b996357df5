"""An upgrade that is killed again and again: the next try goes on, nothing is lost, and the web says what is up."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from clusters.services.health import unapplied_migrations
from tests.databases import Site, default_database
from tests.faults.serving import serving
from tests.migrations.conftest import Upgraded, restored

OLD, HALF = "clusters-0005", "0007_quiz_seed"
EITHER = pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.whole)])


@contextmanager
def old_site(request: pytest.FixtureRequest, kind: str, data: Path) -> Iterator[Site]:
    """A release's database as it was left, not yet upgraded."""
    with restored(request, OLD, kind, data) as url, default_database(url):
        yield Site(url, data)


@pytest.fixture
def site(request: pytest.FixtureRequest, kind: str, tmp_path: Path, django_db_blocker: Any) -> Iterator[Site]:
    with django_db_blocker.unblock(), old_site(request, kind, tmp_path) as found:
        yield found


def schema() -> dict[str, set[tuple[str, str]]]:
    with connection.cursor() as cursor:
        return {
            table: {(column.name, str(column.null_ok)) for column in _columns(cursor, table)}
            for table in connection.introspection.table_names(cursor)
        }


def _columns(cursor: Any, table: str) -> list[Any]:
    return connection.introspection.get_table_description(cursor, table)


def upgrade(site: Site) -> Any:
    return site.start("manage.py", "migrate", "--verbosity", "0", "--skip-checks")


def n_done() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM django_migrations")
        return int(cursor.fetchone()[0])


@EITHER
@pytest.mark.parametrize("n_kills", [5, pytest.param(25, marks=pytest.mark.whole)])
def test_a_migration_killed_at_random_moments_goes_on(
    site: Site, kind: str, n_kills: int, sqlite_template: Path, measured: Any
) -> None:
    """Kill −9 some way into the work, as soon as a process is seen at it; then once to the end."""
    import json

    from tests.migrations.conftest import RELEASES

    tables = json.loads((RELEASES / OLD / "tables.json").read_text())
    before = Upgraded(OLD, site.url, site.data, tables).rows()
    rng, landed, began = random.Random(23), 0, time.monotonic()
    kills = 0
    while kills < n_kills and unapplied_migrations():
        at_start = n_done()
        process = upgrade(site)
        until = time.monotonic() + 30
        while process.poll() is None and n_done() == at_start and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.08))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        landed += bool(unapplied_migrations())
        connection.close()
    assert upgrade(site).wait(timeout=120) == 0
    assert not unapplied_migrations()
    after = Upgraded(OLD, site.url, site.data, tables).rows()
    lost = {table: set(map(repr, before[table])) - set(map(repr, after[table])) for table in before}
    assert not any(lost.values()), lost
    straight = schema()
    with default_database(_empty(site, kind, sqlite_template)):
        assert schema().keys() - {"sqlite_sequence"} == straight.keys() - {"sqlite_sequence"} or kind == "postgres"
    assert landed > 0
    measured(23, "migrate killed with SIGKILL at random moments", database=kind, kills=kills, cut_half_way=landed,
             rows_lost=0, seconds=time.monotonic() - began)  # fmt: skip


def _empty(site: Site, kind: str, sqlite_template: Path) -> str:
    return f"sqlite:///{sqlite_template}" if kind == "sqlite" else site.url


@EITHER
def test_while_the_database_is_half_upgraded_the_web_says_so(site: Site, kind: str, measured: Any) -> None:
    call_command("migrate", "clusters", HALF, verbosity=0)
    connection.close()
    pages = (
        "/",
        "/runs/everything/",
        "/jobs/",
        "/labels/",
        "/api/v1/runs/",
        "/api/v1/labels/",
        "/exports/1/",
        "/imports/",
    )
    with serving(site) as web, web.client() as client:
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert "migrations are missing; run: manage.py migrate" in ready.json()["checks"]["database"]
        assert client.get("/livez").status_code == 200
        found = {page: client.get(page) for page in pages}
        told = {page: one for page, one in found.items() if one.status_code == 503}
        assert not {page: one.status_code for page, one in found.items() if one.status_code in (500, 502)}
        assert told, {page: one.status_code for page, one in found.items()}
        for one in told.values():
            assert "being upgraded" in one.text
            assert int(one.headers["Retry-After"]) > 0
        call_command("migrate", verbosity=0)
        connection.close()
        began = time.monotonic()
        while client.get("/readyz").json()["checks"]["database"].endswith("migrate"):
            assert time.monotonic() - began < 10
            time.sleep(0.1)
        assert {client.get(page).status_code for page in pages} <= {200, 302, 401, 404}
    measured(23, "the web over a half-upgraded database", database=kind, pages=len(pages), answered_503=len(told),
             answered_500=0)  # fmt: skip
