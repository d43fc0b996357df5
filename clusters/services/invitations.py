"""Invitations: links that let one person make an account, with the roles that go with them."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import cast

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User as Person
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from clusters.models import Invitation
from clusters.queries.access import User, is_admin
from clusters.services.audit import record
from clusters.services.mail import send
from clusters.services.people import give_roles, hashed, known_roles, must_rule

LIFETIME = timedelta(days=7)
_TEXT = """{who} invites you to QuantaWeb at {site}.

This link lets you choose a name and a password; it works once, until {until:%d %B %Y, %H:%M} UTC:

{href}
"""


def invite(actor: User, *, email: str = "", roles: list[str]) -> tuple[Invitation, str]:
    """A new invitation and the secret of its link, of which only the hash is kept."""
    must_rule(actor, "invite people")
    if settings.SIGNUP == "off":
        raise PermissionDenied("Nobody can make an account here: QW_SIGNUP is off. Set it to invitation, or open.")
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        invitation = Invitation.objects.create(
            token_sha256=hashed(secret),
            email=email,
            roles=known_roles(roles),
            invited_by=cast(Person, actor),
            expires_at=timezone.now() + LIFETIME,
        )
        record(actor, "invitation.make", f"invitation {invitation.pk}", roles=invitation.roles)
    return invitation, secret


def mail(invitation: Invitation, href: str) -> bool:
    """Send the link to the address that the invitation names; False where that cannot be done."""
    if not (settings.HAS_EMAIL and invitation.email):
        return False
    who = invitation.invited_by.get_username() if invitation.invited_by else "An administrator"
    text = _TEXT.format(who=who, site=settings.SITE_URL, until=invitation.expires_at, href=href)
    return send(invitation.email, "An invitation to QuantaWeb", text)


def revoke(actor: User, number: int) -> bool:
    """Take an invitation back that nobody has used; False where there is none."""
    must_rule(actor, "take invitations back")
    with transaction.atomic():
        found = Invitation.objects.filter(pk=number, used_at=None, revoked_at=None).update(revoked_at=Now())
        if found:
            record(actor, "invitation.revoke", f"invitation {number}")
    return bool(found)


def usable(secret: str) -> Invitation | None:
    """The invitation that the link is, while it works: not longer than whoever invited is an administrator."""
    found = _good(secret).select_related("invited_by").first() if secret else None
    return found if found and found.invited_by and is_admin(found.invited_by) else None


def accept(secret: str, *, name: str, password: str, email: str = "") -> Person:
    """The account that the invitation gives; of two who come at the same moment, one gets it."""
    with transaction.atomic():
        person = get_user_model().objects.create_user(name, email=email, password=password)
        take_up(secret, person)
        record(person, "person.sign-up", name, by="invitation")
    return person


def take_up(secret: str, person: Person) -> None:
    """Give the invitation's roles to a new person and use it up; inside the transaction that makes the account."""
    invitation = usable(secret)
    used = invitation is not None and _good(secret).update(used_at=Now(), used_by=person)
    if invitation is None or not used:
        raise PermissionDenied("This invitation was used, taken back, or its seven days are over; ask for another.")
    give_roles(person, invitation.roles)
    record(person, "invitation.use", f"invitation {invitation.pk}", roles=invitation.roles)


def _good(secret: str) -> QuerySet[Invitation]:
    if settings.SIGNUP == "off":
        return Invitation.objects.none()
    return Invitation.objects.filter(token_sha256=hashed(secret), used_at=None, revoked_at=None, expires_at__gt=Now())
