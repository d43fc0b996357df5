"""Reads of the vocabulary that labels are tagged with."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from clusters.models import Tag
from clusters.queries.access import User
from clusters.queries.labels import visible_labels

N_KEYS = 9  # the first tags answer to the keys 1 to 9


def vocabulary() -> QuerySet[Tag]:
    """The tags that are offered, in their order."""
    return Tag.objects.filter(retired_at=None)


def tags_with_uses(user: User) -> list[Tag]:
    """All tags, the offered ones first; `n_labels` of each: labels with it that the person may see."""
    used = dict(visible_labels(user).filter(tags__isnull=False).order_by().values_list("tags").annotate(n=Count("pk")))
    tags = sorted(Tag.objects.all(), key=lambda tag: (tag.retired_at is not None, tag.ordinal, tag.slug))
    for tag in tags:
        tag.n_labels = used.get(tag.pk, 0)  # type: ignore[attr-defined]
    return tags
