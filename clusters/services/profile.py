"""How a person likes the site."""

from __future__ import annotations

from collections.abc import Mapping

from django.apps import apps
from django.contrib.auth.models import User as Person
from django.core.exceptions import ValidationError
from django.db import transaction

from clusters.models import Profile
from clusters.services.audit import record
from clusters.values.keys import ACTIONS, collisions, read_key


def save_preferences(person: Person, *, unit: str, theme: str, email: str, is_mailed: bool) -> Profile:
    """Keep the unit, the theme, the address and whether notices are mailed to it."""
    if is_mailed and not email:
        raise ValidationError({"email": "Notices need an address to be mailed to; write one, or leave mails out."})
    with transaction.atomic():
        profile, _ = Profile.objects.get_or_create(user=person)
        profile.unit, profile.theme, profile.is_mailed = unit, theme, is_mailed
        profile.save(update_fields=["unit", "theme", "is_mailed"])
        has_moved = person.email != email
        if has_moved:
            person.email = email
            person.save(update_fields=["email"])
        record(person, "profile.save", person.get_username(), unit=unit, theme=theme, new_address=has_moved)
    return profile


def save_theme(person: Person, theme: str) -> None:
    """Keep the theme that was chosen in the bar."""
    if theme in Profile.Theme.values:
        Profile.objects.update_or_create(user=person, defaults={"theme": theme})


def save_keys(person: Person, written: Mapping[str, str]) -> Profile:
    """Keep the person's own keys, by action; an empty one is the usual one. Collisions are refused, field by field."""
    keys, problems = {}, {}
    for action in ACTIONS:
        text = written.get(action.name, "").strip()
        try:
            keys[action.name] = read_key(text) if text else action.usual
        except ValueError as error:
            problems[action.name] = str(error)
    problems = problems or collisions(keys)
    if problems:
        raise ValidationError(dict(problems))
    own = {action.name: keys[action.name] for action in ACTIONS if keys[action.name] != action.usual}
    with transaction.atomic():
        profile, _ = Profile.objects.update_or_create(user=person, defaults={"keys": own})
        record(person, "profile.keys", person.get_username(), n_changed=len(own))
    return profile


def disconnect(person: Person, provider: str) -> None:
    """Let an account elsewhere open this one no more, unless it is the only way in."""
    if not apps.is_installed("allauth.socialaccount"):
        raise ValidationError("Signing in elsewhere is not set up here.")
    from allauth.socialaccount.models import SocialAccount

    with transaction.atomic():
        rows = SocialAccount.objects.filter(user=person)
        provider = provider if provider.isprintable() else ""  # no database compares with NUL
        if not person.has_usable_password() and not rows.exclude(provider=provider).exists():
            raise ValidationError("It is your only way in; choose a password first.")
        if rows.filter(provider=provider).delete()[0]:
            record(person, "profile.disconnect", person.get_username(), provider=provider[:40])
