"""Whoever computes is killed: rows 1 to 3, on both databases and with both runners."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from compute.jobs import queue
from compute.models import Job, Shard
from tests.databases import Site
from tests.faults.breaking import is_gone, kill, pid_of, repeated, running, wait_for, wait_for_state
from tests.faults.crew import BY_EITHER, ELSEWHERE, QUICK, TENTH, WHOLE, Crew, Watch, everywhere, just_claimed
from tests.faults.figures import Measured
from tests.jobs import fake

TENTH_PROMISE, PROMISE = 18, 180  # seconds until it is queued again: a lease and a sweep
Worker = subprocess.Popen[bytes]
QUICKLY = {"TEST_STEP_SECONDS": "0.05"}


def _at_work(
    crew: Crew, site: Site, periods: dict[str, str], *, seen: Callable[[Job], Shard] = running, **environment: str
) -> tuple[Worker, Job, Watch]:
    """A worker that has begun a job, and what becomes of its shard from now on."""
    crew.use(periods)
    worker = crew.start("one", **environment)
    job = queue.enqueue(fake.config())
    return worker, job, Watch(seen(job), site)


def _gone_on(job: Job, watch: Watch, *, within: float, resumed: bool = True) -> dict[str, float]:
    """What the promise is about; the job has succeeded."""
    found = {"seconds_until_queued": watch.until_queued(within=within)}
    if resumed:
        found["seconds_until_resumed"] = watch.until_resumed(within=within + 5)
    wait_for_state(job, "succeeded", site=watch.site, seconds=120)
    assert repeated(watch.site) <= 1
    return found | {"steps_repeated": repeated(watch.site)}


@everywhere(("sqlite", "local"), ("postgres", "celery"))
def test_a_killed_child_is_replaced_and_the_job_goes_on_where_it_was(
    site: Site, crew: Crew, measured: Measured
) -> None:
    _, job, watch = _at_work(crew, site, TENTH)
    crew.sweeper()
    kill(pid_of(watch.shard))
    found = _gone_on(job, watch, within=TENTH_PROMISE)
    assert job.shards.get(pk=watch.shard.pk).attempt == 2
    measured(1, "the process that computes is killed", runner=crew.kind, **found)


@everywhere()
def test_a_worker_of_another_machine_that_is_killed_loses_its_lease(site: Site, crew: Crew, measured: Measured) -> None:
    worker, job, watch = _at_work(crew, site, TENTH, **ELSEWHERE)
    crew.end_whole(worker, pid_of(watch.shard))
    crew.sweeper()
    crew.start("two", **QUICKLY)
    found = _gone_on(job, watch, within=TENTH_PROMISE)
    measured(2, "a whole worker of another machine is killed", runner=crew.kind, **found)


@everywhere(("postgres", "celery"))
def test_a_worker_of_this_machine_that_is_killed_costs_no_wait_for_its_lease(
    site: Site, crew: Crew, measured: Measured
) -> None:
    worker, job, watch = _at_work(crew, site, {**TENTH, "QW_LEASE_SECONDS": "600"})
    crew.end_whole(worker, pid_of(watch.shard))
    crew.sweeper()
    crew.start("two", **QUICKLY)
    found = _gone_on(job, watch, within=TENTH_PROMISE, resumed=False)
    measured(2, "a whole worker of this machine is killed, its lease lasting 600 s", runner=crew.kind, **found)


@everywhere()
def test_a_worker_killed_without_its_child_leaves_no_orphan(site: Site, crew: Crew, measured: Measured) -> None:
    worker, job, watch = _at_work(crew, site, TENTH)
    crew.sweeper()
    child = pid_of(watch.shard)
    worker.kill()
    worker.wait()
    wait_for(lambda: is_gone(child), "the child's end", seconds=10, site=site)
    queued = watch.until_queued(within=TENTH_PROMISE)
    crew.start("two", **QUICKLY)
    found = _gone_on(job, watch, within=TENTH_PROMISE, resumed=False) | {"seconds_until_queued": queued}
    measured(2, "a worker is killed, the process that computes for it is not", runner=crew.kind, **found)


@everywhere(("sqlite", "local"))
def test_a_worker_killed_before_its_first_heartbeat_is_replaced(site: Site, crew: Crew, measured: Measured) -> None:
    worker, job, watch = _at_work(crew, site, QUICK, seen=just_claimed, **ELSEWHERE)
    crew.end_whole(worker, pid_of(watch.shard))
    assert Shard.objects.get(pk=watch.shard.pk).heartbeat_at is None
    crew.sweeper()
    crew.start("two", **QUICKLY)
    queued = _gone_on(job, watch, within=TENTH_PROMISE, resumed=False)["seconds_until_queued"]
    assert job.shards.get(pk=watch.shard.pk).attempt == 2
    measured(3, "killed before the first heartbeat", runner=crew.kind, lease_seconds=4, seconds_until_queued=queued)


@pytest.mark.whole
@pytest.mark.timeout(600)
@BY_EITHER
def test_a_lost_worker_is_replaced_within_three_minutes_at_the_periods_that_are_set_by_default(
    site: Site, crew: Crew, measured: Measured
) -> None:
    worker, job, watch = _at_work(crew, site, WHOLE, **ELSEWHERE)
    crew.sweeper()
    crew.end_whole(worker, pid_of(watch.shard))
    crew.start("two", **QUICKLY)
    found = _gone_on(job, watch, within=PROMISE)
    measured(2, "a whole worker of another machine is killed", runner=crew.kind, scale="full", **found)


@pytest.mark.whole
@pytest.mark.timeout(400)
@BY_EITHER
def test_a_killed_child_is_replaced_at_the_periods_that_are_set_by_default(
    site: Site, crew: Crew, measured: Measured
) -> None:
    _, job, watch = _at_work(crew, site, WHOLE)
    crew.sweeper()
    kill(pid_of(watch.shard))
    found = _gone_on(job, watch, within=PROMISE)
    measured(1, "the process that computes is killed", runner=crew.kind, scale="full", **found)
