"""People: roles, the first administrator, and links that let someone in once."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.auth.models import User as Person
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from clusters.models import SignInLink
from clusters.queries.access import User
from clusters.services.audit import record

LABELER, ADJUDICATOR, RUNNER = "labeler", "adjudicator", "runner"
ROLES = {  # groups, with the permissions (application, codename) that each has; administrators are superusers
    LABELER: [("clusters", "add_label")],
    ADJUDICATOR: [("clusters", "add_label"), ("clusters", "adjudicate_label")],
    RUNNER: [("compute", "add_job")],
}
ADMIN = "admin"
LINK_LIFETIME = timedelta(hours=1)


def make_roles() -> None:
    """The groups of people who may do what readers may not; called after every migration."""
    for role, rights in ROLES.items():
        group, _ = Group.objects.get_or_create(name=role)
        for application, codename in rights:
            group.permissions.add(*Permission.objects.filter(content_type__app_label=application, codename=codename))


def grant_role(actor: User, person: Person, role: str = RUNNER) -> None:
    """Give a person a role; for superusers to do."""
    _must_rule(actor)
    with transaction.atomic():
        person.groups.add(_role(role))
        record(actor, "role.grant", person.get_username(), role=role)


def revoke_role(actor: User, person: Person, role: str = RUNNER) -> None:
    _must_rule(actor)
    with transaction.atomic():
        person.groups.remove(_role(role))
        record(actor, "role.revoke", person.get_username(), role=role)


def first_admin() -> Person:
    """A superuser: the one who is there, or a new one called "admin" without a password."""
    people = get_user_model().objects
    with transaction.atomic():
        known = people.filter(is_superuser=True, is_active=True).order_by("pk").first()
        if known:
            return known
        name, number = ADMIN, 2
        while people.filter(username=name).exists():
            name, number = f"{ADMIN}{number}", number + 1
        return people.create_superuser(name)


def make_sign_in_link(person: Person) -> str:
    """The secret of a new link. It works once, for an hour; only its hash is kept."""
    token = secrets.token_urlsafe(32)
    SignInLink.objects.filter(expires_at__lt=timezone.now() - timedelta(days=7)).delete()
    SignInLink.objects.create(user=person, token_sha256=_hash(token), expires_at=timezone.now() + LINK_LIFETIME)
    return token


def link_owner(token: str) -> Person | None:
    """Whom the link would let in now; it stays unused."""
    link = _good_links(token).select_related("user").first()
    return link.user if link and link.user.is_active else None


def use_sign_in_link(token: str) -> Person | None:
    """Whom the link lets in; it never works again, even for two who come at the same moment."""
    person = link_owner(token)
    used = person is not None and _good_links(token).update(used_at=Now())
    return person if used else None


def _good_links(token: str) -> QuerySet[SignInLink]:
    return SignInLink.objects.filter(token_sha256=_hash(token), used_at=None, expires_at__gt=Now())


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _role(name: str) -> Group:
    try:
        return Group.objects.get(name=name)
    except ObjectDoesNotExist as error:
        raise ValueError(f"There is no role {name!r}; there are {', '.join(ROLES)}.") from error


def _must_rule(actor: User) -> None:
    if not (actor.is_authenticated and actor.is_active and getattr(actor, "is_superuser", False)):
        raise PermissionDenied("Only an administrator may give or take roles.")
