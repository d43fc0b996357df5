"""Who is here, how they like the site, and who may come."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User as Person
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from clusters.models import (
    ApiKey,
    CollectionItem,
    Invitation,
    Label,
    LabelRevision,
    Notice,
    Profile,
    Run,
    TokenNote,
)
from clusters.queries.access import User
from clusters.values.keys import keymap
from clusters.values.readings import Unit


@dataclass(frozen=True)
class Preferences:
    """How somebody likes the site, and how many notices they have not read."""

    unit: Unit = "nats"
    theme: str = "auto"
    keys: dict[str, str] = field(default_factory=dict)
    n_unread: int = 0

    @property
    def keymap_json(self) -> str:
        """For the page's script; empty where all keys are the usual ones."""
        own = keymap(self.keys)
        return json.dumps(own, ensure_ascii=False) if own else ""


def preferences_of(user: User) -> Preferences:
    """In one query; strangers have the usual ones."""
    if not user.is_authenticated:
        return Preferences()
    unread = Notice.objects.filter(user=OuterRef("pk"), read_at=None).order_by().values("user").annotate(n=Count("pk"))
    found = (
        get_user_model()
        .objects.filter(pk=user.pk)
        .annotate(n_unread=Coalesce(Subquery(unread.values("n"), output_field=IntegerField()), 0))
        .values_list("profile__unit", "profile__theme", "profile__keys", "n_unread")
        .first()
    )
    unit, theme, keys, n_unread = found or (None, None, None, 0)
    return Preferences("bits" if unit == Profile.Unit.BITS else "nats", theme or "auto", keys or {}, n_unread)


def profile_of(person: Person) -> Profile:
    """The person's profile; one that is not kept yet where nothing was changed."""
    return Profile.objects.filter(user=person).first() or Profile(user=person)


def keys_of(person: Person) -> list[ApiKey]:
    """Every key the person made, the newest first."""
    return list(ApiKey.objects.filter(user=person).order_by("-created"))


def all_people() -> QuerySet[Person]:
    """Everybody, with their roles; whoever may come in first."""
    return get_user_model().objects.prefetch_related("groups").order_by("-is_active", "username")


def open_invitations() -> QuerySet[Invitation]:
    """Those that were neither used nor taken back, expired ones among them."""
    return Invitation.objects.filter(used_at=None, revoked_at=None).select_related("invited_by")


@dataclass(frozen=True)
class Written:
    """What people wrote about one run, which goes when the run goes."""

    n_labels: int
    n_revisions: int
    n_notes: int
    n_items: int

    @property
    def is_any(self) -> bool:
        return bool(self.n_labels or self.n_notes or self.n_items)


def written_about(run: Run) -> Written:
    """Labels of its clusters with all their revisions, notes at its tokens, and its places in collections."""
    mine = {"label__cluster__clustering__run": run}
    return Written(
        n_labels=Label.objects.filter(cluster__clustering__run=run).count(),
        n_revisions=LabelRevision.objects.filter(**mine).count(),
        n_notes=TokenNote.objects.filter(run=run).count(),
        n_items=CollectionItem.objects.filter(run=run).count(),
    )


def connected_accounts(person: Person) -> dict[str, datetime]:
    """Providers whose accounts let the person in, and since when; none where signing in elsewhere is not set up."""
    if not apps.is_installed("allauth.socialaccount"):
        return {}
    from allauth.socialaccount.models import SocialAccount

    return dict(SocialAccount.objects.filter(user=person).values_list("provider", "date_joined"))
