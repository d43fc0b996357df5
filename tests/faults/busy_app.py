"""As celery_app, but a step multiplies matrices for as long as it would have slept on an idle core."""

import time

import numpy as np

from tests.faults.celery_app import app
from tests.jobs import fake

_SIZE, _SECONDS = 200, 0.0006  # what one product of this size takes a core, roughly: the work is fixed, not the time


def _work(seconds: float) -> None:
    matrix = np.ones((_SIZE, _SIZE))
    for _ in range(round(seconds / _SECONDS)):
        matrix = matrix @ matrix / _SIZE


class _Busy:
    """Stands for the module `time` in the fake pipeline."""

    sleep = staticmethod(_work)
    monotonic = staticmethod(time.monotonic)


fake.time = _Busy  # type: ignore[assignment]
__all__ = ["app"]
