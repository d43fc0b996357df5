"""Numbers for Prometheus: what waits, who works, how fast; read from the database when they are asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Max, QuerySet
from django.db.models.functions import Coalesce, Now
from prometheus_client.core import GaugeMetricFamily

from compute.jobs.lease import after
from compute.jobs.progress import progress_of
from compute.models import Job, Shard, Worker

ALIVE_SECONDS = 120  # since a worker was last seen


class Site:
    """A Prometheus collector."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self._jobs()
        yield from self._shards()
        yield self._rates()
        yield self._workers()
        yield from self._disk()

    def _jobs(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("quantaweb_jobs", "Jobs by state", labels=["state"])
        counts = dict(Job.objects.order_by().values_list("state").annotate(n=Count("pk")))
        for state in Job.State.values:
            jobs.add_metric([state], counts.get(state, 0))
        yield jobs
        queued = Job.objects.filter(state=Job.State.QUEUED).annotate(at=F("created_at"))
        yield _gauge("quantaweb_queue_age_seconds", "Since the oldest queued job was asked for", _oldest(queued))

    def _shards(self) -> Iterator[GaugeMetricFamily]:
        running = Shard.objects.filter(state=Shard.State.RUNNING)
        heard = running.annotate(at=Coalesce("heartbeat_at", "started_at")).exclude(at=None)
        yield _gauge("quantaweb_heartbeat_age_seconds", "Since the most silent worker was heard", _oldest(heard))
        most = Shard.objects.filter(job__state__in=Job.OPEN_STATES).aggregate(n=Max("attempt"))["n"]
        yield _gauge("quantaweb_attempts", "Most attempts at one shard of the open jobs", most or 0)

    def _rates(self) -> GaugeMetricFamily:
        rates = GaugeMetricFamily(
            "quantaweb_rate", "Units a second over the last minute, by job and phase", labels=["job", "phase", "unit"]
        )
        for job in Job.objects.filter(state=Job.State.RUNNING).order_by("pk")[:50]:
            progress = progress_of(job)
            if progress.current and progress.recent_rate is not None:
                phase = progress.current
                rates.add_metric([str(job.pk), phase.name, phase.unit], progress.recent_rate)
        return rates

    def _workers(self) -> GaugeMetricFamily:
        workers = GaugeMetricFamily("quantaweb_workers", "Workers seen in the last two minutes", labels=["kind"])
        seen = Worker.objects.filter(seen_at__gte=after(-ALIVE_SECONDS)).order_by()
        for kind, n in seen.values_list("kind").annotate(n=Count("pk")):
            workers.add_metric([kind], n)
        return workers

    def _disk(self) -> Iterator[GaugeMetricFamily]:
        usage = shutil.disk_usage(settings.DATA_DIR)
        yield _gauge("quantaweb_disk_free_bytes", "Free where the data folder lies", usage.free)
        yield _gauge("quantaweb_disk_total_bytes", "Size of the data folder's disk", usage.total)


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)


def _oldest(rows: QuerySet[Any]) -> float:
    """Seconds since the earliest `at`, by the database's clock; 0 where there is nothing."""
    first = rows.annotate(now=Now()).order_by("at").values_list("at", "now").first()
    return max((first[1] - first[0]).total_seconds(), 0.0) if first else 0.0
