"""Machines of a cluster on one: network namespaces that reach each other over a bridge, and whose cables can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.faults.breaking import Redis

PASSWORD = "of-these-machines-alone"  # of broker and database, which no site asks without one


class Network:
    """A bridge with an address of its own, and namespaces each at one end of a cable to it."""

    def __init__(self) -> None:
        self._tag = f"qw{os.getpid() % 100_000:x}"
        self.subnet = f"10.213.{os.getpid() % 250}"
        self.address = f"{self.subnet}.1"
        self._names: list[str] = []

    def __enter__(self) -> Network:
        _ip("link", "add", self._tag, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", self._tag)
        _ip("link", "set", self._tag, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._names:
            _ip("netns", "del", name)
        _ip("link", "del", self._tag)

    def add(self) -> str:
        """One more machine; its name."""
        number = len(self._names) + 1
        name, cable = f"{self._tag}-{number}", f"{self._tag}v{number}"
        _ip("netns", "add", name)
        self._names.append(name)
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", cable, "master", self._tag, "up")
        _ip("-n", name, "addr", "add", f"{self.subnet}.{number + 1}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", name, "link", "set", device, "up")
        return name

    def cut(self, name: str) -> None:
        """Pull the machine's cable: packets are lost in silence."""
        _ip("link", "set", f"{self._tag}v{self._names.index(name) + 1}", "down")

    def heal(self, name: str) -> None:
        _ip("link", "set", f"{self._tag}v{self._names.index(name) + 1}", "up")


class ReachableRedis(Redis):
    """A redis-server that other machines reach at the bridge's address, with a password."""

    address = "127.0.0.1"

    @property
    def url(self) -> str:
        return self.url_at(self.address)

    def url_at(self, address: str) -> str:
        return f"redis://:{PASSWORD}@{address}:{self.port}/0"

    def command(self) -> list[str]:
        return [*super().command(), "--bind", "127.0.0.1", self.address, "--requirepass", PASSWORD]


def missing() -> str:
    """Why there can be no namespaces here; empty where there can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if shutil.which("ip") is None:
        return "there is no ip here (iproute2)"
    try:
        with Network() as network:
            network.add()
    except subprocess.CalledProcessError as error:
        return f"no network namespaces can be made here ({error.stderr.decode().strip()})"
    return ""


def inside(name: str) -> tuple[str, ...]:
    """What stands before Python's arguments to have them run inside a namespace, under the same process id."""
    return "-c", "import os, sys; os.execvp('ip', ['ip', 'netns', 'exec', *sys.argv[1:]])", name, sys.executable


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)
