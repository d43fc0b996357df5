"""One process tree for a laptop: the web server and the local runner, restarted when they fall, ended together."""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from compute.jobs import process

MAX_RESTARTS = 5
FIRST_PAUSE = 1.0  # seconds; doubled at every further fall
STEADY_SECONDS = 60.0  # a child that lived so long has recovered
TICK = 0.2
WEB_GRACE, RUNNER_GRACE = 35.0, 65.0
ANSWER_SECONDS = 60.0


class StartError(Exception):
    """Why the site cannot be served, in a sentence that says what to do."""


def require_private_or_guarded(host: str) -> None:
    """Refuse to serve beyond this machine unless it was prepared for that."""
    if _is_loopback(host):
        return
    wanted = {
        "QW_SECRET_KEY (a long random text)": settings.HAS_OWN_SECRET,
        "QW_ALLOWED_HOSTS (the names people will use)": settings.HAS_OWN_HOSTS,
        "QW_BEHIND_TLS=1 (behind a proxy that speaks HTTPS)": settings.BEHIND_TLS or settings.INSECURE_HTTP,
    }
    missing = [name for name, is_set in wanted.items() if not is_set]
    if missing:
        raise StartError(
            f"Serving at {host} opens the site to other machines. Set {', '.join(missing)} first, "
            "or leave --host at 127.0.0.1."
        )


def require_free_port(host: str, port: int) -> None:
    """Refuse a port that cannot be listened on."""
    if not 1 <= port <= 65535:
        raise StartError(f"Port {port} does not exist; choose one from 1024 to 65535, as in: make serve PORT=8001")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(_port_sentence(host, port, error)) from error


def _port_sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} is in use by another program; perhaps the site is being served already. "
            f"Stop that, or choose another port: make serve PORT={port + 1 if port < 65535 else 8000}"
        )
    if error.errno == errno.EACCES:
        return f"Port {port} is reserved for the system. Choose one from 1024 up, as in: make serve PORT=8000"
    return f"The address {host}:{port} cannot be used ({error.strerror}). Leave --host at 127.0.0.1."


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass
class Service:
    """A child process that has to run as long as the site does."""

    name: str
    command: Sequence[str]
    grace: float
    child: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    not_before: float = 0.0
    n_falls: int = field(default=0)

    def start(self) -> None:
        parent = os.getpid()
        self.started = time.monotonic()
        self.child = subprocess.Popen(
            self.command,
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which ends everything in order
            preexec_fn=lambda: process.die_with_parent(parent),  # safe: this process has one thread
        )


class Supervisor:
    """Starts the services, restarts one that falls (five times, waiting longer each time), ends them all."""

    def __init__(self, services: Sequence[Service], say: Callable[[str], None]) -> None:
        self.services = list(services)
        self._say = say
        self._asked = False

    def run(self, *, on_started: Callable[[], None] = lambda: None) -> int:
        """Serve until asked to stop; give the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup keeps the site when its terminal closes
                signal.signal(number, self.ask_to_stop)
        try:
            for service in self.services:
                service.start()
            on_started()
            while not self._asked:
                if not all(self._keep(service) for service in self.services):
                    return 1
                time.sleep(TICK)
            self._say("Stopping; what is computed is kept.")
            return 0
        finally:
            self._stop_all()

    def ask_to_stop(self, *_: object) -> None:
        self._asked = True

    @property
    def is_asked_to_stop(self) -> bool:
        return self._asked

    @property
    def has_fallen(self) -> bool:
        """Whether a service has ended by itself just now."""
        return any(service.child is not None and service.child.poll() is not None for service in self.services)

    def _keep(self, service: Service) -> bool:
        """Restart a service that fell; False when it has fallen too often."""
        now = time.monotonic()
        if service.child is None:
            if now >= service.not_before:
                service.start()
            return True
        code = service.child.poll()
        if code is None:
            return True
        process.kill_group(service.child)
        service.child = None
        service.n_falls = 1 if now - service.started > STEADY_SECONDS else service.n_falls + 1
        how = process.ended(code)
        if service.n_falls > MAX_RESTARTS:
            self._say(f"The {service.name} {how}, and did so {service.n_falls} times. Its messages above may say why.")
            return False
        pause = FIRST_PAUSE * 2 ** (service.n_falls - 1)
        service.not_before = now + pause
        self._say(f"The {service.name} {how}; it starts again in {pause:.0f} s.")
        return True

    def _stop_all(self) -> None:
        """Ask every group to end at once, then wait for each."""
        alive = [(service.child, service.grace) for service in self.services if service.child is not None]
        for child, _ in alive:
            child.terminate()
        for child, grace in alive:
            process.stop(child, grace=grace)


def web_service(host: str, port: int) -> Service:
    """gunicorn: one process of a few threads, so that what one thread keeps in memory all see."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    options = ["--bind", address, "--workers", "1", "--worker-class", "gthread"]
    options += ["--threads", str(settings.WEB_THREADS)]
    options += ["--timeout", "60", "--graceful-timeout", "30", "--keep-alive", "5", "--log-level", "warning"]
    options += ["--logger-class", "quantaweb.server_log.ServerLog"]
    options += ["--limit-request-line", "8190"]  # states of pages are long; the most that it takes
    command = [sys.executable, "-m", "gunicorn", "quantaweb.wsgi:application", *options]
    return Service("web server", command, WEB_GRACE)


def runner_service() -> Service:
    manage = str(Path(settings.BASE_DIR) / "manage.py")
    return Service("job runner", [sys.executable, manage, "runner"], RUNNER_GRACE)


def wait_until_answering(host: str, port: int, is_hopeless: Callable[[], bool]) -> bool:
    """Whether something listens before the patience ends."""
    until = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < until and not is_hopeless():
        try:
            with socket.create_connection((_reachable(host), port), timeout=1):
                return True
        except OSError:
            time.sleep(TICK)
    return False


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
