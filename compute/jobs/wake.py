"""Telling workers that a job has something to claim. A message is only a wake-up; losing one is harmless."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from compute.jobs.lease import next_jobs
from compute.models import Job

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger(__name__)
TASK = "compute.run_next"
MOST_WAITING = 32  # wake-ups in one queue, after which workers add none


def device() -> str:
    """The device that workers compute on; a queue of the same kind serves it."""
    return str(settings.DEVICE)


def wake_on_commit(job_id: int) -> None:
    transaction.on_commit(lambda: wake(job_id))


def wake(job_id: int) -> bool:
    """Send a wake-up where workers wait for one; False when the broker cannot be reached.

    The local runner looks into the database by itself, and a sweep re-sends what was lost.
    """
    if settings.RUNNER == "celery":
        queue = Job.objects.values_list("queue", flat=True).filter(pk=job_id).first()
        try:
            _producer().send_task(TASK, args=[job_id], queue=queue or device_queue(), retry=False)
        except Exception as error:  # any transport's own error
            logger.warning("job %s waits for the broker: %s", job_id, type(error).__name__)
            Job.objects.filter(pk=job_id).update(woken_at=None)
            return False
    Job.objects.filter(pk=job_id).update(woken_at=Now())
    return True


def pass_on(queues: Iterable[str]) -> None:
    """A worker has taken a shard, or has come to its end: others shall know what is left in these queues.

    A wake-up serves whichever shard is best, so a queue that holds many of them already needs no more.
    """
    if settings.RUNNER != "celery":
        return
    for queue in queues:
        waiting = next_jobs([queue])
        if waiting and n_messages(queue) < MOST_WAITING:
            wake(waiting[0])


def device_queue() -> str:
    """The queue of work for the device that workers compute on."""
    return Job.Queue.GPU if device().startswith("cuda") else Job.Queue.CPU


def n_messages(queue: str) -> int:
    """How many messages wait; none where the broker knows no such queue, or does not answer."""
    try:
        with _producer().producer_or_acquire() as producer:
            return int(producer.channel.queue_declare(queue=queue, passive=True).message_count)
    except Exception as error:  # any transport's own error
        logger.debug("queue %s: %s", queue, type(error).__name__)
        return 0


@cache
def _producer() -> Celery:
    from celery import Celery

    app = Celery("quantaweb", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        "socket_connect_timeout": 3,
        "socket_timeout": 5,
    }
    return app
