"""Celery's entry points: fetch, run, report. A message is only a wake-up; the database owns the job.

Messages are acknowledged early: a broker that is told late gives a message to somebody else while its work still runs.
What a lost worker held comes back when its lease ends.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import threading
import time
from typing import Any

from celery import current_app, shared_task
from celery.signals import worker_process_init, worker_ready, worker_shutdown, worker_shutting_down
from django.db import DatabaseError, connection

from compute.jobs import identity, process, sweep
from compute.jobs.lease import next_jobs
from compute.jobs.patience import AWAY
from compute.jobs.run import Outcome, run_next_shard
from compute.jobs.wake import TASK, pass_on, wake
from compute.jobs.watch import Watch
from compute.models import Job

logger = logging.getLogger(__name__)
TICK_SECONDS = 2.0
# that a child goes on with a job's shards: loading torch anew for each would cost more than many do
GO_ON_SECONDS = 60.0
_SERVICE = identity.own_name()  # of the worker: its children are forked from the process that read this file
_stopping = mmap.mmap(-1, 1)  # shared with the children
_asked = threading.Event()  # this child alone was asked to end
_at_work = threading.Event()
_watch: Watch | None = None


@worker_shutting_down.connect
def _on_shutdown(**_: object) -> None:
    """Runs in the parent; the child reads the flag at its next report, keeps what is done and gives it back."""
    _stopping[0] = 1


@worker_ready.connect
def _on_ready(sender: Any, **_: object) -> None:
    """Runs in the parent, once it consumes."""
    global _watch
    from celery.worker import state

    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        _tell_children_first(number)
    _watch = Watch(
        _SERVICE,
        served_queues(),
        n_taken=lambda: sum(state.total_count.values()),
        is_busy=lambda: bool(state.reserved_requests),
    )
    if sender.hub is not None:
        sender.hub.timer.call_repeatedly(TICK_SECONDS, _watch.tick)
    _watch.start()


@worker_shutdown.connect
def _on_end(**_: object) -> None:
    if _watch is not None:
        _watch.stop()


def _tell_children_first(number: int) -> None:
    """Celery says that it shuts down after it has waited for its children, where it ends cold: too late for them."""
    before = signal.getsignal(number)

    def told(received: int, frame: Any) -> None:
        _stopping[0] = 1
        signal.signal(number, before)
        if callable(before):
            before(received, frame)

    signal.signal(number, told)


@worker_process_init.connect
def _on_child(**_: object) -> None:
    """Runs in each child: it ends in good order with its parent, and when it alone is asked to."""
    before = signal.getsignal(signal.SIGTERM)

    def asked(received: int, _frame: object) -> None:
        _asked.set()
        if not _at_work.is_set():
            signal.signal(received, before if callable(before) else signal.SIG_DFL)
            os.kill(os.getpid(), received)

    signal.signal(signal.SIGTERM, asked)
    process.die_with_parent(os.getppid())


def _why_stop() -> str:
    return "The worker is being stopped." if _stopping[0] or _asked.is_set() else ""


def served_queues() -> list[str]:
    """The queues of jobs that this worker takes messages from."""
    consumed = current_app.amqp.queues.consume_from
    return [queue for queue in Job.Queue.values if queue in consumed]


@shared_task(name=TASK, acks_late=False)
def run_next(job_id: int) -> None:
    """Claim the best shard of this worker's queues and work on it; ask others for the rest at once, and at the end.

    The message names the job that it was sent for; a more urgent one goes first. A process that has loaded what a job
    needs goes on with it for a minute, as long as nothing goes before it.
    """
    if _why_stop():
        wake(job_id)
        return
    _at_work.set()
    queues = served_queues()
    try:
        if _work_for_a_while(queues):
            pass_on(queues)
        else:
            logger.info("job %s: nothing to claim, message dropped", job_id)
    except AWAY as error:
        logger.warning("job %s: the database is away (%s); a sweep sends it again", job_id, type(error).__name__)
    finally:
        _at_work.clear()
        connection.close()


def _work_for_a_while(queues: list[str]) -> int:
    """Shards of one job, one after the other; how many were claimed."""
    claimed: list[int] = []

    def on_claim(job_id: int) -> None:
        claimed.append(job_id)
        pass_on(queues)

    until = time.monotonic() + GO_ON_SECONDS
    outcome = Outcome.DONE
    while outcome is Outcome.DONE and not _why_stop() and time.monotonic() < until:
        if claimed and next_jobs(queues)[:1] != claimed[-1:]:
            break
        outcome = run_next_shard(
            claimed[-1] if claimed else None,
            worker=identity.own_name(),
            service=_SERVICE,
            queues=queues,
            why_stop=_why_stop,
            on_claim=on_claim,
        )
    return len(claimed)


@shared_task(name="compute.sweep", acks_late=False)
def sweep_now() -> None:
    try:
        sweep.sweep()
    except DatabaseError as error:
        logger.warning("not swept: the database is away (%s)", type(error).__name__)
