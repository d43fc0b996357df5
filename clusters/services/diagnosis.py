"""What `manage.py doctor` looks at beyond what readiness needs: each finding says how to mend it."""

from __future__ import annotations

import dataclasses
import stat
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail import get_connection
from django.db import DatabaseError, connection
from django.db.models.functions import Now
from django.utils import timezone

from clusters.models import AuditEvent
from clusters.services.backup import ACTION as BACKUP
from clusters.services.health import STORE_SECONDS, Problem, reach_store, shared_cache
from compute.errors import ComputeError
from compute.jobs.lease import after
from compute.models import Job, Worker
from compute.steps.provenance import code_version
from compute.store.objects import open_store

ALIVE_SECONDS = 120  # since a worker was last seen
CLOCK_SECONDS = 2.0
BACKUP_HOURS = 26


def is_open() -> bool:
    """Whether others than this machine reach the site."""
    return bool(settings.HAS_OWN_HOSTS or settings.BEHIND_TLS)


def clocks() -> str:
    """Leases are kept by the database's clock, sessions and links by this one's."""
    if connection.vendor == "sqlite":
        return "the database is a file here, with the same clock"
    with connection.cursor() as cursor:
        before = time.time()
        cursor.execute("SELECT EXTRACT(EPOCH FROM clock_timestamp())")
        told = float(cursor.fetchone()[0])
        off = told - (before + time.time()) / 2
    if abs(off) > CLOCK_SECONDS:
        raise Problem(
            f"the database's clock is {abs(off):.0f} s {'before' if off > 0 else 'behind'} this one. Let both hosts "
            "follow a time server (timedatectl set-ntp true)."
        )
    return f"this one and the database's agree within {max(abs(off), 0.1):.1f} s"


def permissions() -> str:
    """Folders can be written, and nothing of ours by everybody."""
    data = Path(settings.DATA_DIR)
    for folder in (data, *sorted(path for path in data.iterdir() if path.is_dir())):
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise Problem(f"everybody on this host may write into {folder}; run: chmod o-w {folder}")
        if not mode & stat.S_IWUSR:
            raise Problem(f"{folder} cannot be written; run: chmod u+w {folder}")
    file = Path(str(connection.settings_dict["NAME"])) if connection.vendor == "sqlite" else None
    if file and file.is_file() and _others_read(file) and not _is_closed(file.parent):
        raise Problem(f"others on this host may read {file}; run: chmod 600 {file}")
    return "kept from others"


def _others_read(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IROTH)


def _is_closed(folder: Path) -> bool:
    return not folder.stat().st_mode & stat.S_IXOTH


def workers() -> str:
    """Somebody works, somebody sweeps, and all run the code that this process runs."""
    seen = list(_seen())
    if not seen:
        waiting = Job.objects.filter(state__in=Job.OPEN_STATES).count()
        if settings.RUNNER == "celery" or waiting:
            raise Problem(
                f"none was seen for two minutes, and {waiting} jobs are open. Start one: celery -A quantaweb worker, "
                "with manage.py runner beside; or with QW_RUNNER=local, manage.py up."
            )
        return "none is running (manage.py up starts one)"
    if settings.RUNNER == "celery" and not any(worker.kind == "sweeper" for worker in seen):
        raise Problem(
            "nobody sweeps, so what a lost worker held stays lost. Start manage.py runner beside the workers."
        )
    others = sorted({worker.version or "unknown" for worker in seen} - {own := code_version()[:40]})
    if others:
        raise Problem(
            f"some run version {', '.join(others)}, and this process {own}. Restart those workers with this release; "
            "they give their shards back first."
        )
    return f"{len(seen)} seen, of this version"


def gpus() -> str:
    """Where jobs are for a GPU, some worker has seen one."""
    if not settings.DEVICE.startswith("cuda"):
        return f"not asked for (QW_DEVICE={settings.DEVICE})"
    cards = [worker for worker in _seen() if worker.device.startswith("cuda")]
    if not cards:
        raise Problem(
            f"QW_DEVICE={settings.DEVICE}, but no worker that was seen lately has a GPU. On its host nvidia-smi must "
            "list one; in containers start the profile gpu, with the NVIDIA container toolkit installed."
        )
    if broken := [worker.host for worker in cards if worker.n_claimed and not worker.vram_bytes]:
        raise Problem(
            f"workers on {', '.join(sorted(set(broken)))} have taken shards and never saw their GPU's memory. "
            "Look at nvidia-smi there, and restart them."
        )
    names = sorted({worker.device_name for worker in cards if worker.device_name})
    return f"{len(cards)} workers{': ' + ', '.join(names) if names else ''}"


