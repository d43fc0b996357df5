"""Keeps one lease alive from a thread of its own, so that computing never waits for the database."""

from __future__ import annotations

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection

from compute.errors import Cancelled
from compute.jobs import log, sweep, workers
from compute.jobs.lease import Lease, LeaseLost, Stopped, drop, heartbeat, release
from compute.jobs.process import TEMPORARY_FAILURE
from compute.jobs.room import refuse_when_full
from compute.models import Shard
from compute.processor import Processor

logger = logging.getLogger(__name__)
TICK_SECONDS = 1.0  # progress is written at most so often
_MAX_SAMPLES = 160


class Keeper:
    """Heartbeats for one shard. The work calls `report`; it raises as soon as the work has to end.

    The thread writes progress when it has changed, and a heartbeat every HEARTBEAT_SECONDS in any case. When the
    lease runs out because the database cannot be reached, the work ends at its next report; when it makes none,
    the process ends itself: another worker may hold the shard by then. Work that for STUCK_SECONDS neither reports
    nor uses the processor, while its heart beats, is hung: it is given up, and the process ends. Work that was asked
    to end and makes no report for GRACE_SECONDS is given back from here, and the process ends.
    """

    def __init__(self, lease: Lease, *, label: str, n_total: int, why_stop: Callable[[], str]) -> None:
        self._lease = lease
        self._label = label
        self._why_stop = why_stop
        self._progress = (0, n_total)
        self._written: tuple[int, int] | None = None
        self._samples: list[list[float]] = []
        self._reason: Cancelled | None = None
        self._done = threading.Event()
        self._started = time.monotonic()
        self._deadline = self._started + settings.LEASE_SECONDS
        self._last_beat = self._started
        self._asked_to_stop: float | None = None
        self._reported = self._look_around = self._started
        self._gpu: dict[str, Any] = {}
        self._processor = Processor()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{lease.shard_id}", daemon=True)

    def __enter__(self) -> Keeper:
        refuse_when_full()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def report(self, n_done: int, n_total: int) -> None:
        """Note progress; raises Cancelled, Stopped or LeaseLost when the work has to end."""
        self._progress = (int(n_done), int(n_total))
        self._reported = time.monotonic()
        self.check()
        if self._reported >= self._look_around:
            self._look_around = self._reported + TICK_SECONDS
            self._gpu = workers.gpu()
            refuse_when_full()

    @property
    def n_total(self) -> int:
        """The total as last reported."""
        return self._progress[1]

    def check(self) -> None:
        if self._reason is None and time.monotonic() > self._deadline:
            self._reason = LeaseLost("No heartbeat reached the database before the lease ran out.")
        if self._reason is None and (why := self._why_stop()):
            self._reason = Stopped(why)
        if self._reason is not None:
            raise self._reason

    def _run(self) -> None:
        try:
            while not self._done.wait(min(TICK_SECONDS, settings.HEARTBEAT_SECONDS)):
                self._tick()
        finally:
            connection.close()  # this thread's own

    def _tick(self) -> None:
        now = time.monotonic()
        beat = now - self._last_beat >= settings.HEARTBEAT_SECONDS
        if beat or self._progress != self._written:
            try:
                self._beat(now, log_it=beat)
            except Cancelled as reason:
                self._reason = reason
            except DatabaseError as error:
                logger.warning("shard %s: no heartbeat (%s)", self._lease.shard_id, type(error).__name__)
                connection.close()
        if time.monotonic() > self._deadline and not self._done.is_set():
            self._end_process("the lease ran out without a heartbeat")
        if self._is_stuck(now) and not self._done.is_set():
            self._give_back()
        if self._is_hung(now) and not self._done.is_set():
            self._give_up()

    def _is_stuck(self, now: float) -> bool:
        """Whether the work has gone on for too long since it was asked to end, by its worker or by a person."""
        if self._reason is None and not self._why_stop():
            return False
        self._asked_to_stop = self._asked_to_stop or now
        return now - self._asked_to_stop >= settings.GRACE_SECONDS

    def _is_hung(self, now: float) -> bool:
        """Whether the work has neither reported nor computed for so long that it waits for what never comes."""
        if self._processor.is_busy():
            self._reported = now
        return now - self._reported >= settings.STUCK_SECONDS

    def _give_up(self) -> None:
        """Say where every thread stands, without a value of theirs; give the shard back as one that lost its worker."""
        seconds = round(settings.STUCK_SECONDS)
        logger.error("shard %s: no progress for %s s; where its threads stand:", self._lease.shard_id, seconds)
        faulthandler.dump_traceback(file=2, all_threads=True)
        own = Shard.objects.filter(pk=self._lease.shard_id, lease_token=self._lease.token, state=Shard.State.RUNNING)
        try:
            sweep.requeue(own, f"its worker made no progress for {seconds} s and was ended")
        except DatabaseError as error:
            logger.warning("shard %s: not given back (%s)", self._lease.shard_id, type(error).__name__)
        self._end_process(f"it made no progress for {seconds} s")

    def _give_back(self) -> None:
        is_cancelled = type(self._reason) is Cancelled
        try:
            (drop if is_cancelled else release)(self._lease)
            how = "stopped, as asked: its work" if is_cancelled else "given back by a worker that had to end and"
            log.warn(self._lease.job_id, f"{self._label}: {how} was stuck")
            sweep.wake_if_open(self._lease.job_id)
        except (Cancelled, DatabaseError) as error:
            logger.warning("shard %s: not given back (%s)", self._lease.shard_id, type(error).__name__)
        self._end_process("it was asked to end and is stuck")

    def _beat(self, now: float, *, log_it: bool) -> None:
        progress = self._progress
        self._sample(now - self._started, progress[0])
        heartbeat(self._lease, *progress, samples=self._samples)
        self._written = progress
        self._deadline = now + settings.LEASE_SECONDS
        if log_it:
            self._last_beat = now
            workers.tell_device(self._lease.service, self._gpu)
            if now - self._reported < settings.STUCK_SECONDS:
                workers.touch_alive()
            log.write(self._lease.job_id, f"{self._label}: heartbeat, {progress[0]:,} of {progress[1]:,} done")

    def _sample(self, seconds: float, n_done: int) -> None:
        """Remember the progress now; thin out to every other sample when there are many."""
        self._samples.append([round(seconds, 1), n_done])
        if len(self._samples) > _MAX_SAMPLES:
            self._samples = self._samples[::2]

    def _end_process(self, why: str) -> None:
        logger.error("shard %s: %s; this process ends", self._lease.shard_id, why)
        os._exit(TEMPORARY_FAILURE)
