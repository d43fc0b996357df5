"""Which shard comes next: by priority, then by fairness, then by age; and how cheap it is to find out."""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, reset_queries

from compute.jobs import kinds, lease, queue, run
from compute.jobs.run import Outcome
from compute.models import Job, Shard
from tests.databases import Site
from tests.jobs import fake

LOW, NORMAL, HIGH = Job.Priority.LOW, Job.Priority.NORMAL, Job.Priority.HIGH


@pytest.fixture(autouse=True)
def _fake_pipeline(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr("compute.pipeline.plan", fake.plan)
    monkeypatch.setattr("compute.pipeline.run_shard", fake.run_shard)
    monkeypatch.setitem(kinds._WORK, "fake", lambda job, report: None)


def _claimed(n: int, **asked: Any) -> list[int]:
    held = [lease.claim(None, f"worker:{i}", **asked) for i in range(n)]
    return [one.job_id for one in held if one is not None]


def test_a_higher_priority_goes_first_whatever_its_age() -> None:
    low, normal, high = (queue.enqueue(fake.config(), priority=one).pk for one in (LOW, NORMAL, HIGH))
    assert _claimed(6) == [high, high, normal, normal, low, low]


def test_work_that_somebody_waits_for_goes_before_every_run() -> None:
    queue.enqueue(fake.config(), priority=HIGH)
    asked = kinds.enqueue("fake", name="x", config={}, requested_by=None, is_private=False)
    assert (asked.queue, asked.priority) == ("site", Job.Priority.INTERACTIVE)
    assert _claimed(1) == [asked.pk]


def test_of_equal_priority_the_person_with_fewer_running_shards_goes_first() -> None:
    ana, ben = User.objects.create_user("ana"), User.objects.create_user("ben")
    first, second, other = (queue.enqueue(fake.config(), one).pk for one in (ana, ana, ben))
    assert _claimed(4) == [first, other, first, other]
    assert _claimed(2) == [second, second]


def test_a_worker_takes_from_its_own_queues_alone(settings: Any) -> None:
    run_of_cpu = queue.enqueue(fake.config()).pk
    settings.DEVICE = "cuda"
    run_of_gpu = queue.enqueue(fake.config()).pk
    assert _claimed(3, queues=["gpu"]) == [run_of_gpu, run_of_gpu]
    assert _claimed(3, queues=["cpu", "site"]) == [run_of_cpu, run_of_cpu]


def test_a_priority_that_is_changed_counts_from_the_next_shard_on() -> None:
    older, newer = queue.enqueue(fake.config()), queue.enqueue(fake.config())
    assert _claimed(1) == [older.pk]
    queue.prioritise(newer, HIGH)
    assert _claimed(1) == [newer.pk]
    with pytest.raises(queue.JobStateError, match="is cancelled"):
        queue.prioritise(queue.cancel(queue.enqueue(fake.config())), LOW)


def test_a_more_urgent_job_overtakes_a_local_worker_at_the_next_shards_edge() -> None:
    job = queue.enqueue(fake.config())
    seen: list[str] = []

    def meanwhile(shard: Shard, n_done: int, n_total: int) -> None:
        if not seen:
            queue.enqueue(fake.config("urgent"), priority=HIGH)
        seen.append(shard.name)

    assert run.run_job(job.pk, on_progress=meanwhile) is Outcome.DONE
    job.refresh_from_db()
    assert set(seen) == {"losses 1"}
    assert job.state == "queued"
    assert lease.next_jobs()[0] != job.pk


def test_claiming_among_ten_thousand_open_shards_is_cheap(django_assert_max_num_queries: Any) -> None:
    """Forty jobs of 250 shards; half of them wait for a phase whose last shard is still being worked on."""
    users = [User.objects.create_user(f"person{n}") for n in range(8)]
    jobs = Job.objects.bulk_create(
        Job(name="many", config={}, workspace="/w", requested_by=users[n % 8], state="running") for n in range(40)
    )
    Shard.objects.bulk_create(
        Shard(
            job=job, ordinal=n, phase="a", phase_number=int(n > 0), phase_ordinal=n, name=str(n),
            state="running" if n == 0 and place % 2 else "succeeded" if n == 0 else "queued",
        )
        for place, job in enumerate(jobs) for n in range(251)
    )  # fmt: skip
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE compute_shard")
    assert _claimed(1) == [jobs[0].pk]
    seconds = []
    for n in range(25):
        began = time.perf_counter()
        assert lease.claim(None, f"worker:{n}") is not None
        seconds.append(time.perf_counter() - began)
    reset_queries()
    with django_assert_max_num_queries(10):
        assert lease.claim(None, "worker:x") is not None
    print(f"{connection.vendor}: median {statistics.median(seconds) * 1000:.1f} ms, most {max(seconds) * 1000:.1f} ms")
    assert statistics.median(seconds) < 0.1
