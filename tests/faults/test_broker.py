"""The message broker dies, comes back empty, or its connections break: rows 4 and 5."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from compute.jobs import queue
from compute.models import Job, Shard
from tests.databases import Site
from tests.faults.breaking import Redis, repeated, running, wait_for, wait_for_state
from tests.faults.celery_site import CelerySite, asking_through, states, use_plan
from tests.faults.figures import Measured
from tests.faults.proxy import Proxy
from tests.jobs import fake

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
SOON = {"QW_RESEND_SECONDS": "3", "TEST_STEP_SECONDS": "0.1"}
REAL = {
    "QW_HEARTBEAT_SECONDS": "15",
    "QW_LEASE_SECONDS": "120",
    "QW_STALLED_SECONDS": "60",
    "QW_SWEEP_SECONDS": "60",
    "QW_RESEND_SECONDS": "300",
    "TEST_STEP_SECONDS": "0.5",
}
whole = pytest.mark.whole


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def proxy(redis: Redis) -> Iterator[Proxy]:
    between = Proxy(redis.port)
    yield between
    between.close()


@pytest.fixture
def celery(site: Site, redis: Redis, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[CelerySite]:
    use_plan(monkeypatch, ("bundle", 1))
    started = CelerySite(site, redis.url)
    with asking_through(redis.url, settings):
        yield started
    started.end()


def ask_over_the_api() -> dict[str, Any]:
    """Start a job as a script does, while no broker is there; what page and API say of it."""
    client = Client()
    client.force_login(User.objects.create_superuser("ada", password="x"))
    sent = client.post("/api/v1/jobs/", json.dumps({"name": "asked"}), content_type="application/json")
    page = client.get(f"/jobs/{sent.json()['id']}/").content.decode()
    return {"status": sent.status_code, **sent.json(), "page": page}


def wipe_mid_task(celery: CelerySite, redis: Redis, *, outage: float, most: float) -> dict[str, float]:
    """Kill and empty the broker while one job is at work, one is announced, and one is asked for meanwhile."""
    site = celery.site
    celery.worker("one")
    celery.sweeper()
    at_work = queue.enqueue(fake.config())
    shard = running(at_work)
    announced = queue.enqueue(fake.config("announced"))
    assert Job.objects.get(pk=announced.pk).woken_at is not None
    redis.kill()
    cut = time.monotonic()
    told = ask_over_the_api()
    assert (told["status"], told["state"], told["waits_for"]) == (202, "queued", "broker")
    assert "The message broker cannot be reached at the moment" in told["page"]
    wait_for(lambda: Shard.objects.get(pk=shard.pk).state == "succeeded", "the task's end", seconds=90, site=site)
    finished = time.monotonic() - cut
    time.sleep(max(0.0, outage - finished))
    redis.start()
    back = time.monotonic()
    jobs = [at_work, announced, Job.objects.get(pk=told["id"])]

    def all_taken() -> bool:
        return not Job.objects.filter(started_at=None).exists()

    wait_for(all_taken, "every job taken", seconds=most, site=site)
    taken = time.monotonic() - back
    wait_for(lambda: set(states(jobs)) == {"succeeded"}, "every job done", seconds=most, site=site)
    assert repeated(site) == 0
    assert set(Shard.objects.values_list("attempt", flat=True)) == {1}
    return {"task_finished_seconds": round(finished, 1), "queued_jobs_taken_seconds": round(taken, 1)}


DIED = "the broker is killed and emptied while a task runs"


@pytest.mark.parametrize("site", ["sqlite", pytest.param("postgres", marks=whole)], indirect=True)
def test_the_broker_is_wiped_mid_task_and_nothing_is_lost(celery: CelerySite, redis: Redis, measured: Measured) -> None:
    celery.site.periods |= SOON
    found = wipe_mid_task(celery, redis, outage=3, most=40)
    assert found["queued_jobs_taken_seconds"] <= 36
    measured(4, DIED, runner="celery", scale="hundredth", jobs=3, steps_repeated=0, **found)


@whole
@pytest.mark.timeout(900)
@pytest.mark.parametrize("site", ["postgres"], indirect=True)
def test_the_broker_is_wiped_with_the_real_periods(celery: CelerySite, redis: Redis, measured: Measured) -> None:
    celery.site.periods |= REAL
    found = wipe_mid_task(celery, redis, outage=30, most=420)
    assert found["queued_jobs_taken_seconds"] <= 360
    measured(4, DIED, runner="celery", scale="full", jobs=3, steps_repeated=0, **found)


@whole
@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_the_local_runner_needs_no_broker(
    site: Site, redis: Redis, settings: Any, monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    use_plan(monkeypatch, ("losses", 1), ("bundle", 1))
    local = CelerySite(site, redis.url, QW_RUNNER="local", TEST_STEP_SECONDS="0.1")
    settings.RUNNER = "local"
    try:
        local.sweeper()
        job = queue.enqueue(fake.config())
        running(job)
        redis.kill()
        wait_for_state(job, "succeeded", site=site)
        assert repeated(site) == 0
        measured(4, "the broker is killed; the local runner has none", runner="local", steps_repeated=0)
    finally:
        local.end()


@pytest.mark.parametrize("site", ["sqlite", pytest.param("postgres", marks=whole)], indirect=True)
def test_a_worker_whose_connections_are_reset_consumes_again(
    site: Site,
    redis: Redis,
    proxy: Proxy,
    celery: CelerySite,
    measured: Measured,
) -> None:
    url = f"redis://127.0.0.1:{proxy.port}/0"
    worker = celery.worker("one", QW_BROKER_URL=url, TEST_STEP_SECONDS="0.02")
    for _ in range(5):
        proxy.reset()
        time.sleep(0.6)
    assert proxy.n_reset >= 2
    asked = time.monotonic()
    job = queue.enqueue(fake.config())
    consumed_or_gone(job, worker, site)
    seconds = time.monotonic() - asked
    assert seconds <= 60
    measured(
        5,
        "the worker's connections to the broker are reset five times in 3 s",
        runner="celery",
        scale="full",
        seconds_until_taken=round(seconds, 1),
        connections_reset=proxy.n_reset // 2,
        ended_for_a_restart=int(worker.poll() is not None),
    )


@whole
@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seconds", [10, 40])
def test_a_worker_whose_connections_stall_consumes_again(
    site: Site, proxy: Proxy, celery: CelerySite, measured: Measured, seconds: int
) -> None:
    worker = celery.worker("one", QW_BROKER_URL=f"redis://127.0.0.1:{proxy.port}/0", TEST_STEP_SECONDS="0.02")
    with proxy.stalled():
        job = queue.enqueue(fake.config())
        time.sleep(seconds)
    resumed = time.monotonic()
    consumed_or_gone(job, worker, site)
    taken = time.monotonic() - resumed
    assert taken <= 60
    what = f"the worker's connections to the broker stall for {seconds} s"
    gone = int(worker.poll() is not None)
    measured(5, what, runner="celery", scale="full", seconds_until_taken=round(taken, 1), ended_for_a_restart=gone)


def consumed_or_gone(job: Job, worker: Any, site: Site) -> None:
    """The job was taken by this worker; or the worker has ended, and what its supervisor starts anew takes it."""

    def taken() -> bool:
        return Job.objects.get(pk=job.pk).started_at is not None or worker.poll() is not None

    wait_for(taken, "the job taken, or the worker's end", seconds=65, site=site)
    if worker.poll() is None:
        wait_for_state(job, "succeeded", site=site, seconds=60)
