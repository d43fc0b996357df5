"""The site as it is deployed: gunicorn with threads, on a port or a socket of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.databases import Site
from tests.faults.breaking import free_port

SQLITE_IN_CI = pytest.mark.parametrize(
    "site", ["sqlite", pytest.param("postgres", marks=pytest.mark.whole)], indirect=True
)


@dataclass
class Web:
    """A server under way."""

    process: subprocess.Popen[bytes]
    address: str
    socket: Path | None = None

    def client(self, **headers: str) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.socket)) if self.socket else None
        return httpx.Client(base_url=self.address, transport=transport, headers=headers, timeout=60)

    def pids(self) -> list[int]:
        """The server's own process and those that answer."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def peak_megabytes(self) -> float:
        """The most memory that any one of its processes has ever held."""
        return max(_status(pid, "VmHWM") for pid in self.pids()) / 1024

    def forget_peak(self) -> None:
        for pid in self.pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


@contextmanager
def serving(site: Site, *, workers: int = 1, on_socket: bool = False, **environment: str) -> Iterator[Web]:
    """Start gunicorn on the test's database, and end it with the block; REMOTE_ADDR is empty on a socket."""
    place = Path(site.data / "web.sock") if on_socket else None
    port = free_port()
    bind = f"unix:{place}" if place else f"127.0.0.1:{port}"
    options = ["--workers", str(workers), "--worker-class", "gthread", "--threads", "4", "--log-level", "warning"]
    process = site.start("-m", "gunicorn", "quantaweb.wsgi:application", "--bind", bind, *options, **environment)
    web = Web(process, f"http://127.0.0.1:{port}" if not place else "http://localhost", place)
    try:
        _wait_until_alive(web, site)
        yield web
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_alive(web: Web, site: Site) -> None:
    until = time.monotonic() + 60
    with web.client() as client:
        while time.monotonic() < until and web.process.poll() is None:
            with suppress(httpx.TransportError):
                if client.get("/livez").status_code == 200:
                    return
            time.sleep(0.1)
    raise AssertionError(f"gunicorn did not answer\n{site.log()[-2000:]}")
