"""Whether this site can do its work now; each finding says how to mend it."""

from __future__ import annotations

import os
import shutil
import socket
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

WATCHERS = frozenset({"livez", "readyz", "metrics"})  # names of routes that machines ask for every few seconds
LEAST_FREE = 0.1  # of the data folder's disk
STORE_SECONDS = 2.0  # that the store may take to answer


class Problem(Exception):  # noqa: N818
    """What is wrong, and how to mend it."""


def unapplied_migrations() -> list[str]:
    """Migrations that the database does not have yet."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def database() -> str:
    try:
        left = unapplied_migrations()
    except DatabaseError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Problem(f"cannot be reached ({reason}). Start it, or mend QW_DATABASE_URL.") from error
    if left:
        raise Problem(f"{len(left)} migrations are missing; run: manage.py migrate")
    return f"{connection.display_name}, current"


def broker() -> str:
    if settings.RUNNER != "celery":
        return "not needed (QW_RUNNER=local)"
    from kombu import Connection

    try:
        with Connection(settings.CELERY_BROKER_URL, connect_timeout=3) as link:
            link.ensure_connection(max_retries=1, timeout=5)
    except Exception as error:  # any transport's own error
        raise Problem(
            f"cannot be reached ({type(error).__name__}). Start it, mend QW_BROKER_URL, or set QW_RUNNER=local."
        ) from error
    return "answers"


def disk() -> str:
    """Room for what jobs write; a tenth of the disk is kept free."""
    if not os.access(settings.DATA_DIR, os.W_OK):
        raise Problem(f"{settings.DATA_DIR} cannot be written; mend its permissions, or set QW_DATA_DIR.")
    usage = shutil.disk_usage(settings.DATA_DIR)
    if usage.free < LEAST_FREE * usage.total:
        raise Problem(f"{usage.free / 1e9:.1f} GB of {usage.total / 1e9:.0f} are free; free some, or add room.")
    return f"{usage.free / 1e9:.0f} GB free"


def shared_cache() -> str:
    """Write, read and remove a value; what web processes share has to be the same for all."""
    if not settings.CACHE_URL:
        return "each web process has its own (QW_CACHE_URL is empty)"
    name, value = f"health-{uuid.uuid4().hex}", uuid.uuid4().hex
    cache.set(name, value, 30)
    if cache.get(name) != value:
        raise Problem("does not keep what it is given, so limits are not counted. Start it, or mend QW_CACHE_URL.")
    cache.delete(name)
    return "answers"


def reach_store() -> str:
    """Whether the store is there; web processes never speak to it, so a bucket's host is only called."""
    address = settings.STORE
    if address is None:
        return "not needed (QW_STORE_URL is empty)"
    if address.folder is not None:
        if not os.access(address.folder, os.W_OK):
            raise Problem(f"{address} cannot be written; mount it, or mend its permissions.")
        return f"{address} can be written"
    parts = urlsplit(address.endpoint)
    if not parts.hostname:
        return f"{address} cannot be asked from here; run doctor where a worker runs"
    try:
        socket.create_connection((parts.hostname, parts.port or 443), timeout=STORE_SECONDS).close()
    except OSError as error:
        raise Problem(f"{address} cannot be reached; start it, or mend QW_STORE_ENDPOINT.") from error
    return f"{address} can be reached"


READY: dict[str, Callable[[], str]] = {"database": database, "broker": broker, "disk": disk}
REACHABLE: dict[str, Callable[[], str]] = {
    "cache": shared_cache,
    "broker": broker,
    "store": reach_store,
}  # besides the database


def findings(checks: dict[str, Callable[[], str]]) -> dict[str, tuple[bool, str]]:
    """Every check by name: whether it is good, and a sentence."""
    found = {}
    for name, check in checks.items():
        try:
            found[name] = True, check()
        except Problem as problem:
            found[name] = False, str(problem)
    return found
