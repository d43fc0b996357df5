"""A map's points as a table: places, and the raw values of what colours them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from clusters.contexts import has_text
from clusters.forms.maps import MapQuery
from clusters.models import Run
from clusters.queries import maps as reads

Column = tuple[str, Callable[[int], Any]]  # its head, and the value of the point at a place


def map_table(run: Run, asked: MapQuery, places: np.ndarray | None) -> tuple[list[str], Iterator[list[Any]]]:
    """The points of the area, or all of them; what is unknown of a point is left empty."""
    points, indices = reads.points_of(run, asked.by), reads.indices_of(run, asked.by)
    columns = _columns(run, asked)
    which = range(len(points)) if places is None else places.tolist()
    rows = (
        [int(indices[i]), float(points[i, 0]), float(points[i, 1]), *(value(i) for _, value in columns)] for i in which
    )
    return ["index", "x", "y", *(name for name, _ in columns)], rows


def _columns(run: Run, asked: MapQuery) -> list[Column]:
    if asked.colour in ("cluster", "rank"):
        return _of_clusters(run, asked)
    if asked.colour == "class":
        found = reads.classes_of(run, asked.by)
        return [] if found is None else [("class", _named(*found))]
    if asked.colour == "kind":
        return [("kind_of_document", _named(*reads.document_kinds_of(run, asked.by)))] if has_text(run) else []
    if asked.colour == "loss":
        return _of_losses(run, asked)
    values = reads.scores_of(run, asked.by, asked.colour)
    return [] if values is None else [(asked.colour, lambda i: float(values[i]))]


def _of_clusters(run: Run, asked: MapQuery) -> list[Column]:
    if asked.k is None:
        return []
    labels = reads.cluster_labels_of(run, asked.by, asked.affinity, asked.k)
    ranks = reads.ranks_of(run, asked.affinity, asked.k)
    return [
        ("k", lambda _: asked.k),
        ("affinity", lambda _: asked.affinity),
        ("label", lambda i: int(labels[i]) if labels[i] >= 0 else None),
        ("rank", lambda i: int(ranks[labels[i]]) if labels[i] >= 0 else None),
    ]


def _of_losses(run: Run, asked: MapQuery) -> list[Column]:
    losses = reads.losses_of(run, asked.by)
    if losses is None:
        return []
    own = losses[:, [size["lm"] for size in run.manifest["sizes"]].index(asked.lm)]
    return [("lm", lambda _: asked.lm), ("loss_nats", lambda i: float(own[i]))]


def _named(codes: np.ndarray, names: Sequence[str]) -> Callable[[int], str]:
    return lambda i: names[int(codes[i])]
