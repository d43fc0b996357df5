"""What a worker does with a job, from claim to bundle."""

from __future__ import annotations

import errno
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError

from compute.errors import CheckpointError, StorageError
from compute.jobs import keeper, lease, patience, queue, run, signals, sweep
from compute.jobs.run import Outcome
from compute.models import Job, LogLine, Shard
from quantaweb.logs import Discreet
from tests.databases import Site
from tests.jobs import fake


@pytest.fixture(autouse=True)
def _fake_pipeline(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr("compute.pipeline.plan", fake.plan)
    monkeypatch.setattr("compute.pipeline.run_shard", fake.run_shard)
    monkeypatch.setattr(signals.bundle_ready, "receivers", [])
    monkeypatch.setattr(keeper, "TICK_SECONDS", 0.02)


def _fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run_shard(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr("compute.pipeline.run_shard", run_shard)


def _steps(site: Site) -> list[str]:
    return (site.data / "workspaces" / "steps.log").read_text().splitlines()


def test_a_job_runs_to_its_bundle_and_is_handed_over(site: Site) -> None:
    heard: list[tuple[Job, Path]] = []

    def receive(*, job: Job, path: Path, **_: Any) -> None:
        heard.append((job, path))

    signals.bundle_ready.connect(receive)
    job = queue.enqueue(fake.config())
    assert run.run_job(job.pk) is Outcome.DONE
    job.refresh_from_db()
    assert (job.state, job.bundle_sha256[:12]) == ("succeeded", "0123456789ab")
    assert heard == [(job, Path(job.bundle_path))]


def test_working_files_go_when_the_run_is_in_the_database(site: Site) -> None:
    job = queue.enqueue(fake.config())
    run.run_job(job.pk)
    job.refresh_from_db()
    assert job.workspace == ""
    assert not (site.data / "workspaces" / f"job-{job.pk}").exists()


def test_totals_are_those_that_the_work_reported(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    job = queue.enqueue(fake.config())
    job.shards.update(n_total=1)
    run.run_next_shard(job.pk, worker="one")
    assert job.shards.values_list("n_done", "n_total")[0] == (fake.STEPS, fake.STEPS)


def test_a_database_that_is_away_for_a_moment_fails_no_job(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    real, answers = lease.finish, [OperationalError("database is locked"), InterfaceError("connection already closed")]

    def finish(*args: Any, **kwargs: Any) -> None:
        if answers:
            raise answers.pop(0)
        real(*args, **kwargs)

    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(lease, "finish", finish)
    job = queue.enqueue(fake.config())
    assert run.run_next_shard(job.pk, worker="one") is Outcome.DONE
    assert job.shards.first().state == "succeeded"


def test_a_job_without_anything_to_claim_is_left_alone(site: Site) -> None:
    job = queue.enqueue(fake.config())
    queue.cancel(job)
    assert run.run_job(job.pk) is Outcome.NOTHING


def test_progress_is_told_to_whoever_started_the_work(site: Site) -> None:
    told: list[tuple[str, int, int]] = []
    job = queue.enqueue(fake.config())
    run.run_job(job.pk, on_progress=lambda shard, done, total: told.append((shard.phase, done, total)))
    assert told[:2] == [("losses", 0, 10), ("losses", 1, 10)]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (CheckpointError("The weights are cut short."), "The weights are cut short."),
        (StorageError("The disk is full (3 MB free)."), "The disk is full (3 MB free)."),
        (MemoryError(), "ran out of memory in losses"),
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full: losses could not write"),
        (OSError(errno.EROFS, "Read-only file system"), "cannot be written"),
        (ValueError("a private word"), "unexpected: ValueError in losses"),
    ],
)
def test_each_failure_gets_its_sentence(
    monkeypatch: pytest.MonkeyPatch, site: Site, error: BaseException, sentence: str
) -> None:
    _fails_with(monkeypatch, error)
    job = queue.enqueue(fake.config())
    assert run.run_job(job.pk) is Outcome.ENDED
    job.refresh_from_db()
    assert job.state == "failed"
    assert sentence in job.error


def test_no_corpus_text_of_an_unexpected_error_reaches_log_or_page(
    monkeypatch: pytest.MonkeyPatch, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    _fails_with(monkeypatch, ValueError("a private word"))
    caplog.handler.setFormatter(Discreet())  # as every handler of the site is
    job = queue.enqueue(fake.config())
    with caplog.at_level(logging.ERROR):
        run.run_job(job.pk)
    job.refresh_from_db()
    pages = " ".join([job.error, *LogLine.objects.values_list("message", flat=True)])
    assert "private" not in caplog.text + pages
    assert "run_shard" in caplog.text


def test_a_worker_that_is_asked_to_stop_gives_its_shard_back(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    stop = run.Stop()
    monkeypatch.setattr(
        "compute.pipeline.run_shard", lambda *a, report, **k: (report(3, 10), stop.ask(), report(4, 10))
    )
    job = queue.enqueue(fake.config())
    assert run.run_job(job.pk, why_stop=stop.why) is Outcome.RELEASED
    job.refresh_from_db()
    assert (job.state, job.shards.get(ordinal=0).attempt) == ("queued", 0)


def test_cancelling_stops_the_work_at_a_report_and_resuming_repeats_no_step(
    monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    job = queue.enqueue(fake.config())

    def cancel_half_way(shard: Shard, n_done: int, n_total: int) -> None:
        if (shard.ordinal, n_done) == (1, 5):
            queue.cancel(job)
        if (shard.ordinal, n_done) >= (1, 5):
            stopped.wait(0.2)

    stopped = threading.Event()
    assert run.run_job(job.pk, on_progress=cancel_half_way) is Outcome.ENDED
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert len(_steps(site)) < 20
    queue.resume(job)
    assert run.run_job(job.pk) is Outcome.DONE
    assert len(_steps(site)) == len(set(_steps(site))) == 6 * fake.STEPS


def test_a_zombie_notices_at_its_next_report_and_writes_nothing(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    job = queue.enqueue(fake.config())
    heirs: list[lease.Lease | None] = []

    def sleep_through(shard: Shard, n_done: int, n_total: int) -> None:
        if n_done == 5 and not heirs:
            own = Shard.objects.filter(pk=shard.pk)
            while not own.filter(state="queued").exists():  # a heartbeat may come in between and renew the lease
                own.update(lease_expires_at=lease.after(-1))
                sweep.sweep()
            heirs.append(lease.claim(job.pk, "heir"))
            time.sleep(0.3)

    outcome = run.run_next_shard(job.pk, worker="zombie", on_progress=sleep_through)
    assert outcome is Outcome.LOST
    shard = Shard.objects.get(pk=heirs[0].shard_id)
    assert (shard.worker, shard.state, shard.lease_token) == ("heir", "running", heirs[0].token)


def test_work_ends_by_itself_when_no_heartbeat_reaches_the_database(
    monkeypatch: pytest.MonkeyPatch, site: Site, settings: Any
) -> None:
    from django.db import OperationalError

    def unreachable(*_: Any, **__: Any) -> None:
        raise OperationalError("the server closed the connection")

    settings.LEASE_SECONDS = 1
    monkeypatch.setattr(keeper, "heartbeat", unreachable)
    monkeypatch.setattr(keeper.Keeper, "_end_process", lambda self, why: None)
    job = queue.enqueue(fake.config())
    slow = {"on_progress": lambda *_: time.sleep(0.25)}
    assert run.run_next_shard(job.pk, worker="one", **slow) is Outcome.LOST


def test_a_worker_that_dies_after_publishing_publishes_once(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    job = queue.enqueue(fake.config())
    job.shards.filter(phase_number__lt=2).update(state="succeeded")
    monkeypatch.setattr(lease, "finish", lambda *a, **k: (_ for _ in ()).throw(lease.LeaseLost("killed here")))
    assert run.run_next_shard(job.pk, worker="one") is Outcome.LOST
    monkeypatch.undo()
    monkeypatch.setattr("compute.pipeline.run_shard", fake.run_shard)
    monkeypatch.setattr(signals.bundle_ready, "receivers", [])
    sweep.requeue(sweep.held_by("one"), "its worker was killed")
    assert run.run_job(job.pk) is Outcome.DONE
    assert len(list((site.data / "bundles").iterdir())) == 1
