"""Child processes that never outlive what started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

TEMPORARY_FAILURE = 75  # the status of a process that ends itself, having said why
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM when the parent is gone; where it can't (macOS), a heartbeat notices."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it went before we asked
        os.kill(os.getpid(), signal.SIGTERM)


def start(command: Sequence[str], *, stderr: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own."""
    return subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)


def stop(child: subprocess.Popen[bytes], *, grace: float) -> int:
    """Ask the child's whole group to end, wait, then kill what is left of it."""
    _signal_group(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(grace)
    _signal_group(child.pid, signal.SIGKILL)
    return child.wait()


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """End whatever a child that has ended left behind in its group."""
    _signal_group(child.pid, signal.SIGKILL)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def ended(code: int) -> str:
    """How a process ended, for a log line."""
    if code >= 0:
        return f"ended with status {code}"
    if code == -signal.SIGKILL:
        return "was killed (the machine may have run out of memory)"
    return f"was ended by {signal.Signals(-code).name}"


def append_log(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def end_now() -> None:
    """The last resort of a process that was asked to end and is stuck: its lease is given back by others."""
    os._exit(TEMPORARY_FAILURE)
