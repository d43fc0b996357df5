"""Reads of collections: whose they are, who may open them, and what they hold for whoever looks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import QueryDict

from clusters.models import Collection, CollectionItem, Comment, Label
from clusters.queries.access import User, is_admin, visible_runs
from clusters.queries.labels import names_of
from clusters.queries.missing import Missing

PRIVATE, PUBLIC = Collection.Access.PRIVATE, Collection.Access.PUBLIC
A_PAGE = 100  # items
MOST_LISTED = 200  # collections
MOST_COMMENTS = 200  # shown, the latest
PANEL_COLLECTIONS = 30
_SECRET = re.compile(r"[\w-]{1,43}", re.ASCII)  # nothing else names a collection


@dataclass(frozen=True)
class Holding:
    """A page of a collection's items, as far as this person may see them."""

    items: list[CollectionItem]
    names: dict[int, Label]  # that name clusters to this person, by the cluster's primary key
    n_visible: int
    n_hidden: int  # of runs that the person cannot see

    @property
    def n_pages(self) -> int:
        return max(-(-self.n_visible // A_PAGE), 1)


def visible_collections(user: User) -> QuerySet[Collection]:
    """The person's own, and whatever is not private; `listed_collections` says which of these a list may name."""
    own = Q(owner_id=user.pk) if user.is_authenticated else Q(pk=None)
    return Collection.objects.filter(~Q(access=PRIVATE) | own).select_related("owner")


def own_collections(user: User) -> QuerySet[Collection]:
    if not user.is_authenticated:
        return Collection.objects.none()
    return _counted(Collection.objects.filter(owner_id=user.pk).select_related("owner"))


def public_collections(user: User) -> QuerySet[Collection]:
    """What others show to everyone."""
    others = Collection.objects.filter(access=PUBLIC).select_related("owner")
    return _counted(others.exclude(owner_id=user.pk) if user.is_authenticated else others)


def collection_at(user: User, secret: str) -> Collection:
    """The collection that an address names, if this person may see it."""
    found = visible_collections(user).filter(secret=secret).first() if _SECRET.fullmatch(secret) else None
    if found is None:
        raise Missing(
            "There is no such collection", "It was deleted, or its owner keeps it private. Ask them for its link."
        )
    return found


def may_change(user: User, collection: Collection) -> bool:
    """Whether the person may change what the collection says and holds."""
    return bool(user.is_authenticated and user.is_active and (collection.owner_id == user.pk or is_admin(user)))


def may_delete_comment(user: User, comment: Comment) -> bool:
    own = user.is_authenticated and comment.author_id == user.pk
    return own or may_change(user, comment.collection)


def visible_items(user: User, collection: Collection) -> QuerySet[CollectionItem]:
    items = collection.items.filter(run__in=visible_runs(user))
    heavy = ("run__manifest", "run__provenance", "run__score_density")
    return items.select_related("run", "run__corpus", "cluster__clustering").defer(*heavy, "cluster__clustering__sizes")


def holding(user: User, collection: Collection, page: int = 1) -> Holding:
    """One page of the items, in the order in which they were added."""
    visible = visible_items(user, collection)
    n_all, n_visible = collection.items.count(), visible.count()
    items = list(visible.order_by("pk")[(page - 1) * A_PAGE : page * A_PAGE])
    clusters = [item.cluster_id for item in items if item.cluster_id is not None]
    names = names_of(user, clusters) if clusters else {}
    return Holding(items, names, n_visible=n_visible, n_hidden=n_all - n_visible)


def comments_of(collection: Collection) -> list[Comment]:
    """The latest comments, the oldest of them first."""
    latest = list(collection.comments.order_by("-pk")[:MOST_COMMENTS])[::-1]
    for one in latest:
        one.collection = collection
    return latest


def choices_for(user: User, **held: Any) -> list[Collection]:
    """The person's latest collections, each with `has_it`: whether it holds this item already."""
    items = CollectionItem.objects.filter(collection=OuterRef("pk"), **held)
    return list(Collection.objects.filter(owner_id=user.pk).annotate(has_it=Exists(items))[:PANEL_COLLECTIONS])


def described(path: str) -> tuple[str, list[tuple[str, str]]]:
    """A kept address in words: which page, and its conditions."""
    place, _, query = path.partition("?")
    name = " ".join(part for part in place.strip("/").split("/")[2:] if part) or "overview"
    return name, [(key, value) for key, values in QueryDict(query).lists() for value in values]


def _counted(collections: QuerySet[Collection]) -> QuerySet[Collection]:
    return collections.annotate(
        n_items=Count("items", distinct=True), n_comments=Count("comments", distinct=True)
    ).order_by("-updated_at", "-pk")
