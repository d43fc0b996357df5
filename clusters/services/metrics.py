"""Numbers for Prometheus: what waits, who works, how fast, what is full or out of reach.

All but requests (`counters`) is read from the database when it is asked for, so that any web process tells it of the
whole site. Labels are states, queues, phases, devices and routes; never a name, a text or an address.
"""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Exists, Max, Min, OuterRef, Q
from django.db.models.functions import Coalesce, Now
from prometheus_client.core import GaugeMetricFamily

from clusters.models import AuditEvent, Run
from clusters.services.backup import ACTION as BACKUP
from clusters.services.health import REACHABLE, Problem
from compute.jobs.lease import after
from compute.jobs.queue import INGEST
from compute.models import Job, Shard, Worker

ALIVE_SECONDS = 120  # since a worker was last seen
RECENT_SECONDS = 60.0
ASK_AGAIN_SECONDS = 15.0  # whether cache, store and broker answer
MOST_ROWS = 1000  # of shards at work and of workers
_answers: dict[str, tuple[float, bool]] = {}

Families = Iterator[GaugeMetricFamily]


class Site:
    """A Prometheus collector."""

    def collect(self) -> Families:
        for part in (_database, _jobs, _queues, _open_shards, _busy_shards, _workers, _runs, _backups, _disk, _others):
            yield from part()


# ── jobs ──


def _jobs() -> Families:
    jobs = GaugeMetricFamily("quantaweb_jobs", "Jobs by state", labels=["state"])
    counts = dict(Job.objects.order_by().values_list("state").annotate(n=Count("pk")))
    for state in Job.State.values:
        jobs.add_metric([state], counts.get(state, 0))
    yield jobs


def _queues() -> Families:
    """Every queue has a number, so that an alert can tell an empty one from one that nobody measures."""
    lengths = GaugeMetricFamily("quantaweb_queue_length", "Jobs that wait, by queue", labels=["queue"])
    about = "Since the oldest that waits was asked for"
    ages = GaugeMetricFamily("quantaweb_queue_age_seconds", about, labels=["queue"])
    waiting = Job.objects.filter(state=Job.State.QUEUED).order_by().values("queue")
    found = {row["queue"]: row for row in waiting.annotate(n=Count("pk"), first=Min("created_at"), now=Now())}
    for queue in Job.Queue.values:
        row = found.get(queue)
        lengths.add_metric([queue], row["n"] if row else 0)
        ages.add_metric([queue], _seconds(row["first"], row["now"]) if row else 0)
    yield from (lengths, ages)


def _open_shards() -> Families:
    """All of it answered by indexes, however many there are."""
    shards = GaugeMetricFamily("quantaweb_shards", "Shards of open jobs by state", labels=["state"])
    rows = Shard.objects.filter(job__state__in=Job.OPEN_STATES).order_by()
    counts = dict(rows.values_list("state").annotate(n=Count("pk")))
    for state in Shard.State.values:
        shards.add_metric([state], counts.get(state, 0))
    yield shards
    most = rows.filter(state__in=(Shard.State.QUEUED, Shard.State.RUNNING)).aggregate(most=Max("attempt"))["most"]
    yield _gauge("quantaweb_attempts", "Most attempts at one shard of the open jobs that is not done", most or 0)
    computing = Shard.objects.filter(job=OuterRef("job")).exclude(phase=INGEST).exclude(state=Shard.State.SUCCEEDED)
    at_work = Q(job__state=Job.State.RUNNING) | Q(job__state=Job.State.STALLED)
    waiting = Shard.objects.filter(~Exists(computing), at_work, phase=INGEST, state=Shard.State.QUEUED).order_by()
    yield _gauge("quantaweb_ingest_waiting", "Bundles that are computed and not read in yet", waiting.count())


def _busy_shards() -> Families:
    """How silent those at work are, and what was done in the last minute."""
    at_work = Job.objects.filter(state__in=(Job.State.RUNNING, Job.State.STALLED))
    recent = Q(state=Shard.State.RUNNING) | Q(state=Shard.State.SUCCEEDED, finished_at__gte=after(-RECENT_SECONDS))
    rows = Shard.objects.filter(recent, job__in=at_work).annotate(now=Now(), at=Coalesce("heartbeat_at", "started_at"))
    columns = ("phase", "unit", "state", "started_at", "finished_at", "lease_expires_at", "n_total", "samples")
    silent = expired = 0.0
    done: dict[tuple[str, str], float] = defaultdict(float)
    for shard in rows.only(*columns).order_by()[:MOST_ROWS]:
        if shard.state == Shard.State.RUNNING and shard.at:
            silent = max(silent, _seconds(shard.at, shard.now))
            expired += bool(shard.lease_expires_at and shard.lease_expires_at < shard.now)
        done[shard.phase, shard.unit] += _done_lately(shard, shard.now)
    yield _gauge("quantaweb_heartbeat_age_seconds", "Since the most silent worker was heard", silent)
    yield _gauge("quantaweb_leases_expired", "Shards whose worker let its lease run out, before the sweep", expired)
    rates = GaugeMetricFamily("quantaweb_rate", "Units a second over the last minute", labels=["phase", "unit"])
    for (phase, unit), n in sorted(done.items()):
        rates.add_metric([phase, unit], n / RECENT_SECONDS)
    yield rates


