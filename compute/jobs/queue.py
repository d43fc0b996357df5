"""What people ask of jobs: start, cancel, resume, take over. The database is the only truth about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce, Now

from compute import methods
from compute.config import RunConfig
from compute.jobs import log, quotas
from compute.jobs.lease import after, lock_job, settle
from compute.jobs.signals import job_steered
from compute.jobs.wake import device_queue, wake_on_commit
from compute.labs.settings import LabConfig
from compute.models import Job, Shard

if TYPE_CHECKING:
    from django.contrib.auth.models import User

BUNDLE = "bundle"  # the last phase of the computing
INGEST = "ingest"  # the last phase: the bundle becomes rows


class JobStateError(Exception):
    """What was asked does not fit the state that the job is in."""


def enqueue(
    config: RunConfig | LabConfig,
    requested_by: User | None = None,
    *,
    kind: str = methods.QDG,
    is_private: bool = False,
    priority: int = Job.Priority.NORMAL,
    prepare: Callable[[Job], object] = lambda job: None,
) -> Job:
    """Write a job and its shards, with the rows that `prepare` adds, in one transaction; workers hear of it after the
    commit."""
    specs = methods.plan(kind, config)
    phases = list(dict.fromkeys(spec.phase for spec in specs))
    with transaction.atomic():
        quotas.check_site(requested_by)
        job = Job.objects.create(
            kind=kind,
            name=config.name,
            config=config.to_json(),
            requested_by=requested_by,
            is_private=is_private,
            queue=device_queue(),
            priority=priority,
        )
        job.workspace = str(Path(settings.WORKSPACE_DIR) / f"job-{job.pk}")
        Job.objects.filter(pk=job.pk).update(workspace=job.workspace, created_at=Now())
        shards = [Shard(job=job, phase_number=phases.index(spec.phase), **dataclasses.asdict(spec)) for spec in specs]
        shards.append(_ingest_shard(job, ordinal=len(specs), phase_number=len(phases)))
        Shard.objects.bulk_create(shards)
        prepare(job)
        log.write(job.pk, f"asked for: {len(shards)} shards in {len(phases) + 1} phases")
        job_steered.send(sender=Job, job=job, action="start", user=requested_by)
        wake_on_commit(job.pk)
    return job


def _ingest_shard(job: Job, *, ordinal: int, phase_number: int) -> Shard:
    return Shard(
        job=job,
        ordinal=ordinal,
        phase=INGEST,
        phase_number=phase_number,
        phase_ordinal=0,
        name=job.name,
        unit="bundles",
        n_total=1,
    )


def cancel(job: Job, user: User | None = None) -> Job:
    """Ask a job to stop. Work under way ends at its next report, and what is done is kept."""
    who = user.get_username() if user is not None else ""
    with transaction.atomic():
        lock_job(job.pk)
        asked = Job.objects.filter(pk=job.pk, state__in=Job.OPEN_STATES, cancel_requested_at=None).update(
            cancel_requested_at=Now(), cancelled_by=who
        )
        if not asked:
            raise JobStateError(_cannot(job, "cancelled"))
        if Job.objects.filter(pk=job.pk, state=Job.State.STALLED).exists():  # nobody is there to hear it
            free(running(job)).update(state=Shard.State.CANCELLED, finished_at=Now())
        job_steered.send(sender=Job, job=job, action="cancel", user=user)
        settle(job.pk)
        log.write(job.pk, f"cancelled by {who}" if who else "cancelled")
    job.refresh_from_db()
    return job


def resume(job: Job, user: User | None = None) -> Job:
    """Queue a failed or cancelled job again; shards that are done stay done."""
    who = user.get_username() if user is not None else ""
    with transaction.atomic():
        locked = lock_job(job.pk)
        if locked is None or locked.state not in (Job.State.FAILED, Job.State.CANCELLED):
            raise JobStateError(_cannot(job, "resumed"))
        _queue_again(locked)
        log.write(job.pk, f"resumed by {who}" if who else "resumed")
        job_steered.send(sender=Job, job=job, action="resume", user=user)
        wake_on_commit(job.pk)
    job.refresh_from_db()
    return job


def _queue_again(job: Job) -> None:
    kept = Path(settings.WORKSPACE_DIR) / f"job-{job.pk}"
    shards = Shard.objects.filter(job=job)
    left = shards
    if job.workspace:
        could_not_read = shards.filter(phase=INGEST, state=Shard.State.FAILED).exists()  # a damaged bundle, say
        left = shards.filter(~Q(state=Shard.State.SUCCEEDED) | (Q(phase=BUNDLE) if could_not_read else Q(pk=None)))
    free(left).update(state=Shard.State.QUEUED, attempt=0, error="", started_at=None, finished_at=None, samples=[])
    Job.objects.filter(pk=job.pk).update(
        state=Job.State.QUEUED,
        workspace=str(kept),
        error="",
        cancel_requested_at=None,
        cancelled_by="",
        finished_at=None,
        attempt=0,
    )


def take_over(job: Job, user: User | None = None) -> Job:
    """Take silent workers' shards away now, without waiting for their leases to end; who was heard of keeps theirs."""
    who = user.get_username() if user is not None else ""
    with transaction.atomic():
        locked = lock_job(job.pk)
        if locked is None or not running(locked).exists():
            raise JobStateError(_cannot(job, "taken over"))
        heard = running(locked).annotate(sign=Coalesce("heartbeat_at", "started_at"), now=Now())
        silent = heard.exclude(sign__gt=after(-_silence()))
        if not silent.exists():
            raise JobStateError(_is_heard(job, [(one.now - one.sign).total_seconds() for one in heard]))
        free(silent).update(state=Shard.State.QUEUED)
        settle(job.pk)
        log.warn(job.pk, f"taken over{' by ' + who if who else ''}: the shard is queued again")
        job_steered.send(sender=Job, job=job, action="take-over", user=user)
        wake_on_commit(job.pk)
    job.refresh_from_db()
    return job


