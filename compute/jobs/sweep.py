"""Putting right what lost workers and lost messages leave behind. Any process may sweep, any number of times."""

from __future__ import annotations

import logging
import shutil
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce, Now

from compute.jobs import identity, log, places
from compute.jobs.lease import after, claimable, lock_job, rest, settle, waiting_jobs
from compute.jobs.wake import wake
from compute.models import Job, Shard, Worker

logger = logging.getLogger(__name__)
KEEP = timedelta(days=7)  # working files of failed and cancelled jobs
_COUNTS = {1: "once", 2: "twice", 3: "three times"}


def sweep() -> None:
    """One round: expired leases, silent workers, forgotten wake-ups."""
    shorten_leases()
    requeue(expired(), "its worker fell silent")
    mark_stalled()
    resend()
    Worker.objects.filter(seen_at__lt=after(-86400)).delete()


def expired() -> QuerySet[Shard]:
    """Running shards whose lease has ended; one without a lease counts from its last sign of life."""
    alive = Coalesce("heartbeat_at", "started_at")
    return Shard.objects.alias(alive=alive).filter(
        Q(lease_expires_at__lte=Now())
        | Q(lease_expires_at=None, alive__lte=after(-settings.LEASE_SECONDS))
        | Q(lease_expires_at=None, alive=None),
        state=Shard.State.RUNNING,
    )


def shorten_leases() -> None:
    """No lease lasts longer than one that is given now: the database's clock was set back since it was.

    Without this, what a lost worker held would wait as long as the clock was set back.
    """
    most = after(settings.LEASE_SECONDS)
    Shard.objects.filter(state=Shard.State.RUNNING, lease_expires_at__gt=most).update(lease_expires_at=most)


def held_by(worker: str) -> QuerySet[Shard]:
    return Shard.objects.filter(state=Shard.State.RUNNING, worker=worker)


def held_by_process(pid: int) -> QuerySet[Shard]:
    """What a process of this name space held that has ended: no other has had its id since."""
    return _of_process(pid).filter(state=Shard.State.RUNNING)


def has_worked(job_id: int, pid: int) -> bool:
    """Whether a process of this name space was the last to hold any shard of the job."""
    return _of_process(pid).filter(job_id=job_id).exists()


def _of_process(pid: int) -> QuerySet[Shard]:
    return Shard.objects.filter(worker__startswith=identity.here(), worker__endswith=f":{pid}")


def requeue(shards: QuerySet[Shard], why: str) -> int:
    """Take shards from workers that are gone; the third time a shard loses its worker, its job fails."""
    count = 0
    for shard in list(shards):
        with transaction.atomic():
            job = lock_job(shard.job_id)
            if job is not None and _requeue_one(job, shard, shards, why):
                count += 1
        wake_if_open(shard.job_id)
    return count


def _requeue_one(job: Job, shard: Shard, shards: QuerySet[Shard], why: str) -> bool:
    lost = job.is_open and job.cancel_requested_at is None and shard.attempt >= job.max_attempts
    times = _COUNTS.get(shard.attempt, f"{shard.attempt} times")
    sentence = f"The shard {shard.name} ({shard.phase}) lost its worker {times}; the worker's log may say why."
    state = Shard.State.FAILED if lost else Shard.State.QUEUED
    took = shards.filter(pk=shard.pk, lease_token=shard.lease_token).update(
        state=state, lease_token="", lease_expires_at=None, heartbeat_at=None, error=sentence if lost else ""
    )
    if not took:
        return False
    if lost:
        Job.objects.filter(pk=job.pk).update(error=sentence)
        log.write(job.pk, sentence, level="error")
    else:
        log.warn(job.pk, f"{shard.phase}: {why} at {shard.n_done:,} of {shard.n_total:,}, queued again")
    settle(job.pk)
    return True


def give_up(job_id: int, sentence: str) -> None:
    """Fail a job that no worker can be started for."""
    with transaction.atomic():
        if lock_job(job_id) is not None and claimable(job_id).exists():
            shard = claimable(job_id)[0]
            Shard.objects.filter(pk=shard.pk).update(state=Shard.State.FAILED, error=sentence)
            Job.objects.filter(pk=job_id).update(error=sentence)
            settle(job_id)
            log.write(job_id, sentence, level="error")


def wake_if_open(job_id: int) -> None:
    if claimable(job_id).exists():
        wake(job_id)


def mark_stalled() -> None:
    """Running jobs none of whose workers was heard of lately; a heartbeat makes them running again."""
    alive = Coalesce("heartbeat_at", "started_at")
    running = Shard.objects.alias(alive=alive).filter(state=Shard.State.RUNNING)
    fresh = running.filter(alive__gt=after(-settings.STALLED_SECONDS))
    silent = running.exclude(job__in=fresh.values("job"))
    for job_id in set(silent.values_list("job_id", flat=True)):
        if Job.objects.filter(pk=job_id, state=Job.State.RUNNING).update(state=Job.State.STALLED):
            log.warn(job_id, "stalled: no heartbeat")


def resend() -> None:
    """Wake workers again for jobs that have had something to claim for long while nobody works on them."""
    idle = waiting_jobs().exclude(shards__state=Shard.State.RUNNING)
    lately = Shard.objects.filter(finished_at__gt=after(-settings.STALLED_SECONDS)).values("job_id")
    lost = idle.filter(state=Job.State.RUNNING).exclude(pk__in=lately)  # a worker was lost between two shards
    for job_id in list(lost.values_list("pk", flat=True)):
        rest(job_id)
        wake(job_id)
    forgotten = idle.filter(
        Q(woken_at=None)
        | Q(woken_at__lte=after(-settings.RESEND_SECONDS))
        | Q(woken_at__gt=after(settings.RESEND_SECONDS))
    )
    for job_id in list(forgotten.values_list("pk", flat=True)):
        wake(job_id)


def forget_files(job: Job) -> None:
    """Remove a closed job's working files, and note that they are gone; resuming it starts anew."""
    folder = places.workspace_of(job)
    if Path(settings.WORKSPACE_DIR) not in folder.parents:
        logger.warning("job %s: its working folder lies elsewhere and is left alone", job.pk)
        return
    gone = Job.objects.filter(pk=job.pk).exclude(state__in=Job.OPEN_STATES).update(workspace="")
    if gone:
        shutil.rmtree(folder, ignore_errors=True)


def requeue_dead_here() -> int:
    """Shards held by processes of this machine that no longer run: no need to wait for their leases.

    Only processes that can be seen from here are judged: those of other hosts and of other containers are not.
    """
    count = 0
    names = Shard.objects.filter(state=Shard.State.RUNNING, worker__startswith=identity.here())
    for worker in set(names.values_list("worker", flat=True)):
        if identity.is_dead(worker):
            count += requeue(held_by(worker), "its worker was ended")
    return count
