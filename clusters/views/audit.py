"""What people did."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from clusters.forms.people import audit_asked
from clusters.models import AuditEvent
from clusters.parameters import changed
from clusters.queries.audit import events, known_actions, page_of
from clusters.views import twins
from clusters.views.people import for_admins

HEAD = ("event", "at", "person", "action", "target", "detail")


@never_cache
@for_admins
@require_safe
def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """A page of deeds; the .csv has all that were asked for, the .json one page and the address of the next."""
    asked = audit_asked(request.GET)
    if twin == "csv":
        rows = (_row(event) for event in events(asked).iterator(chunk_size=1000))
        return twins.answer(twin, name="audit", payload=None, head=HEAD, rows=rows)
    found, before = page_of(asked)
    if twin:
        following = changed(request.build_absolute_uri(request.path), request.GET, before=before) if before else None
        return twins.answer(twin, name="audit", payload={"events": [_payload(e) for e in found], "next": following})
    ctx = {
        "here": "audit",
        "asked": asked,
        "is_filtered": any((asked.person, asked.action, asked.since, asked.until)),
        "rows": [{"event": event, "detail": _words(event.detail)} for event in found],
        "before": before,
        "actions": known_actions(),
        **twins.links_context(request, "json", "csv"),
    }
    return render(request, "audit/list.html", ctx)


def _row(event: AuditEvent) -> list[object]:
    detail = json.dumps(event.detail, ensure_ascii=False, sort_keys=True) if event.detail else ""
    return [event.pk, event.at.isoformat(), event.actor_name, event.action, event.target, detail]


def _payload(event: AuditEvent) -> dict[str, Any]:
    return dict(zip(HEAD, [*_row(event)[:-1], event.detail], strict=True))


def _words(detail: dict[str, Any]) -> str:
    """The detail as people read it."""
    return ", ".join(f"{name.replace('_', ' ')}: {_word(value)}" for name, value in detail.items() if value != "")


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


audit_urls: list[URLPattern] = [*twins.page("audit", index, "audit")]
