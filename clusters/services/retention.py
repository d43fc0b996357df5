"""What nobody needs any more goes: files that no row names, rows whose time is over. What a row names stays.

Each kind finds what is left over; nothing is removed while it is looked for, so the same finders serve a dry run.
Before something goes it is asked again whether a row names it: a person may have come meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import DatabaseError
from django.db.models import Q, QuerySet
from django.utils import timezone

from clusters.models import ApiKey, AuditEvent, Export, IdempotentRequest, Invitation, Notice, SignInLink
from clusters.services import leftovers
from clusters.services.audit import record
from clusters.services.leftovers import Left
from compute.jobs import sweep
from compute.jobs.lease import after
from compute.models import Job, LogLine

logger = logging.getLogger(__name__)
ACTION = "site.tidy"
IDEMPOTENT_DAYS = 1
_BATCH = 500  # rows that one statement deletes, so that nobody waits long for SQLite's one writer


@dataclass
class Tidied:
    """What went, or would go, of one kind."""

    kind: str
    n: int = 0
    n_bytes: int = 0
    what: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def tidy(*, is_dry: bool = False, kinds: Iterable[str] = ()) -> list[Tidied]:
    """Remove what is left over, kind by kind; one that cannot be removed keeps no other from going."""
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise ValueError(f"There is no kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}.")
    found = [_tidied(name, KINDS[name], is_dry) for name in KINDS if not kinds or name in kinds]
    if not is_dry:
        counts = {one.kind: one.n for one in found if one.n}
        record(None, ACTION, "what nobody needs any more", bytes=sum(one.n_bytes for one in found), **counts)
    return found


def is_due() -> bool:
    """Whether nobody has tidied for a day."""
    return not AuditEvent.objects.filter(action=ACTION, at__gte=_days_ago(1)).exists()


def _tidied(name: str, find: Callable[[], Iterator[Left]], is_dry: bool) -> Tidied:
    done = Tidied(name)
    try:
        for left in find():
            n = left.n if is_dry else left.remove()
            if n:
                done.n, done.n_bytes = done.n + n, done.n_bytes + left.n_bytes
                done.what.append(left.what)
    except (OSError, DatabaseError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        done.problems.append(f"{name}: not all could be removed ({reason}).")
        logger.warning("%s: not all that nobody needs could be removed (%s)", name, reason)
    return done


# ── rows ──


def _days_ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


def _rows(what: str, rows: QuerySet[Any]) -> Iterator[Left]:
    n = rows.order_by().count()
    if n:
        yield Left(f"{n:,} {what}", lambda: _delete(rows), n=n)


def _delete(rows: QuerySet[Any]) -> int:
    """Delete in small statements, each of which asks again; give how many of these rows went."""
    n = 0
    while keys := list(rows.order_by().values_list("pk", flat=True)[:_BATCH]):
        _, by_model = rows.order_by().filter(pk__in=keys).delete()
        n += by_model.get(rows.model._meta.label, 0)
        if not by_model:
            break
    return n


def _exports() -> Iterator[Left]:
    """Exports whose time is over, those that failed, and folders of exports that are no more."""
    failed = Q(path="", job__finished_at__lte=_days_ago(settings.EXPORT_DAYS)) & ~Q(job__state__in=Job.OPEN_STATES)
    over = Export.objects.filter(Q(expires_at__lte=timezone.now()) | failed)
    for export in over.select_related("run"):
        yield leftovers.of_export(export, over.filter(pk=export.pk))
    yield from leftovers.export_folders()


def _working_files() -> Iterator[Left]:
    """Working files of jobs that ended long ago, those of jobs that are no more, and losses that no run uses."""
    closed = Job.objects.exclude(state__in=Job.OPEN_STATES)
    for job in closed.exclude(workspace="").filter(finished_at__lte=after(-sweep.KEEP.total_seconds())):
        yield leftovers.of_job(job)
    yield from leftovers.workspaces()
    yield from leftovers.shared_losses()


def _job_logs() -> Iterator[Left]:
    long_ago = _days_ago(settings.KEEP_LOGS_DAYS)
    lines = LogLine.objects.filter(job__finished_at__lte=long_ago).exclude(job__state__in=Job.OPEN_STATES)
    yield from _rows("lines of jobs' logs", lines)
    yield from leftovers.job_logs(settings.KEEP_LOGS_DAYS)


def _sessions() -> Iterator[Left]:
    yield from _rows("sessions that are over", Session.objects.filter(expire_date__lte=timezone.now()))
    links = SignInLink.objects.filter(Q(expires_at__lte=_days_ago(1)) | Q(used_at__lte=_days_ago(1)))
    yield from _rows("sign-in links", links)


def _keys() -> Iterator[Left]:
    long_ago = _days_ago(settings.KEEP_KEYS_DAYS)
    ended = Q(expiry__lte=long_ago) | Q(revoked_at__lte=long_ago)
    yield from _rows("keys that ended", ApiKey.objects.filter(ended))
    ended = Q(expires_at__lte=long_ago) | Q(revoked_at__lte=long_ago)
    yield from _rows("invitations", Invitation.objects.filter(ended))


def _answers() -> Iterator[Left]:
    rows = IdempotentRequest.objects.filter(created_at__lte=_days_ago(IDEMPOTENT_DAYS))
    yield from _rows("answers kept for requests that are repeated", rows)


def _attempts() -> Iterator[Left]:
    long_ago = _days_ago(settings.KEEP_ATTEMPTS_DAYS)
    for model in (AccessAttempt, AccessLog, AccessFailureLog):
        yield from _rows(str(model._meta.verbose_name_plural), model.objects.filter(attempt_time__lte=long_ago))


def _notices() -> Iterator[Left]:
    yield from _rows("notices", Notice.objects.filter(at__lte=_days_ago(settings.KEEP_NOTICES_DAYS)))


def _audit() -> Iterator[Left]:
    """Kept for good unless a number of days is set."""
    if settings.KEEP_AUDIT_DAYS:
        long_ago = _days_ago(settings.KEEP_AUDIT_DAYS)
        yield from _rows("entries of the audit", AuditEvent.objects.filter(at__lte=long_ago))


KINDS: dict[str, Callable[[], Iterator[Left]]] = {
    "exports": _exports,
    "working files": _working_files,
    "job logs": _job_logs,
    "derived files": leftovers.derived_files,
    "uploads": leftovers.uploads,
    "imports": leftovers.imports,
    "deleted runs": lambda: leftovers.trash(settings.BUNDLE_DIR, settings.KEEP_DELETED_DAYS),
    "removed corpora": lambda: leftovers.trash(settings.CORPUS_DIR, settings.KEEP_DELETED_DAYS),
    "damaged folders": lambda: leftovers.damaged(settings.KEEP_DELETED_DAYS),
    "abandoned bundles": leftovers.partial_bundles,
    "sessions": _sessions,
    "keys": _keys,
    "repeated requests": _answers,
    "sign-in attempts": _attempts,
    "notices": _notices,
    "audit": _audit,
}
