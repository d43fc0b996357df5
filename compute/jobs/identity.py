"""Who holds a lease: a name that no other process has, on no host, in no container, at no other time.

`lab-3:1f3a9c2e.884123:4711` is process 4711 of host lab-3. Between them stand a fingerprint of the machine's start and
of the process's name space of ids (two containers of one host count their processes separately, and may share the
host's name), and when the process began, by the kernel's clock (ids are used again).
"""

from __future__ import annotations

import hashlib
import os
import socket
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_UNKNOWN = "0"  # where the system does not tell when a process began
_LONGEST_HOST = 60


def own_name() -> str:
    """This process's name."""
    return _name(os.getpid(), _began("self"))


def name_of(pid: int) -> str:
    """The name of another process of the same name space, such as a parent or a child."""
    return _name(pid, _began(str(pid)) if _sees_own_processes() else _UNKNOWN)


def here() -> str:
    """What the names of all processes begin with that this one can tell apart from dead ones."""
    return f"{host()}:{_space()}."


def host() -> str:
    return socket.gethostname()[:_LONGEST_HOST].replace(":", "-")


def is_dead(name: str) -> bool:
    """Whether a process that was named here has ended; False where that cannot be known."""
    began, _, pid = name.removeprefix(here()).partition(":")
    if not (name.startswith(here()) and pid.isdecimal() and _sees_own_processes()):
        return False
    now = _began(pid)
    return now is None or (_UNKNOWN not in (began, now) and now != began)


def shown(name: str) -> str:
    """The name for people: host and process."""
    parts = name.split(":")
    return f"{parts[0]}:{parts[-1]}" if len(parts) == 3 else name


def _name(pid: int, began: str | None) -> str:
    return f"{here()}{began or _UNKNOWN}:{pid}"


@cache
def _space() -> str:
    """A fingerprint of this start of the machine and of the name space that process ids are counted in."""
    told = [_read(_PROC / "sys/kernel/random/boot_id")]
    try:
        told.append(str((_PROC / "self/ns/pid").readlink()))
    except OSError:
        told.append("")
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]


def _began(pid: str) -> str | None:
    """When the process began, in the kernel's ticks; None where it has ended, or is a zombie that nobody waits for."""
    if not (_PROC / "self").exists():
        return _of_signal(pid)
    fields = _read(_PROC / pid / "stat").rpartition(")")[2].split()
    return None if not fields or fields[0] in "ZX" else fields[19]


def _of_signal(pid: str) -> str | None:
    """Without /proc (macOS), only whether the process is there."""
    try:
        os.kill(os.getpid() if pid == "self" else int(pid), 0)
    except ProcessLookupError:
        return None
    except (PermissionError, OverflowError):
        pass
    return _UNKNOWN


def _sees_own_processes() -> bool:
    """Whether /proc tells of this name space, and not of the one outside it."""
    try:
        return str((_PROC / "self").readlink()) == str(os.getpid())
    except OSError:
        return not _PROC.exists()


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
