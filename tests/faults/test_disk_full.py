"""The disk fills up under a job: row 7. A real disk, small and in memory; a real run of very small networks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from clusters.models import LabelRevision, Run
from compute.bundle import open_bundle
from compute.jobs import queue
from compute.jobs.run import run_job
from compute.models import Job
from compute.pipeline import run_qdg
from tests.databases import Site
from tests.factories import make_run
from tests.faults.breaking import PERIODS, Redis, end, wait_for
from tests.faults.celery_site import asking_through
from tests.faults.figures import Measured
from tests.tiny import tiny_config

whole = pytest.mark.whole
DISK_MB, RESERVE_MB = 64, 2
SHARES = (0.05, 0.3, 0.6, 0.9)  # of what the run needs: where the disk is full, one time after the other
SLOW_LEASE = {**PERIODS, "QW_LEASE_SECONDS": "60", "QW_STALLED_SECONDS": "30", "QW_LOG_LEVEL": "WARNING"}
Work = Callable[[Job], None]


class Disk:
    """A small disk, and a file that takes its room."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.folder).free

    def leave(self, size: int) -> None:
        """Leave so many bytes free, by taking the others."""
        self.make_room()
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(self.free - size, 1))

    def make_room(self) -> None:
        self._ballast.unlink(missing_ok=True)


@pytest.fixture
def disk(site: Site, tmp_path: Path, settings: Any) -> Iterator[Disk]:
    """The site's data folder, and its SQLite file with it, on a disk of its own."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root may mount a small disk")
    connection.close()
    aside = tmp_path / "aside"
    shutil.copytree(site.data, aside)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(site.data)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a disk in memory cannot be mounted here")
    shutil.copytree(aside, site.data, dirs_exist_ok=True)
    settings.RESERVE_MB = RESERVE_MB
    try:
        yield Disk(site.data)
    finally:
        connection.close()
        subprocess.run(["umount", "--lazy", str(site.data)], check=True)


@pytest.fixture
def undisturbed(tiny_suite: Path, tmp_path: Path) -> tuple[str, int]:
    """The hash of the run's bundle where nothing goes wrong, and how many bytes it writes on the way."""
    bundle = run_qdg(tiny_config(tiny_suite), tmp_path / "quiet" / "work", tmp_path / "quiet" / "bundles")
    size = sum(file.stat().st_size for file in (tmp_path / "quiet").rglob("*") if file.is_file())
    return open_bundle(bundle).sha256, size


def here(job: Job) -> None:
    run_job(job.pk)


@pytest.fixture(params=["here", pytest.param("local", marks=whole), pytest.param("celery", marks=whole)])
def work(request: pytest.FixtureRequest, site: Site, disk: Disk, tmp_path: Path, settings: Any) -> Iterator[Work]:
    """Bring a job as far as it goes: in this process, by the local runner, or by a Celery worker."""
    if request.param == "here":
        yield here
        return
    redis = Redis(tmp_path)
    if request.param == "celery":
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed")
        redis.start()
    settings.RUNNER = request.param
    own = {"QW_RUNNER": request.param, "QW_BROKER_URL": redis.url, "QW_RESERVE_MB": str(RESERVE_MB)}
    site.periods = SLOW_LEASE | own | {"QW_RESEND_SECONDS": "3"}
    started = [site.start("manage.py", "runner", "--skip-checks")]
    if request.param == "celery":
        options = ("-Q", "cpu", "-c", "1", "--max-tasks-per-child=1", "--without-mingle", "--without-gossip")
        started.append(site.start("-m", "celery", "-A", "quantaweb", "worker", *options))

    def wait(job: Job) -> None:
        wait_for(lambda: not Job.objects.get(pk=job.pk).is_open, "the job's end", seconds=120, site=site)

    with asking_through(redis.url, settings) if request.param == "celery" else connection.execute_wrapper(_as_it_is):
        yield wait
    end(*started)
    redis.kill()


