"""A site of its own for the measurement: a data folder, a database, the server as `up` starts it."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READABLE = re.compile(r"It can be read at /runs/([^/]+)/")
_MAPPED_ARRAYS = (".npy",)


@dataclass
class Ingested:
    slug: str
    readable_seconds: float  # from the command's start to the run's page
    whole_seconds: float  # to its end: pages prepared, every file compared with its hash


@dataclass
class Site:
    """One database with what belongs to it."""

    name: str
    folder: Path
    database_url: str
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        own = {"QW_DATA_DIR": str(self.folder), "QW_DATABASE_URL": self.database_url, "PYTHONPATH": str(ROOT)}
        self.environment = {**os.environ, **own, "DJANGO_SETTINGS_MODULE": "quantaweb.settings"}

    def manage(self, *command: str) -> None:
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=self.environment, check=True)

    def ingest(self, bundle: Path) -> Ingested:
        """Read the bundle in as anybody would, and time it."""
        since = time.monotonic()
        command = [sys.executable, "manage.py", "ingest", str(bundle)]
        with subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True) as process:
            slug, readable = "", float("nan")
            for line in process.stdout or ():
                if found := READABLE.search(line):
                    slug, readable = found[1], time.monotonic() - since
        if process.returncode or not slug:
            raise RuntimeError(f"The bundle was not read in (status {process.returncode}); its message is above.")
        return Ingested(slug, readable, time.monotonic() - since)

    @contextmanager
    def served(self) -> Iterator[Server]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread", "--threads", "4"]
        command = [sys.executable, "-m", "gunicorn", "benchmarks.web.server:application", *options]
        command += ["--keep-alive", "60", "--timeout", "600", "--log-level", "warning"]
        with (self.folder / "web.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        try:
            server = Server(port, process.pid)
            server.wait()
            yield server
        finally:
            process.terminate()
            process.wait(60)


@dataclass(frozen=True)
class Answer:
    status: int
    seconds: float
    cpu_seconds: float
    n_queries: int
    body: bytes


class Server:
    """Asks over one connection that is kept open."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> None:
        until = time.monotonic() + 60
        while True:
            try:
                self.get("/sign-in/")
                return
            except OSError:
                self._connection.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def get(self, address: str) -> Answer:
        self._connection.request("GET", address)
        response = self._connection.getresponse()
        body = response.read()
        seconds, cpu = (float(response.headers.get(name, "nan")) for name in ("X-Seconds", "X-Cpu-Seconds"))
        return Answer(response.status, seconds, cpu, int(response.headers.get("X-Queries", 0)), body)

    def text(self, address: str) -> str:
        return self.get(address).body.decode()

    def memory(self) -> int | None:
        """Bytes of the worker that are resident and no page of a mapped array; None where Linux does not tell."""
        with suppress(OSError, ValueError, IndexError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return beyond_mapped_arrays(Path(f"/proc/{children[0]}/smaps").read_text())
        return None


def beyond_mapped_arrays(smaps: str) -> int:
    """Resident bytes that an smaps listing attributes to anything but arrays in files."""
    total, counts = 0, True
    for line in smaps.splitlines():
        first = line.split(maxsplit=1)[0]
        if not first.endswith(":"):  # the head of a mapping: range, rights, …, file
            counts = not line.endswith(_MAPPED_ARRAYS)
        elif counts and first == "Rss:":
            total += 1024 * int(line.split()[1])
    return total
