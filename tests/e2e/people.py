"""People of browser tests: with their roles, and signed in."""

from __future__ import annotations

from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore

from clusters.models import Tag
from tests.e2e.visits import Visit

TAGS = ("lexical", "syntactic", "formatting")


def person(name: str, *roles: str, is_admin: bool = False) -> User:
    """Somebody of these roles; all of them where none is named."""
    make = User.objects.create_superuser if is_admin else User.objects.create_user
    user = make(name, password=f"{name} has a long password")
    user.groups.set(Group.objects.filter(name__in=roles) if roles else Group.objects.all())
    return user


def offer_tags() -> None:
    """Some of the vocabulary that a new database has; tests against a live server empty the tables behind them."""
    for place, slug in enumerate(TAGS):
        Tag.objects.get_or_create(slug=slug, defaults={"name": slug, "ordinal": place})


def signed_in_as(visit: Visit, user: User) -> Visit:
    """The visit as this person's, from now on."""
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.save()
    cookie = {"name": "sessionid", "value": session.session_key, "url": visit.server}
    visit.page.context.add_cookies([cookie])
    return visit


def forgive(visited: Visit, status: int) -> None:
    """Take one answer of this status, which the browser notes on its console, as meant."""
    noted = [said for said in visited.complaints if said.startswith("console") and f"status of {status}" in said]
    assert len(noted) == 1, noted
    visited.complaints[:] = [said for said in visited.complaints if said not in noted]
