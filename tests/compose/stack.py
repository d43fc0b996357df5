"""The whole site in containers, under a name, volumes and ports of its own; podman with podman-compose, or Docker."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.compose import images

REPOSITORY = images.REPOSITORY
VERSION = "test"
SERVICES = ("postgres", "broker", "cache", "migrate", "sweeper", "worker-cpu", "web", "proxy")
_BEGAN = time.monotonic()


def engine() -> tuple[str, list[str]] | None:
    """What runs containers here, and its compose command."""
    if shutil.which("podman") and shutil.which("podman-compose"):
        return "podman", ["podman-compose"]
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return "docker", ["docker", "compose"]
    return None


def say(text: str) -> None:
    """Tell whoever watches how far it is."""
    print(f"  [{time.monotonic() - _BEGAN:5.0f} s] {text}", file=sys.__stderr__, flush=True)


def wait_for(condition: Callable[[], Any], what: str, *, seconds: float = 90) -> Any:
    """The first true value; fails with what was waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Stack:
    """One project of containers in a folder that holds the compose file, `deploy/` and `.env`."""

    def __init__(self, folder: Path, project: str) -> None:
        found = engine()
        assert found is not None
        self.engine, self._compose = found
        self.folder, self.project = folder, project
        self.port, self.plain_port = free_port(), free_port()
        self.metrics_key = secrets.token_hex(32)
        self._write_folder()

    @property
    def base(self) -> str:
        return f"https://localhost:{self.port}"

    def _write_folder(self) -> None:
        """From an empty folder: what the documentation says to copy, and .env from its example."""
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "docker-compose.yml", self.folder)
        shutil.copytree(REPOSITORY / "deploy", self.folder / "deploy", dirs_exist_ok=True)
        given = {
            "QW_SITE": "localhost",
            "QW_ALLOWED_HOSTS": "localhost",
            "QW_SITE_URL": self.base,
            **{name: secrets.token_hex(32) for name in ("QW_SECRET_KEY", "QW_DATABASE_PASSWORD", "QW_BROKER_PASSWORD")},
        }
        lines = []
        for line in (REPOSITORY / ".env.example").read_text().splitlines():
            name = line.partition("=")[0]
            lines.append(f"{name}={given.pop(name)}" if name in given else line)
        assert not given, f".env.example lacks {', '.join(given)}"
        lines += [f"QW_METRICS_KEY={self.metrics_key}", f"QW_VERSION={VERSION}"]
        lines += [f"QW_HTTP_PORT=127.0.0.1:{self.plain_port}", f"QW_HTTPS_PORT=127.0.0.1:{self.port}"]
        lines += ["QW_HEARTBEAT_SECONDS=2", "QW_LEASE_SECONDS=12", "QW_STALLED_SECONDS=6", "QW_SWEEP_SECONDS=6"]
        lines += [f"QW_BACKUPS={self.folder / 'backups'}"]
        (self.folder / "backups").mkdir(exist_ok=True)
        (self.folder / "backups").chmod(0o777)  # on a host of one's own it belongs to user 10001
        (self.folder / ".env").write_text("\n".join(lines) + "\n")
        (self.folder / ".env").chmod(0o600)

    # ── the engine ──

    def run(self, *command: str, check: bool = True, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=seconds)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)[:300]}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done

    def compose(self, *arguments: str, check: bool = True, seconds: float = 300) -> str:
        done = self.run(*self._compose, "-p", self.project, *arguments, check=check, seconds=seconds)
        return done.stdout

    def name_of(self, service: str) -> str:
        """The container of a service."""
        labels = [f"label=com.docker.compose.{key}={value}" for key, value in
                  (("project", self.project), ("service", service))]  # fmt: skip
        filters = [word for label in labels for word in ("--filter", label)]
        names = self.run(self.engine, "ps", "--all", *filters, "--format", "{{.Names}}").stdout.split()
        assert names, f"there is no container of {service}"
        return names[0]

    def exec(self, service: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(self.engine, "exec", self.name_of(service), *command, check=check)

    def manage(self, *arguments: str) -> str:
        return self.exec("web", "python", "manage.py", *arguments).stdout

    def inspect(self, service: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.run(self.engine, "inspect", self.name_of(service)).stdout)
        return found[0]

    def logs(self, service: str, lines: int = 60) -> str:
        done = self.run(self.engine, "logs", "--tail", str(lines), self.name_of(service), check=False)
        return done.stdout + done.stderr

    # ── up and down ──

    def up(self, services: Sequence[str] = SERVICES) -> None:
        """Start in the order that the compose file asks for; this podman-compose waits for nothing by itself."""
        if self.engine == "docker":
            self.compose("up", "--detach", "--no-build", "--wait", *services)
            return
        servers = [name for name in ("postgres", "broker", "cache") if name in services]
        self._start(*servers)
        for name in servers:
            self.wait_healthy(name)
        if later := [name for name in services if name not in (*servers, "migrate")]:
            self._start("migrate")
            wait_for(lambda: self.inspect("migrate")["State"]["Status"] == "exited", "migrations", seconds=180)
            assert self.inspect("migrate")["State"]["ExitCode"] == 0, self.logs("migrate")
            self._start(*later)

    def _start(self, *services: str) -> None:
        say(f"starting {', '.join(services)}")
        self.compose("up", "--detach", "--no-build", *services)

    def is_healthy(self, service: str) -> bool:
        if self.engine == "podman":  # no timer runs health checks here
            return self.run("podman", "healthcheck", "run", self.name_of(service), check=False).returncode == 0
        return bool(self.inspect(service)["State"]["Health"]["Status"] == "healthy")

    def wait_healthy(self, service: str, *, seconds: float = 120) -> None:
        try:
            wait_for(lambda: self.is_healthy(service), f"{service} healthy", seconds=seconds)
        except AssertionError as error:
            checks = (self.inspect(service)["State"].get("Health") or {}).get("Log") or []
            said = checks[-1]["Output"] if checks else ""
            raise AssertionError(f"{error}: {said}\n{self.logs(service)}") from None

    def down(self) -> None:
        """Remove containers, volumes and networks: nothing of this project stays."""
        say("removing everything")
        self.compose("down", "--volumes", check=False)
        for kind in ("container", "volume", "network"):
            listed = ["ps", "--all", "--format", "{{.Names}}"] if kind == "container" else [
                kind, "ls", "--format", "{{.Name}}"
            ]  # fmt: skip
            names = self.run(self.engine, *listed, check=False).stdout.split()
            mine = [name for name in names if name.startswith((f"{self.project}_", f"{self.project}-"))]
            if mine:
                self.run(self.engine, kind, "rm", "--force", *mine, check=False)

    # ── as somebody outside ──

    def browser(self, **options: Any) -> httpx.Client:
        """A browser that trusts the proxy's own authority and nothing else."""
        return httpx.Client(base_url=self.base, verify=self._trust(), timeout=60, follow_redirects=True, **options)

    def _trust(self) -> ssl.SSLContext:
        file = self.folder / "authority.crt"
        file.write_text(self.exec("proxy", "cat", "/data/caddy/pki/authorities/local/root.crt").stdout)
        return ssl.create_default_context(cafile=str(file))


def build_images(engine_name: str) -> dict[str, float]:
    """The project's own images, unless QW_COMPOSE_BUILD=0 says to take those of before; sizes in MB."""
    sizes = {}
    for target in images.TARGETS:
        tag = f"quantaweb-{target}:{VERSION}"
        if os.environ.get("QW_COMPOSE_BUILD") != "0":
            say(f"building {tag}")
            images.build(engine_name, target, tag)
        size = subprocess.run(
            [engine_name, "image", "inspect", "--format", "{{.Size}}", tag], check=True, capture_output=True, text=True
        )
        sizes[target] = int(size.stdout) / 1e6
    return sizes
