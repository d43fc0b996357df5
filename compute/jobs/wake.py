"""Telling workers that a job has something to claim. A message is only a wake-up; losing one is harmless."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from compute.models import Job

if TYPE_CHECKING:
    from celery import Celery

logger = logging.getLogger(__name__)
TASK = "compute.run_next"


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
        try:
            _producer().send_task(TASK, args=[job_id], queue=queue_name(), retry=False)
        except Exception as error:  # any transport's own error
            logger.warning("job %s waits for the broker: %s", job_id, type(error).__name__)
            Job.objects.filter(pk=job_id).update(woken_at=None)
            return False
    Job.objects.filter(pk=job_id).update(woken_at=Now())
    return True


def queue_name() -> str:
    return "gpu" if device().startswith("cuda") else "cpu"


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
