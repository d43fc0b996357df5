"""Experiments of the laboratory: who sees them, and which there are."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q, QuerySet

from clusters.models import Experiment
from clusters.queries.access import User, is_admin
from clusters.queries.missing import Missing

_ADVICE = "It may have been deleted, or be someone's own. The laboratory's page lists those that you can see."


def visible_experiments(user: User, kinds: Iterable[str] = ()) -> QuerySet[Experiment]:
    """Everybody's public experiments and the person's own, newest first; all of them for a superuser."""
    found = Experiment.objects.select_related("job", "owner")
    chosen = tuple(kinds)
    if chosen:
        found = found.filter(kind__in=chosen)
    if is_admin(user):
        return found
    if not user.is_authenticated:
        return found.filter(is_private=False)
    return found.filter(Q(is_private=False) | Q(owner_id=user.pk))


def get_experiment(user: User, slug: str, kinds: Iterable[str] = ()) -> Experiment:
    """The experiment of that address; Missing where there is none that this person may see."""
    found = visible_experiments(user, kinds).filter(slug=slug).first()
    if found is None:
        raise Missing(f"There is no experiment “{slug[:80]}”", _ADVICE)
    return found


def may_manage_experiment(user: User, experiment: Experiment) -> bool:
    """Whether the person may rename, hide or delete it: its owner or a superuser."""
    if not (user.is_authenticated and user.is_active):
        return False
    return is_admin(user) or experiment.owner_id == user.pk
