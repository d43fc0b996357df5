"""What Celery workers promise over a real broker: faults 2, 4, 9 and 22."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from compute.jobs import queue, sweep, wake
from compute.models import Job, Shard
from tests.databases import Site
from tests.faults.breaking import PERIODS, Redis, end, repeated, running, steps, wait_for, wait_for_state
from tests.jobs import fake

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
StartWorker = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def _through_celery(monkeypatch: pytest.MonkeyPatch, site: Site, redis: Redis, settings: Any) -> Iterator[None]:
    monkeypatch.setattr("compute.pipeline.plan", lambda config: fake.plan(config, [("losses", 2), ("bundle", 1)]))
    settings.RUNNER, settings.CELERY_BROKER_URL = "celery", redis.url
    wake._producer.cache_clear()
    site.settings_module = "tests.faults.settings"
    site.periods = {**PERIODS, "QW_RUNNER": "celery", "QW_BROKER_URL": redis.url, "QW_LEASE_SECONDS": "6"}
    yield
    wake._producer.cache_clear()


@pytest.fixture
def start_worker(site: Site) -> Iterator[StartWorker]:
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str = "one", **environment: str) -> subprocess.Popen[bytes]:
        options = ["-Q", "cpu", "-P", "prefork", "-c", "1", "--max-tasks-per-child=1", "--without-mingle"]
        command = ["-m", "celery", "-A", "tests.faults.celery_app", "worker", "-n", name, "--without-gossip"]
        started.append(site.start(*command, *options, "-l", "INFO", **environment))
        wait_for(lambda: f"{name}" in site.log() and site.log().count(" ready.") >= len(started), "worker", site=site)
        return started[-1]

    yield start
    end(*started)


def _swept() -> bool:
    """One round of the sweeper; whether all jobs are done."""
    sweep.sweep()
    return set(Job.objects.values_list("state", flat=True)) == {"succeeded"}


def _dropped(site: Site) -> int:
    return site.log().count("nothing to claim")


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_two_workers_and_ten_messages_run_each_shard_once(site: Site, start_worker: StartWorker) -> None:
    start_worker("one", TEST_STEP_SECONDS="0.03")
    start_worker("two", TEST_STEP_SECONDS="0.03")
    job = queue.enqueue(fake.config())
    for _ in range(9):
        wake.wake(job.pk)
    wait_for_state(job, "succeeded", site=site, seconds=60)
    assert repeated(site) == 0
    assert len(steps(site)) == 3 * fake.STEPS
    assert set(job.shards.values_list("attempt", flat=True)) == {1}
    wait_for(lambda: _dropped(site) >= 1, "superfluous messages dropped", site=site)


def test_a_killed_worker_is_replaced_without_waiting_for_the_broker(site: Site, start_worker: StartWorker) -> None:
    worker = start_worker("one")
    job = queue.enqueue(fake.config())
    shard = running(job)
    end(worker)
    Shard.objects.filter(pk=shard.pk).update(lease_expires_at=sweep.after(-1))
    start_worker("two", TEST_STEP_SECONDS="0.01")
    wait_for(_swept, "the job", seconds=40, site=site)
    assert repeated(site) <= 1


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_the_broker_dies_and_comes_back_empty(site: Site, redis: Redis, start_worker: StartWorker) -> None:
    start_worker("one", TEST_STEP_SECONDS="0.2")
    job = queue.enqueue(fake.config())
    shard = running(job)
    redis.kill()
    second = queue.enqueue(fake.config("second"))
    assert Job.objects.get(pk=second.pk).woken_at is None
    wait_for(lambda: Shard.objects.get(pk=shard.pk).state == "succeeded", "the task's end", site=site)
    redis.start()
    wait_for(_swept, "both jobs", seconds=60, site=site)
    assert repeated(site) == 0


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_worker_asked_to_end_gives_its_shard_back(site: Site, start_worker: StartWorker) -> None:
    worker = start_worker("one", TEST_STEP_SECONDS="0.5")
    job = queue.enqueue(fake.config())
    shard = running(job)
    worker.send_signal(signal.SIGTERM)
    worker.wait(20)
    row = Shard.objects.get(pk=shard.pk)
    assert (row.state, row.attempt) == ("queued", 0)


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_one_message_brings_every_idle_worker_to_a_jobs_shards(
    site: Site, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.pipeline.plan", lambda config: fake.plan(config, [("losses", 4), ("bundle", 1)]))
    start_worker("one", TEST_STEP_SECONDS="0.1")
    start_worker("two", TEST_STEP_SECONDS="0.1")
    job = queue.enqueue(fake.config())
    wait_for_state(job, "succeeded", site=site, seconds=60)
    spans = list(job.shards.filter(phase="losses").values_list("started_at", "finished_at"))
    together = [(a, b) for a in spans for b in spans if a is not b and a[0] <= b[0] < a[1]]
    assert together, "no two shards were worked on at the same time"
    assert repeated(site) == 0
