"""Who sees and who may change a run."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Q, QuerySet

from clusters.models import Run

User = AbstractBaseUser | AnonymousUser


def visible_runs(user: User) -> QuerySet[Run]:
    """Every public run, the person's own private ones, and all of them for a superuser."""
    runs = Run.objects.all()
    if getattr(user, "is_superuser", False) and user.is_active:
        return runs
    if not user.is_authenticated:
        return runs.filter(is_private=False)
    return runs.filter(Q(is_private=False) | Q(owner_id=user.pk))


def may_manage(user: User, run: Run) -> bool:
    """Whether the person may rename, archive, hide or delete the run: its owner or a superuser."""
    if not (user.is_authenticated and user.is_active):
        return False
    return bool(getattr(user, "is_superuser", False)) or run.owner_id == user.pk
