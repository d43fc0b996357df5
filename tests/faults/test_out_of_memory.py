"""Memory runs out, of a device, of a process or of the machine: row 8."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compute.bundle import open_bundle
from compute.jobs import queue, runner
from compute.jobs.run import run_job
from compute.models import Job, Shard
from compute.numerics import losses
from compute.pipeline import run_qdg
from tests.databases import Site
from tests.faults.breaking import Redis, kill, pid_of, running, wait_for, wait_for_state
from tests.faults.celery_site import CelerySite, asking_through, use_plan
from tests.faults.figures import Measured
from tests.jobs import fake
from tests.tiny import tiny_config

whole = pytest.mark.whole
on_sqlite = pytest.mark.parametrize("site", ["sqlite"], indirect=True)
LIMIT_BYTES = 250_000_000  # of a worker that the kernel watches
_JOIN = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """A device with room for so many texts at a time, that says so as torch does; what was tried on it."""
    original, tried, room = losses._evaluator, [], [0]

    @contextmanager
    def evaluator(*given: Any, **named: Any) -> Iterator[Callable[[np.ndarray], Any]]:
        with original(*given, **named) as batch_losses:

            def limited(batch: np.ndarray) -> Any:
                tried.append(len(batch))
                if len(batch) > room[0]:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
                return batch_losses(batch)

            yield limited

    monkeypatch.setattr(losses, "_evaluator", evaluator)

    def with_room(most: int) -> list[int]:
        room[0] = most
        tried.clear()
        return tried

    return with_room


@on_sqlite
def test_a_small_device_gets_smaller_batches_and_gives_the_same_bytes(
    site: Site, device: Callable[[int], list[int]], tiny_suite: Path, tmp_path: Path, measured: Measured
) -> None:
    config = tiny_config(tiny_suite)
    tried = device(10**6)
    undisturbed = open_bundle(run_qdg(config, tmp_path / "work", tmp_path / "bundles"))
    largest = max(tried)
    device((largest + 3) // 4)
    job = queue.enqueue(config)
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error) == ("succeeded", "")
    assert sorted(set(tried), reverse=True)[:3] == [largest, largest // 2, largest // 4]
    assert job.bundle_sha256 == undisturbed.sha256
    halved = {"texts_at_first": largest, "texts_at_last": largest // 4}
    measured(8, "a device has room for a quarter of a batch", runner="local", scale="", same_bytes=1, **halved)


@on_sqlite
def test_a_device_that_is_too_small_fails_the_job_with_a_sentence(
    site: Site, device: Callable[[int], list[int]], tiny_suite: Path, measured: Measured
) -> None:
    tried = device(0)
    job = queue.enqueue(tiny_config(tiny_suite))
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "failed"
    assert f"Memory ran out with {tried[0]}, then {tried[0] // 2}, then {tried[0] // 4} texts" in job.error
    assert len(tried) == 3
    device(10**6)
    queue.resume(job)
    run_job(job.pk)
    assert Job.objects.get(pk=job.pk).state == "succeeded"
    measured(8, "a device has no room even for a quarter of a batch", runner="local", scale="", tries=3, failed=1)


@on_sqlite
def test_a_process_that_may_have_no_more_memory_fails_the_job_with_a_sentence(
    site: Site, monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    """A real limit of the system on this process's memory, and a real allocation beyond it."""
    use_plan(monkeypatch, ("losses", 1))

    def greedy(*_: object, **__: object) -> None:
        before = resource.getrlimit(resource.RLIMIT_AS)
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + 100_000_000, before[1]))
        try:
            np.zeros(200_000_000)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)

    monkeypatch.setattr("compute.pipeline.run_shard", greedy)
    job = queue.enqueue(fake.config())
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error.partition(".")[0]) == ("failed", "The machine ran out of memory in losses")
    measured(8, "a worker may have no more memory (RLIMIT_AS)", runner="local", scale="", failed=1)


