"""Workers on several machines share one run: how it scales, and what happens where one's network is cut."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import Max, Min

from compute.bundle import Bundle, open_bundle
from compute.config import RunConfig
from compute.jobs import queue
from compute.models import Job, Shard
from compute.suites import changed
from tests.databases import Site
from tests.faults.breaking import kill, pid_of, repeated, wait_for, wait_for_state
from tests.faults.celery_site import CelerySite, asking_through, use_plan
from tests.faults.figures import Measured
from tests.faults.namespaces import PASSWORD, Network, ReachableRedis, inside, missing
from tests.jobs import fake
from tests.postgres import Server
from tests.small import small_config

pytestmark = [
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed"),
    pytest.mark.parametrize("site", ["postgres"], indirect=True),
]
whole = pytest.mark.whole


@pytest.fixture
def network() -> Iterator[Network]:
    if reason := missing():
        pytest.skip(reason)
    with Network() as made:
        yield made


@pytest.fixture
def cluster(site: Site, network: Network, postgres: Server, tmp_path: Path, settings: Any) -> Iterator[CelerySite]:
    """Workers that reach broker and database at the bridge's address only, and notice a dead network in seconds."""
    connection.close()
    with (postgres.folder / "data" / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {network.subnet}.0/24 trust\n")
    postgres.stop("fast")
    postgres.again(network.address)
    redis = ReachableRedis(tmp_path)
    redis.address = network.address
    redis.start()
    site.url = f"postgres://postgres:{PASSWORD}@{network.address}/{site.url.rpartition('/')[2]}?tcp_user_timeout=3000"
    started = CelerySite(site, redis.url, QW_RESEND_SECONDS="3")
    with asking_through(redis.url_at("127.0.0.1"), settings):
        yield started
    started.end()
    redis.kill()
    connection.close()
    postgres.stop("fast")
    postgres.again()


def rate(job: Job) -> float:
    """Shards done per second, from the first one's start to the last one's end."""
    spans = Shard.objects.filter(job=job, phase="losses").aggregate(a=Min("started_at"), b=Max("finished_at"))
    return job.shards.filter(phase="losses").count() / (spans["b"] - spans["a"]).total_seconds()


def rate_of(cluster: CelerySite, n_shards: int, monkeypatch: pytest.MonkeyPatch) -> float:
    use_plan(monkeypatch, ("losses", n_shards), ("bundle", 1))
    job = queue.enqueue(fake.config())
    wait_for_state(job, "succeeded", site=cluster.site, seconds=240)
    assert set(job.shards.values_list("attempt", flat=True)) == {1}
    assert repeated(cluster.site) == 0
    return rate(job)


def rates(
    cluster: CelerySite,
    network: Network,
    counts: tuple[int, ...],
    each: int,
    patch: pytest.MonkeyPatch,
    **environment: str,
) -> dict[int, float]:
    """Shards per second by number of workers, each in a namespace of its own."""
    found: dict[int, float] = {}
    for count in counts:
        while cluster.n_workers < count:
            cluster.worker(f"machine{cluster.n_workers + 1}", *inside(network.add()), **environment)
        found[count] = rate_of(cluster, each * count, patch)
    return found


@whole
def test_two_machines_do_twice_as_many_shards(
    cluster: CelerySite, network: Network, monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    found = rates(cluster, network, (1, 2), 6, monkeypatch, TEST_STEP_SECONDS="0.3")
    keep(measured, found, "shards that sleep 3 s, workers in network namespaces of their own")
    assert found[2] / found[1] >= 1.7


@whole
@pytest.mark.timeout(600)
def test_four_machines_do_four_times_as_many_shards(
    cluster: CelerySite, network: Network, monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    found = rates(cluster, network, (1, 2, 4), 6, monkeypatch, TEST_STEP_SECONDS="0.5")
    keep(measured, found, "shards that sleep 5 s, workers in network namespaces of their own")
    assert found[2] / found[1] >= 1.7
    assert found[4] / found[2] >= 1.7


@whole
@pytest.mark.timeout(600)
def test_shards_that_compute_scale_as_far_as_there_are_cores(
    cluster: CelerySite, network: Network, monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    cluster.app = "tests.faults.busy_app"
    found = rates(cluster, network, (1, 2, 4), 4, monkeypatch, TEST_STEP_SECONDS="0.2", OPENBLAS_NUM_THREADS="1")
    keep(measured, found, f"shards that multiply matrices, on {os.cpu_count()} cores shared with the databases")
    assert found[2] > found[1]


def keep(measured: Measured, found: dict[int, float], what: str) -> None:
    per_second = {f"shards_per_second_{count}": round(value, 2) for count, value in found.items()}
    gains = {f"gain_{count}": round(value / found[1], 2) for count, value in found.items() if count > 1}
    measured(0, f"scale: {what}", runner="celery", scale="", **per_second, **gains)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("how", ["cut off", pytest.param("cut off and frozen", marks=whole)])
def test_a_machine_that_is_cut_off_loses_its_shard_once(
    cluster: CelerySite, network: Network, monkeypatch: pytest.MonkeyPatch, measured: Measured, how: str
) -> None:
    use_plan(monkeypatch, ("losses", 4), ("bundle", 1))
    names = [network.add(), network.add()]
    workers = {cluster.worker(name, *inside(name), TEST_STEP_SECONDS="0.4").pid: name for name in names}
    cluster.sweeper()
    job = queue.enqueue(fake.config())
    both = wait_for(lambda: len(held := running(job)) == 2 and held, "both at work", seconds=60, site=cluster.site)
    lost = both[0]
    cut_off = workers[parent_of(pid_of(lost))]
    if how == "cut off and frozen":
        kill(pid_of(lost), signal.SIGSTOP)
    network.cut(cut_off)
    began = time.monotonic()

    def taken_over() -> Shard | None:
        return Shard.objects.filter(pk=lost.pk, attempt=2).first()

    heir = wait_for(taken_over, "another machine", seconds=60, site=cluster.site)
    waited = time.monotonic() - began
    assert workers[parent_of(pid_of(heir))] != cut_off
    network.heal(cut_off)
    if how == "cut off and frozen":
        kill(pid_of(lost), signal.SIGCONT)
    wait_for(lambda: told_lost(cluster.site, lost), "the late worker's end", seconds=30, site=cluster.site)
    wait_for_state(job, "succeeded", site=cluster.site, seconds=120)
    attempts = dict(job.shards.values_list("pk", "attempt"))
    assert attempts.pop(lost.pk) == 2
    assert set(attempts.values()) == {1}
    again = works_again(cluster, cut_off, workers)
    measured(
        0,
        f"scale: a machine is {how} in the middle of a shard, and comes back",
        runner="celery",
        scale="twentieth",
        seconds_until_redone_elsewhere=round(waited, 1),
        shards_redone=1,
        steps_repeated=repeated(cluster.site),
        back_at_work_seconds=again,
    )
    assert repeated(cluster.site) <= 2


@whole
@pytest.mark.timeout(900)
def test_a_real_run_on_two_machines_one_cut_off_gives_the_same_bytes(
    cluster: CelerySite, network: Network, small_bundle: Path, monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    undisturbed = open_bundle(small_bundle)
    cluster.app, cluster.site.settings_module = "quantaweb", "quantaweb.settings"
    cluster.site.periods |= {"QW_LEASE_SECONDS": "20", "QW_STALLED_SECONDS": "10", "TEST_STEP_SECONDS": "0"}
    names = [network.add(), network.add()]
    workers = {cluster.worker(name, *inside(name)).pid: name for name in names}
    cluster.started.append(cluster.site.start("manage.py", "runner", "--skip-checks"))
    job = queue.enqueue(as_computed(small_config(cluster.site.data / "small"), undisturbed))
    lost = wait_for(lambda: (held := running(job)) and held[0], "a shard at work", seconds=120, site=cluster.site)
    cut_off = workers[parent_of(pid_of(lost))]
    network.cut(cut_off)
    taken = Shard.objects.filter(pk=lost.pk, attempt=2)
    wait_for(taken.exists, "another machine", seconds=90, site=cluster.site)
    network.heal(cut_off)
    wait_for_state(job, "succeeded", site=cluster.site, seconds=600)
    job.refresh_from_db()
    assert job.bundle_sha256 == undisturbed.sha256
    published = [path.name for path in (cluster.site.data / "bundles").glob("[!.]*")]
    assert published == [Path(job.bundle_path).name]
    again = sum(attempt - 1 for attempt in job.shards.values_list("attempt", flat=True))
    what = "scale: a real run on two machines, one cut off in the middle of a shard"
    measured(0, what, runner="celery", scale="sixth", same_bytes=1, bundles=1, shards_redone=again)


def as_computed(config: RunConfig, bundle: Bundle) -> RunConfig:
    """The same settings with the bundle's checkpoints: a suite in training may have grown since."""
    known = {(one["lm"], one["revision"]) for one in bundle.manifest["checkpoints"]}
    kept = tuple(one for one in config.suite.checkpoints if (one.lm, one.revision) in known)
    return changed(config, suite=dataclasses.replace(config.suite, checkpoints=kept))


def running(job: Job) -> list[Shard]:
    """Shards of the job with at least one heartbeat."""
    return list(Shard.objects.filter(job=job, state="running", heartbeat_at__isnull=False))


def told_lost(site: Site, shard: Shard) -> bool:
    """Whether the worker that was cut off has noticed, and written nothing; or is gone."""
    lines = [line for line in site.log().splitlines() if "shard lost" in line]
    return any(line.endswith(shard.worker) for line in lines) or not is_there(pid_of(shard))


def works_again(cluster: CelerySite, name: str, workers: dict[int, str]) -> float:
    """Seconds until the machine that was cut off takes a shard of new work, or has ended to be started anew."""
    began = time.monotonic()
    process = next(started for started in cluster.started if workers.get(started.pid) == name)

    def back() -> bool:
        if process.poll() is not None:
            return True
        if not Job.objects.filter(state__in=Job.OPEN_STATES).exists():
            queue.enqueue(fake.config("next"))
        held = list(Shard.objects.filter(state="running"))
        return any(workers.get(parent_of(pid_of(shard))) == name for shard in held if is_there(pid_of(shard)))

    wait_for(back, f"{name} back at work", seconds=60, site=cluster.site)
    return round(time.monotonic() - began, 1)


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists()
