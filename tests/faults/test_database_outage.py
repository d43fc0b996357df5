"""The database goes away and comes back: row 6."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from compute.jobs import queue
from compute.models import Job
from tests.databases import Site
from tests.faults.breaking import Redis, repeated, running, steps, wait_for, wait_for_state
from tests.faults.celery_site import CelerySite, asking_through, use_plan
from tests.faults.figures import Measured
from tests.faults.web import Visitor, served
from tests.jobs import fake
from tests.postgres import Server

whole = pytest.mark.whole
on_postgres = pytest.mark.parametrize("site", ["postgres"], indirect=True)
HTMX = {"HX-Request": "true"}
PATHS: dict[str, dict[str, str]] = {"/": {}, "/jobs/": HTMX, "/labels/": {}, "/api/v1/jobs/": {}, "/runs/none/": {}}
REAL = {
    "QW_HEARTBEAT_SECONDS": "15",
    "QW_LEASE_SECONDS": "120",
    "QW_STALLED_SECONDS": "60",
    "QW_SWEEP_SECONDS": "60",
    "QW_RESEND_SECONDS": "300",
}


@contextmanager
def away(server: Server, seconds: float) -> Iterator[None]:
    """The server ends as if its machine had failed, and is started again after the block and so many seconds."""
    connection.close()
    server.stop("immediate")
    ends = time.monotonic() + seconds
    try:
        yield
        time.sleep(max(0.0, ends - time.monotonic()))
    finally:
        server.again()


def signed_in() -> dict[str, str]:
    """The cookie of a person who is signed in: every page asks the database who that is."""
    client = Client()
    client.force_login(User.objects.create_superuser("ada", password="x"))
    return {"sessionid": client.cookies["sessionid"].value}


@on_postgres
def test_the_web_says_so_and_recovers(site: Site, postgres: Server, measured: Measured) -> None:
    with served(site) as address, Visitor(address, PATHS, signed_in()) as visitor:
        wait_for(lambda: len(visitor.answers) >= 2 * len(PATHS), "answers before", site=site)
        with away(postgres, 4):
            cut = time.monotonic()
            wait_for(lambda: httpx.get(f"{address}/readyz", timeout=20).status_code == 503, "readyz red", site=site)
            assert httpx.get(f"{address}/livez").status_code == 200
            wait_for(lambda: len(visitor.since(cut)) >= 2 * len(PATHS), "answers during", site=site)
        back = time.monotonic()
        wait_for(lambda: httpx.get(f"{address}/readyz", timeout=20).status_code == 200, "readyz green", site=site)
        wait_for(lambda: len(visitor.since(back + 1)) >= 3 * len(PATHS), "answers after", site=site)
    refused = [answer for answer in visitor.answers if answer.status == 503]
    assert {answer.path for answer in refused} == set(PATHS)
    for answer in refused:
        assert answer.headers["Retry-After"] == "5"
        assert "database cannot be reached" in answer.text
    others = {answer.status for answer in visitor.answers if answer.path != "/runs/none/"}
    assert others == {200, 503}
    recovered = max(0.0, visitor.last_refused() - back)
    assert recovered <= 10
    measured(
        6,
        "PostgreSQL ends at once and is away for 4 s, while gunicorn serves pages, parts of pages and the API",
        scale="full",
        answers=len(visitor.answers),
        answers_503=len(refused),
        answers_500=0,
        recovered_seconds=round(recovered, 1),
    )


@pytest.fixture(params=["local", pytest.param("celery", marks=whole)])
def runner(
    request: pytest.FixtureRequest, site: Site, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CelerySite]:
    """Either runner over the fake pipeline; `sweeper` starts it, `name` says which."""
    use_plan(monkeypatch, ("losses", 1), ("bundle", 1))
    redis = Redis(tmp_path)
    if request.param == "celery":
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed")
        redis.start()
    started = CelerySite(site, redis.url, QW_RUNNER=request.param, QW_RESEND_SECONDS="3", QW_LEASE_SECONDS="6")
    started.name = request.param
    with asking_through(redis.url, settings):
        settings.RUNNER = request.param
        yield started
    started.end()
    redis.kill()


def begin(runner: CelerySite, *, seconds: float = 30, **environment: str) -> Job:
    if runner.name == "celery":
        runner.worker("one", **environment)
    runner.sweeper(**environment)
    job = queue.enqueue(fake.config())
    running(job, seconds=seconds)
    return job


@on_postgres
def test_a_short_outage_is_not_noticed_by_the_work(
    site: Site, postgres: Server, runner: CelerySite, measured: Measured
) -> None:
    job = begin(runner, TEST_STEP_SECONDS="0.4")
    before = len(steps(site))
    with away(postgres, 2):
        wait_for(lambda: len(steps(site)) > before + 1, "work during the outage", site=site)
    wait_for_state(job, "succeeded", site=site, seconds=60)
    assert repeated(site) == 0
    assert set(job.shards.values_list("attempt", flat=True)) == {1}
    what = "PostgreSQL is away for less than a lease, mid-shard"
    measured(6, what, runner=runner.name, steps_repeated=0, attempts=1)


def outlast(runner: CelerySite, server: Server, *, lease: float, outage: float, step: float, most: float) -> float:
    """An outage longer than the lease; how long after it began the last step was taken."""
    site = runner.site
    job = begin(runner, seconds=30 + 2 * step, TEST_STEP_SECONDS=str(step))
    shard = running(job)
    cut = time.time()
    with away(server, outage):
        pass
    last = (site.data / "workspaces" / "steps.log").stat().st_mtime
    wait_for_state(job, "succeeded", site=site, seconds=most)
    assert last - cut <= lease + 2 * step + 1
    assert repeated(site) <= 1
    assert job.shards.get(pk=shard.pk).attempt == 2
    return last - cut


@on_postgres
@whole
def test_a_long_outage_ends_the_work_at_an_edge(
    site: Site, postgres: Server, runner: CelerySite, measured: Measured
) -> None:
    worked = outlast(runner, postgres, lease=6, outage=9, step=1.5, most=90)
    measured(
        6,
        "PostgreSQL is away for longer than the lease, mid-shard",
        runner=runner.name,
        scale="twentieth",
        worked_on_seconds=round(worked, 1),
        steps_repeated=repeated(site),
    )


@on_postgres
@whole
@pytest.mark.timeout(900)
def test_an_outage_of_150_seconds(site: Site, postgres: Server, runner: CelerySite, measured: Measured) -> None:
    site.periods |= REAL
    worked = outlast(runner, postgres, lease=120, outage=150, step=20, most=600)
    measured(
        6,
        "PostgreSQL is away for 150 s, mid-shard",
        runner=runner.name,
        scale="full",
        worked_on_seconds=round(worked, 1),
        steps_repeated=repeated(site),
    )


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@whole
def test_a_database_that_stays_locked_is_waited_for(site: Site, measured: Measured, monkeypatch: Any) -> None:
    """SQLite has no server to lose; the like is a process that holds its write lock for longer than others wait."""
    use_plan(monkeypatch, ("losses", 1), ("bundle", 1))
    local = CelerySite(site, "", QW_RUNNER="local", QW_LEASE_SECONDS="60", TEST_STEP_SECONDS="0.5")
    cookies = signed_in()
    try:
        local.sweeper()
        job = queue.enqueue(fake.config())
        running(job)
        with served(site) as address, Visitor(address, {"/": {}, "/jobs/": {}}, cookies) as visitor:
            holder = sqlite3.connect(site.data / "quantaweb.sqlite3", isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            held = time.monotonic()
            form = {"csrfmiddlewaretoken": "a" * 64, "username": "ada", "password": "x"}
            jar = {"csrftoken": "a" * 64}
            written = httpx.post(f"{address}/sign-in/", data=form, cookies=jar, timeout=60)
            waited = time.monotonic() - held
            time.sleep(max(0.0, 25 - waited))
            holder.execute("ROLLBACK")
            holder.close()
            wait_for_state(job, "succeeded", site=site, seconds=60)
        assert written.status_code == 503
        assert "The database is busy" in written.text
        assert {answer.status for answer in visitor.answers} == {200}
        assert repeated(site) == 0
        what = "SQLite stays locked by another process for 25 s"
        figures = {"write_refused_seconds": round(waited, 1), "pages_read_meanwhile": len(visitor.since(held))}
        measured(6, what, runner="local", scale="full", steps_repeated=0, **figures)
    finally:
        local.end()