def _as_it_is(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    return execute(sql, params, many, context)


def write_label(client: Client, name: str) -> int:
    body = {"run": "synthetic", "k": 6, "cluster": 0, "origin": "person", "name": name, "state": "submitted"}
    return client.post("/api/v1/labels/", json.dumps(body), content_type="application/json").status_code


def visible(site: Site) -> list[str]:
    """What anybody could take for a result."""
    return [path.name for path in (site.data / "bundles").glob("[!.]*")]


@pytest.mark.parametrize("site", ["sqlite", pytest.param("postgres", marks=whole)], indirect=True)
def test_a_job_on_a_full_disk_fails_whole_and_goes_on_later(
    site: Site,
    disk: Disk,
    undisturbed: tuple[str, int],
    work: Work,
    tiny_suite: Path,
    tmp_path: Path,
    measured: Measured,
    request: pytest.FixtureRequest,
) -> None:
    sha256, needed = undisturbed
    make_run(tmp_path / "bundle")
    client = Client()
    client.force_login(User.objects.create_superuser("ada", password="x"))
    job = queue.enqueue(tiny_config(tiny_suite))
    reached = []
    for number, share in enumerate(SHARES):
        disk.leave(RESERVE_MB * 1_000_000 + round(share * needed) - used_by(site))
        if number:
            queue.resume(job)
        work(job)
        job.refresh_from_db()
        assert (job.state, "isk" in job.error, "full" in job.error) == ("failed", True, True), job.error
        assert visible(site) == []
        assert Run.objects.filter(name="tiny").count() == 0
        assert client.get("/readyz").status_code == 503
        assert write_label(client, f"while the disk is full, {number}") == (201 if number == 0 else 409)
        reached.append(job.shards.filter(state="succeeded").count())
    assert reached == sorted(reached)
    assert reached[-1] > reached[0]
    disk.make_room()
    assert client.get("/readyz").json()["checks"]["disk"].endswith("free")
    queue.resume(job)
    work(job)
    job.refresh_from_db()
    assert (job.state, job.error) == ("succeeded", "")
    assert job.bundle_sha256 == sha256
    open_bundle(Path(job.bundle_path)).verify()
    measured(
        7,
        "the disk of jobs and database fills up four times during one run",
        runner={"here": "local"}.get(request.node.callspec.params["work"], request.node.callspec.params["work"]),
        scale="",
        times_full=len(SHARES),
        partial_bundles_seen=0,
        labels_written_meanwhile=LabelRevision.objects.count(),
        shards_kept_each_time=reached,
        same_bytes=1,
    )


@whole
@pytest.mark.parametrize("site", ["postgres"], indirect=True)
def test_a_write_that_is_cut_by_the_disk_itself_leaves_nothing_half(
    site: Site, disk: Disk, undisturbed: tuple[str, int], tiny_suite: Path, settings: Any, measured: Measured
) -> None:
    """Without the reserve the system refuses the write itself, in the middle of a file."""
    settings.RESERVE_MB = 0
    sha256, needed = undisturbed
    job = queue.enqueue(tiny_config(tiny_suite))
    times, size = 0, 4096
    while size < needed:
        disk.leave(size)
        if times:
            queue.resume(job)
        here(job)
        job.refresh_from_db()
        if job.state == "succeeded":
            break
        assert job.state == "failed"
        assert "full" in job.error or "are free" in job.error, job.error
        assert visible(site) == []
        times, size = times + 1, size * 2
    disk.make_room()
    if job.state == "failed":
        queue.resume(job)
        here(job)
        job.refresh_from_db()
    assert times >= 4
    assert (job.state, job.bundle_sha256) == ("succeeded", sha256), job.error
    what = "the disk refuses writes in the middle of files, with 4 kB, 8 kB, 16 kB … left"
    measured(7, what, runner="local", scale="", times_full=times, partial_bundles_seen=0, same_bytes=1)


def used_by(site: Site) -> int:
    """Bytes that the run has written so far."""
    return sum(file.stat().st_size for file in (site.data / "workspaces").rglob("*") if file.is_file())
