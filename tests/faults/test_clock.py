"""Clocks that are an hour wrong, or are set by an hour while work goes on: row 21. Leases run by the database's clock.

Clocks are faked by libfaketime (Debian's package faketime) in the processes that are told to; what counts seconds
(CLOCK_MONOTONIC) goes on as it does when a machine's clock is set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.jobs import queue
from compute.models import Shard
from tests.databases import ROOT, Site, default_database, migrate
from tests.faults.breaking import pid_of, repeated, running, wait_for_state
from tests.faults.crew import ELSEWHERE, QUICK, TENTH, WHOLE, Crew, Watch
from tests.faults.figures import Measured
from tests.jobs import fake
from tests.postgres import Server, find_binaries, missing

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (apt-get install faketime)")
HOUR = 3600
_AGE = """
import django
django.setup()
from clusters.services.metrics import Site
print([m.samples[0].value for m in Site().collect() if m.name == "quantaweb_queue_age_seconds"][0])
"""
_ENQUEUE = """
import django
django.setup()
from compute.jobs import queue
from tests.jobs import fake
queue.enqueue(fake.config())
"""


class Clock:
    """The clock of all processes that are started with its environment; `step` sets it."""

    def __init__(self, file: Path, seconds: int = 0) -> None:
        self.file = file
        self.step(seconds)

    def step(self, seconds: int) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.chmod(0o644)
        new.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


@pytest.mark.parametrize(
    ("site", "crew"),
    [("postgres", "local"), pytest.param("postgres", "celery", marks=pytest.mark.whole)],
    indirect=True,
)
def test_workers_whose_clocks_are_wrong_by_an_hour_keep_their_leases(
    site: Site, crew: Crew, tmp_path: Path, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them an hour ahead, one behind; both sweep (for Celery, a third one does) and neither loses a shard."""
    monkeypatch.setattr("compute.pipeline.plan", lambda config: fake.plan(config, [("losses", 2), ("bundle", 1)]))
    crew.use(QUICK)
    ahead, behind = Clock(tmp_path / "ahead", HOUR), Clock(tmp_path / "behind", -HOUR)
    crew.start("one", TEST_STEP_SECONDS="0.5", **ahead.environment)
    crew.start("two", TEST_STEP_SECONDS="0.5", **behind.environment)
    crew.sweeper()
    job = queue.enqueue(fake.config())
    wait_for_state(job, "succeeded", site=site, seconds=90)
    assert set(job.shards.values_list("attempt", flat=True)) == {1}
    assert repeated(site) == 0
    spans = job.shards.values_list("started_at", "finished_at")
    assert all(0 < (end - start).total_seconds() < 120 for start, end in spans)
    measured(21, "workers' clocks an hour ahead and an hour behind", runner=crew.kind, leases_lost=0, steps_repeated=0)


@pytest.mark.parametrize("site", ["postgres"], indirect=True)
def test_a_queues_age_is_told_by_the_databases_clock(site: Site, tmp_path: Path, measured: Measured) -> None:
    """Asked for by a web server an hour behind, looked at by one that is an hour ahead."""

    def run(code: str, clock: Clock) -> str:
        environment = {**site.environment, **clock.environment}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    run(_ENQUEUE, Clock(tmp_path / "behind", -HOUR))
    age = float(run(_AGE, Clock(tmp_path / "ahead", HOUR)).splitlines()[-1])
    assert 0 <= age < 120
    measured(21, "web servers' clocks two hours apart", queue_age_seconds=round(age, 1))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.whole)])
def stepping(
    request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any, settings: Any, sqlite_template: Path
) -> Iterator[tuple[Site, Clock]]:  # fmt: skip
    """A site on a machine whose clock can be set: its database's too."""
    data = tmp_path / "data"
    data.mkdir()
    settings.DATA_DIR, settings.BUNDLE_DIR, settings.WORKSPACE_DIR = data, data / "bundles", data / "workspaces"
    if request.param == "sqlite":
        shutil.copy(sqlite_template, data / "quantaweb.sqlite3")
        clock, url, server = Clock(data / "clock"), f"sqlite:///{data / 'quantaweb.sqlite3'}", None
    else:
        clock, server = _stepping_server()
        url = server.create("qw_stepping")
        migrate(url, data)
    try:
        with django_db_blocker.unblock(), default_database(url):
            yield Site(url, data), clock
    finally:
        if server is not None:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)


