"""What a person was told."""

from __future__ import annotations

from django.contrib.auth.models import User as Person

from clusters.models import Notice

PAGE = 50


def notices_of(person: Person, before: int | None = None) -> tuple[list[Notice], int | None]:
    """A page of the person's notices, the newest first, and the number to go on before."""
    rows = Notice.objects.filter(user=person)
    found = list((rows.filter(pk__lt=before) if before else rows)[: PAGE + 1])
    return found[:PAGE], found[PAGE - 1].pk if len(found) > PAGE else None
