"""A database that is busy, or starts again, is asked again: nothing that was computed is lost by its absence."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)
AWAY = (OperationalError, InterfaceError)  # what Django raises while a database cannot be reached, or is locked
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  # seconds
T = TypeVar("T")


def patiently(what: str, ask: Callable[[], T], *, seconds: float | None = None) -> T:
    """The answer, as soon as the database gives one; after a lease's time, what it raised last.

    Inside a transaction it asks once: what broke it cannot be mended by asking again.
    """
    for pause in _pauses(settings.LEASE_SECONDS if seconds is None else seconds):
        try:
            return ask()
        except AWAY as error:
            if connection.in_atomic_block:
                raise
            logger.warning("%s: the database does not answer (%s); asking again", what, type(error).__name__)
            connection.close()
            time.sleep(pause)
    return ask()


def _pauses(seconds: float) -> Iterator[float]:
    """Ever longer, and no longer than so many seconds together, by a clock that nobody sets."""
    until, pause = time.monotonic() + seconds, FIRST_PAUSE
    while (left := until - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(pause * 2, LONGEST_PAUSE)
