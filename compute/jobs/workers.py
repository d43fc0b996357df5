"""What workers say of themselves: where they run, on what, and how their shards ended.

A row is a service: the local runner, or a Celery worker with its children. Its processes come and go; each shard that
is held names both.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import F
from django.db.models.functions import Now

from compute.jobs import identity
from compute.jobs.wake import device
from compute.models import Worker
from compute.steps.provenance import code_version

logger = logging.getLogger(__name__)


def announce(service: str, kind: str, queues: Iterable[str]) -> None:
    """Write what the service is; again is the same as once, but for the time."""
    facts = {"kind": kind, "queues": ",".join(queues), "seen_at": Now(), **_machine()}
    Worker.objects.update_or_create(name=service, defaults=facts)


def seen(service: str) -> bool:
    """The service lives; False where it was never announced, or forgotten since."""
    return bool(Worker.objects.filter(name=service).update(seen_at=Now()))


def leave(service: str) -> None:
    """The service has ended in good order."""
    Worker.objects.filter(name=service).delete()


def count(service: str, **more: int) -> None:
    """Add to what the service has claimed, done or failed at. A database that is away costs the count alone."""
    try:
        Worker.objects.filter(name=service).update(**{name: F(name) + n for name, n in more.items()})
    except DatabaseError as error:
        logger.info("worker %s: not counted (%s)", service, type(error).__name__)
        connection.close()


def tell_device(service: str, facts: dict[str, Any]) -> None:
    """The process that computes says what it computes on, as `gpu` found: only it has the GPU open."""
    if facts:
        Worker.objects.filter(name=service).update(seen_at=Now(), **facts)
    else:
        seen(service)


def touch_alive() -> None:
    """The sign of life that a container's health check reads."""
    if settings.ALIVE_FILE:
        try:
            Path(settings.ALIVE_FILE).touch()
        except OSError as error:
            logger.warning("the sign of life cannot be written (%s)", error.strerror)


@cache
def _machine() -> dict[str, Any]:
    facts = {
        "host": identity.host(),
        "version": code_version()[:40],
        "device": device(),
        "n_cores": _n_cores(),
        "memory_bytes": _memory_bytes(),
    }
    return facts | ({} if device().startswith("cuda") else {"device_name": _processor()[:120]})


def _n_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 0


def _memory_bytes() -> int:
    """Of the machine, or what this container may take of it."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):  # no limit, or no such file system
        return whole
    return min(whole, limit)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named and named[0] != "unknown" else platform.machine()


def gpu() -> dict[str, Any]:
    """Name and memory of the GPU, once this process computes on it; nothing is loaded for the asking.

    A driver that hangs keeps whoever asks: the work may, the thread that watches over the lease may not.
    """
    torch = sys.modules.get("torch")
    if torch is None or not device().startswith("cuda") or not torch.cuda.is_initialized():
        return {}
    try:
        free, whole = torch.cuda.mem_get_info(device())
        name = torch.cuda.get_device_name(device())
    except RuntimeError as error:  # the device is gone, or its driver
        logger.warning("the GPU does not say how it is (%s)", type(error).__name__)
        return {}
    return {"device_name": name[:120], "vram_bytes": whole, "vram_used_bytes": whole - free}
