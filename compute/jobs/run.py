"""Working on a job: claim a shard, compute it, finish it, until nothing is left to claim.

Computing stands outside every transaction; at least once, published once.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from compute import methods
from compute.config import RunConfig
from compute.errors import BundleError, Cancelled
from compute.jobs import events, failures, identity, kinds, lease, log, places, sweep, workers
from compute.jobs.keeper import Keeper
from compute.jobs.lease import Lease, LeaseLost, Stopped
from compute.jobs.patience import AWAY, patiently
from compute.jobs.queue import INGEST
from compute.jobs.signals import bundle_ready
from compute.jobs.sweep import forget_files
from compute.jobs.wake import device
from compute.models import Job, Shard
from compute.steps.shards import ShardSpec

logger = logging.getLogger(__name__)
OnProgress = Callable[[Shard, int, int], None]


class Outcome(Enum):
    DONE = "done"
    NOTHING = "nothing to claim"
    RELEASED = "given back"
    ENDED = "cancelled or failed"
    LOST = "lost"


_COUNTED = {Outcome.DONE: "n_done", Outcome.LOST: "n_failed"}


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


def run_job(
    job_id: int,
    *,
    worker: str = "",
    service: str = "",
    gives_way: bool = True,
    why_stop: Callable[[], str] = lambda: "",
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Work on a job's shards one after the other until nothing is left to claim, this worker has to stop, or (where it
    `gives_way`) a job of higher priority waits."""
    worker = worker or identity.own_name()
    outcome = Outcome.NOTHING
    while not why_stop():
        last = run_next_shard(job_id, worker=worker, service=service, why_stop=why_stop, on_progress=on_progress)
        if last is not Outcome.DONE:
            return outcome if last is Outcome.NOTHING else last
        outcome = last
        if gives_way and (other := patiently("priority", lambda: _more_urgent(job_id))):
            log.write(job_id, f"waits: job {other} has a higher priority")
            break
    patiently("the job's rest", lambda: lease.rest(job_id))
    return outcome


def _more_urgent(job_id: int) -> int | None:
    """The job that goes before this one, if this one has anything left to do."""
    priority = Job.objects.values_list("priority", flat=True).filter(pk=job_id, state__in=Job.OPEN_STATES).first()
    return None if priority is None else next(iter(lease.next_jobs(settings.QUEUES, above=priority)), None)


def run_next_shard(
    job_id: int | None,
    *,
    worker: str,
    service: str = "",
    queues: Iterable[str] = (),
    why_stop: Callable[[], str] = lambda: "",
    on_progress: OnProgress | None = None,
    on_claim: Callable[[int], None] = lambda job_id: None,
) -> Outcome:
    """Claim one shard (of the job, or the best of the queues) and work on it to its end.

    `on_claim` hears of the job before the work begins. A database that stays away ends it with Outcome.LOST: the
    sweeper finds the lease.
    """
    close_old_connections()
    token = lease.new_token()  # one for all tries: a claim whose answer is lost is not a second one
    held = patiently("claim", lambda: lease.claim(job_id, worker, service=service, queues=queues, token=token))
    if held is None:
        return Outcome.NOTHING
    workers.count(service, n_claimed=1)
    try:
        shard = patiently(
            "claim", lambda: Shard.objects.select_related("job", "job__requested_by").get(pk=held.shard_id)
        )
        events.note("claimed", held, shard)
        on_claim(held.job_id)
        if shard.attempt > 1:
            log.warn(held.job_id, f"{shard.phase}: {shard.name} starts again, attempt {shard.attempt}")
        outcome = _outcome(held, shard, why_stop, on_progress)
    except Shard.DoesNotExist:  # its job was deleted meanwhile
        return Outcome.LOST
    except AWAY as error:
        logger.warning("job %s: the database went away (%s)", held.job_id, type(error).__name__)
        outcome = _lost(held)
    if outcome in _COUNTED:
        workers.count(service, **{_COUNTED[outcome]: 1})
    return outcome


def _outcome(held: Lease, shard: Shard, why_stop: Callable[[], str], on_progress: OnProgress | None) -> Outcome:
    try:
        _work(held, shard, why_stop, on_progress)
    except LeaseLost:
        events.note("lost", held, shard)
        return Outcome.LOST
    except Stopped as error:
        return _ended(held, shard, lease.release, f"given back at {{:,}} of {{:,}}: {error}", Outcome.RELEASED)
    except Cancelled:
        return _ended(held, shard, lease.drop, "stopped at {:,} of {:,}, as asked; what is done is kept", Outcome.ENDED)
    except AWAY:
        raise
    except Exception as error:
        return _failed(held, shard, error)
    events.note("done", held, shard)
    return Outcome.DONE


