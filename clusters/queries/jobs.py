"""Workers as they stand: who they are, what each does now, and which queues nobody serves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.conf import settings
from django.db.models import Count, Min
from django.db.models.functions import Now

from clusters.queries.access import User, visible_jobs
from compute.jobs import identity
from compute.jobs.progress import rate_of
from compute.models import Job, Shard, Worker
from compute.steps.provenance import code_version

MOST_WORKERS = 200
SWEEPER = "sweeper"  # a kind that computes nothing
UNKNOWN = ("", "unknown")


@dataclass(frozen=True, kw_only=True)
class Doing:
    """A shard that a worker holds; `job` is None where the job is somebody's own."""

    shard: Shard
    job: Job | None
    seconds: float
    rate: float | None


@dataclass(frozen=True, kw_only=True)
class WorkerNow:
    """A worker as it last reported, and as the database's clock makes of it."""

    row: Worker
    name: str
    age: float  # seconds since its last sign of life
    is_silent: bool
    is_old: bool
    queues: list[str]
    doing: list[Doing]


@dataclass(frozen=True, kw_only=True)
class QueueNow:
    """A queue: jobs that wait in it, and workers that serve it."""

    name: str
    n_waiting: int
    oldest: float | None  # seconds that the first of them has waited
    n_workers: int


@dataclass(frozen=True, kw_only=True)
class Crew:
    """All workers and queues at one moment."""

    now: datetime | None
    workers: list[WorkerNow]
    queues: list[QueueNow]

    @property
    def computing(self) -> list[WorkerNow]:
        """Those that take shards, and were heard of lately."""
        return [one for one in self.workers if one.row.kind != SWEEPER and not one.is_silent]

    @property
    def n_busy(self) -> int:
        return sum(bool(one.doing) for one in self.computing)

    @property
    def n_waiting(self) -> int:
        return sum(queue.n_waiting for queue in self.queues)


@cache
def own_version() -> str:
    """Of this process: what workers are compared with."""
    return code_version()[:40]


def crew(user: User) -> Crew:
    """Who works, on what, and what waits; four queries, however many there are."""
    rows = list(Worker.objects.annotate(now=Now()).order_by("kind", "name")[:MOST_WORKERS])
    doing = _doing(user)
    workers = [_worker(row, doing.get(row.name, [])) for row in rows]
    return Crew(now=rows[0].now if rows else None, workers=workers, queues=_queues(workers))


def _worker(row: Worker, doing: list[Doing]) -> WorkerNow:
    now: datetime = row.now  # type: ignore[attr-defined]
    age = max((now - row.seen_at).total_seconds(), 0.0)
    return WorkerNow(
        row=row,
        name=identity.shown(row.name),
        age=age,
        is_silent=age > max(settings.STALLED_SECONDS, 3 * settings.HEARTBEAT_SECONDS),
        is_old=row.version != own_version() and not {row.version, own_version()} & set(UNKNOWN),
        queues=[queue for queue in row.queues.split(",") if queue],
        doing=doing,
    )


def _doing(user: User) -> dict[str, list[Doing]]:
    """By service, the shards that are being worked on."""
    shards = Shard.objects.filter(state=Shard.State.RUNNING).exclude(service="").select_related("job")
    held = list(shards.annotate(now=Now()).order_by("service", "started_at")[: 5 * MOST_WORKERS])
    seen = set(visible_jobs(user).filter(pk__in={shard.job_id for shard in held}).values_list("pk", flat=True))
    found: dict[str, list[Doing]] = {}
    for shard in held:
        now: datetime = shard.now
        one = Doing(
            shard=shard,
            job=shard.job if shard.job_id in seen else None,
            seconds=(now - shard.started_at).total_seconds() if shard.started_at else 0.0,
            rate=rate_of(shard, now),
        )
        found.setdefault(shard.service, []).append(one)
    return found


def _queues(workers: list[WorkerNow]) -> list[QueueNow]:
    waiting = Job.objects.filter(state=Job.State.QUEUED).order_by().values("queue")
    rows = waiting.annotate(n=Count("pk"), first=Min("created_at"), now=Now())
    counted: dict[str, dict[str, Any]] = {row["queue"]: dict(row) for row in rows}
    serving = Counter(queue for one in workers if not one.is_silent for queue in one.queues)
    return [
        QueueNow(
            name=queue,
            n_waiting=counted[queue]["n"] if queue in counted else 0,
            oldest=_since(counted[queue]) if queue in counted else None,
            n_workers=serving[queue],
        )
        for queue in Job.Queue.values
        if queue in counted or serving[queue]
    ]


def _since(row: dict[str, Any]) -> float:
    waited: float = (row["now"] - row["first"]).total_seconds()
    return max(waited, 0.0)
