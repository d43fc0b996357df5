"""The vocabulary: adjudicators add, rename, describe, reorder and retire tags; a tag's slug never changes."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.text import slugify

from clusters.display import one_line
from clusters.models import Tag
from clusters.queries.access import User, may_adjudicate
from clusters.services.audit import record
from clusters.services.locks import lock_growth

MAX_NAME, MAX_MEANING, MAX_TAGS = 40, 300, 200


def add_tag(user: User, name: str, meaning: str = "") -> Tag:
    """A new tag, at the end of the vocabulary."""
    _must_edit(user)
    fields = _checked(name=name, meaning=meaning)
    slug = slugify(fields["name"])[:MAX_NAME].strip("-")
    if not slug:
        raise ValidationError({"name": "The name needs a letter or a digit from a to z: addresses are made of it."})
    try:
        with transaction.atomic():
            lock_growth(Tag)
            if Tag.objects.count() >= MAX_TAGS:
                raise ValidationError({"name": f"There are {MAX_TAGS} tags already; bring back or rename one instead."})
            last = Tag.objects.aggregate(last=Max("ordinal"))["last"] or 0
            tag = Tag.objects.create(slug=slug, ordinal=last + 1, **fields)
            record(user, "tag.add", slug, name=tag.name)
    except IntegrityError:
        raise ValidationError(
            {"name": f"There is a tag “{slug}” already; rename that one, or bring it back."}
        ) from None
    return tag


def change_tag(user: User, tag: Tag, **changes: str) -> Tag:
    """Give the tag another `name` or `meaning`; labels that carry it follow."""
    _must_edit(user)
    fields = _checked(**changes)
    with transaction.atomic():
        Tag.objects.filter(pk=tag.pk).update(**fields)
        record(user, "tag.change", tag.slug, **fields)
    tag.refresh_from_db()
    return tag


def retire_tag(user: User, tag: Tag) -> Tag:
    """Offer the tag no more; labels that have it keep it."""
    return _set_retired(user, tag, is_retired=True)


def bring_back_tag(user: User, tag: Tag) -> Tag:
    """Offer a retired tag again."""
    return _set_retired(user, tag, is_retired=False)


def move_tag(user: User, tag: Tag, *, by: int) -> Tag:
    """Move an offered tag so many places down (up, where negative) among those that are offered."""
    _must_edit(user)
    with transaction.atomic():
        tags = list(Tag.objects.select_for_update().order_by("ordinal", "slug"))
        offered = [one for one in tags if one.retired_at is None and one.pk != tag.pk]
        at = sum((one.ordinal, one.slug) < (tag.ordinal, tag.slug) for one in offered)
        offered.insert(min(max(at + by, 0), len(offered)), tag)
        ordered = [*offered, *(one for one in tags if one.retired_at is not None)]
        for ordinal, one in enumerate(ordered, 1):
            one.ordinal = ordinal
        Tag.objects.bulk_update(ordered, ["ordinal"])
        record(user, "tag.move", tag.slug, by=by)
    return tag


def _set_retired(user: User, tag: Tag, *, is_retired: bool) -> Tag:
    _must_edit(user)
    with transaction.atomic():
        n = Tag.objects.filter(pk=tag.pk, retired_at__isnull=is_retired).update(
            retired_at=timezone.now() if is_retired else None
        )
        if n:
            record(user, "tag.retire" if is_retired else "tag.bring-back", tag.slug)
    tag.refresh_from_db()
    return tag


def _checked(**fields: str) -> dict[str, Any]:
    """Name and meaning, cleaned, on one line; ValidationError by field."""
    cleaned = {field: one_line(text) for field, text in fields.items()}
    problems: dict[str, str] = {}
    if not cleaned.get("name", "-"):
        problems["name"] = "Give the tag a name."
    for field, most in (("name", MAX_NAME), ("meaning", MAX_MEANING)):
        if len(cleaned.get(field, "")) > most:
            problems[field] = f"The {field} is {len(cleaned[field]):,} characters long; at most {most} fit."
    if problems:
        raise ValidationError(problems)
    return cleaned


def _must_edit(user: User) -> None:
    if not may_adjudicate(user):
        raise PermissionDenied("Only adjudicators edit the vocabulary; ask an administrator for the role.")