def _silence() -> float:
    """Seconds after which a worker whose heart beats would have been heard of."""
    return 2.0 * settings.HEARTBEAT_SECONDS


def _is_heard(job: Job, ages: list[float]) -> str:
    return (
        f"Job {job.pk} cannot be taken over: its worker was heard {max(ages):.0f} s ago, and would do the same work "
        f"beside the next one. Wait until it has been silent for {_silence():.0f} s, or cancel the job."
    )


def prioritise(job: Job, priority: int, user: User | None = None) -> Job:
    """Have an open job go before others, or after them; it counts from the next shard that is claimed."""
    who = user.get_username() if user is not None else ""
    with transaction.atomic():
        locked = lock_job(job.pk)
        if locked is None or not locked.is_open:
            raise JobStateError(_cannot(job, "given another priority"))
        Job.objects.filter(pk=job.pk).update(priority=priority)
        log.write(job.pk, f"priority {Job.Priority(priority).label}{', by ' + who if who else ''}")
        job_steered.send(sender=Job, job=job, action="prioritise", user=user)
        wake_on_commit(job.pk)
    job.refresh_from_db()
    return job


def running(job: Job) -> QuerySet[Shard]:
    return Shard.objects.filter(job=job, state=Shard.State.RUNNING)


def free(shards: QuerySet[Shard]) -> QuerySet[Shard]:
    """The same shards, their leases ended: from here on their workers' tokens are stale."""
    ids = list(shards.values_list("pk", flat=True))
    held = Shard.objects.filter(pk__in=ids)
    held.update(lease_token="", lease_expires_at=None, heartbeat_at=None)
    return held


def _cannot(job: Job, what: str) -> str:
    state = Job.objects.filter(pk=job.pk).values_list("state", flat=True).first()
    if state is None:
        return f"Job {job.pk} no longer exists."
    if what == "cancelled" and state in Job.OPEN_STATES:
        return f"Job {job.pk} is being cancelled already."
    if what == "taken over" and state in Job.OPEN_STATES:
        return f"No worker holds a shard of job {job.pk}; it waits for one."
    return f"Job {job.pk} is {state}; it cannot be {what}."
