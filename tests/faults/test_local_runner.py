"""What the local runner does besides: it cancels, tries again what cannot start, and says that it is there."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from compute.jobs import queue, sweep
from compute.jobs.lease import claim
from compute.models import Job, Shard, Worker
from tests.databases import Site
from tests.faults.breaking import (
    PERIODS,
    end,
    kill,
    pid_of,
    repeated,
    running,
    wait_for,
    wait_for_state,
)
from tests.jobs import fake

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def _fake_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute.pipeline.plan", lambda config: fake.plan(config, [("losses", 1), ("bundle", 1)]))


@pytest.fixture
def start(site: Site) -> Iterator[Start]:
    """Start `manage.py …` over the fake pipeline; everything is killed when the test ends."""
    site.periods, site.settings_module = dict(PERIODS), "tests.faults.settings"
    started: list[subprocess.Popen[bytes]] = []

    def _start(*command: str, **environment: str) -> subprocess.Popen[bytes]:
        started.append(site.start("-m", "tests.faults.worker", *command, **environment))
        return started[-1]

    yield _start
    for shard in Shard.objects.filter(state="running"):
        if shard.worker.rpartition(":")[2].isdecimal():
            kill(pid_of(shard))
    end(*started)


def test_a_worker_lost_before_its_first_heartbeat_is_replaced(site: Site, start: Start) -> None:
    job = queue.enqueue(fake.config())
    assert claim(job.pk, "elsewhere:1") is not None
    Shard.objects.filter(job=job, state="running").update(lease_expires_at=None, started_at=sweep.after(-1000))
    start("runner", TEST_STEP_SECONDS="0.01")
    wait_for_state(job, "succeeded", site=site)
    assert job.shards.get(ordinal=0).attempt == 2


def test_a_job_is_cancelled_and_resumed_from_outside(site: Site, start: Start) -> None:
    start("runner")
    job = queue.enqueue(fake.config())
    running(job)
    asked = time.monotonic()
    queue.cancel(job)
    wait_for_state(job, "cancelled", site=site)
    assert time.monotonic() - asked < 5
    queue.resume(job)
    wait_for_state(job, "succeeded", site=site)
    assert repeated(site) == 0


def test_a_child_that_cannot_start_is_tried_again_and_at_last_fails_the_job(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compute.jobs import runner

    job = queue.enqueue(fake.config())
    local = runner.Runner(["/bin/false"])
    for _ in range(runner._MAX_STARTS):
        local._not_before.clear()
        wait_for(lambda: not local.tick() or local.child is None or local.child.process.wait() or True, "a start")
        local._reap()
    job.refresh_from_db()
    assert job.state == "failed"
    assert "cannot be started" in job.error


def test_a_runner_that_cannot_write_a_log_lives_on(site: Site) -> None:
    from compute.jobs import runner

    job = queue.enqueue(fake.config())
    (site.data / "logs").write_text("no folder")
    local = runner.Runner()
    local.tick()
    assert local.child is None
    assert "could not be started (File exists)" in job.log_lines.last().message


def test_the_runner_says_that_it_is_there(site: Site, start: Start) -> None:
    start("runner")
    wait_for(lambda: Worker.objects.filter(kind="local").first(), "the runner's row", site=site)
    assert Job.objects.count() == 0