@pytest.fixture(params=["local", "celery"])
def workers(
    request: pytest.FixtureRequest, site: Site, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CelerySite]:
    use_plan(monkeypatch, ("losses", 1), ("bundle", 1))
    redis = Redis(tmp_path)
    if request.param == "celery":
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed")
        redis.start()
    started = CelerySite(site, redis.url, QW_RUNNER=request.param, QW_RESEND_SECONDS="3", QW_LEASE_SECONDS="3")
    started.name = request.param
    with asking_through(redis.url, settings):
        settings.RUNNER = request.param
        yield started
    started.end()
    redis.kill()


@whole
def test_a_shard_that_loses_its_worker_thrice_fails_its_job(
    site: Site, workers: CelerySite, measured: Measured
) -> None:
    """SIGKILL, as the kernel sends it to whoever takes the last of the memory."""
    slow = {"TEST_STEP_SECONDS": "1"}
    if workers.name == "celery":
        workers.worker("one", **slow)
    workers.sweeper(**slow)
    job = queue.enqueue(fake.config())
    for attempt in (1, 2, 3):
        held = wait_for(lambda n=attempt: held_at(job, n), f"attempt {attempt}", seconds=60, site=site)
        kill(pid_of(held))
    wait_for_state(job, "failed", site=site, seconds=60)
    job.refresh_from_db()
    assert "lost its worker three times" in job.error
    other = queue.enqueue(fake.config("other"))
    running(other, least=1)  # the worker lives, and leaves the failed job alone
    assert job.shards.get(ordinal=0).attempt == 3
    assert Job.objects.get(pk=job.pk).state == "failed"
    measured(8, "a shard's worker is killed three times", runner=workers.name, attempts=3, failed=1)


def held_at(job: Job, attempt: int) -> Shard | None:
    return Shard.objects.filter(job=job, ordinal=0, state="running", attempt=attempt).first()


class Watched:
    """A control group with little memory: whoever takes more of it is killed by the kernel."""

    def __init__(self, root: Path) -> None:
        own = Path("/proc/self/cgroup").read_text().splitlines()
        inside = next((line.split(":")[2] for line in own if ":memory:" in line), None)
        name = f"qw-{os.getpid()}"
        is_first = inside is not None  # the first version of control groups, or the second
        self.folder = Path(f"/sys/fs/cgroup/memory{inside}/{name}" if is_first else f"/sys/fs/cgroup/{name}")
        self.folder.mkdir()
        limit = "memory.limit_in_bytes" if is_first else "memory.max"
        (self.folder / limit).write_text(str(LIMIT_BYTES))

    @property
    def members(self) -> str:
        return str(self.folder / "cgroup.procs")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    try:
        group = Watched(tmp_path)
    except OSError as error:
        pytest.skip(f"no control group with a limit of memory can be made here ({error.strerror})")
    yield group
    group.folder.rmdir()


@on_sqlite
def test_a_worker_that_the_kernel_kills_is_told_and_not_started_for_ever(
    site: Site, watched: Watched, monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    """A real control group, and a real kill for want of memory."""
    use_plan(monkeypatch, ("losses", 1), ("bundle", 1))
    site.settings_module = "tests.faults.settings"
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-c", _JOIN, watched.members, sys.executable, "-m", "tests.faults.hungry", "run_job"]
    job = queue.enqueue(fake.config())
    local = runner.Runner(command)

    def is_over() -> bool:
        local.tick()
        return not Job.objects.get(pk=job.pk).is_open

    wait_for(is_over, "the job's end", seconds=90, site=site)
    local.tick()
    job.refresh_from_db()
    assert (job.state, "lost its worker three times" in job.error) == ("failed", True), job.error
    told = [line for line in job.log_lines.values_list("message", flat=True) if "run out of memory" in line]
    assert len(told) >= 2
    assert local.child is None
    measured(8, "the kernel kills the worker for want of memory (control group)", runner="local", attempts=3, failed=1)
