"""Keys for scripts: made, shown once, revoked. Only their digests are kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User as Person
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from clusters.display import clean_text
from clusters.models import ApiKey
from clusters.queries.access import is_admin, may_label, may_start_jobs
from clusters.services.audit import record
from clusters.services.locks import lock_person

MAX_DAYS, USUAL_DAYS = 365, 30
MAX_NAME = 80


def scopes_for(person: Person) -> list[str]:
    """What a key of this person may be for: no more than the person may do."""
    rights = {
        ApiKey.Scope.READ: True,
        ApiKey.Scope.LABEL: may_label(person),
        ApiKey.Scope.RUN: may_start_jobs(person),
        ApiKey.Scope.ADMIN: is_admin(person),
    }
    return [str(scope) for scope, may in rights.items() if may]


def live_keys(person: Person) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(Q(expiry=None) | Q(expiry__gt=Now()), user=person, revoked_at=None)


def make_key(person: Person, *, name: str, scopes: Sequence[str], days: int = USUAL_DAYS) -> tuple[ApiKey, str]:
    """A new key and its secret, which nothing but the caller ever knows."""
    shown = " ".join(clean_text(name).split())
    _check(person, shown, scopes, days)
    with transaction.atomic():
        lock_person(person)
        live = live_keys(person)
        most = settings.KEYS_PER_PERSON
        if live.count() >= most:
            raise ValidationError(f"You have {most} keys that work, which is the most; revoke one first.")
        if live.filter(name=shown).exists():
            raise ValidationError({"name": f"You have a key called “{shown}” already; give this one another name."})
        key, secret = ApiKey.objects.create(
            person, expiry=timedelta(days=days), name=shown, scopes=[s for s in ApiKey.Scope.values if s in scopes]
        )
        record(person, "key.make", key.token_key, name=shown, scopes=key.scopes, days=days)
    return key, secret


def revoke_key(person: Person, beginning: str) -> ApiKey:
    """End the person's key that begins so; it stays in the list."""
    with transaction.atomic():
        keys = ApiKey.objects.select_for_update().filter(user=person, token_key=beginning)
        key = keys.first() if beginning.isprintable() else None
        if key is None:
            raise ObjectDoesNotExist(f"You have no key that begins with {beginning[:20]}.")
        if key.revoked_at is None:
            key.revoked_at = timezone.now()
            key.save(update_fields=["revoked_at"])
            record(person, "key.revoke", key.token_key, name=key.name)
    return key


def _check(person: Person, name: str, scopes: Sequence[str], days: int) -> None:
    problems = {}
    if not name or len(name) > MAX_NAME:
        problems["name"] = f"Give the key a name of 1 to {MAX_NAME} characters; this one has {len(name)}."
    allowed = scopes_for(person)
    refused = [scope for scope in scopes if scope not in allowed]
    if refused:
        problems["scopes"] = f"Your roles allow {', '.join(allowed)}, not {', '.join(refused)[:100]}."
    elif not scopes:
        problems["scopes"] = "Choose what the key may do."
    if not 1 <= days <= MAX_DAYS:
        problems["days"] = f"A key lives 1 to {MAX_DAYS} days; this is {days}."
    if problems:
        raise ValidationError(problems)
