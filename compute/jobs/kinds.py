"""Jobs that are no run of QDG: one shard each. Whoever knows such work registers it under its kind.

A worker calls the work with the job and a `report(n_done, n_total)`, outside every transaction, at least once: doing it
twice must do no harm. What it finds goes into rows of its own, or into `Job.result`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models.functions import Now

from compute.jobs import log, quotas
from compute.jobs.signals import job_steered
from compute.jobs.wake import device_queue, wake_on_commit
from compute.models import Job, Shard

if TYPE_CHECKING:
    from django.contrib.auth.models import User

Work = Callable[[Job, Callable[[int, int], None]], object]
_WORK: dict[str, Work] = {}
_ON_DEVICE: set[str] = set()


def register(kind: str, work: Work, *, on_device: bool = False) -> None:
    """Say how jobs of this kind are done; for an application's `ready`.

    They need the web host's files and wait in its queue, unless they are computed `on_device`, as runs are.
    """
    _WORK[kind] = work
    if on_device:
        _ON_DEVICE.add(kind)


def queue_of(kind: str) -> str:
    """Where jobs of this kind wait."""
    return Job.Queue.SITE if kind in _WORK and kind not in _ON_DEVICE else device_queue()


def work_of(kind: str) -> Work | None:
    """How a job of this kind is done; None where it is a run of QDG."""
    return _WORK.get(kind)


def enqueue(
    kind: str,
    *,
    name: str,
    config: dict[str, Any],
    requested_by: User | None,
    is_private: bool,
    unit: str = "steps",
    asked: str = "",
    priority: int = Job.Priority.INTERACTIVE,
    prepare: Callable[[Job], object] = lambda job: None,
) -> Job:
    """Write a job of one shard, with the rows that `prepare` adds; workers hear of it after the commit.

    `config` is shown to whoever sees the job; secrets and texts stay in rows of their own. Such work goes before runs:
    it is short, and somebody waits for it.
    """
    if kind not in _WORK:
        raise ValueError(f"No work is registered for jobs of kind {kind!r}; known: {', '.join(sorted(_WORK))}.")
    with transaction.atomic():
        quotas.check_site(requested_by)
        job = Job.objects.create(
            kind=kind,
            name=name[:80],
            config=config,
            requested_by=requested_by,
            is_private=is_private,
            queue=queue_of(kind),
            priority=priority,
        )
        Job.objects.filter(pk=job.pk).update(created_at=Now())  # the age of a queue is the database's to tell
        prepare(job)
        Shard.objects.create(
            job=job, ordinal=0, phase=kind, phase_number=0, phase_ordinal=0, name=name[:200], unit=unit, n_total=1
        )
        if asked:
            log.write(job.pk, f"asked for: {asked}")
        job_steered.send(sender=Job, job=job, action="start", user=requested_by)
        wake_on_commit(job.pk)
    return job
