"""People: roles, new accounts, the first administrator, and links that let someone in once."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.auth.models import User as Person
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from clusters.models import SignInLink
from clusters.queries.access import User, is_admin
from clusters.services.audit import record

LABELER, ADJUDICATOR, RUNNER = "labeler", "adjudicator", "runner"
ROLES = {  # groups, with the permissions (application, codename) that each has; administrators are superusers
    LABELER: [("clusters", "add_label")],
    ADJUDICATOR: [("clusters", "add_label"), ("clusters", "adjudicate_label")],
    RUNNER: [("compute", "add_job")],
}
ADMIN = "admin"
ALL_ROLES = (*ROLES, ADMIN)
LINK_LIFETIME = timedelta(hours=1)


def make_roles() -> None:
    """The groups of people who may do what readers may not; called after every migration."""
    for role, rights in ROLES.items():
        group, _ = Group.objects.get_or_create(name=role)
        for application, codename in rights:
            group.permissions.add(*Permission.objects.filter(content_type__app_label=application, codename=codename))


def grant_role(actor: User, person: Person, role: str = RUNNER) -> None:
    """Give a person a role; for administrators to do."""
    must_rule(actor, "give or take roles")
    with transaction.atomic():
        _give(person, role)
        record(actor, "role.grant", person.get_username(), role=role)


def revoke_role(actor: User, person: Person, role: str = RUNNER) -> None:
    """Take a role; the last administrator stays one."""
    must_rule(actor, "give or take roles")
    with transaction.atomic():
        if role == ADMIN:
            _must_leave_an_admin(person)
            person.is_superuser = person.is_staff = False
            person.save(update_fields=["is_superuser", "is_staff"])
        else:
            person.groups.remove(_role(role))
        record(actor, "role.revoke", person.get_username(), role=role)


def deactivate(actor: User, person: Person) -> None:
    """Let a person in no more: sessions, links and keys of theirs end now; what they wrote stays."""
    must_rule(actor, "deactivate people")
    if actor.pk == person.pk:
        raise ValidationError("You cannot deactivate yourself; ask another administrator.")
    with transaction.atomic():
        _must_leave_an_admin(person)
        person.is_active = False
        person.save(update_fields=["is_active"])
        record(actor, "person.deactivate", person.get_username())


def activate(actor: User, person: Person) -> None:
    must_rule(actor, "activate people")
    with transaction.atomic():
        person.is_active = True
        person.save(update_fields=["is_active"])
        record(actor, "person.activate", person.get_username())


def sign_up(name: str, password: str, email: str = "") -> Person:
    """A new account where QW_SIGNUP is open, with the roles that QW_SIGNUP_ROLES gives."""
    if settings.SIGNUP != "open":
        raise PermissionDenied("Accounts are made by administrators here; ask one for an invitation.")
    with transaction.atomic():
        person = get_user_model().objects.create_user(name, email=email, password=password)
        give_first_roles(person)
        record(person, "person.sign-up", name)
    return person


def give_first_roles(person: Person) -> None:
    """What new people get whom nobody invited."""
    for role in settings.SIGNUP_ROLES:
        _give(person, role)


def give_roles(person: Person, roles: list[str]) -> None:
    """What an invitation promised; inside the transaction that takes it up."""
    for role in roles:
        _give(person, role)


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
    SignInLink.objects.create(user=person, token_sha256=hashed(token), expires_at=timezone.now() + LINK_LIFETIME)
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


def hashed(token: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def must_rule(actor: User, what: str) -> None:
    if not is_admin(actor):
        raise PermissionDenied(f"Only an administrator may {what}.")


def known_roles(roles: list[str]) -> list[str]:
    """The roles, each once and in their order. Raises ValueError where there is none of that name."""
    for name in roles:
        if name not in ALL_ROLES:
            raise ValueError(f"There is no role {name[:40]!r}; there are {', '.join(ALL_ROLES)}.")
    return [role for role in ALL_ROLES if role in roles]


def _good_links(token: str) -> QuerySet[SignInLink]:
    return SignInLink.objects.filter(token_sha256=hashed(token), used_at=None, expires_at__gt=Now())


def _give(person: Person, role: str) -> None:
    if role == ADMIN:
        person.is_superuser = person.is_staff = True
        person.save(update_fields=["is_superuser", "is_staff"])
    else:
        person.groups.add(_role(role))


def _role(name: str) -> Group:
    try:
        return Group.objects.get(name=name)
    except ObjectDoesNotExist as error:
        raise ValueError(f"There is no role {name!r}; there are {', '.join(ALL_ROLES)}.") from error


def _must_leave_an_admin(person: Person) -> None:
    """Call it inside the transaction: the rows stay locked, so that two administrators cannot remove each other."""
    admins = get_user_model().objects.select_for_update().filter(is_superuser=True, is_active=True).order_by("pk")
    if {admin.pk for admin in admins} == {person.pk}:
        raise ValidationError(f"{person.get_username()} is the only administrator; make another one first.")
