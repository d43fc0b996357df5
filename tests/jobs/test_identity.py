"""No two processes have one name, and nobody takes a living worker for a dead one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compute.jobs import identity, queue, sweep
from compute.jobs.lease import claim
from compute.models import Shard
from tests.databases import ROOT, Site
from tests.jobs import fake

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
_SAY = "from compute.jobs.identity import own_name; print(own_name(), flush=True); import time; time.sleep(60)"
_NAMESPACES = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def _can_unshare() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*_NAMESPACES, "/bin/true"], capture_output=True, check=False).returncode == 0


def _start(*before: str) -> tuple[subprocess.Popen[str], str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*before, sys.executable, "-c", _SAY], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_parent_and_its_child_agree_on_the_childs_name() -> None:
    child, said = _start()
    try:
        assert said == identity.name_of(child.pid)
        assert said.startswith(identity.here())
        assert not identity.is_dead(said)
    finally:
        child.kill()
        child.wait()
    assert identity.is_dead(said)


def test_an_id_that_is_used_again_names_another_process() -> None:
    start, began_and_pid = identity.own_name().rsplit(".", 1)
    earlier = f"{start}.{int(began_and_pid.partition(':')[0]) - 1}:{os.getpid()}"
    assert identity.is_dead(earlier)
    assert not identity.is_dead(identity.own_name())


def test_processes_of_other_hosts_are_never_taken_for_dead() -> None:
    assert not identity.is_dead("elsewhere:12345678.1:999999")
    assert not identity.is_dead(f"{identity.host()}:00000000.1:999999")


def test_people_read_host_and_process() -> None:
    assert identity.shown("lab-3:1f3a9c2e.884123:4711") == "lab-3:4711"
    assert identity.shown("lab-3:4711") == "lab-3:4711"
    assert identity.shown("") == ""


@pytest.mark.skipif(not _can_unshare(), reason="needs root and name spaces of process ids")
def test_two_containers_with_one_host_name_and_one_process_id_are_told_apart(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.pipeline.plan", fake.plan)
    (one, first), (two, second) = _start(*_NAMESPACES), _start(*_NAMESPACES)
    try:
        assert first.rpartition(":")[2] == second.rpartition(":")[2] == "1"  # each is the first of its own
        assert first.partition(":")[0] == second.partition(":")[0] == identity.host()
        assert len({first, second, identity.own_name()}) == 3
        job = queue.enqueue(fake.config())
        assert claim(job.pk, first) is not None
        assert sweep.requeue_dead_here() == 0  # it cannot be seen from here, and lives
        assert Shard.objects.get(job=job, state="running").worker == first
    finally:
        for process in (one, two):
            process.kill()
            process.wait()
