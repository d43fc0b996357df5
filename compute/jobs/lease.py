"""What a worker may write. Every statement names its lease's token, so a late worker changes nothing.

All times are the database's, so that clocks of workers don't matter; every transaction is a few statements.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, Exists, ExpressionWrapper, F, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Greatest, Now

from compute.errors import Cancelled
from compute.jobs.signals import job_ended
from compute.models import Job, Shard

_UNFINISHED = (Shard.State.QUEUED, Shard.State.RUNNING, Shard.State.FAILED, Shard.State.CANCELLED)


class LeaseLost(Cancelled):
    """Another worker may have the shard by now: stop, and write nothing."""


class Stopped(Cancelled):
    """This process is asked to end: keep what is done, and give the shard back."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to work on one shard, for as long as its token stands in the row."""

    job_id: int
    shard_id: int
    token: str
    worker: str
    service: str = ""


def after(seconds: float) -> ExpressionWrapper:
    """The database's clock, `seconds` from now."""
    return ExpressionWrapper(Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField())


def waiting_jobs(queues: Iterable[str] = ()) -> QuerySet[Job]:
    """Open jobs of these queues (of all, where none is named) that have a shard to claim now.

    A shard may be claimed when all of lower phases have succeeded. Both questions, which is the first queued shard and
    whether something before it is unfinished, are answered from one index, however many shards there are.
    """
    queued = Shard.objects.filter(job=OuterRef("pk"), state=Shard.State.QUEUED).order_by("phase_number", "ordinal")
    before = Shard.objects.filter(
        job=OuterRef("pk"), state__in=_UNFINISHED, phase_number__lt=OuterRef("next_phase")
    ).order_by()
    jobs = Job.objects.filter(state__in=Job.OPEN_STATES, cancel_requested_at=None)
    if queues:
        jobs = jobs.filter(queue__in=list(queues))
    jobs = jobs.annotate(next_phase=Subquery(queued.values("phase_number")[:1])).filter(next_phase__isnull=False)
    return jobs.filter(~Exists(before)).order_by("pk")


def claimable(job_id: int) -> QuerySet[Shard]:
    """Queued shards of the job, if it is open, whose earlier phases have all succeeded."""
    shards = Shard.objects.filter(job_id=job_id)
    queued = shards.filter(state=Shard.State.QUEUED).order_by("phase_number", "ordinal")
    first = Subquery(queued.values("phase_number")[:1])
    return queued.filter(
        ~Exists(shards.filter(state__in=_UNFINISHED, phase_number__lt=first).order_by()),
        phase_number=first,
        job__state__in=Job.OPEN_STATES,
        job__cancel_requested_at=None,
    )


def next_jobs(queues: Iterable[str] = (), *, above: int | None = None) -> list[int]:
    """Jobs with a shard to claim, the one to work on first at the head: by priority, then by fairness, then by age.

    Fair is to go on with the person for whom fewer shards are being worked on. `above` leaves out lower priorities.
    """
    waiting = waiting_jobs(queues)
    if above is not None:
        waiting = waiting.filter(priority__gt=above)
    rows = list(waiting.values_list("pk", "priority", "requested_by"))
    if len(rows) < 2:
        return [row[0] for row in rows]
    running = Shard.objects.filter(state=Shard.State.RUNNING).order_by()
    busy = Counter(running.values_list("job__requested_by", flat=True))
    return [pk for pk, _, _ in sorted(rows, key=lambda row: (-row[1], busy[row[2]], row[0]))]


def new_token() -> str:
    return str(uuid.uuid4())


def claim(
    job_id: int | None, worker: str, *, service: str = "", queues: Iterable[str] = (), token: str = ""
) -> Lease | None:
    """Take the next shard of a job, or the best one of the queues; None when there is none to take.

    Asked again with the same `token`, because the answer to a commit was lost, it gives what was taken then.
    """
    if token and (taken := Shard.objects.filter(lease_token=token, state=Shard.State.RUNNING).first()):
        return Lease(job_id=taken.job_id, shard_id=taken.pk, token=token, worker=worker, service=service)
    for job in next_jobs(queues) if job_id is None else [job_id]:
        if lease := _take(job, worker, service, token or new_token()):
            return lease
    return None


def _take(job_id: int, worker: str, service: str, token: str) -> Lease | None:
    """The job's next shard, its row changed by one worker alone: the job's row is locked meanwhile."""
    with transaction.atomic():
        open_job = Job.objects.filter(pk=job_id, state__in=Job.OPEN_STATES, cancel_requested_at=None)
        if not open_job.update(state=Job.State.RUNNING, started_at=Coalesce("started_at", Now())):
            return None
        found = claimable(job_id).values_list("pk", "attempt").first()
        took = found and Shard.objects.filter(pk=found[0], state=Shard.State.QUEUED).update(
            state=Shard.State.RUNNING,
            lease_token=token,
            lease_expires_at=after(settings.LEASE_SECONDS),
            worker=worker,
            service=service,
            attempt=F("attempt") + 1,
            started_at=Now(),
            heartbeat_at=None,
            finished_at=None,
            samples=[],
            error="",
        )
        if not found or not took:
            transaction.set_rollback(True)
            return None
        Job.objects.filter(pk=job_id).update(attempt=found[1] + 1)
    return Lease(job_id=job_id, shard_id=found[0], token=token, worker=worker, service=service)


