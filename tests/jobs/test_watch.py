"""Work that hangs ends itself; a Celery worker that takes no messages ends itself; and what says that it lives."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Error

from compute import checks
from compute.jobs import keeper, lease, queue, run, sweep, watch, workers
from compute.models import Job, Shard, Worker
from tests.databases import ROOT, Site
from tests.jobs import fake

CPU = ["cpu"]


class Ended(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def _fake_pipeline(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr("compute.pipeline.plan", fake.plan)
    monkeypatch.setattr("compute.pipeline.run_shard", fake.run_shard)
    monkeypatch.setattr(keeper, "TICK_SECONDS", 0.02)


# ── work that hangs ──

_HANG = """
import sys, time
import django
django.setup()
from compute import pipeline
from compute.jobs import keeper, run
from compute.steps.run import Work
keeper.TICK_SECONDS = 0.1

def the_dead_file_server():
    secret = "a private word"
    time.sleep(60)

def in_its_own_thread(*a, report, **k):
    the_dead_file_server()

def waited_for(*a, report, **k):
    Work(files=None, report=report).wait_for(the_dead_file_server)

pipeline.run_shard = globals()[sys.argv[2]]
run.run_next_shard(int(sys.argv[1]), worker="one")
"""


def _hanging(site: Site, how: str, **periods: str) -> tuple[Job, subprocess.Popen[bytes]]:
    site.periods = {"QW_HEARTBEAT_SECONDS": "1", "QW_LEASE_SECONDS": "30", **periods}
    site.settings_module = "tests.faults.settings"
    job = queue.enqueue(fake.config())
    return job, site.start("-c", _HANG, str(job.pk), how)


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@pytest.mark.parametrize("how", ["in_its_own_thread", "waited_for"])
def test_work_that_says_and_computes_nothing_while_its_heart_beats_is_given_up(site: Site, how: str) -> None:
    job, child = _hanging(site, how, QW_STUCK_SECONDS="2")
    assert child.wait(45) == 75
    shard = job.shards.get(ordinal=0)
    assert (shard.state, shard.attempt) == ("queued", 1)
    assert "made no progress for 2 s and was ended" in " ".join(job.log_lines.values_list("message", flat=True))
    assert "the_dead_file_server" in site.log()
    assert "private word" not in site.log()


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_person_can_cancel_what_hangs(site: Site) -> None:
    job, child = _hanging(site, "waited_for", QW_GRACE_SECONDS="1")
    until = time.monotonic() + 30
    while not job.shards.filter(state="running").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    queue.cancel(job)
    assert child.wait(45) == 75
    job.refresh_from_db()
    assert (job.state, job.shards.get(ordinal=0).state) == ("cancelled", "cancelled")
    assert "stopped, as asked" in " ".join(job.log_lines.values_list("message", flat=True))


def _keeper() -> keeper.Keeper:
    held = lease.Lease(job_id=1, shard_id=1, token="t", worker="one")
    return keeper.Keeper(held, label="losses", n_total=1, why_stop=lambda: "")


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_work_that_computes_is_never_hung_however_little_it_says(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = _keeper()
    later = time.monotonic() + settings.STUCK_SECONDS + 1
    clocks = {"monotonic": later, "process_time": time.process_time() + settings.STUCK_SECONDS / 4}
    for name, value in clocks.items():
        monkeypatch.setattr(f"compute.processor.time.{name}", lambda value=value: value)
    assert not one._is_hung(later)
    assert not one._is_hung(later + settings.STUCK_SECONDS / 2)
    assert one._is_hung(later + settings.STUCK_SECONDS)


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_three_times_hung_fails_the_job(site: Site) -> None:
    job = queue.enqueue(fake.config())
    for _ in range(3):
        held = lease.claim(job.pk, "one")
        assert held is not None
        sweep.requeue(Shard.objects.filter(pk=held.shard_id, lease_token=held.token), "its worker made no progress")
    job.refresh_from_db()
    assert job.state == "failed"
    assert lease.claim(job.pk, "one") is None


# ── a consumer that stalls ──


def _watch(monkeypatch: pytest.MonkeyPatch, *, waiting: int, taken: int = 0, busy: bool = False) -> watch.Watch:
    monkeypatch.setattr(watch, "n_messages", lambda queue: waiting)
    return watch.Watch("a:1.1:1", CPU, n_taken=lambda: taken, is_busy=lambda: busy)


def _rounds(one: watch.Watch, n: int, *, ticks: bool) -> int:
    for _ in range(n):
        if ticks:
            one.tick()
        one.look()
    return one.n_stalled


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("waiting", "ticks", "busy", "stalled"),
    [
        (2, True, False, True),  # idle, its loop turns, and messages wait: connected again, and deaf
        (2, False, True, True),  # its loop stands still
        (2, True, True, False),  # at work on a long shard
        (0, True, False, False),  # nothing to do
        (0, False, False, False),  # the broker is away
    ],
)
def test_a_consumer_is_stalled_when_messages_wait_and_it_takes_none(
    monkeypatch: pytest.MonkeyPatch, waiting: int, ticks: bool, busy: bool, stalled: bool
) -> None:
    one = _watch(monkeypatch, waiting=waiting, busy=busy)
    n = _rounds(one, 1 + watch.STALLED_ROUNDS, ticks=ticks)
    assert (n >= watch.STALLED_ROUNDS) is stalled


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_busy_queue_of_short_tasks_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter(range(100))
    monkeypatch.setattr(watch, "n_messages", lambda queue: 5)
    one = watch.Watch("a:1.1:1", CPU, n_taken=lambda: next(taken), is_busy=lambda: False)
    assert _rounds(one, 10, ticks=True) == 0


# ── signs of life ──


def test_a_service_is_announced_once_and_says_what_it_is(settings: Any) -> None:
    for _ in range(2):
        workers.announce("lab:1.1:7", "celery", ["cpu", "site"])
    row = Worker.objects.get()
    assert (row.kind, row.queues, row.device) == ("celery", "cpu,site", "cpu")
    assert row.n_cores > 0
    assert row.memory_bytes > 2**28
    assert row.device_name
    workers.count("lab:1.1:7", n_done=2)
    workers.count("lab:1.1:7", n_done=1, n_failed=1)
    row.refresh_from_db()
    assert (row.n_done, row.n_failed) == (3, 1)
    workers.leave("lab:1.1:7")
    assert not workers.seen("lab:1.1:7")


class _Torch:
    """What a worker asks of a GPU's library."""

    class cuda:  # noqa: N801
        is_initialized = staticmethod(lambda: True)
        mem_get_info = staticmethod(lambda device: (30 * 2**30, 40 * 2**30))
        get_device_name = staticmethod(lambda device: "A GPU")


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_the_process_that_computes_says_how_full_its_gpu_is(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.DEVICE = "cuda:1"
    workers.announce("lab:1.1:7", "celery", ["gpu"])
    monkeypatch.setitem(sys.modules, "torch", _Torch)
    workers.tell_device("lab:1.1:7", workers.gpu())
    row = Worker.objects.get()
    assert (row.device_name, row.vram_bytes, row.vram_used_bytes) == ("A GPU", 40 * 2**30, 10 * 2**30)
    monkeypatch.setattr(_Torch.cuda, "mem_get_info", lambda device: (_ for _ in ()).throw(RuntimeError("gone")))
    workers.tell_device("lab:1.1:7", workers.gpu())  # a device that is gone is the work's to notice
    assert Worker.objects.get().vram_used_bytes == 10 * 2**30


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_how_shards_end_is_counted_for_their_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    workers.announce("lab:1.1:7", "local", CPU)
    job = queue.enqueue(fake.config())
    run.run_next_shard(job.pk, worker="lab:1.2:8", service="lab:1.1:7")
    monkeypatch.setattr("compute.pipeline.run_shard", lambda *a, **k: (_ for _ in ()).throw(MemoryError()))
    run.run_next_shard(job.pk, worker="lab:1.2:8", service="lab:1.1:7")
    row = Worker.objects.get()
    assert (row.n_claimed, row.n_done, row.n_failed) == (2, 1, 1)
    assert Job.objects.get().state == "failed"


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_the_sign_of_life_is_touched(settings: Any, tmp_path: Path) -> None:
    settings.ALIVE_FILE = str(tmp_path / "alive")
    workers.touch_alive()
    assert (tmp_path / "alive").exists()
    settings.ALIVE_FILE = str(tmp_path / "nowhere" / "alive")
    workers.touch_alive()  # a full or missing disk is no reason to stop working


# ── periods ──


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LEASE_SECONDS", 40, "compute.E001"),
        ("STUCK_SECONDS", 20, "compute.E002"),
        ("STALLED_SECONDS", 10, "compute.E003"),
    ],
)
def test_periods_that_leave_no_room_are_refused(settings: Any, name: str, value: int, said: str) -> None:
    assert checks.periods() == []
    setattr(settings, name, value)
    found = checks.periods()
    assert [one.id for one in found] == [said]
    assert isinstance(found[0], Error)
    assert str(value) in found[0].msg


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_what_a_workers_parent_reads_brings_no_torch(site: Site) -> None:
    heavy = "{'torch', 'sklearn', 'umap'}"
    code = f"import sys, django; django.setup(); import compute.tasks; print(sorted({heavy} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=site.environment, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_a_fork_that_could_not_wait_leaves_the_threads_lock_to_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_FORK_PATIENCE", 0.01)
    with watch._quiet:
        watch._before_fork()
        watch._after_fork()
        assert watch._quiet.locked()
    watch._before_fork()
    assert watch._quiet.locked()
    watch._after_fork()
    assert not watch._quiet.locked()