def _done_lately(shard: Shard, now: datetime) -> float:
    """What the shard did in the last minute, by its samples; between two of them as if evenly."""
    if shard.started_at is None:
        return 0.0
    points = [(float(seconds), float(n)) for seconds, n in shard.samples] or [(0.0, 0.0)]
    if shard.finished_at is not None:
        points.append((_seconds(shard.started_at, shard.finished_at), float(shard.n_total)))
    start, total = _seconds(shard.started_at, now) - RECENT_SECONDS, 0.0
    for (a, n_a), (b, n_b) in pairwise(points):
        if b > max(a, start):
            total += max(n_b - n_a, 0.0) * (b - max(a, start)) / (b - a)
    return total


def _workers() -> Families:
    """Who was seen lately. VRAM is a card's, whichever of its workers says it."""
    seen = Worker.objects.filter(seen_at__gte=after(-ALIVE_SECONDS)).order_by("-seen_at")[:MOST_ROWS]
    counts: dict[tuple[str, str], int] = defaultdict(int)
    cards: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for kind, version, *card, total, used in seen.values_list(
        "kind", "version", "host", "device", "vram_bytes", "vram_used_bytes"
    ):
        counts[kind, version or "unknown"] += 1
        if total:
            known = cards[card[0], card[1]]
            known[:] = max(known[0], total), max(known[1], used or 0)
    workers = GaugeMetricFamily("quantaweb_workers", "Workers seen in the last two minutes", labels=["kind", "version"])
    for labels, n in sorted(counts.items()):
        workers.add_metric(labels, n)
    vram = GaugeMetricFamily("quantaweb_vram_bytes", "Memory of a GPU", labels=["host", "device"])
    used_vram = GaugeMetricFamily("quantaweb_vram_used_bytes", "Of it, in use", labels=["host", "device"])
    for labels, (total, used) in sorted(cards.items()):
        vram.add_metric(labels, total)
        used_vram.add_metric(labels, used)
    yield from (workers, vram, used_vram)


# ── runs, backups, and what all of it stands on ──


def _runs() -> Families:
    waiting = Q(verified_at=None, damage="")
    found = Run.objects.aggregate(n=Count("pk", filter=waiting), damaged=Count("pk", filter=~Q(damage="")))
    times = Run.objects.filter(waiting).annotate(now=Now()).order_by("created_at").values_list("created_at", "now")
    first = times.first()
    age = _seconds(*first) if first else 0
    yield _gauge("quantaweb_verify_waiting", "Runs whose files are not all checked yet", found["n"])
    yield _gauge("quantaweb_verify_age_seconds", "Since the oldest of them was read in", age)
    yield _gauge("quantaweb_runs_damaged", "Runs with a file that is not as it was", found["damaged"])


def _backups() -> Families:
    """Nothing is told before the first backup: an alert asks for what is absent, too."""
    made = AuditEvent.objects.filter(action=BACKUP).annotate(now=Now()).order_by("-pk")
    whole, last = made.filter(detail__problems=0).first(), made.first()
    if whole is not None:
        yield _gauge("quantaweb_backup_age_seconds", "Since the last whole backup", _seconds(whole.at, whole.now))
    if last is not None:
        n = int(last.detail.get("problems", 0))
        yield _gauge("quantaweb_backup_problems", "Folders that the last backup could not save whole", n)


def _disk() -> Families:
    usage = shutil.disk_usage(settings.DATA_DIR)
    yield _gauge("quantaweb_disk_free_bytes", "Free where the data folder lies", usage.free)
    yield _gauge("quantaweb_disk_total_bytes", "Size of the data folder's disk", usage.total)


def _database() -> Families:
    connection.ensure_connection()
    since = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
        took = time.perf_counter() - since
        n_bytes = _database_bytes(cursor)
    yield _gauge("quantaweb_database_seconds", "Until the database answered that one is one", took)
    yield _gauge("quantaweb_database_bytes", "What the database takes on disk", n_bytes)


def _database_bytes(cursor: Any) -> int:
    if connection.vendor == "postgresql":
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])
    file = Path(str(connection.settings_dict["NAME"]))
    parts = [file.with_name(file.name + suffix) for suffix in ("", "-wal")]
    return sum(part.stat().st_size for part in parts if part.is_file())


def _others() -> Families:
    reachable = GaugeMetricFamily("quantaweb_reachable", "1 where it answers, 0 where it does not", labels=["what"])
    for what, check in REACHABLE.items():
        reachable.add_metric([what], _answers_now(what, check))
    yield reachable


def _answers_now(what: str, check: Callable[[], str]) -> bool:
    """Asked now and then only: what is away may take seconds to say so."""
    asked_at, answered = _answers.get(what, (float("-inf"), False))
    if time.monotonic() - asked_at > ASK_AGAIN_SECONDS:
        try:
            check()
            answered = True
        except Problem:
            answered = False
        _answers[what] = time.monotonic(), answered
    return answered


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)


def _seconds(since: datetime, now: datetime) -> float:
    """By the database's clock."""
    return max((now - since).total_seconds(), 0.0)
