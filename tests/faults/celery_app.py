"""The project's Celery app over the fake pipeline: `celery -A tests.faults.celery_app worker`."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.faults.settings")

import django

django.setup()

from compute.jobs import signals  # noqa: E402
from quantaweb.celery import app  # noqa: E402
from tests.faults.worker import use_fake_pipeline  # noqa: E402

use_fake_pipeline()
signals.bundle_ready.receivers = []
__all__ = ["app"]
