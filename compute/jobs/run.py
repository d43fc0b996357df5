"""Working on a job: claim a shard, compute it, finish it, until nothing is left to claim.

Computing stands outside every transaction; at least once, published once.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.db.models.functions import Now

from compute import pipeline
from compute.config import RunConfig
from compute.errors import BundleError, Cancelled
from compute.jobs import failures, kinds, lease, log
from compute.jobs.keeper import Keeper
from compute.jobs.lease import Lease, LeaseLost, Stopped
from compute.jobs.queue import INGEST
from compute.jobs.signals import bundle_ready
from compute.jobs.sweep import forget_files
from compute.jobs.wake import device
from compute.models import Job, Shard, Worker

logger = logging.getLogger(__name__)
_PAUSES = (1.0, 5.0, 15.0)  # seconds before the database is asked again
OnProgress = Callable[[Shard, int, int], None]


class Outcome(Enum):
    DONE = "done"
    NOTHING = "nothing to claim"
    RELEASED = "given back"
    ENDED = "cancelled or failed"
    LOST = "lost"


class Stop:
    """Why this process has to end; empty while it may go on. Safe to ask for in a signal handler."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._parent: int | None = None

    def ask(self, *_: object) -> None:
        self._event.set()

    def follow(self, parent: int) -> None:
        """Stop when this parent is gone, too."""
        self._parent = parent

    def why(self) -> str:
        if self._event.is_set():
            return "The worker is being stopped."
        if self._parent is not None and os.getppid() != self._parent:
            return "The runner that started this worker is gone."
        return ""


def worker_name() -> str:
    """Host and process: names a lease's holder to people, and to a runner of the same host."""
    return f"{socket.gethostname()[:100]}:{os.getpid()}"


def touch_worker(name: str, kind: str) -> None:
    Worker.objects.update_or_create(name=name, defaults={"kind": kind, "seen_at": Now()})


def run_job(
    job_id: int,
    *,
    worker: str = "",
    why_stop: Callable[[], str] = lambda: "",
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Work on a job's shards one after the other until there is nothing to claim, or this worker has to stop."""
    worker = worker or worker_name()
    outcome = Outcome.NOTHING
    while not why_stop():
        last = run_next_shard(job_id, worker=worker, why_stop=why_stop, on_progress=on_progress)
        if last is not Outcome.DONE:
            return outcome if last is Outcome.NOTHING else last
        outcome = last
    lease.rest(job_id)
    return outcome


def run_next_shard(
    job_id: int | None,
    *,
    worker: str,
    why_stop: Callable[[], str] = lambda: "",
    on_progress: OnProgress | None = None,
    on_claim: Callable[[int], None] = lambda job_id: None,
) -> Outcome:
    """Claim one shard and work on it to its end; `on_claim` hears of the job before the work begins."""
    close_old_connections()
    held = lease.claim(job_id, worker)
    if held is None:
        return Outcome.NOTHING
    on_claim(held.job_id)
    shard = Shard.objects.select_related("job", "job__requested_by").get(pk=held.shard_id)
    if shard.attempt > 1:
        log.warn(held.job_id, f"{shard.phase}: {shard.name} starts again, attempt {shard.attempt}")
    try:
        _work(held, shard, why_stop, on_progress)
    except LeaseLost as error:
        logger.warning("job %s, %s: %s", held.job_id, shard.name, error)
        return Outcome.LOST
    except Stopped as error:
        return _ended(held, shard, lease.release, f"given back at {{:,}} of {{:,}}: {error}", Outcome.RELEASED)
    except Cancelled:
        return _ended(held, shard, lease.drop, "stopped at {:,} of {:,}, as asked; what is done is kept", Outcome.ENDED)
    except Exception as error:
        return _failed(held, shard, error)
    return Outcome.DONE


def _work(held: Lease, shard: Shard, why_stop: Callable[[], str], on_progress: OnProgress | None) -> None:
    with Keeper(held, label=shard.phase, n_total=shard.n_total, why_stop=why_stop) as keeper:

        def report(n_done: int, n_total: int) -> None:
            if on_progress is not None:
                on_progress(shard, n_done, n_total)
            keeper.report(n_done, n_total)

        bundle = None
        if shard.phase == INGEST:
            _ingest(shard.job, partial(lease.hold, held))
        elif work := kinds.work_of(shard.job.kind):
            work(shard.job, report)
        else:
            bundle = _compute(shard, report)
        keeper.check()
    _finish(held, keeper.n_total, bundle)
    log.write(held.job_id, f"{shard.phase}: {shard.name} done, {keeper.n_total:,} {shard.unit}")
    if shard.phase == INGEST:
        forget_files(Job.objects.get(pk=held.job_id))


def _finish(held: Lease, n_total: int, bundle: Path | None) -> None:
    """The work is safe on disk: a database that is busy or starts again is no reason to fail the job."""
    sha256 = _bundle_sha256(bundle)
    for pause in _PAUSES:
        try:
            return lease.finish(held, n_total, bundle=bundle, bundle_sha256=sha256)
        except (OperationalError, InterfaceError) as error:
            logger.warning("shard %s: not finished yet (%s)", held.shard_id, type(error).__name__)
            connection.close()
            time.sleep(pause)
    return lease.finish(held, n_total, bundle=bundle, bundle_sha256=sha256)


def _compute(shard: Shard, report: Callable[[int, int], None]) -> Path | None:
    job = shard.job
    spec = pipeline.ShardSpec(
        ordinal=shard.ordinal,
        phase=shard.phase,
        phase_ordinal=shard.phase_ordinal,
        name=shard.name,
        unit=shard.unit,
        n_total=shard.n_total,
    )
    return pipeline.run_shard(
        RunConfig.from_json(job.config),
        spec,
        Path(job.workspace),
        bundles=Path(settings.BUNDLE_DIR),
        report=report,
        device=device(),
    )


def _ingest(job: Job, hold: Callable[[], None]) -> None:
    """Hand the published bundle to whoever listens. Ingesting one twice does no harm; a late worker writes nothing."""
    if not job.bundle_path:
        raise BundleError("The job's shards are done, but it has no bundle; resume it to publish one.")
    bundle_ready.send(sender=Job, job=job, path=Path(job.bundle_path), hold=hold)


def _bundle_sha256(bundle: Path | None) -> str:
    if bundle is None:
        return ""
    return str(json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["sha256"])


def _ended(held: Lease, shard: Shard, write: Callable[[Lease], None], message: str, outcome: Outcome) -> Outcome:
    try:
        write(held)
    except LeaseLost:
        return Outcome.LOST
    shard.refresh_from_db(fields=["n_done", "n_total"])
    log.write(held.job_id, f"{shard.phase}: {message.format(shard.n_done, shard.n_total)}")
    return outcome


def _failed(held: Lease, shard: Shard, error: Exception) -> Outcome:
    sentence = failures.sentence(error, shard.phase)
    logger.error("job %s failed in %s, %s\n%s", held.job_id, shard.phase, shard.name, failures.report(error))
    try:
        lease.fail(held, sentence)
    except LeaseLost:
        return Outcome.LOST
    log.write(held.job_id, f"{shard.phase}: {sentence}", level="error")
    return Outcome.ENDED