def _held(lease: Lease) -> QuerySet[Shard]:
    return Shard.objects.filter(pk=lease.shard_id, lease_token=lease.token, state=Shard.State.RUNNING)


def heartbeat(lease: Lease, n_done: int, n_total: int, *, samples: list[list[float]] | None = None) -> None:
    """Say that the work lives, and how far it is.

    Raises LeaseLost when the token is stale, Cancelled when a person asked to stop, and Stopped when the
    job was closed by another shard's failure.
    """
    values = {"n_done": n_done, "n_total": n_total} | ({} if samples is None else {"samples": samples})
    changed = _held(lease).update(heartbeat_at=Now(), lease_expires_at=after(settings.LEASE_SECONDS), **values)
    if not changed:
        raise LeaseLost("The lease has passed to another worker.")
    row = Job.objects.values_list("state", "cancel_requested_at").filter(pk=lease.job_id).first()
    if row is None:
        raise LeaseLost("The job was deleted.")
    state, cancelled = row
    if cancelled is not None:
        raise Cancelled("A person asked the job to stop.")
    if state == Job.State.STALLED:
        Job.objects.filter(pk=lease.job_id, state=Job.State.STALLED).update(state=Job.State.RUNNING)
    elif state not in Job.OPEN_STATES:
        raise Stopped(f"The job is {state}.")


def hold(lease: Lease) -> None:
    """Inside a transaction: make sure that its writes are this lease's to make; nobody takes the shard meanwhile.

    Raises LeaseLost, which undoes the transaction, when the token is stale.
    """
    if not _held(lease).select_for_update().exists():
        raise LeaseLost("The lease has passed to another worker; nothing was written.")


def finish(lease: Lease, n_total: int, *, bundle: Path | None = None, bundle_sha256: str = "") -> None:
    """The shard is done and safe on disk; with the last one the job has succeeded.

    It keeps its token: who asks again, because the answer to the commit was lost, finds that it is done.
    """
    with transaction.atomic():
        lock_job(lease.job_id)
        if Shard.objects.filter(pk=lease.shard_id, lease_token=lease.token, state=Shard.State.SUCCEEDED).exists():
            return
        done = {"state": Shard.State.SUCCEEDED, "n_done": n_total, "n_total": n_total, "finished_at": Now()}
        _write(lease, lease_token=lease.token, **done)
        if bundle is not None:
            Job.objects.filter(pk=lease.job_id).update(bundle_path=str(bundle), bundle_sha256=bundle_sha256)
        settle(lease.job_id, idle=Job.State.RUNNING)


def fail(lease: Lease, sentence: str) -> None:
    """The shard cannot be done; the job fails with the sentence."""
    with transaction.atomic():
        lock_job(lease.job_id)
        _write(lease, state=Shard.State.FAILED, error=sentence, finished_at=Now())
        Job.objects.filter(pk=lease.job_id).update(error=sentence)
        settle(lease.job_id)


def release(lease: Lease) -> None:
    """Give the shard back unfinished, without counting it as an attempt (the worker ends in good order)."""
    with transaction.atomic():
        lock_job(lease.job_id)
        _write(lease, state=Shard.State.QUEUED, attempt=Greatest(F("attempt") - 1, 0))
        settle(lease.job_id)


def drop(lease: Lease) -> None:
    """Stop because a person asked to; what is done is kept."""
    with transaction.atomic():
        lock_job(lease.job_id)
        _write(lease, state=Shard.State.CANCELLED, finished_at=Now())
        settle(lease.job_id)


def rest(job_id: int) -> None:
    """A worker leaves between two shards: unless others are at work, the job waits for a worker again."""
    with transaction.atomic():
        lock_job(job_id)
        settle(job_id)


def _write(lease: Lease, **values: object) -> None:
    if not _held(lease).update(**{"lease_token": "", "lease_expires_at": None, **values}):
        raise LeaseLost("The lease has passed to another worker; nothing was written.")


def lock_job(job_id: int) -> Job | None:
    """The job's row, locked until the transaction ends (SQLite: the transaction itself is the lock).

    Rows that name the job may still be written: reading in does so for long, and commits while it holds a shard.
    """
    return Job.objects.select_for_update(no_key=True).filter(pk=job_id).first()


def settle(job_id: int, *, idle: str = Job.State.QUEUED) -> str:
    """Bring an open job's state in line with its shards. Call it with the job locked; `idle` is for work
    that is left while nobody works."""
    job = Job.objects.filter(pk=job_id).first()
    if job is None or not job.is_open:
        return job.state if job else ""
    states = set(Shard.objects.filter(job_id=job_id).order_by().values_list("state", flat=True).distinct())
    if states == {Shard.State.SUCCEEDED}:
        return _close(job, Job.State.SUCCEEDED)
    if Shard.State.FAILED in states:
        return _close(job, Job.State.FAILED)
    if Shard.State.RUNNING in states:
        return job.state
    if job.cancel_requested_at is not None:
        Shard.objects.filter(job_id=job_id, state=Shard.State.QUEUED).update(state=Shard.State.CANCELLED)
        return _close(job, Job.State.CANCELLED)
    Job.objects.filter(pk=job_id).update(state=idle)
    return idle


def _close(job: Job, state: str) -> str:
    Job.objects.filter(pk=job.pk).update(state=state, finished_at=Now())
    job.refresh_from_db()
    job_ended.send_robust(sender=Job, job=job)
    return state
