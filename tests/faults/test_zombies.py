"""Workers that were frozen and wake up late: row 10. Others have gone on without them; nothing of theirs is taken."""

from __future__ import annotations

import time
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest

from compute.jobs import queue
from compute.models import Job, Shard
from tests.databases import Site
from tests.faults.breaking import is_gone, kill, pid_of, running, wait_for, wait_for_state
from tests.faults.crew import BY_EITHER, ELSEWHERE, QUICK, WHOLE, Crew, everywhere
from tests.faults.figures import Measured
from tests.jobs import fake


def _freeze_and_replace(crew: Crew, site: Site, *, seconds: float, within: float) -> tuple[Job, Shard, Shard, float]:
    """Freeze a worker's child until another worker has its shard; wake it; the job, both shards, seconds to its end."""
    crew.sweeper()
    crew.start("one", TEST_STEP_SECONDS="0.5", **ELSEWHERE)
    job = queue.enqueue(fake.config())
    shard = running(job, least=1)
    frozen = pid_of(shard)
    kill(frozen, SIGSTOP)
    since = time.monotonic()
    crew.start("two", TEST_STEP_SECONDS="0.5")
    others = Shard.objects.filter(pk=shard.pk, state="running").exclude(lease_token=shard.lease_token)
    heir = wait_for(others.first, "another worker", seconds=within, site=site)
    time.sleep(max(0.0, seconds - (time.monotonic() - since)))
    woken = time.monotonic()
    kill(frozen, SIGCONT)
    wait_for(lambda: is_gone(frozen), "the late worker's end", seconds=15, site=site)
    return job, shard, heir, round(time.monotonic() - woken, 2)


def _as_it_is(shard: Shard) -> dict[str, Any]:
    return Shard.objects.values("worker", "attempt", "lease_token").get(pk=shard.pk)


@everywhere(("postgres", "local"))
def test_a_frozen_worker_that_wakes_up_late_writes_nothing(site: Site, crew: Crew, measured: Measured) -> None:
    crew.use(QUICK)
    job, shard, heir, seconds = _freeze_and_replace(crew, site, seconds=0, within=20)
    row = _as_it_is(shard)
    assert (row["worker"], row["attempt"]) == (heir.worker, 2)
    assert row["lease_token"] == heir.lease_token
    wait_for_state(job, "succeeded", site=site)
    assert _as_it_is(shard) == {"worker": heir.worker, "attempt": 2, "lease_token": heir.lease_token}
    lines = list(job.log_lines.values_list("message", flat=True))
    assert sum("losses 1 done" in line for line in lines) == 1
    measured(
        10, "frozen while it computes, woken when another has its shard", runner=crew.kind,
        writes_taken=0, seconds_until_it_ended=seconds,
    )  # fmt: skip


@pytest.mark.whole
@pytest.mark.timeout(700)
@BY_EITHER
def test_a_worker_frozen_for_five_minutes_writes_nothing(site: Site, crew: Crew, measured: Measured) -> None:
    crew.use(WHOLE)
    job, shard, heir, seconds = _freeze_and_replace(crew, site, seconds=300, within=190)
    wait_for_state(job, "succeeded", site=site, seconds=180)
    assert _as_it_is(shard) == {"worker": heir.worker, "attempt": 2, "lease_token": heir.lease_token}
    measured(
        10, "frozen for five minutes while it computes", runner=crew.kind, scale="full",
        writes_taken=0, seconds_until_it_ended=seconds,
    )  # fmt: skip
