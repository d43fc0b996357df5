"""Whoever computes is killed: rows 1 to 3, on both databases and with both runners."""

from __future__ import annotations

import pytest

from compute.jobs import queue
from compute.models import Shard
from tests.databases import Site
from tests.faults.breaking import is_gone, kill, pid_of, repeated, running, wait_for, wait_for_state
from tests.faults.crew import BY_EITHER, ELSEWHERE, QUICK, TENTH, WHOLE, Crew, Watch, everywhere, just_claimed
from tests.faults.figures import Measured
from tests.jobs import fake

TENTH_PROMISE, PROMISE = 18, 180  # seconds until it is queued again: a lease and a sweep


@everywhere(("sqlite", "local"), ("postgres", "celery"))
def test_a_killed_child_is_replaced_and_the_job_goes_on_where_it_was(
    site: Site, crew: Crew, measured: Measured
) -> None:
    crew.use(TENTH)
    crew.sweeper()
    crew.start()
    job = queue.enqueue(fake.config())
    shard = running(job)
    watch = Watch(shard, site)
    kill(pid_of(shard))
    queued = watch.until_queued(within=TENTH_PROMISE)
    resumed = watch.until_resumed(within=TENTH_PROMISE)
    wait_for_state(job, "succeeded", site=site)
    assert job.shards.get(pk=shard.pk).attempt == 2
    assert repeated(site) <= 1
    measured(
        1, "the process that computes is killed", runner=crew.kind,
        seconds_until_queued=queued, seconds_until_resumed=resumed, steps_repeated=repeated(site),
    )  # fmt: skip


@everywhere()
def test_a_worker_of_another_machine_that_is_killed_loses_its_lease(site: Site, crew: Crew, measured: Measured) -> None:
    crew.use(TENTH)
    worker = crew.start("one", **ELSEWHERE)
    job = queue.enqueue(fake.config())
    shard = running(job)
    watch = Watch(shard, site)
    crew.end_whole(worker, pid_of(shard))
    crew.sweeper()
    crew.start("two", TEST_STEP_SECONDS="0.05")
    queued = watch.until_queued(within=TENTH_PROMISE)
    resumed = watch.until_resumed(within=TENTH_PROMISE + 5)
    wait_for_state(job, "succeeded", site=site)
    assert repeated(site) <= 1
    measured(
        2, "a whole worker of another machine is killed", runner=crew.kind,
        seconds_until_queued=queued, seconds_until_resumed=resumed, steps_repeated=repeated(site),
    )  # fmt: skip


@everywhere(("postgres", "celery"))
def test_a_worker_of_this_machine_that_is_killed_costs_no_wait_for_its_lease(
    site: Site, crew: Crew, measured: Measured
) -> None:
    crew.use({**TENTH, "QW_LEASE_SECONDS": "600"})
    worker = crew.start("one")
    job = queue.enqueue(fake.config())
    shard = running(job)
    watch = Watch(shard, site)
    crew.end_whole(worker, pid_of(shard))
    crew.sweeper()
    crew.start("two", TEST_STEP_SECONDS="0.05")
    queued = watch.until_queued(within=TENTH_PROMISE)
    wait_for_state(job, "succeeded", site=site)
    assert repeated(site) <= 1
    measured(
        2, "a whole worker of this machine is killed, its lease lasting 600 s", runner=crew.kind,
        seconds_until_queued=queued, steps_repeated=repeated(site),
    )  # fmt: skip


@everywhere()
def test_a_worker_killed_without_its_child_leaves_no_orphan(site: Site, crew: Crew, measured: Measured) -> None:
    crew.use(TENTH)
    crew.sweeper()
    worker = crew.start("one")
    job = queue.enqueue(fake.config())
    shard = running(job)
    child, watch = pid_of(shard), Watch(shard, site)
    worker.kill()
    worker.wait()
    wait_for(lambda: is_gone(child), "the child's end", seconds=10, site=site)
    queued = watch.until_queued(within=TENTH_PROMISE)
    crew.start("two", TEST_STEP_SECONDS="0.05")
    wait_for_state(job, "succeeded", site=site)
    assert repeated(site) <= 1
    measured(
        2, "a worker is killed, the process that computes for it is not", runner=crew.kind,
        seconds_until_queued=queued, steps_repeated=repeated(site),
    )  # fmt: skip


@everywhere(("sqlite", "local"))
def test_a_worker_killed_before_its_first_heartbeat_is_replaced(site: Site, crew: Crew, measured: Measured) -> None:
    crew.use(QUICK)
    worker = crew.start("one", **ELSEWHERE)
    job = queue.enqueue(fake.config())
    shard = just_claimed(job)
    watch = Watch(shard, site)
    crew.end_whole(worker, pid_of(shard))
    assert Shard.objects.get(pk=shard.pk).heartbeat_at is None
    crew.sweeper()
    crew.start("two", TEST_STEP_SECONDS="0.05")
    queued = watch.until_queued(within=TENTH_PROMISE)
    wait_for_state(job, "succeeded", site=site)
    assert job.shards.get(pk=shard.pk).attempt == 2
    measured(3, "killed before the first heartbeat", runner=crew.kind, lease_seconds=4, seconds_until_queued=queued)


@pytest.mark.whole
@pytest.mark.timeout(600)
@BY_EITHER
def test_a_lost_worker_is_replaced_within_three_minutes_at_the_periods_that_are_set_by_default(
    site: Site, crew: Crew, measured: Measured
) -> None:
    crew.use(WHOLE)
    worker = crew.start("one", **ELSEWHERE)
    crew.sweeper()
    job = queue.enqueue(fake.config())
    shard = running(job)
    watch = Watch(shard, site)
    crew.end_whole(worker, pid_of(shard))
    crew.start("two", TEST_STEP_SECONDS="0.05")
    queued = watch.until_queued(within=PROMISE)
    resumed = watch.until_resumed(within=PROMISE + 5)
    wait_for_state(job, "succeeded", site=site, seconds=120)
    assert repeated(site) <= 1
    measured(
        2, "a whole worker of another machine is killed", runner=crew.kind, scale="full",
        seconds_until_queued=queued, seconds_until_resumed=resumed, steps_repeated=repeated(site),
    )  # fmt: skip


@pytest.mark.whole
@pytest.mark.timeout(400)
@BY_EITHER
def test_a_killed_child_is_replaced_at_the_periods_that_are_set_by_default(
    site: Site, crew: Crew, measured: Measured
) -> None:
    crew.use(WHOLE)
    crew.sweeper()
    crew.start()
    job = queue.enqueue(fake.config())
    shard = running(job)
    watch = Watch(shard, site)
    kill(pid_of(shard))
    queued = watch.until_queued(within=PROMISE)
    resumed = watch.until_resumed(within=PROMISE)
    wait_for_state(job, "succeeded", site=site, seconds=120)
    assert repeated(site) <= 1
    measured(
        1, "the process that computes is killed", runner=crew.kind, scale="full",
        seconds_until_queued=queued, seconds_until_resumed=resumed, steps_repeated=repeated(site),
    )  # fmt: skip