def _stepping_server() -> tuple[Clock, Server]:
    """A server of PostgreSQL by a clock that can be set."""
    if reason := missing():
        pytest.skip(reason)
    binaries = find_binaries()
    assert binaries is not None
    folder = Path(tempfile.mkdtemp(prefix="qw-pg-", dir="/tmp"))
    server = Server(folder, folder / "bin")
    clock = Clock(folder / "clock")
    _wrap(binaries, server.binaries, clock)
    if os.geteuid() == 0:
        shutil.chown(folder, server.account, server.account)
    server.start()
    return clock, server


def _wrap(binaries: Path, wrapped: Path, clock: Clock) -> None:
    """The server's programs, by the clock: put into the environment after they have become the server's account."""
    wrapped.mkdir()
    faked = " ".join(f"{name}='{value}'" for name, value in clock.environment.items())
    for name, before in (("initdb", ""), ("pg_ctl", f"env {faked} ")):
        script = wrapped / name
        script.write_text(f'#!/bin/sh\nexec {before}{binaries / name} "$@"\n')
        script.chmod(0o755)


@pytest.fixture
def crew_by(stepping: tuple[Site, Clock], settings: Any, tmp_path: Path) -> Iterator[Crew]:
    crew = Crew("local", stepping[0], settings, tmp_path)
    yield crew
    crew.close()


@pytest.fixture(autouse=True)
def _two_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute.pipeline.plan", lambda config: fake.plan(config, [("losses", 1), ("bundle", 1)]))


def _database(site: Site) -> str:
    return "sqlite" if site.url.startswith("sqlite") else "postgres"


@pytest.mark.whole
def test_a_clock_set_forward_costs_one_attempt_at_most(
    stepping: tuple[Site, Clock], crew_by: Crew, measured: Measured
) -> None:
    """Every lease seems to have ended, until the next heartbeat; a sweep before that takes the shard away."""
    site, clock = stepping
    crew_by.use(QUICK)
    crew_by.start(TEST_STEP_SECONDS="0.4", **clock.environment)
    job = queue.enqueue(fake.config())
    shard = running(job)
    clock.step(HOUR)
    wait_for_state(job, "succeeded", site=site, seconds=60)
    attempts = Shard.objects.get(pk=shard.pk).attempt
    assert attempts <= 2
    measured(21, "the database's clock is set an hour forward", runner="local", database=_database(site),
             attempts=attempts, steps_repeated=repeated(site))  # fmt: skip


@pytest.mark.parametrize(
    ("periods", "within", "scale"),
    [
        (QUICK, 8, "quick"),
        pytest.param(TENTH, 18, "tenth", marks=pytest.mark.whole),
        pytest.param(WHOLE, 182, "full", marks=[pytest.mark.whole, pytest.mark.timeout(400)]),
    ],
    ids=["quick", "tenth", "full"],
)
def test_a_clock_set_back_does_not_make_a_lost_workers_lease_an_hour_longer(
    stepping: tuple[Site, Clock], crew_by: Crew, measured: Measured, periods: dict[str, str], within: float, scale: str
) -> None:
    site, clock = stepping
    crew_by.use(periods)
    worker = crew_by.start("one", **ELSEWHERE, **clock.environment)
    job = queue.enqueue(fake.config())
    shard = running(job)
    crew_by.end_whole(worker, pid_of(shard))
    clock.step(-HOUR)
    watch = Watch(shard, site)
    crew_by.start("two", TEST_STEP_SECONDS="0.05", **clock.environment)
    queued = watch.until_queued(within=within)
    wait_for_state(job, "succeeded", site=site, seconds=60)
    measured(21, "the database's clock is set an hour back, and the worker is lost", runner="local", scale=scale,
             database=_database(site), seconds_until_queued=queued, steps_repeated=repeated(site))  # fmt: skip
