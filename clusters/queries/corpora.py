"""Reads of registered corpora: who sees which, and what uses one."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from clusters.models import RegisteredCorpus
from clusters.queries.access import User
from compute.models import Job


def visible_corpora(user: User) -> QuerySet[RegisteredCorpus]:
    """Every public corpus, the person's own private ones, and all of them for a superuser; newest first."""
    corpora = RegisteredCorpus.objects.select_related("owner")
    if getattr(user, "is_superuser", False) and user.is_active:
        return corpora
    own = Q(owner_id=user.pk) if user.is_authenticated else Q(pk=None)
    return corpora.filter(Q(is_private=False) | own)


def may_remove(user: User, corpus: RegisteredCorpus) -> bool:
    """Whether the person may take the corpus away: its owner or staff."""
    if not (user.is_authenticated and user.is_active):
        return False
    is_staff = bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))
    return is_staff or corpus.owner_id == user.pk


def sees_source(user: User, corpus: RegisteredCorpus) -> bool:
    """Whether the person may know where the text lies on this server; an address on the Hub is no secret."""
    return corpus.kind == RegisteredCorpus.Kind.HUB or may_remove(user, corpus)


def open_jobs_on(corpus: RegisteredCorpus) -> QuerySet[Job]:
    """Work that has still to read the corpus, or may have to."""
    return Job.objects.filter(state__in=Job.OPEN_STATES, config__corpus__source=corpus.source)