def _lost(held: Lease) -> Outcome:
    """The database failed the work, not the work itself: the shard is queued again, as one that lost its worker."""
    own = Shard.objects.filter(pk=held.shard_id, lease_token=held.token, state=Shard.State.RUNNING)
    try:
        patiently("give back", lambda: sweep.requeue(own, "its worker lost the database"))
    except AWAY as error:
        logger.warning("shard %s: not given back (%s); its lease will end", held.shard_id, type(error).__name__)
    return Outcome.LOST


def _work(held: Lease, shard: Shard, why_stop: Callable[[], str], on_progress: OnProgress | None) -> None:
    with Keeper(held, label=shard.phase, n_total=shard.n_total, why_stop=why_stop) as keeper:

        def report(n_done: int, n_total: int) -> None:
            if on_progress is not None:
                on_progress(shard, n_done, n_total)
            keeper.report(n_done, n_total)

        bundle = None
        if shard.phase == INGEST:
            _ingest(shard.job, partial(lease.hold, held), lambda: keeper.report(0, keeper.n_total))
        elif work := kinds.work_of(shard.job.kind):
            work(shard.job, report)
        else:
            bundle = _compute(shard, report)
        keeper.check()
    _finish(held, keeper.n_total, bundle)
    _note(held.job_id, f"{shard.phase}: {shard.name} done, {keeper.n_total:,} {shard.unit}")
    if shard.phase == INGEST:
        forget_files(Job.objects.get(pk=held.job_id))
    places.forget_work_elsewhere()


def _finish(held: Lease, n_total: int, bundle: Path | None) -> None:
    """The work is safe on disk: a database that is busy or starts again is no reason to do it again."""
    sha256 = _bundle_sha256(bundle)
    patiently("finish", lambda: lease.finish(held, n_total, bundle=bundle, bundle_sha256=sha256))


def _note(job_id: int, message: str, *, level: str = "info") -> None:
    """A line of the job's log; what is done is done, even where nobody can write it down."""
    try:
        log.write(job_id, message, level=level)
    except DatabaseError as error:
        logger.warning("job %s: %s (not in its log: %s)", job_id, message, type(error).__name__)
        connection.close()


def _compute(shard: Shard, report: Callable[[int, int], None]) -> Path | None:
    job = shard.job
    spec = ShardSpec(
        ordinal=shard.ordinal,
        phase=shard.phase,
        phase_ordinal=shard.phase_ordinal,
        name=shard.name,
        unit=shard.unit,
        n_total=shard.n_total,
    )
    config = methods.read(job.kind, job.config)
    if isinstance(config, RunConfig):
        config = places.with_text_here(config, lambda: report(0, shard.n_total))
    return methods.run_shard(
        job.kind,
        config,
        spec,
        places.workspace_of(job),
        bundles=Path(settings.BUNDLE_DIR),
        report=report,
        device=device(),
        store=places.store(),
    )


def _ingest(job: Job, hold: Callable[[], None], tell: Callable[[], None]) -> None:
    """Hand the published bundle to whoever listens. Ingesting one twice does no harm; a late worker writes nothing."""
    if not job.bundle_path:
        raise BundleError("The job's shards are done, but it has no bundle; resume it to publish one.")
    path = places.bundle_here(job.bundle_path, job.bundle_sha256, tell)
    bundle_ready.send(sender=Job, job=job, path=path, hold=hold)


def _bundle_sha256(bundle: Path | None) -> str:
    if bundle is None:
        return ""
    return str(json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["sha256"])


def _ended(held: Lease, shard: Shard, write: Callable[[Lease], None], message: str, outcome: Outcome) -> Outcome:
    try:
        patiently("give back", lambda: write(held))
    except LeaseLost:
        events.note("lost", held, shard)
        return Outcome.LOST
    events.note("given back" if outcome is Outcome.RELEASED else "stopped", held, shard)
    row = patiently("progress", lambda: Shard.objects.filter(pk=shard.pk).values_list("n_done", "n_total").first())
    _note(held.job_id, f"{shard.phase}: {message.format(*(row or (0, 0)))}")
    return outcome


def _failed(held: Lease, shard: Shard, error: Exception) -> Outcome:
    sentence = failures.sentence(error, shard.phase)
    events.note("failed", held, shard, error=error)
    try:
        patiently("fail", lambda: lease.fail(held, sentence))
    except LeaseLost:
        return Outcome.LOST
    workers.count(held.service, n_failed=1)
    _note(held.job_id, f"{shard.phase}: {sentence}", level="error")
    return Outcome.ENDED
