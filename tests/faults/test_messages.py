"""The same message many times: row 9. A message is only a wake-up, and the database gives each shard once."""

from __future__ import annotations

import pytest

from compute.jobs import queue, wake
from compute.models import Job
from tests.databases import Site
from tests.faults.breaking import repeated, steps, wait_for, wait_for_state
from tests.faults.crew import TENTH, Crew
from tests.faults.figures import Measured
from tests.jobs import fake

N = 10


def _one_shard(monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose first phase has one shard, so that one claim is all there is to get."""
    monkeypatch.setattr("compute.pipeline.plan", lambda config: fake.plan(config, [("bundle", 1)]))
    return queue.enqueue(fake.config())


@pytest.mark.parametrize("crew", ["celery"], indirect=True)
@pytest.mark.parametrize("site", ["sqlite", pytest.param("postgres", marks=pytest.mark.whole)], indirect=True)
def test_ten_messages_and_two_workers_give_one_claim_and_nine_drops(
    site: Site, crew: Crew, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew.use(TENTH)
    gate = site.data / "gate"
    crew.start("one", TEST_GATE=str(gate), TEST_STEP_SECONDS="0")
    crew.start("two", TEST_GATE=str(gate), TEST_STEP_SECONDS="0")
    job = _one_shard(monkeypatch)
    for _ in range(N - 1):
        wake.wake(job.pk)
    wait_for(lambda: site.log().count("message dropped") >= N - 1, "nine drops", seconds=60, site=site)
    assert list(job.shards.filter(phase="bundle").values_list("state", "attempt")) == [("running", 1)]
    dropped = site.log().count("message dropped")
    gate.touch()
    wait_for_state(job, "succeeded", site=site, seconds=60)
    assert (len(steps(site)), repeated(site)) == (fake.STEPS, 0)
    assert set(job.shards.values_list("attempt", flat=True)) == {1}
    measured(9, "ten messages for one shard, two workers", runner=crew.kind, claims=1,
             dropped=dropped, steps_repeated=repeated(site))  # fmt: skip


@pytest.mark.parametrize("crew", ["local"], indirect=True)
@pytest.mark.parametrize("site", ["sqlite", "postgres"], indirect=True)
@pytest.mark.whole
def test_ten_workers_started_for_one_shard_give_one_claim(
    site: Site, crew: Crew, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew.use(TENTH)
    job = _one_shard(monkeypatch)
    command = ("-m", "tests.faults.worker", "run_job", str(job.pk))
    workers = [site.start(*command, TEST_STEP_SECONDS="0.8") for _ in range(N)]
    for worker in workers:
        worker.wait(60)
    dropped = site.log().count(f"job {job.pk}: nothing to claim")
    wait_for_state(job, "succeeded", site=site)
    assert dropped == N - 1
    assert (len(steps(site)), repeated(site)) == (fake.STEPS, 0)
    measured(9, "ten processes started for one shard", runner=crew.kind, claims=1, dropped=dropped,
             steps_repeated=repeated(site))  # fmt: skip


@pytest.mark.parametrize("crew", ["celery"], indirect=True)
@pytest.mark.parametrize("site", ["postgres"], indirect=True)
@pytest.mark.whole
def test_one_message_brings_every_idle_worker_to_a_jobs_shards(
    site: Site, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.pipeline.plan", lambda config: fake.plan(config, [("losses", 4), ("bundle", 1)]))
    crew.use(TENTH)
    crew.start("one", TEST_STEP_SECONDS="0.3")
    crew.start("two", TEST_STEP_SECONDS="0.3")
    job = queue.enqueue(fake.config())
    wait_for_state(job, "succeeded", site=site, seconds=60)
    spans = list(job.shards.filter(phase="losses").values_list("started_at", "finished_at"))
    together = [(a, b) for a in spans for b in spans if a is not b and a[0] <= b[0] < a[1]]
    assert together, "no two shards were worked on at the same time"
    assert repeated(site) == 0
