"""The numbers that Prometheus reads: right, few, cheap, of the whole site, and without anything that people wrote."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from filelock import FileLock
from prometheus_client.parser import text_string_to_metric_families

from clusters.models import AuditEvent, Run
from clusters.services import counters, metrics
from clusters.services.backup import ACTION
from clusters.services.health import Problem
from compute.models import Job, Shard, Worker
from tests.databases import Site, postgres_template, site, sqlite_template  # noqa: F401  (fixtures)
from tests.factories import UserFactory, make_run
from tests.postgres import postgres  # noqa: F401  (a fixture)

Labels = frozenset[tuple[str, str]]


@pytest.fixture(autouse=True)
def data(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    metrics._answers.clear()


def scraped(client: Client | None = None) -> dict[tuple[str, Labels], float]:
    """Every sample by name and labels."""
    text = (client or Client()).get("/metrics").content.decode()
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def one(name: str, **labels: str) -> float:
    return scraped()[name, frozenset(labels.items())]


def shard_of(job: Job, **values: Any) -> Shard:
    usual = {"ordinal": 0, "phase": "losses", "phase_number": 0, "phase_ordinal": 0, "name": "a", "unit": "tokens"}
    return Shard.objects.create(job=job, **(usual | values))


def ago(seconds: float) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


def test_what_waits_is_told_by_queue(site: Site) -> None:  # noqa: F811
    for queue, seconds in (("gpu", 600), ("gpu", 60), ("cpu", 30)):
        job = Job.objects.create(name="waits", config={}, queue=queue)
        Job.objects.filter(pk=job.pk).update(created_at=ago(seconds))
        shard_of(job)
    found = scraped()
    assert found["quantaweb_jobs", frozenset({("state", "queued")})] == 3
    lengths = {queue: found["quantaweb_queue_length", frozenset({("queue", queue)})] for queue in Job.Queue.values}
    assert lengths == {"gpu": 2, "cpu": 1, "site": 0}
    ages = [found["quantaweb_queue_age_seconds", frozenset({("queue", queue)})] for queue in ("gpu", "cpu", "site")]
    assert ages == pytest.approx([600, 30, 0], abs=20)
    assert found["quantaweb_shards", frozenset({("state", "queued")})] == 3
    assert found["quantaweb_ingest_waiting", frozenset()] == 0


def test_bundles_that_wait_to_be_read_in(site: Site) -> None:  # noqa: F811
    for state in ("running", "succeeded"):
        job = Job.objects.create(name="computes", config={}, state=Job.State.RUNNING)
        shard_of(job, state=state)
        shard_of(job, ordinal=1, phase="ingest", phase_number=1)
    assert one("quantaweb_ingest_waiting") == 1


def test_the_most_attempts_are_those_of_any_shard_that_is_not_done(site: Site) -> None:  # noqa: F811
    job = Job.objects.create(name="computes", config={}, state=Job.State.RUNNING, attempt=1)
    for ordinal, (state, attempt) in enumerate((("succeeded", 7), ("running", 3), ("running", 1))):
        shard_of(job, ordinal=ordinal, state=state, attempt=attempt)
    assert one("quantaweb_attempts") == 3


def test_who_works_how_fast_and_how_silently(site: Site) -> None:  # noqa: F811
    busy = Job.objects.create(name="runs", config={}, state=Job.State.RUNNING)
    Shard.objects.bulk_create(
        Shard(job=busy, ordinal=i, phase="losses", phase_number=0, phase_ordinal=i, name="a", unit="tokens", **values)
        for i, values in enumerate(
            (
                # 120 seconds at work, 10 a second: of the last minute, what was done by the last sample counts
                {"state": "running", "attempt": 2, "n_done": 1200, "started_at": ago(120), "heartbeat_at": ago(40),
                 "samples": [[0, 0], [120, 1200]], "lease_expires_at": ago(1)},
                {"state": "succeeded", "n_total": 300, "started_at": ago(50), "finished_at": ago(20), "samples": []},
                {"state": "succeeded", "n_total": 9000, "started_at": ago(900), "finished_at": ago(600), "samples": []},
            )
        )
    )  # fmt: skip
    assert one("quantaweb_rate", phase="losses", unit="tokens") == pytest.approx((600 + 300) / 60, rel=0.1)
    assert one("quantaweb_heartbeat_age_seconds") == pytest.approx(40, abs=20)
    assert one("quantaweb_leases_expired") == 1


def test_workers_by_version_and_cards_by_host(site: Site) -> None:  # noqa: F811
    card = {"host": "gpu-1", "device": "cuda:0", "vram_bytes": 80e9}
    for name, seen, more in (
        ("a", 5, card | {"kind": "celery", "version": "1.1", "vram_used_bytes": 20e9}),
        ("b", 5, card | {"kind": "celery", "version": "1.1", "vram_used_bytes": 30e9}),  # on the same card
        ("c", 5, {"kind": "local", "version": ""}),
        ("d", 3600, {"kind": "local", "version": "1.0"}),
    ):
        Worker.objects.create(name=name, seen_at=ago(seen), **more)
    found = scraped()
    workers = {labels: value for (name, labels), value in found.items() if name == "quantaweb_workers"}
    assert workers == {
        frozenset({("kind", "celery"), ("version", "1.1")}): 2,
        frozenset({("kind", "local"), ("version", "unknown")}): 1,
    }
    place = frozenset({("host", "gpu-1"), ("device", "cuda:0")})
    assert (found["quantaweb_vram_bytes", place], found["quantaweb_vram_used_bytes", place]) == (80e9, 30e9)


def test_runs_that_wait_for_their_check_and_damaged_ones(site: Site) -> None:  # noqa: F811
    waits, damaged = make_run(site.data / "a"), make_run(site.data / "b", seed=1)
    Run.objects.filter(pk=damaged.pk).update(damage="one file is not as it was")
    Run.objects.filter(pk=waits.pk).update(created_at=ago(300), verified_at=None)
    assert one("quantaweb_verify_waiting") == 1
    assert one("quantaweb_verify_age_seconds") == pytest.approx(300, abs=30)
    assert one("quantaweb_runs_damaged") == 1


def test_the_age_of_backups_is_that_of_the_last_whole_one(site: Site) -> None:  # noqa: F811
    age, problems = (("quantaweb_backup_age_seconds", frozenset()), ("quantaweb_backup_problems", frozenset()))
    for seconds, n, expected in ((95_000, 3, None), (90_000, 0, 90_000), (3600, 1, 90_000), (60, 0, 60)):
        event = AuditEvent.objects.create(action=ACTION, detail={"problems": n})
        AuditEvent.objects.filter(pk=event.pk).update(at=ago(seconds))
        found = scraped()
        assert found.get(age) == (expected and pytest.approx(expected, abs=30))
        assert found[problems] == n


def test_what_the_site_stands_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def away() -> str:
        raise Problem("is away")

    monkeypatch.setitem(metrics.REACHABLE, "cache", away)
    assert one("quantaweb_reachable", what="cache") == 0
    assert one("quantaweb_reachable", what="broker") == 1
    assert one("quantaweb_disk_total_bytes") >= one("quantaweb_disk_free_bytes") > 0
    assert one("quantaweb_database_bytes") > 100_000
    assert 0 < one("quantaweb_database_seconds") < 5


def test_what_is_away_is_asked_for_now_and_then_only(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    asked: list[int] = []

    def ask() -> str:
        asked.append(1)
        return "answers"

    monkeypatch.setitem(metrics.REACHABLE, "cache", ask)
    scraped(), scraped()
    assert len(asked) == 1
    monkeypatch.setattr(metrics, "ASK_AGAIN_SECONDS", 0.0)
    scraped()
    assert len(asked) == 2


def test_many_jobs_cost_few_queries_and_little_time(site: Site) -> None:  # noqa: F811
    states = [*Job.State.values]
    jobs = Job.objects.bulk_create(
        Job(name=f"j{i}", config={}, state=states[i % 20] if i % 20 < 6 else "succeeded") for i in range(10_000)
    )
    for first in range(0, len(jobs), 1000):
        Shard.objects.bulk_create(
            Shard(
                job=job, ordinal=i, phase="losses", phase_number=0, phase_ordinal=i, name="a", unit="tokens",
                state="running" if job.state == "running" and job.pk % 50 == 1 and i == 0 else "queued",
                started_at=ago(100), samples=[[0, 0], [90, 900]],
            )
            for job in jobs[first : first + 1000] for i in range(2)
        )  # fmt: skip
    scraped()
    times = []
    for _ in range(5):
        with CaptureQueriesContext(connection) as queries:
            since = time.thread_time()
            list(metrics.Site().collect())
            times.append(time.thread_time() - since)
    assert len(queries) <= 15
    in_database = min(times)
    assert in_database <= 0.5  # a busy machine's; docs/operations.md says what a quiet one needs
    assert len({name for name, _ in scraped()}) < 100


# ── what processes count ──


@pytest.mark.django_db
def test_answers_are_counted_by_route_and_never_by_address(client: Client) -> None:
    UserFactory(username="ada-lovelace")

    def counted(route: str, status: str) -> float:
        return scraped().get(("quantaweb_responses_total", frozenset({("route", route), ("status", status)})), 0)

    before = counted("/", "200"), counted("/runs/<slug:slug>/", "404"), counted("none", "404")
    client.get("/?secret-of-ada")
    client.get("/runs/ada-lovelace/")
    client.get("/no/such/page")
    after = counted("/", "200"), counted("/runs/<slug:slug>/", "404"), counted("none", "404")
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1]
    text = client.get("/metrics").content.decode()
    assert "ada" not in re.sub(r"read|loading", "", text).replace("metadata", "")
    assert "/metrics" not in text
    assert 'quantaweb_request_seconds_bucket{le="0.3",route="/"}' in text


@pytest.mark.django_db
def test_a_wrong_password_is_counted(client: Client) -> None:
    before = one("quantaweb_sign_in_failures_total")
    client.post("/sign-in/", {"username": "ada", "password": "wrong"})
    assert one("quantaweb_sign_in_failures_total") == before + 1


COUNT = """
import sys
from prometheus_client import Counter, Histogram
counted, timed = Counter("c", "c", ["route"]), Histogram("h", "h")
for _ in range(int(sys.argv[1])):
    counted.labels("/").inc()
    timed.observe(0.2)
