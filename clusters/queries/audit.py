"""What people did."""

from __future__ import annotations

from datetime import UTC, datetime, time

from django.db.models import QuerySet

from clusters.models import AuditEvent
from clusters.values.audit import AuditAsked

PAGE = 100


def events(asked: AuditAsked) -> QuerySet[AuditEvent]:
    """The deeds asked for, the newest first. An action also stands for all of its kind: "run" for "run.delete"."""
    rows = AuditEvent.objects.all()
    if asked.person:
        rows = rows.filter(actor_name__iexact=asked.person)
    if asked.action:
        exact = "." in asked.action
        rows = rows.filter(
            **{"action" if exact else "action__startswith": asked.action if exact else f"{asked.action}."}
        )
    if asked.since:
        rows = rows.filter(at__gte=datetime.combine(asked.since, time.min, UTC))
    if asked.until:
        rows = rows.filter(at__lte=datetime.combine(asked.until, time.max, UTC))
    return rows.filter(pk__lt=asked.before) if asked.before else rows


def page_of(asked: AuditAsked) -> tuple[list[AuditEvent], int | None]:
    """A page of them, and the number to go on before."""
    found = list(events(asked)[: PAGE + 1])
    return found[:PAGE], found[PAGE - 1].pk if len(found) > PAGE else None


def known_actions() -> list[str]:
    """Every kind of deed that was recorded."""
    return list(AuditEvent.objects.order_by("action").values_list("action", flat=True).distinct())
