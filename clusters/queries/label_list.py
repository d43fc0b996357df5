"""Lists of labels: narrowed, ordered, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet

from clusters.models import Label
from clusters.queries.access import User
from clusters.queries.labels import PERSON, visible_labels
from clusters.values.labels import LabelFilter

ORDERS: dict[str, tuple[str, ...]] = {  # by what; a field that is never null, the last one unique
    "latest": ("-updated_at", "-pk"),
    "name": ("name", "pk"),
    "cluster": ("cluster__clustering_id", "cluster__rank", "pk"),
}


def matching_labels(user: User, asked: LabelFilter) -> QuerySet[Label]:
    """Labels that the person may see and that match."""
    labels = visible_labels(user).select_related("cluster__clustering__run")
    named = {
        "cluster__clustering__run__slug": asked.run, "cluster__clustering__affinity": asked.affinity,
        "cluster__clustering__k": asked.k, "cluster__label": asked.cluster, "tags__slug": asked.tag,
        "kind": asked.kind, "state": asked.state, "origin": asked.origin, "author_name": asked.author,
    }  # fmt: skip
    labels = labels.filter(**{field: value for field, value in named.items() if value not in ("", None)})
    if asked.text:
        labels = labels.filter(Q(name__icontains=asked.text) | Q(description__icontains=asked.text))
    if asked.is_mine:
        labels = labels.filter(origin=PERSON, author_id=user.pk) if user.is_authenticated else labels.none()
    return labels


def label_page(
    labels: QuerySet[Label], sort: str, place: Sequence[Any] | None, most: int
) -> tuple[list[Label], list[Any] | None]:
    """Up to so many labels after a place in the order, with their tags; and the place of the last, if more follow."""
    order = ORDERS[sort]
    if place is not None:
        labels = labels.filter(_after(order, place))
    rows = list(labels.order_by(*order).prefetch_related("tags")[: most + 1])
    return rows[:most], place_of(rows[most - 1], sort) if len(rows) > most else None


def place_of(label: Label, sort: str) -> list[Any]:
    """Where a label stands in an order."""
    return [_value(label, name.lstrip("-")) for name in ORDERS[sort]]


def _value(label: Label, name: str) -> Any:
    value: Any = label
    for part in name.split("__"):
        value = getattr(value, part)
    return value


def _after(order: Sequence[str], place: Sequence[Any]) -> Q:
    """What stands after the place, by comparing the order's fields one by one."""
    names = [name.lstrip("-") for name in order]
    after = Q(pk__in=[])
    for i, name in enumerate(names):
        same = {names[j]: place[j] for j in range(i)}
        compared = "lt" if order[i].startswith("-") else "gt"
        after |= Q(**same, **{f"{name}__{compared}": place[i]})
    return after
