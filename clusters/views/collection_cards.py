"""The items of a collection as its page shows them: names, a context, a small curve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.urls import reverse

from clusters.charts.chart import Sparkline, sparkline
from clusters.contexts import Context, Reader, has_text
from clusters.models import CollectionItem, Label, Run
from clusters.queries.collections import Holding, described
from clusters.queries.selected import selected_size_curves
from clusters.stored.arrays import array_of, bundle_of
from clusters.views.addresses import cluster_address
from compute.errors import BundleError

SNIPPET_TOKENS = 24
HEAD = ("kind", "run", "affinity", "k", "label", "index", "href", "name", "size", "top_answer", "note", "added_at")
Kind = CollectionItem.Kind


@dataclass(frozen=True)
class Card:
    """One item with what is known of it."""

    item: CollectionItem
    href: str
    label: Label | None = None  # that names its cluster
    context: Context | None = None  # of the token, or of one member of the cluster
    spark: Sparkline | None = None  # loss over size
    page: str = ""  # of a filter, in words
    conditions: list[tuple[str, str]] = field(default_factory=list)


def cards(holding: Holding) -> dict[str, list[Card]]:
    """The items by kind: `clusters`, `tokens`, `filters`."""
    texts = _Texts(holding.items)
    found: dict[str, list[Card]] = {"clusters": [], "tokens": [], "filters": []}
    for item in holding.items:
        if item.cluster:
            label, curve = holding.names.get(item.cluster.pk), item.cluster.mean_curve
            found["clusters"].append(Card(item, _href(item), label, texts.of_cluster(item), _spark(curve)))
        elif item.kind == Kind.TOKEN:
            found["tokens"].append(Card(item, _href(item), None, texts.of_token(item), _spark(texts.curve(item))))
        else:
            page, conditions = described(item.path)
            found["filters"].append(Card(item, item.path, page=page, conditions=conditions))
    return found


def facts(holding: Holding) -> list[list[Any]]:
    """The items as the twins give them, in the order of HEAD."""
    return [_facts(item, holding.names) for item in holding.items]


def _facts(item: CollectionItem, names: dict[int, Label]) -> list[Any]:
    cluster = item.cluster
    own = cluster.clustering if cluster else None
    label = names.get(cluster.pk) if cluster else None
    top = cluster.top_answers[0][0] if cluster and cluster.top_answers else None
    return [
        item.kind, item.run.slug, own.affinity if own else None, own.k if own else None,
        cluster.label if cluster else None, item.flat_index, _href(item), label.name if label else None,
        cluster.size if cluster else None, top, item.note, item.added_at.isoformat(),
    ]  # fmt: skip


def _href(item: CollectionItem) -> str:
    if item.cluster:
        own = item.cluster.clustering
        return cluster_address(item.run.slug, own.k, item.cluster.label, own.affinity)
    if item.kind == Kind.TOKEN:
        return reverse("clusters:token", args=[item.run.slug, item.flat_index])
    return item.path


def _spark(curve: list[float]) -> Sparkline | None:
    if not curve:
        return None
    return sparkline(curve, width=112, height=40, description="Loss over network size, larger to the right")


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
