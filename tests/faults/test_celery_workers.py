"""What a real Celery worker promises besides surviving: no torch in its parent, urgent jobs first, and its own end."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from compute.jobs import queue, wake
from compute.jobs.watch import STALLED_ROUNDS
from compute.models import Job, Shard, Worker
from tests.databases import Site
from tests.faults.breaking import pid_of, repeated, running, wait_for, wait_for_state
from tests.faults.crew import TENTH, Crew
from tests.faults.figures import Measured
from tests.jobs import fake

pytestmark = [
    pytest.mark.parametrize("crew", ["celery"], indirect=True),
    pytest.mark.parametrize("site", ["sqlite"], indirect=True),
]


def _maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_torch_is_loaded_by_the_child_alone(site: Site, crew: Crew) -> None:
    worker = crew.start(TEST_IMPORTS="torch", TEST_STEP_SECONDS="0.3")
    job = queue.enqueue(fake.config())
    child = pid_of(running(job, least=1))
    assert child != worker.pid
    assert "libtorch" in _maps(child)
    assert "libtorch" not in _maps(worker.pid)


def test_an_idle_worker_says_that_it_lives_and_that_it_leaves(site: Site, crew: Crew, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    worker = crew.start(QW_ALIVE_FILE=str(alive))
    row = wait_for(lambda: Worker.objects.filter(kind="celery").first(), "the worker's row", site=site)
    assert (row.queues, row.device) == ("cpu", "cpu")
    assert row.name.endswith(f":{worker.pid}")
    wait_for(lambda: Worker.objects.filter(pk=row.pk, seen_at__gt=row.seen_at).exists(), "its heartbeat", site=site)
    first = wait_for(lambda: alive.exists() and alive.stat().st_mtime, "the sign of life", site=site)
    wait_for(lambda: alive.stat().st_mtime > first, "another", site=site)
    worker.send_signal(signal.SIGTERM)
    worker.wait(20)
    assert not Worker.objects.filter(pk=row.pk).exists()


def test_what_a_child_does_is_shown_as_its_workers(site: Site, crew: Crew) -> None:
    worker = crew.start(TEST_STEP_SECONDS="0.1")
    job = queue.enqueue(fake.config())
    shard = running(job, least=1)
    assert shard.service.endswith(f":{worker.pid}")
    assert shard.worker != shard.service
    wait_for_state(job, "succeeded", site=site)
    row = wait_for(Worker.objects.filter(name=shard.service, n_done=3).first, "three shards counted", site=site)
    assert (row.n_claimed, row.n_failed) == (3, 0)


def test_an_urgent_job_overtakes_at_the_next_shards_edge(
    site: Site, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.pipeline.plan", lambda config: fake.plan(config, [("losses", 3), ("bundle", 1)]))
    crew.start(TEST_STEP_SECONDS="0.1")
    long = queue.enqueue(fake.config("long"))
    running(long)
    urgent = queue.enqueue(fake.config("urgent"), priority=Job.Priority.HIGH)
    wait_for_state(urgent, "succeeded", site=site, seconds=60)
    done_before = long.shards.filter(finished_at__lt=urgent.shards.get(ordinal=0).started_at).count()
    assert 1 <= done_before <= 2
    wait_for_state(long, "succeeded", site=site, seconds=60)
    assert repeated(site) == 0


def test_a_worker_that_ends_cold_gives_its_shard_back_at_once(site: Site, crew: Crew, measured: Measured) -> None:
    worker = crew.start(TEST_STEP_SECONDS="0.5")
    job = queue.enqueue(fake.config())
    shard = running(job)
    worker.send_signal(signal.SIGQUIT)
    wait_for(Shard.objects.filter(pk=shard.pk, state="queued").exists, "the shard back", seconds=10, site=site)
    assert Shard.objects.get(pk=shard.pk).attempt == 0
    measured(22, "a Celery worker ended by SIGQUIT", runner=crew.kind, attempts_lost=0)


def test_a_worker_that_takes_no_messages_any_more_ends_itself(site: Site, crew: Crew, measured: Measured) -> None:
    crew.use(TENTH)
    worker = crew.start()
    wake._producer().control.cancel_consumer("cpu")  # connected, and deaf
    wait_for(lambda: "Canceling queue cpu" in site.log(), "a deaf worker", site=site)
    job = queue.enqueue(fake.config())
    assert worker.wait(10 + 3 * STALLED_ROUNDS) is not None
    assert "takes no messages, though some wait" in site.log()
    crew.start("two", TEST_STEP_SECONDS="0.01")
    wait_for_state(job, "succeeded", site=site, seconds=40)
    measured(5, "a consumer that is connected and takes nothing", runner=crew.kind, rounds=STALLED_ROUNDS)
