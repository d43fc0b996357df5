"""Reads of collections: whose they are, who may open them, and what they hold for whoever looks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import QueryDict

from clusters.contexts import Context, Reader, has_text
from clusters.models import Cluster, Collection, CollectionItem, Comment, Label, Run
from clusters.queries.access import User, is_admin, visible_runs
from clusters.queries.labels import names_of
from clusters.queries.missing import Missing
from clusters.queries.selected import selected_size_curves
from clusters.stored.arrays import array_of, bundle_of
from compute.errors import BundleError

PRIVATE, PUBLIC = Collection.Access.PRIVATE, Collection.Access.PUBLIC
Kind = CollectionItem.Kind
A_PAGE = 100  # items
MOST_LISTED = 200  # collections
MOST_COMMENTS = 200  # shown, the latest
SNIPPET_TOKENS = 24
PANEL_COLLECTIONS = 30


@dataclass(frozen=True)
class ShownItem:
    """One item as a page shows it, with what is known of it."""

    item: CollectionItem
    label: Label | None = None  # that names its cluster
    context: Context | None = None  # of the token, or of one member of the cluster
    curve: list[float] = field(default_factory=list)  # losses over size, nats
    conditions: list[tuple[str, str]] = field(default_factory=list)  # of a filter
    page: str = ""  # of a filter, in words


@dataclass(frozen=True)
class Holding:
    """A page of a collection's items, as far as this person may see them."""

    clusters: list[ShownItem]
    tokens: list[ShownItem]
    filters: list[ShownItem]
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
    found = visible_collections(user).filter(secret=secret[:43]).first() if len(secret) <= 43 else None
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
    clusters = [item for item in items if item.kind == Kind.CLUSTER and item.cluster]
    tokens = [item for item in items if item.kind == Kind.TOKEN]
    names = names_of(user, [item.cluster_id for item in clusters if item.cluster_id]) if clusters else {}
    texts = _Texts(items)
    return Holding(
        clusters=[
            ShownItem(item, names.get(item.cluster_id or 0), texts.of_cluster(item), _known(item.cluster))
            for item in clusters
        ],
        tokens=[ShownItem(item, None, texts.of_token(item), texts.curve(item)) for item in tokens],
        filters=[_filter(item) for item in items if item.kind == Kind.FILTER],
        n_visible=n_visible,
        n_hidden=n_all - n_visible,
    )


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


def _filter(item: CollectionItem) -> ShownItem:
    page, conditions = described(item.path)
    return ShownItem(item, page=page, conditions=conditions)


def _known(cluster: Cluster | None) -> list[float]:
    return list(cluster.mean_curve) if cluster else []


class _Texts:
    """Contexts of items, read from each run's arrays; nothing where a bundle cannot be read or holds no text."""

    def __init__(self, items: Iterable[CollectionItem]) -> None:
        self._readers: dict[int, Reader | None] = {}
        self._runs = {item.run_id: item.run for item in items}

    def of_token(self, item: CollectionItem) -> Context | None:
        return self._context(item.run_id, item.flat_index)

    def of_cluster(self, item: CollectionItem) -> Context | None:
        """Of the member that stands first in the corpus."""
        cluster = item.cluster
        if cluster is None or self._reader(item.run_id) is None:
            return None
        run, clustering = self._runs[item.run_id], cluster.clustering
        labels = array_of(run, f"clustering/{clustering.affinity}/k{clustering.k}")
        rows = (labels == cluster.label).nonzero()[0]
        return self._context(item.run_id, int(array_of(run, "selection/flat_index")[rows[0]])) if len(rows) else None

    def curve(self, item: CollectionItem) -> list[float]:
        """Losses over size of a clustered token; those of other tokens are not gathered."""
        run = self._runs[item.run_id]
        if item.flat_index is None or self._reader(item.run_id) is None:
            return []
        flat = array_of(run, "selection/flat_index")
        row = int(flat.searchsorted(item.flat_index))
        curves = selected_size_curves(run) if row < len(flat) and flat[row] == item.flat_index else None
        return [] if curves is None else [float(loss) for loss in curves[row]]

    def _context(self, run_id: int, index: int | None) -> Context | None:
        reader = self._reader(run_id)
        if reader is None or index is None or not 0 <= index < reader.corpus.n_predictions:
            return None
        [place] = reader.places([index])
        return reader.context(place, SNIPPET_TOKENS)

    def _reader(self, run_id: int) -> Reader | None:
        if run_id not in self._readers:
            self._readers[run_id] = self._opened(self._runs[run_id])
        return self._readers[run_id]

    @staticmethod
    def _opened(run: Run) -> Reader | None:
        try:
            bundle_of(run)
            return Reader(run) if has_text(run) else None
        except BundleError:
            return None
