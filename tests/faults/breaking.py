"""Starting, watching and killing what the fault tests break."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from compute.models import Job, Shard
from tests.databases import Site

PERIODS = {
    "QW_HEARTBEAT_SECONDS": "1",
    "QW_LEASE_SECONDS": "3",
    "QW_STALLED_SECONDS": "2",
    "QW_SWEEP_SECONDS": "1",
    "QW_POLL_SECONDS": "1",
    "QW_LOG_LEVEL": "INFO",
}


def wait_for(condition: Callable[[], Any], what: str, *, seconds: float = 30, site: Site | None = None) -> Any:
    """The first true value of the condition; fails with what was waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.05)
    told = f"\n{site.log()[-3000:]}" if site else ""
    raise AssertionError(f"{what}: not within {seconds} s{told}")


def wait_for_state(job: Job, state: str, *, site: Site, seconds: float = 40) -> None:
    def reached() -> bool:
        job.refresh_from_db()
        return job.state == state

    try:
        wait_for(reached, f"job {job.pk} {state}", seconds=seconds)
    except AssertionError as error:
        shards = list(Shard.objects.filter(job=job).values_list("phase", "state", "attempt", "n_done", "worker"))
        lines = list(job.log_lines.values_list("message", flat=True))
        job_log = site.data / "logs" / f"job-{job.pk}.log"
        more = job_log.read_text()[-2000:] if job_log.exists() else ""
        raise AssertionError(f"{error}; it is {job.state}\n{shards}\n{lines}\n{site.log()[-2000:]}\n{more}") from None


def steps(site: Site) -> list[str]:
    """Every step that the fake pipeline took, in order."""
    file = site.data / "workspaces" / "steps.log"
    return file.read_text().splitlines() if file.exists() else []


def repeated(site: Site) -> int:
    return sum(count - 1 for count in Counter(steps(site)).values())


def pid_of(shard: Shard) -> int:
    return int(shard.worker.rpartition(":")[2])


def running(job: Job, *, least: int = 2, seconds: float = 30) -> Shard:
    """A shard under way, at least so many steps in (as its files tell: rows hear of it a second later)."""

    def found() -> Shard | None:
        shard = Shard.objects.filter(job=job, state="running").first()
        file = Path(settings.WORKSPACE_DIR) / "steps.log"
        if shard is None or not file.exists():
            return None
        mine = [line for line in file.read_text().splitlines() if line.startswith(f"job-{job.pk} {shard.ordinal} ")]
        return shard if len(mine) >= least else None

    shard = wait_for(found, f"job {job.pk} at work", seconds=seconds)
    assert isinstance(shard, Shard)
    return shard


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def end(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Redis:
    """A real redis-server that keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        return [*command, "--dir", str(self.folder)]

    def start(self) -> None:
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL)
        wait_for(self._answers, "redis-server")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
