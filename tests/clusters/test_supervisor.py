"""The web server and the runner live and end together."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusters.embedded import supervisor
from clusters.embedded.supervisor import Service, StartError, Supervisor
from tests.databases import ROOT, sqlite_template  # noqa: F401  (a fixture)

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
FALL = [sys.executable, "-c", "raise SystemExit(3)"]


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def service(command: list[str], name: str = "web server") -> Service:
    return Service(name, command, grace=5.0)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Any, seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_a_port_in_use_is_named_with_another_to_take(busy_port: int) -> None:
    with pytest.raises(StartError, match=rf"Port {busy_port} is in use.*PORT={busy_port + 1}"):
        supervisor.require_free_port("127.0.0.1", busy_port)


def test_a_free_port_is_taken(free_port: int) -> None:
    supervisor.require_free_port("127.0.0.1", free_port)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_does_not_exist_is_refused(port: int) -> None:
    with pytest.raises(StartError, match="does not exist"):
        supervisor.require_free_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(StartError, match="cannot be used"):
        supervisor.require_free_port("192.0.2.1", 8000)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_this_machine_alone_needs_no_preparation(host: str) -> None:
    supervisor.require_private_or_guarded(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_serving_others_wants_secret_hosts_and_tls(host: str, settings: Any) -> None:
    with pytest.raises(StartError, match="QW_SECRET_KEY.*QW_ALLOWED_HOSTS.*QW_BEHIND_TLS"):
        supervisor.require_private_or_guarded(host)
    settings.HAS_OWN_SECRET = settings.HAS_OWN_HOSTS = settings.BEHIND_TLS = True
    supervisor.require_private_or_guarded(host)


def test_services_start_and_end_together() -> None:
    services = [service(SLEEP), service(SLEEP, "job runner")]
    site = Supervisor(services, lambda _: None)
    threading.Timer(0.5, site.ask_to_stop).start()
    assert site.run() == 0
    assert not any(is_alive(s.child.pid) for s in services if s.child)


def test_a_service_that_falls_is_started_again_and_given_up_after_five(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(supervisor, "TICK", 0.02)
    said: list[str] = []
    other = service(SLEEP, "job runner")
    assert Supervisor([service(FALL), other], said.append).run() == 1
    assert [text for text in said if "starts again" in text] == said[:5]
    assert "did so 6 times" in said[-1]
    assert other.child is not None
    assert not is_alive(other.child.pid)


def test_the_pause_doubles_and_a_steady_service_starts_afresh() -> None:
    said: list[str] = []
    site, fallen = Supervisor([], said.append), service(FALL)
    for expected, lived in ((1, 0.0), (2, 0.0), (1, 100.0)):
        fallen.start()
        assert fallen.child is not None
        fallen.child.wait()
        fallen.started -= lived
        site._keep(fallen)
        assert said[-1].endswith(f"starts again in {expected} s.")


def test_waiting_for_an_answer_ends_when_it_is_hopeless(free_port: int, busy_port: int) -> None:
    assert supervisor.wait_until_answering("127.0.0.1", busy_port, lambda: False)
    assert not supervisor.wait_until_answering("127.0.0.1", free_port, lambda: True)


@pytest.fixture
def site_process(tmp_path: Path, free_port: int, sqlite_template: Path) -> Iterator[subprocess.Popen[str]]:  # noqa: F811
    (tmp_path / "data").mkdir()
    shutil.copy(sqlite_template, tmp_path / "data" / "quantaweb.sqlite3")
    environment = {**os.environ, "QW_DATA_DIR": str(tmp_path / "data"), "PORT": str(free_port)}
    environment.pop("QW_DATABASE_URL", None)
    command = [sys.executable, "manage.py", "up"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as child:
        yield child
        if child.poll() is None:
            child.kill()


def children_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def lines_until(child: subprocess.Popen[str], start: str) -> list[str]:
    lines: list[str] = []
    for line in child.stdout or []:
        lines.append(line.strip())
        if line.startswith(start):
            return lines
    raise AssertionError(f"ended early: {lines}")


def test_up_serves_prints_a_link_and_ends_cleanly(site_process: subprocess.Popen[str], free_port: int) -> None:
    lines = lines_until(site_process, "Ctrl-C")
    assert lines[0] == f"QuantaWeb is at http://127.0.0.1:{free_port}/"
    link = lines[1].split(": ", 1)[1]
    with urllib.request.urlopen(link, timeout=30) as answer:
        assert "Sign in as admin?" in answer.read().decode()
    family = children_of(site_process.pid)
    site_process.send_signal(signal.SIGINT)
    assert site_process.wait(60) == 0
    assert len(family) == 2
    assert not any(is_alive(pid) for pid in family)


SUPERVISE = """
import os, sys, django
django.setup()
from clusters.embedded.supervisor import Service, Supervisor
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
services = [Service(name, sleep, grace=5.0) for name in ("web server", "job runner")]
Supervisor(services, print).run(on_started=lambda: print("started", flush=True))
"""


def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "quantaweb.settings", "QW_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-c", SUPERVISE]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as child:
        lines_until(child, "started")
        family = children_of(child.pid)
        child.kill()
    assert len(family) == 2
    assert wait_for(lambda: not any(is_alive(pid) for pid in family))
