"""The site as it is deployed: PostgreSQL with fsync or SQLite, gunicorn, two processes of four threads, one core."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.web.site import ROOT, Site
from compute.errors import ComputeError
from tests.postgres import Server, find_binaries, missing

GUNICORN = ("--workers", "2", "--worker-class", "gthread", "--threads", "4", "--timeout", "60", "--max-requests", "0")
START_SECONDS = 60


class Postgres(Server):
    """One that keeps what it was told to keep: every commit waits for the disk."""

    def start(self) -> None:
        self._run("initdb", "-D", "data", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C")
        settings = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=on"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", settings, "start")

    @property
    def pid(self) -> int:
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started inside stays on this core; None leaves the choice to the system."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {sorted(before)[core]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def database(name: str, data: Path) -> Iterator[tuple[str, int | None]]:
    """The address of an empty database, and the process that serves it, if one does."""
    if name == "sqlite":
        yield f"sqlite:///{data / 'quantaweb.sqlite3'}", None
        return
    binaries = find_binaries()
    if missing() or binaries is None:
        raise ComputeError(f"{missing()}; or measure with --database sqlite.")
    folder = Path(tempfile.mkdtemp(prefix="qw-load-", dir="/tmp"))
    server = Postgres(folder, binaries)
    if os.geteuid() == 0:
        shutil.chown(folder, server.account, server.account)
    try:
        server.start()
        yield server.create("quantaweb"), server.pid
    finally:
        with suppress(subprocess.CalledProcessError):
            server.stop("fast")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def served(site: Site) -> Iterator[tuple[str, int]]:
    """The address of the site, and gunicorn's first process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "quantaweb.wsgi:application", "--bind", f"127.0.0.1:{port}"]
    numbers = site.folder / "numbers"
    numbers.mkdir(exist_ok=True)
    environment = site.environment | {"PROMETHEUS_MULTIPROC_DIR": str(numbers), "QW_DEBUG": "0"}
    environment["MALLOC_ARENA_MAX"] = "2"  # as in deploy/Dockerfile
    with (site.folder / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *GUNICORN, "--log-level", "warning"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    base = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{base}/readyz", process)
        yield base, process.pid
    finally:
        process.terminate()
        process.wait(START_SECONDS)


@contextmanager
def background(site: Site) -> Iterator[None]:
    """A nice-10 job that computes and writes a heartbeat every second."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.load.background"], cwd=ROOT, env=site.environment)
    try:
        yield
        if process.poll() is not None:
            raise ComputeError(f"The job beside the site ended by itself, with status {process.returncode}.")
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def ask(site: Site, module: str, *arguments: str) -> str:
    """What a module prints that runs inside the site."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env=site.environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 (our own, on loopback)
            return
        except OSError:
            if time.monotonic() > until or process.poll() is not None:
                raise
            time.sleep(0.2)


def memory(first: int) -> int:
    """Bytes of a process and all below it; what several share is counted once, whoever else on the machine shares it.

    Left out are mapped arrays, and the memory that PostgreSQL shares out: its size is a setting, and it fills slowly.
    """
    own, files = 0, dict[str, int]()
    for pid in _family(first):
        for mapping, file, counts in _mappings(pid):
            if not file:
                own += counts["Pss"]  # shared by nobody but a parent and its children
            elif not file.endswith((".npy", "/dev/zero")):
                files[mapping] = max(files.get(mapping, 0), counts["Rss"])
    return 1024 * (own + sum(files.values()))


def _family(first: int) -> Iterator[int]:
    yield first
    with suppress(OSError):
        for task in Path(f"/proc/{first}/task").iterdir():
            for pid in (task / "children").read_text().split():
                yield from _family(int(pid))


def _mappings(pid: int) -> Iterator[tuple[str, str, dict[str, int]]]:
    """Every mapping of a process: file and place, the file's path ("" where there is none), what is there in KiB."""
    head: list[str] = []
    counts: dict[str, int] = {}
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            first, rest = line.split(maxsplit=1)
            if not first.endswith(":"):  # range, rights, place, device, inode, path
                head, counts = line.split(maxsplit=5), {}
            elif first in ("Rss:", "Pss:"):
                counts[first[:-1]] = int(rest.split()[0])
            elif first == "VmFlags:":
                file = head[5].removesuffix(" (deleted)") if len(head) > 5 and head[4] != "0" else ""
                yield f"{file} {head[1]} {head[2]}", file, counts