"""


def test_processes_that_ended_are_folded_into_one_file_and_still_count(tmp_path: Path) -> None:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for n in (3, 4, 5):
        subprocess.run([sys.executable, "-c", COUNT, str(n)], env=environment, check=True)
    assert len(list(tmp_path.glob("*.db"))) == 6
    text = counters.counted(str(tmp_path)).decode()
    assert 'c_total{route="/"} 12.0' in text
    assert "h_count 12.0" in text
    assert {file.name for file in tmp_path.glob("*.db")} == {"counter_0.db", "histogram_0.db"}
    assert counters.counted(str(tmp_path)).decode() == text


def test_a_process_that_lives_keeps_its_file(tmp_path: Path) -> None:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    code = COUNT + "print('done', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "2"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert counters.fold(tmp_path) == 0
        assert 'c_total{route="/"} 2.0' in counters.counted(str(tmp_path)).decode()
        process.communicate(b"")
    assert counters.fold(tmp_path) == 2


@pytest.mark.django_db
def test_while_another_process_holds_the_counts_the_rest_is_told(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.METRICS_DIR = str(tmp_path)
    monkeypatch.setattr(counters, "_LONGEST_WAIT", 0.05)
    with FileLock(tmp_path / "fold.lock"):
        response = Client().get("/metrics")
    assert response.status_code == 200
    assert "quantaweb_queue_length" in response.content.decode()
    assert "quantaweb_responses" not in response.content.decode()
