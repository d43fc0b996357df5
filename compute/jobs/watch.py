"""Looks after a Celery worker from a thread of its parent: says that it lives, and ends it when it no longer consumes.

A consumer can stall after its connection was cut and made again: the process runs, and takes nothing. Whoever started
it starts it again when it ends; nothing else would notice.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable

from django.conf import settings
from django.db import DatabaseError, connection

from compute.jobs import workers
from compute.jobs.process import TEMPORARY_FAILURE
from compute.jobs.wake import n_messages

logger = logging.getLogger(__name__)
STALLED_ROUNDS = 4  # heartbeats in a row that found the consumer stalled
_FORK_PATIENCE = 5.0  # seconds that a new child waits until the thread has closed its connections
_quiet = threading.Lock()  # held while the thread has connections open, which a child must not inherit
_is_held_for_fork = False


class Watch:
    """One round every heartbeat; the event loop calls `tick`, which it can only while it runs."""

    def __init__(
        self, service: str, queues: Iterable[str], *, n_taken: Callable[[], int], is_busy: Callable[[], bool]
    ) -> None:
        self._service, self._queues = service, list(queues)
        self._n_taken, self._is_busy = n_taken, is_busy
        self._ticked = True
        self._last_taken = -1
        self.n_stalled = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
        self._thread.start()

    def stop(self) -> None:
        """The worker ends in good order."""
        self._stop.set()
        self._thread.join(_FORK_PATIENCE)
        try:
            workers.leave(self._service)
        except DatabaseError as error:
            logger.info("worker %s: its row stays (%s)", self._service, type(error).__name__)
        connection.close()

    def tick(self) -> None:
        """Called by the event loop, which runs only while the consumer is connected."""
        self._ticked = True
        workers.touch_alive()

    def _run(self) -> None:
        self._say_alive()
        while not self._stop.wait(settings.HEARTBEAT_SECONDS):
            self._say_alive()
            self.look()
            if self.n_stalled >= STALLED_ROUNDS and not self._stop.is_set():
                self._end()
                return

    def _say_alive(self) -> None:
        with _quiet:
            try:
                if not workers.seen(self._service):
                    workers.announce(self._service, "celery", self._queues)
            except DatabaseError as error:
                logger.warning("the worker cannot say that it lives (%s)", type(error).__name__)
            finally:
                connection.close()

    def look(self) -> None:
        """One round: messages wait, and either the loop stands still, or nothing is taken and nobody is at work."""
        taken = self._n_taken()
        took, self._last_taken = taken != self._last_taken, taken
        ticked, self._ticked = self._ticked, False
        if took or (ticked and self._is_busy()):
            self.n_stalled = 0
            return
        with _quiet:
            waiting = sum(n_messages(queue) for queue in self._queues)
        self.n_stalled = self.n_stalled + 1 if waiting else 0

    def _end(self) -> None:
        """Ask for a warm end, which gives children time; then end in any case."""
        logger.error("this worker takes no messages, though some wait; it ends, to be started again")
        os.kill(os.getpid(), signal.SIGTERM)
        self._stop.wait(settings.GRACE_SECONDS + 10)
        os._exit(TEMPORARY_FAILURE)


def _before_fork() -> None:
    global _is_held_for_fork
    _is_held_for_fork = _quiet.acquire(timeout=_FORK_PATIENCE)


def _after_fork() -> None:
    if _is_held_for_fork:  # else the thread holds it still, and releases it itself
        _quiet.release()


def _in_child() -> None:
    global _quiet
    _quiet = threading.Lock()
