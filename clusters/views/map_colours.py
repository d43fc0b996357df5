"""What colours a map's points: codes, their legend, and what neighbours have in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clusters.charts import maps as charts
from clusters.charts.maps import Category, Colouring
from clusters.contexts import has_text
from clusters.forms.maps import COLOURS, MapQuery
from clusters.models import Run
from clusters.queries import maps as reads
from clusters.views.addresses import cluster_address


def colouring_of(run: Run, asked: MapQuery) -> Colouring:
    """Colours, legend and what neighbours have in common; the density alone where the run lacks the values."""
    made = {"cluster": _by_cluster, "class": _by_class, "kind": _by_kind, "rank": _by_rank}
    found = made.get(asked.colour, _by_value)(run, asked)
    if found is None:
        codes = np.full(len(reads.points_of(run, asked.by)), charts.REST, np.uint8)
        what = COLOURS[asked.colour]
        return charts.categories(codes, [], codes, what=what, rest=f"this run has no {what} to show")
    return found


def _labelled(colouring: Colouring, values: np.ndarray, run: Run, asked: MapQuery) -> Colouring:
    found = charts.agreement(values, reads.nearest_of(run, asked.by))
    words = charts.agreement_words(found, colouring.what, len(values))
    return _titled(colouring, words)


def _valued(colouring: Colouring, values: np.ndarray, run: Run, asked: MapQuery) -> Colouring:
    words = charts.correlation_words(charts.correlation(values, reads.nearest_of(run, asked.by)), colouring.what)
    return _titled(colouring, words)


def _titled(colouring: Colouring, words: tuple[str, str]) -> Colouring:
    return replace(colouring, title=words[0], reading=words[1])


def _by_cluster(run: Run, asked: MapQuery) -> Colouring | None:
    if asked.k is None:
        return None
    labels = reads.cluster_labels_of(run, asked.by, asked.affinity, asked.k)
    largest = reads.largest_clusters(run, asked.affinity, asked.k, len(charts.CATEGORY_MARKS))
    shown = []
    texts = charts.told_apart([(cluster.top_answers, cluster.top_last) for cluster in largest])
    for cluster, text in zip(largest, texts, strict=True):
        href = cluster_address(run.slug, asked.k, cluster.label, asked.affinity)
        words = f"rank {cluster.rank}" + (f" · {text}" if text else "")
        shown.append(Category(cluster.label, words, f"{cluster.rank} {text}".strip(), href))
    if asked.cluster is not None:
        href = cluster_address(run.slug, asked.k, asked.cluster, asked.affinity)
        words = f"cluster {asked.cluster}"
        shown = [Category(asked.cluster, words, words, href, ("act", "dot"))]
    rest = "other clusters" if asked.by == "gradient" else "other clusters, or not clustered"
    colouring = charts.categories(labels, shown, reads.points_of(run, asked.by), what="cluster", rest=rest)
    return _labelled(colouring, labels, run, asked)


def _by_rank(run: Run, asked: MapQuery) -> Colouring | None:
    if asked.k is None:
        return None
    labels = reads.cluster_labels_of(run, asked.by, asked.affinity, asked.k)
    ranks = reads.ranks_of(run, asked.affinity, asked.k).astype(float)
    values = np.where(labels >= 0, ranks[np.maximum(labels, 0)], np.nan)
    colouring = charts.shades(values, charts.rank_edges(asked.k), what="cluster ranks", rest="not clustered")
    return _valued(colouring, values, run, asked)


def _by_class(run: Run, asked: MapQuery) -> Colouring | None:
    found = reads.classes_of(run, asked.by)
    if found is None:
        return None
    codes, names = found
    shown = [Category(names.index(name), name, mark=mark) for name, mark in charts.CLASS_MARKS.items() if name in names]
    colouring = charts.categories(codes, shown, reads.points_of(run, asked.by), what="class", rest="flat")
    return _labelled(colouring, np.asarray(codes, np.int64), run, asked)


def _by_kind(run: Run, asked: MapQuery) -> Colouring | None:
    if not has_text(run):
        return None
    codes, names = reads.document_kinds_of(run, asked.by)
    shown = [Category(i, name) for i, name in enumerate(names[: len(charts.CATEGORY_MARKS)])]
    points = reads.points_of(run, asked.by)
    return _labelled(charts.categories(codes, shown, points, what="kind", rest="other kinds"), codes, run, asked)


def _by_value(run: Run, asked: MapQuery) -> Colouring | None:
    if asked.colour == "loss":
        losses = reads.losses_of(run, asked.by)
        lms = [size["lm"] for size in run.manifest["sizes"]]
        values, what = (None, "") if losses is None else (losses[:, lms.index(asked.lm)], f"losses under {asked.lm}")
    else:
        values, what = reads.scores_of(run, asked.by, asked.colour), COLOURS[asked.colour]
    if values is None:
        return None
    unit = "nats" if asked.colour == "loss" else ""
    colouring = charts.shades(values, charts.EDGES[asked.colour], what=what, unit=unit)
    return _valued(colouring, np.asarray(values), run, asked)
