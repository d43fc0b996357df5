"""How much one person, and everybody together, may ask for. Counted inside the transaction that asks, under a lock.

Callers hold the person's row (`clusters.services.locks`) before they count, so that two requests of one person at one
moment do not both take the last place; the site's own count has a lock of its own here.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models.functions import Now

from compute import methods
from compute.jobs.lease import after
from compute.models import Job

if TYPE_CHECKING:
    from django.contrib.auth.models import User

HOURLY = (*methods.KINDS, "suggest")  # kinds that count; others have limits of their own
PERIOD_SECONDS = 3600
_SITE_LOCK = 7_102_024  # any number, the same in all processes


class QuotaError(ValidationError):
    """Too much is asked for; `seconds_left` says when it may be asked again, where time alone helps."""

    def __init__(self, sentence: str, *, seconds_left: float | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.seconds_left = seconds_left


def check_runs(person: User) -> None:
    """Whether the person may start one more run now."""
    check_hour(person)
    check_open(person)


def check_open(person: User) -> None:
    """Whether the person may have one more open run."""
    if person.is_superuser:
        return
    own = Job.objects.filter(kind__in=methods.KINDS, requested_by_id=person.pk, state__in=Job.OPEN_STATES)
    numbers = list(own.order_by("pk").values_list("pk", flat=True))
    if len(numbers) >= settings.OPEN_JOBS_PER_PERSON:
        raise QuotaError(
            f"You have {_runs(len(numbers))} open ({_listed(numbers)}), and one person may have "
            f"{settings.OPEN_JOBS_PER_PERSON} at a time. Wait until one is done, or cancel one."
        )


def check_hour(person: User) -> None:
    """Whether the person has started fewer jobs than an hour allows."""
    if left := seconds_left(person.pk):
        raise QuotaError(
            f"You have started {settings.JOBS_PER_HOUR} jobs within an hour, which is the most; the next one can start "
            f"in {_minutes(left)}.",
            seconds_left=left,
        )


def seconds_left(person_id: int | None) -> float:
    """Until this person may start another job; 0 where they may now."""
    own = Job.objects.filter(requested_by_id=person_id, kind__in=HOURLY, created_at__gt=after(-PERIOD_SECONDS))
    recent = own.annotate(now=Now()).order_by("-created_at").values_list("created_at", "now")
    times: list[tuple[datetime, datetime]] = list(recent[: settings.JOBS_PER_HOUR])
    if len(times) < settings.JOBS_PER_HOUR:
        return 0.0
    created, now = times[-1]
    return max(PERIOD_SECONDS - (now - created).total_seconds(), 1.0)


def check_site(person: User | None) -> None:
    """Whether the site's queue has room; administrators, and whoever works on the server itself, always find some."""
    if person is None or person.is_superuser:
        return
    if connection.vendor == "postgresql":  # SQLite's transactions wait for each other anyway
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_SITE_LOCK])
    n = Job.objects.filter(state__in=Job.OPEN_STATES).count()
    if n >= settings.QUEUE_LIMIT:
        raise QuotaError(
            f"{n:,} jobs are open on this site, as many as it takes ({settings.QUEUE_LIMIT:,}). Ask again when some "
            "are done; an administrator can raise QW_QUEUE_LIMIT."
        )


def _runs(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return f"{'job' if len(numbers) == 1 else 'jobs'} {shown}{' …' if len(numbers) > 8 else ''}"


def _minutes(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"
