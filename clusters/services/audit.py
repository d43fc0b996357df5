"""What people did, kept for good: written in the same transaction as the deed."""

from __future__ import annotations

from typing import Any

from clusters.models import AuditEvent
from clusters.queries.access import User


def record(actor: User | None, action: str, target: str = "", **detail: Any) -> AuditEvent:
    """Note that the actor did this; call it inside the transaction that does it. Never give it text of the corpus."""
    known = actor if actor is not None and actor.is_authenticated else None
    return AuditEvent.objects.create(
        actor_id=known.pk if known else None,
        actor_name=known.get_username()[:150] if known else "",
        action=action,
        target=target[:300],
        detail=detail,
    )
