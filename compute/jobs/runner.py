"""The local runner: looks into the database and starts one child process a job. Needs no broker."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from compute.jobs import identity, log, process, sweep, workers
from compute.jobs.lease import next_jobs
from compute.jobs.signals import swept

logger = logging.getLogger(__name__)
_MORE_GRACE = 10  # seconds for a child, over those in which it gives its shard back itself
_SLOWEST_POLL = 2.0
_MAX_STARTS = 5  # a job whose child dies so often before it claims anything is failed
_NO_START = "The worker process cannot be started ({how}, {n} times); its log in the data folder says why."


@dataclass
class Child:
    """One job's process."""

    job_id: int
    process: subprocess.Popen[bytes]


class Runner:
    """Polls, sweeps, starts and reaps. With QW_RUNNER=celery it only sweeps, and the workers do the rest."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        manage = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py")]
        self.command = list(command or [*manage, "run_job", "--parent", str(os.getpid())])
        self.name = identity.own_name()
        self.child: Child | None = None
        self._stop = threading.Event()
        self._swept = self._touched = float("-inf")
        self._pause = float(settings.POLL_SECONDS)
        self._early_deaths: dict[int, int] = {}
        self._not_before: dict[int, float] = {}

    def ask_to_stop(self, *_: object) -> None:
        """Safe in a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Work until asked to stop; then give the child time to keep what it has done."""
        try:
            while not self._stop.is_set():
                try:
                    self._pause = settings.POLL_SECONDS if self.tick() else min(self._pause * 1.5, _SLOWEST_POLL)
                except DatabaseError as error:
                    logger.warning("the database cannot be read (%s); trying again", type(error).__name__)
                    connection.close()
                    self._pause = _SLOWEST_POLL
                self._stop.wait(self._pause)
        finally:
            self.stop_child()
            self._leave()
            self._checkpoint_database()
            connection.close()

    def tick(self) -> bool:
        """One round; True while there is something to do."""
        close_old_connections()
        now = time.monotonic()
        if now - self._touched >= settings.HEARTBEAT_SECONDS:
            workers.touch_alive()
            if not workers.seen(self.name):
                is_local = settings.RUNNER == "local"
                workers.announce(self.name, "local" if is_local else "sweeper", settings.QUEUES if is_local else ())
            self._touched = now
        if now + self._pause - self._swept > settings.SWEEP_SECONDS:  # the next look would be too late
            sweep.requeue_dead_here()
            sweep.sweep()
            swept.send(sender=Runner)
            self._swept = now
        if settings.RUNNER != "local":
            return False
        if self.child is not None:
            self._reap()
        if self.child is None and (job_id := self._next_job()) is not None:
            self._start(job_id)
        return self.child is not None

    def _next_job(self) -> int | None:
        now = time.monotonic()
        waiting = {job for job, until in self._not_before.items() if until > now}
        return next((job for job in next_jobs(settings.QUEUES) if job not in waiting), None)

    def _start(self, job_id: int) -> None:
        try:
            with process.append_log(Path(settings.DATA_DIR) / "logs" / f"job-{job_id}.log") as file:
                self.child = Child(job_id, process.start([*self.command, str(job_id)], stderr=file))
        except OSError as error:  # a full disk, say: the runner itself lives on
            self._died_early(job_id, f"could not be started ({error.strerror})")

    def _reap(self) -> None:
        """Take note of a child that has ended; one that died gives its shard back at once."""
        child = self.child
        assert child is not None  # noqa: S101
        code = child.process.poll()
        if code is None:
            return
        self.child = None
        process.kill_group(child.process)
        how = process.ended(code)
        has_worked = sweep.has_worked(child.job_id, child.process.pid)
        sweep.requeue(sweep.held_by_process(child.process.pid), f"its worker {how}")
        if code not in (0, process.TEMPORARY_FAILURE) and not has_worked:
            self._died_early(child.job_id, how)
        else:
            self._early_deaths.pop(child.job_id, None)

    def _died_early(self, job_id: int, how: str) -> None:
        deaths = self._early_deaths[job_id] = self._early_deaths.get(job_id, 0) + 1
        self._not_before[job_id] = time.monotonic() + min(2.0**deaths, 60)
        log.warn(job_id, f"the worker process {how} before it took a shard")
        if deaths >= _MAX_STARTS:
            self._early_deaths.pop(job_id)
            sentence = _NO_START.format(how=how, n=deaths)
            sweep.give_up(job_id, sentence)

    def stop_child(self) -> None:
        """End the child's whole group, and give back what it could not."""
        if self.child is None:
            return
        code = process.stop(self.child.process, grace=settings.GRACE_SECONDS + _MORE_GRACE)
        try:
            sweep.requeue(sweep.held_by_process(self.child.process.pid), f"its worker {process.ended(code)}")
        except DatabaseError as error:
            logger.warning("the shard could not be given back (%s); its lease will end", type(error).__name__)
        self.child = None

    def _leave(self) -> None:
        try:
            workers.leave(self.name)
        except DatabaseError as error:
            logger.info("the runner's row stays (%s)", type(error).__name__)

    def _checkpoint_database(self) -> None:
        """Leave SQLite's write-ahead log empty."""
        if connection.vendor == "sqlite":
            try:
                with connection.cursor() as cursor:
                    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except DatabaseError as error:
                logger.info("the write-ahead log stays as it is: %s", type(error).__name__)
