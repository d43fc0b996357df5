"""Who may work on a shard, and who may write about it."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models.functions import Now

from compute.errors import Cancelled
from compute.jobs import identity, lease, patience, queue, run, sweep
from compute.jobs.lease import LeaseLost, after
from compute.jobs.progress import progress_of
from compute.models import Job, LogLine, Shard
from tests.databases import Site
from tests.jobs import fake


@pytest.fixture(autouse=True)
def _fake_plan(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr("compute.pipeline.plan", fake.plan)


def _job() -> Job:
    return queue.enqueue(fake.config())


def _claim(job: Job, worker: str = "one") -> lease.Lease:
    held = lease.claim(job.pk, worker)
    assert held is not None
    return held


def _shard(held: lease.Lease) -> Shard:
    return Shard.objects.get(pk=held.shard_id)


def _state(job: Job) -> str:
    job.refresh_from_db()
    return job.state


def _expire(held: lease.Lease) -> None:
    Shard.objects.filter(pk=held.shard_id).update(lease_expires_at=after(-1))


def test_a_job_has_the_plans_shards_and_one_to_ingest() -> None:
    shards = list(_job().shards.values_list("phase", "phase_number", "phase_ordinal"))
    assert shards == [
        ("losses", 0, 0),
        ("losses", 0, 1),
        ("gradients", 1, 0),
        ("gradients", 1, 1),
        ("gradients", 1, 2),
        ("bundle", 2, 0),
        ("ingest", 3, 0),
    ]


def test_claiming_starts_the_job_and_counts_the_attempt() -> None:
    job = _job()
    shard = _shard(_claim(job))
    assert (_state(job), job.attempt, shard.attempt, shard.state, shard.worker) == ("running", 1, 1, "running", "one")
    assert shard.lease_expires_at > shard.started_at


def test_a_phase_waits_for_every_shard_of_the_phase_before() -> None:
    job = _job()
    first, second = _claim(job), _claim(job, "two")
    assert lease.claim(job.pk, "three") is None
    lease.finish(first, 10)
    assert lease.claim(job.pk, "three") is None
    lease.finish(second, 10)
    assert _shard(_claim(job)).phase == "gradients"


def test_the_oldest_job_is_claimed_first() -> None:
    older, newer = _job(), _job()
    held = [lease.claim(None, "one") for _ in range(3)]
    assert [h.job_id for h in held if h] == [older.pk, older.pk, newer.pk]


def test_twenty_claims_at_once_take_each_shard_once() -> None:
    job = _job()
    held: list[lease.Lease | None] = []
    barrier = threading.Barrier(10)

    def work(name: str) -> None:
        barrier.wait()
        try:
            held.extend(lease.claim(job.pk, name) for _ in range(2))
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(f"worker {n}",)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [h.shard_id for h in held if h is not None]
    assert len(held) == 20
    assert sorted(taken) == sorted(job.shards.filter(phase="losses").values_list("pk", flat=True))


def test_a_heartbeat_extends_the_lease_and_notes_progress() -> None:
    held = _claim(_job())
    _expire(held)
    lease.heartbeat(held, 4, 10, samples=[[1.0, 4]])
    shard = _shard(held)
    assert (shard.n_done, shard.n_total, shard.samples) == (4, 10, [[1.0, 4]])
    assert not sweep.expired().exists()


def test_an_expired_lease_queues_the_shard_again() -> None:
    job = _job()
    held = _claim(job)
    _expire(held)
    sweep.sweep()
    assert (_state(job), _shard(held).state, _shard(held).attempt) == ("queued", "queued", 1)


def test_a_shard_that_never_had_a_heartbeat_expires_too() -> None:
    job = _job()
    held = _claim(job)
    Shard.objects.filter(pk=held.shard_id).update(lease_expires_at=None, started_at=after(-10_000))
    sweep.sweep()
    assert _shard(held).state == "queued"


def test_a_lease_that_still_runs_is_left_alone() -> None:
    held = _claim(_job())
    sweep.sweep()
    assert _shard(held).lease_token == held.token


@pytest.fixture(params=["heartbeat", "finish", "fail", "release", "drop"])
def write(request: pytest.FixtureRequest) -> Any:
    arguments = {"heartbeat": (9, 10), "finish": (10,), "fail": ("It broke.",)}
    return lambda held: getattr(lease, request.param)(held, *arguments.get(request.param, ()))


def test_a_zombie_is_refused_every_write(write: Any) -> None:
    job = _job()
    zombie = _claim(job, "zombie")
    _expire(zombie)
    sweep.sweep()
    heir = _claim(job, "heir")
    assert heir.shard_id == zombie.shard_id
    before = Shard.objects.filter(pk=heir.shard_id).values().get()
    with pytest.raises(LeaseLost):
        write(zombie)
    assert Shard.objects.filter(pk=heir.shard_id).values().get() == before
    assert _state(job) == "running"


def test_a_worker_of_a_deleted_job_is_refused_every_write(write: Any) -> None:
    job = _job()
    held = _claim(job)
    job.delete()
    with pytest.raises(LeaseLost):
        write(held)


def test_losing_its_worker_three_times_fails_the_job_with_a_sentence() -> None:
    job = _job()
    for _ in range(3):
        _expire(_claim(job))
        sweep.sweep()
    assert _state(job) == "failed"
    assert "lost its worker three times" in job.error
    assert lease.claim(job.pk, "one") is None


def test_a_worker_that_gives_its_shard_back_in_good_order_costs_no_attempt() -> None:
    job = _job()
    for _ in range(5):
        held = _claim(job)
        lease.release(held)
    assert (_state(job), _shard(held).attempt) == ("queued", 0)


def test_a_silent_worker_stalls_the_job_and_a_heartbeat_revives_it() -> None:
    job = _job()
    held = _claim(job)
    Shard.objects.filter(pk=held.shard_id).update(heartbeat_at=after(-61))
    sweep.sweep()
    assert _state(job) == "stalled"
    lease.heartbeat(held, 1, 10)
    assert _state(job) == "running"


def test_one_silent_worker_of_two_does_not_stall_the_job() -> None:
    job = _job()
    held = _claim(job)
    _claim(job, "two")
    Shard.objects.filter(pk=held.shard_id).update(heartbeat_at=after(-61))
    sweep.sweep()
    assert _state(job) == "running"


def test_the_last_shard_done_makes_the_job_succeed() -> None:
    job = _job()
    while (held := lease.claim(job.pk, "one")) is not None:
        assert _state(job) == "running"
        lease.finish(held, 7)
    assert _state(job) == "succeeded"
    assert job.finished_at is not None
    assert set(job.shards.values_list("n_done", "n_total")) == {(7, 7)}


def test_a_failed_shard_fails_the_job_and_its_other_workers_hear_of_it() -> None:
    job = _job()
    first, second = _claim(job), _claim(job, "two")
    lease.fail(first, "The weights are damaged; fetch them again.")
    assert (_state(job), job.error) == ("failed", "The weights are damaged; fetch them again.")
    with pytest.raises(lease.Stopped):
        lease.heartbeat(second, 1, 10)
    lease.release(second)
    assert _state(job) == "failed"


def test_cancelling_a_queued_job_ends_it_at_once() -> None:
    job = queue.cancel(_job())
    assert job.state == "cancelled"
    assert set(job.shards.values_list("state", flat=True)) == {"cancelled"}
    assert lease.claim(job.pk, "one") is None


def test_cancelling_a_running_job_ends_its_work_at_the_next_heartbeat() -> None:
    job = _job()
    held = _claim(job)
    assert queue.cancel(job).state == "running"
    with pytest.raises(Cancelled):
        lease.heartbeat(held, 1, 10)
    lease.drop(held)
    assert _state(job) == "cancelled"


def test_cancelling_a_stalled_job_ends_it_at_once_and_shuts_its_worker_out() -> None:
    job = _job()
    held = _claim(job)
    Shard.objects.filter(pk=held.shard_id).update(heartbeat_at=after(-61))
    sweep.sweep()
    assert queue.cancel(job).state == "cancelled"
    with pytest.raises(LeaseLost):
        lease.finish(held, 10)


def test_a_cancelled_job_whose_worker_died_is_closed_by_the_sweep() -> None:
    job = _job()
    held = _claim(job)
    queue.cancel(job)
    _expire(held)
    sweep.sweep()
    assert _state(job) == "cancelled"


def test_resuming_keeps_what_is_done_and_forgets_attempts() -> None:
    job = _job()
    lease.finish(_claim(job), 10)
    lease.fail(_claim(job), "It broke.")
    job = queue.resume(job)
    assert (job.state, job.error, job.finished_at) == ("queued", "", None)
    states = job.shards.values_list("state", "attempt")
    assert list(states) == [("succeeded", 1), *[("queued", 0)] * 6]


def test_a_bundle_that_could_not_be_read_is_looked_at_again_when_its_job_is_resumed() -> None:
    job = _job()
    for _ in range(6):
        lease.finish(_claim(job), 10)
    lease.fail(_claim(job), "The bundle was cut short.")
    queue.resume(job)
    assert list(job.shards.filter(state="queued").values_list("phase", flat=True)) == ["bundle", "ingest"]


def test_a_job_that_ends_while_its_page_is_made_is_shown_as_ended() -> None:
    job = _job()
    for _ in range(6):
        lease.finish(_claim(job), 10)
    last = _claim(job)
    read_before = Job.objects.get(pk=job.pk)
    lease.finish(last, 1)
    assert (progress_of(read_before).state, read_before.is_open) == ("succeeded", False)


def test_resuming_a_job_whose_files_were_removed_starts_from_the_beginning(site: Site) -> None:
    job = _job()
    lease.finish(_claim(job), 10)
    queue.cancel(job)
    (site.data / "workspaces" / f"job-{job.pk}").mkdir(parents=True)
    sweep.forget_files(job)
    assert not (site.data / "workspaces" / f"job-{job.pk}").exists()
    job = queue.resume(Job.objects.get(pk=job.pk))
    assert set(job.shards.values_list("state", flat=True)) == {"queued"}
    assert job.workspace.endswith(f"job-{job.pk}")


@pytest.mark.parametrize(("act", "state"), [("cancel", "succeeded"), ("resume", "running"), ("take_over", "queued")])
def test_what_does_not_fit_the_state_is_refused_with_a_sentence(act: str, state: str) -> None:
    job = _job()
    Job.objects.filter(pk=job.pk).update(state=state)
    with pytest.raises(queue.JobStateError, match=f"job {job.pk}|Job {job.pk}"):
        getattr(queue, act)(job)


def test_cancelling_twice_says_that_it_is_under_way() -> None:
    job = _job()
    _claim(job)
    queue.cancel(job)
    with pytest.raises(queue.JobStateError, match="being cancelled already"):
        queue.cancel(job)


def _silent(held: lease.Lease, seconds: float = 60) -> None:
    Shard.objects.filter(pk=held.shard_id).update(started_at=after(-seconds), heartbeat_at=None)


def test_taking_over_frees_the_shard_now_and_shuts_the_worker_out() -> None:
    job = _job()
    held = _claim(job)
    _silent(held)
    assert queue.take_over(job).state == "queued"
    with pytest.raises(LeaseLost):
        lease.heartbeat(held, 1, 10)
    assert _claim(job, "two").shard_id == held.shard_id


def test_a_worker_that_was_heard_of_is_not_taken_over_from(settings: Any) -> None:
    job = _job()
    silent, heard = _claim(job), _claim(job, "two")
    for held in (silent, heard):
        lease.heartbeat(held, 1, 10)
    with pytest.raises(queue.JobStateError, match="its worker was heard 0 s ago.* silent for 30 s, or cancel"):
        queue.take_over(job)
    _silent(silent, 31)
    queue.take_over(job)
    assert (_shard(silent).state, _shard(heard).state) == ("queued", "running")
    lease.heartbeat(heard, 2, 10)


def test_taking_over_and_writing_what_names_the_job_never_wait_for_each_other() -> None:
    """As reading in does: rows that name the job, then the right to write, then the commit, which looks at the job."""
    job = _job()
    held, is_held, errors = _claim(job), threading.Event(), []
    _silent(held)

    def read_in() -> None:
        try:
            with transaction.atomic():
                LogLine.objects.create(job=job, message="read in")
                lease.hold(held)
                is_held.set()
                time.sleep(0.5)  # the other has the job by now, and waits for the shard
        except DatabaseError as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=read_in)
    thread.start()
    assert is_held.wait(10)
    queue.take_over(job)
    thread.join(10)
    assert not errors
    assert LogLine.objects.filter(job=job, message="read in").exists()
    assert _shard(held).lease_token == ""


def test_the_clock_of_leases_is_the_databases() -> None:
    held = _claim(_job())
    left = Shard.objects.filter(pk=held.shard_id, lease_expires_at__gt=after(110), lease_expires_at__lte=after(121))
    assert left.exists()
    assert Shard.objects.annotate(now=Now()).get(pk=held.shard_id).now is not None


def test_a_log_is_cut_at_its_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    from compute.jobs import log

    monkeypatch.setattr(log, "MAX_LINES", 20)
    job = _job()
    for n in range(120):
        log.write(job.pk, f"line {n}")
    log.prune(job.pk)
    lines = list(LogLine.objects.filter(job=job).values_list("message", flat=True))
    assert lines == [f"line {n}" for n in range(100, 120)]


def test_a_worker_lost_between_two_shards_leaves_a_job_that_is_announced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[int] = []
    monkeypatch.setattr(sweep, "wake", woken.append)
    job = _job()
    lease.finish(_claim(job), 10)
    sweep.sweep()
    assert (_state(job), woken) == ("running", [])
    job.shards.filter(state="succeeded").update(finished_at=after(-61))
    sweep.sweep()
    assert (_state(job), woken) == ("queued", [job.pk])


def test_a_job_that_nobody_took_is_announced_again_after_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[int] = []
    monkeypatch.setattr(sweep, "wake", woken.append)
    job = _job()
    sweep.sweep()
    assert woken == []
    Job.objects.filter(pk=job.pk).update(woken_at=after(-301))
    sweep.sweep()
    assert woken == [job.pk]


def test_a_shard_of_a_process_that_ended_here_is_freed_without_waiting_for_its_lease() -> None:
    ended = subprocess.Popen(["/bin/sleep", "60"])
    job = _job()
    dead, alive = _claim(job, identity.name_of(ended.pid)), _claim(job, identity.own_name())
    ended.kill()
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie, as under an idle init
    assert sweep.requeue_dead_here() == 1
    assert (_shard(dead).state, _shard(alive).state) == ("queued", "running")
    ended.wait()


# ── an answer that is lost on its way: the commit was made, and nobody heard of it ──


def test_a_claim_whose_answer_was_lost_is_the_same_claim() -> None:
    job = _job()
    token = lease.new_token()
    first = lease.claim(job.pk, "one", token=token)
    assert lease.claim(job.pk, "one", token=token) == first
    assert job.shards.filter(state="running").count() == 1
    assert first is not None
    assert _shard(first).attempt == 1
    lease.release(first)
    again = lease.claim(job.pk, "one", token=token)
    assert again is not None
    assert _shard(again).state == "running"


def test_finishing_again_is_done_once_and_only_by_who_finished() -> None:
    job = _job()
    held = _claim(job)
    lease.finish(held, 10)
    finished_at = _shard(held).finished_at
    lease.finish(held, 10)
    assert _shard(held).finished_at == finished_at
    other = lease.Lease(job_id=job.pk, shard_id=held.shard_id, token=lease.new_token(), worker="two")
    with pytest.raises(LeaseLost):
        lease.finish(other, 10)
    for write in (lease.release, lease.drop, lambda one: lease.heartbeat(one, 1, 10), lambda one: lease.fail(one, "x")):
        with pytest.raises(LeaseLost):
            write(held)


def test_work_whose_answers_are_lost_is_done_once(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    """Every claim and every finish is committed, and then seems to have failed."""
    monkeypatch.setattr("compute.pipeline.run_shard", fake.run_shard)
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    lost = dict.fromkeys(("claim", "finish"), 0)

    def losing(name: str, write: Any) -> Any:
        def told(*arguments: Any, **named: Any) -> Any:
            found = write(*arguments, **named)
            lost[name] += 1
            if lost[name] % 2:
                raise OperationalError("server closed the connection unexpectedly")
            return found

        return told

    for name in lost:
        monkeypatch.setattr(lease, name, losing(name, getattr(lease, name)))
    job = _job()
    assert run.run_next_shard(job.pk, worker="one") is run.Outcome.DONE
    shard = job.shards.get(ordinal=0)
    assert (shard.state, shard.attempt) == ("succeeded", 1)
    assert job.shards.filter(state="running").count() == 0
    assert lost == {"claim": 2, "finish": 2}
