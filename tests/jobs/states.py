"""Jobs as they stand in each of the six states, with rows of the right shape."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from compute.jobs import log
from compute.models import Job, Shard
from tests.jobs import fake

PHASES = (
    ("corpus", "documents", 1, 10_250),
    ("losses", "predictions", 4, 100_631),
    ("curves", "predictions", 1, 100_631),
    ("selection", "predictions", 1, 23_593),
    ("gradients", "tokens", 40, 250),
    ("similarity", "column blocks", 1, 12),
    ("clustering", "clusterings", 2, 12),
    ("map", "points", 2, 10_250),
    ("bundle", "arrays", 1, 60),
    ("ingest", "bundles", 1, 1),
)
SECONDS = {"corpus": 4, "losses": 5, "curves": 2, "selection": 0.4, "gradients": 17, "similarity": 9}


def job_in(state: str, user: Any = None, **values: Any) -> Job:
    """A job, half-way through its gradients unless it is queued or done."""
    now = timezone.now()
    config = fake.config("demo", n_tokens=10_000).to_json() | {"name": values.pop("name", "demo")}
    job = Job.objects.create(name=config["name"], config=config, requested_by=user, workspace="/w/job", **values)
    shards = [
        Shard(job=job, ordinal=0, phase=phase, phase_number=i, phase_ordinal=j, name=f"{phase} {j + 1}", unit=unit,
              n_total=total)
        for i, (phase, unit, n, total) in enumerate(PHASES) for j in range(n)
    ]  # fmt: skip
    n_done = {"queued": 0, "succeeded": len(shards), "failed": 3}.get(state, 7 + 25)
    moment = now - timedelta(seconds=sum(SECONDS.get(s.phase, 6) for s in shards[:n_done]) + 8)
    job.created_at = moment
    for ordinal, shard in enumerate(shards):
        shard.ordinal = ordinal
        if ordinal < n_done:
            moment = _done(shard, moment)
    if 0 < n_done < len(shards):
        _half_way(shards[n_done], moment, state, now)
    Shard.objects.bulk_create(shards)
    _close(job, state, user, now, n_done)
    for line in ("asked for: 54 shards in 10 phases", "gradients: gradients 24 done, 250 tokens"):
        log.write(job.pk, line)
    log.warn(job.pk, "gradients: gradients 25 starts again, attempt 2")
    log.write(job.pk, "gradients: heartbeat, 162 of 250 done")
    return job


def _done(shard: Shard, moment: Any) -> Any:
    seconds = SECONDS.get(shard.phase, 6)
    rate = shard.n_total / seconds
    shard.state, shard.n_done, shard.attempt, shard.started_at = "succeeded", shard.n_total, 1, moment
    wobble = 1 + 0.03 * (shard.ordinal % 5 - 2)
    shard.samples = [[t, round(rate * t * (wobble if t > 1 else 1))] for t in range(1, int(seconds))]
    shard.finished_at = shard.heartbeat_at = moment + timedelta(seconds=seconds)
    return shard.finished_at


def _half_way(shard: Shard, moment: Any, state: str, now: Any) -> None:
    shard.n_done, shard.started_at, shard.attempt = round(shard.n_total * 0.65), moment, 1
    shard.samples = [[t, round(14.2 * t)] for t in range(1, 8)]
    shard.heartbeat_at = now - timedelta(seconds=4)
    if state in ("running", "stalled"):
        shard.state, shard.worker, shard.lease_token = "running", "lab-3:4711", "token"
        if state == "stalled":
            shard.heartbeat_at = now - timedelta(seconds=100)
        shard.lease_expires_at = shard.heartbeat_at + timedelta(seconds=120)
    elif state in ("failed", "cancelled"):
        shard.state, shard.finished_at = state, now


def _close(job: Job, state: str, user: Any, now: Any, n_done: int) -> None:
    job.state, job.started_at, job.attempt = state, job.created_at if n_done else None, 1
    if state in ("failed", "cancelled", "succeeded"):
        job.finished_at = now - timedelta(minutes=18)
    if state == "failed":
        job.error = (
            "The checkpoint has 50,304 output tokens, the corpus uses id 50,310. "
            "Choose the tokenizer of the suite and start again."
        )
    if state == "cancelled":
        job.cancel_requested_at, job.cancelled_by = now, user.get_username() if user else ""
    job.save()


STATES = ("queued", "running", "stalled", "failed", "cancelled", "succeeded")
