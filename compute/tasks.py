"""Celery's entry points: fetch, run, report. A message is only a wake-up; the database owns the job."""

from __future__ import annotations

import logging
import mmap

from celery import shared_task
from celery.signals import worker_shutting_down

from compute.jobs import sweep
from compute.jobs.run import Outcome, run_next_shard, touch_worker, worker_name
from compute.jobs.wake import TASK, wake

logger = logging.getLogger(__name__)
_stopping = mmap.mmap(-1, 1)  # shared with the pool's processes, which are forked from this one


@worker_shutting_down.connect
def _on_shutdown(**_: object) -> None:
    """Runs in the parent; the child reads the flag at its next report, keeps what is done and gives it back."""
    _stopping[0] = 1


def _why_stop() -> str:
    return "The worker is being stopped." if _stopping[0] else ""


@shared_task(name=TASK, acks_late=False)
def run_next(job_id: int) -> None:
    """Claim one shard of the job and work on it; ask other workers for the rest at once, and again at the end."""
    if _why_stop():
        wake(job_id)
        return
    name = worker_name()
    touch_worker(name, "celery")
    outcome = run_next_shard(job_id, worker=name, why_stop=_why_stop, on_claim=sweep.wake_if_open)
    if outcome is Outcome.NOTHING:
        logger.info("job %s: nothing to claim, message dropped", job_id)
    else:
        sweep.wake_if_open(job_id)


@shared_task(name="compute.sweep", acks_late=False)
def sweep_now() -> None:
    sweep.sweep()