def _seen() -> Any:
    return Worker.objects.filter(seen_at__gte=after(-ALIVE_SECONDS))


def store() -> str:
    """Write, read and remove a small object, where this process has what it takes."""
    if settings.STORE is None:
        return reach_store()
    try:
        open_store(dataclasses.replace(settings.STORE, patience=STORE_SECONDS)).check()
    except ImportError:  # the web server's image has no library for buckets
        return reach_store()
    except (ComputeError, OSError) as error:
        raise Problem(f"{settings.STORE} does not do its work: {error}") from error
    return f"{settings.STORE} keeps what it is given"


def mail() -> str:
    if not settings.HAS_EMAIL:
        return "no server is named; links are shown on pages instead"
    try:
        link = get_connection(timeout=5)
        link.open()
        link.close()
    except Exception as error:  # sockets, TLS and SMTP each have their own
        raise Problem(
            f"the server {settings.EMAIL_HOST}:{settings.EMAIL_PORT} does not take us ({type(error).__name__}). "
            "Mend QW_EMAIL_URL, or let this host reach it."
        ) from error
    return f"{settings.EMAIL_HOST} takes us"


def tls() -> str:
    if not is_open():
        return "only this machine reaches the site"
    if settings.DEBUG:
        raise Problem("QW_DEBUG shows settings and code to everybody; unset it.")
    if settings.INSECURE_HTTP:
        counted = "" if settings.PROXIES else (
            " With QW_PROXIES=0 limits count the address that a connection comes from: where some proxy passes "
            "requests on, that is everybody at once."
        )  # fmt: skip
        raise Problem(
            "QW_INSECURE_HTTP lets passwords pass in the clear. Put a proxy with TLS before it; set QW_BEHIND_TLS=1 "
            f"and QW_PROXIES=1.{counted}"
        )
    if not settings.BEHIND_TLS:
        raise Problem(
            "the site is open to others without TLS. Put a proxy before it, and set QW_BEHIND_TLS=1 and QW_PROXIES=1."
        )
    if not settings.SESSION_COOKIE_SECURE or not settings.SECURE_SSL_REDIRECT:
        raise Problem("cookies may travel in the clear; restart with the settings of this release.")
    return f"behind a proxy, HSTS {settings.SECURE_HSTS_SECONDS // 86400} days"


def backups() -> str:
    """When there was the last whole one, whoever made it, from whichever host."""
    last = AuditEvent.objects.filter(action=BACKUP).annotate(now=Now()).order_by("-pk").first()
    if last is None:
        if is_open():
            raise Problem(
                "there was none yet. Run manage.py backup FOLDER daily, FOLDER on another disk; in containers, "
                "docker compose run --rm --no-deps backup."
            )
        return "none yet; manage.py backup FOLDER makes one"
    age = last.now - last.at
    if n := last.detail.get("problems"):
        raise Problem(f"the last one lacks {n} damaged or missing folders; manage.py backup names them.")
    if is_open() and age > timedelta(hours=BACKUP_HOURS):
        hours = age.total_seconds() / 3600
        raise Problem(
            f"the last whole one is {hours:.0f} hours old. Run manage.py backup FOLDER, then see why it stopped."
        )
    return f"the last is of {timezone.localtime(last.at):%-d %B %Y, %H:%M} UTC"


def variables() -> str:
    """Slips of the pen in names of settings."""
    if settings.UNKNOWN_VARIABLES:
        told = ", ".join(f"{name}{f' (meant: {near}?)' if near else ''}" for name, near in settings.UNKNOWN_VARIABLES)
        raise Problem(f"nothing reads {told}; docs/deploy.md lists all names.")
    return "all are known"


def on_database(check: Callable[[], str]) -> Callable[[], str]:
    """The check; where the database cannot be asked, that is what is wrong."""

    def asked() -> str:
        try:
            return check()
        except DatabaseError as error:
            raise Problem("cannot be told while the database is not there or not current; mend that first.") from error

    return asked


SITE: dict[str, Callable[[], str]] = {
    "settings": variables,
    "permissions": permissions,
    "cache": shared_cache,
    "store": store,
    "clocks": on_database(clocks),
    "workers": on_database(workers),
    "GPUs": on_database(gpus),
    "mail": mail,
    "TLS": tls,
    "backups": on_database(backups),
}
