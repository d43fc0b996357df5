"""Reads of a run's maps: where its tokens stand on paper, what is known of each, and which lie inside an area."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clusters.display import token_label
from clusters.models import Cluster, Run
from clusters.queries.clusters import flat_indices, labels_of
from clusters.queries.documents import kinds_of
from clusters.queries.tokens import size_curves
from clusters.stored.arrays import array_of, bundle_of, corpus_of, vocabulary_of
from clusters.stored.derived import derived
from compute.numerics.curves import CLASS_NAMES

ARRAYS = {"gradient": "map/gradients", "curve": "map/curves"}
SCORES = ("monogenicity", "n_eff")
Polygon = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Box:
    """A part of the map, its sides parallel to the axes."""

    left: float
    bottom: float
    right: float
    top: float


def layouts_of(run: Run) -> list[str]:
    """The maps that the run's bundle holds."""
    bundle = bundle_of(run)
    return [by for by, name in ARRAYS.items() if bundle.has(name)]


def points_of(run: Run, by: str) -> np.ndarray:
    """Where the tokens stand, float32 of shape (n, 2); the axes have no unit and no meaning."""
    return array_of(run, ARRAYS[by])


def indices_of(run: Run, by: str) -> np.ndarray:
    """Flat index of every point, ascending."""
    return flat_indices(run) if by == "gradient" else array_of(run, "map/curves_index")


def box_of(run: Run, by: str) -> Box:
    """The smallest box around all points."""
    left, bottom, right, top = derived(run, f"map/{by}/box", lambda: _box(points_of(run, by))).tolist()
    return Box(left, bottom, right, top)


def losses_of(run: Run, by: str) -> np.ndarray | None:
    """Losses in nats under the final checkpoints, float32 of shape (n, n_sizes); None where the run has none."""
    if not bundle_of(run).has("curves/losses"):
        return None
    return derived(run, f"map/{by}/losses", lambda: size_curves(run, indices_of(run, by)).astype(np.float32))


def scores_of(run: Run, by: str, name: str) -> np.ndarray | None:
    """One score of every point's curve, or None where the run has no scores."""
    if not bundle_of(run).has(f"curves/{name}"):
        return None
    return derived(run, f"map/{by}/{name}", lambda: np.asarray(array_of(run, f"curves/{name}")[indices_of(run, by)]))


def classes_of(run: Run, by: str) -> tuple[np.ndarray, list[str]] | None:
    """Class of every point's curve as a number, and the classes' names."""
    codes = scores_of(run, by, "class")
    return None if codes is None else (codes, list(CLASS_NAMES))


def has_classes(run: Run) -> bool:
    return bundle_of(run).has("curves/class")


def document_kinds_of(run: Run, by: str) -> tuple[np.ndarray, list[str]]:
    """Kind of every point's document as a number, and the kinds' names, the commonest first."""
    codes, names = kinds_of(run)
    documents = derived(run, f"map/{by}/documents", lambda: corpus_of(run).locate(np.array(indices_of(run, by)))[0])
    return np.asarray(codes)[documents], names


def cluster_labels_of(run: Run, by: str, affinity: str, k: int) -> np.ndarray:
    """Label of every point's cluster, −1 where the token was not clustered."""
    labels = labels_of(run, affinity, k)
    if by == "gradient":
        return np.asarray(labels)
    rows = derived(run, "map/curve/rows", lambda: _rows(run))
    return np.where(rows >= 0, np.asarray(labels)[np.maximum(rows, 0)], -1)


def largest_clusters(run: Run, affinity: str, k: int, most: int) -> list[Cluster]:
    """The largest clusters of a clustering, by rank."""
    clusters = Cluster.objects.filter(clustering__run=run, clustering__affinity=affinity, clustering__k=k)
    return list(
        clusters.filter(rank__lte=most).order_by("rank").only("label", "rank", "size", "top_answers", "top_last")
    )


def ranks_of(run: Run, affinity: str, k: int) -> np.ndarray:
    """Rank of every label: int64 of shape (k,)."""
    rows = Cluster.objects.filter(clustering__run=run, clustering__affinity=affinity, clustering__k=k)
    ranks = np.zeros(k, np.int64)
    for label, rank in rows.values_list("label", "rank"):
        ranks[label] = rank
    return ranks


def nearest_of(run: Run, by: str) -> np.ndarray:
    """For every point, the place of the point that stands nearest to it on the map."""
    return derived(run, f"map/{by}/nearest", lambda: _nearest(np.asarray(points_of(run, by), np.float64)))


def prepare_maps(run: Run) -> None:
    """Work out once what the pages of the maps read of every point."""
    for by in layouts_of(run):
        box_of(run, by), losses_of(run, by), document_kinds_of(run, by), nearest_of(run, by), answers_of(run, by)
        for name in (*SCORES, "class"):
            scores_of(run, by, name)
        if by == "curve":
            derived(run, "map/curve/rows", lambda: _rows(run))


def inside(points: np.ndarray, polygon: Polygon) -> np.ndarray:
    """Places of the points that lie inside a polygon, ascending; where it crosses itself, by the even-odd rule.

    >>> inside(np.array([[0.5, 0.5], [2, 0.5]]), [(0, 0), (1, 0), (1, 1), (0, 1)]).tolist()
    [0]
    """
    corners = np.asarray(polygon, np.float64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    x, y = (np.asarray(points)[near].astype(np.float64)).T
    is_inside = np.zeros(len(near), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crossed = np.flatnonzero((y0 > y) != (y1 > y))
        is_inside[crossed] ^= x[crossed] < (x1 - x0) * (y[crossed] - y0) / (y1 - y0) + x0
    return near[is_inside]


def answers_of(run: Run, by: str) -> np.ndarray:
    """Token id of every point's answer."""

    def read() -> np.ndarray:
        corpus = corpus_of(run)
        documents, positions = corpus.locate(np.array(indices_of(run, by)))
        return np.asarray(corpus.token_ids)[np.asarray(corpus.offsets)[documents] + positions]

    return derived(run, f"map/{by}/answers", read)


def commonest_answers(run: Run, by: str, places: np.ndarray, most: int) -> tuple[list[tuple[str, int]], int]:
    """The commonest answers among some points with how many have each, and how many answers there are."""
    ids, counts = np.unique(answers_of(run, by)[places], return_counts=True)
    first = np.lexsort((ids, -counts))[:most]
    vocabulary = vocabulary_of(run)
    return [(token_label(vocabulary, int(ids[i]), limit=40), int(counts[i])) for i in first], len(ids)


def commonest_clusters(
    run: Run, by: str, affinity: str, k: int, places: np.ndarray, most: int
) -> list[tuple[int, int]]:
    """The clusters that most of some points belong to, with how many; tokens that were not clustered left out."""
    labels = cluster_labels_of(run, by, affinity, k)[places]
    return Counter(labels[labels >= 0].tolist()).most_common(most)


def how_made(run: Run) -> dict[str, Any]:
    """What the bundle says of its maps: seed, neighbours, versions."""
    return run.manifest.get("map") or {}


def _box(points: np.ndarray) -> np.ndarray:
    """left, bottom, right, top of all points, with a little room; never of no size."""
    known = np.asarray(points, np.float64)
    low, high = known.min(axis=0), known.max(axis=0)
    room = np.maximum((high - low) * 0.02, 1e-6)
    return np.concatenate([low - room, high + room])


def _rows(run: Run) -> np.ndarray:
    """Row of each point of the map of curves among the clustered tokens, −1 for all others."""
    flat, chosen = np.asarray(indices_of(run, "curve")), np.asarray(flat_indices(run))
    at = np.minimum(np.searchsorted(chosen, flat), len(chosen) - 1)
    return np.where(chosen[at] == flat, at, -1).astype(np.int32)


def _nearest(points: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree  # once a run, so not with every start of the server

    if len(points) < 2:
        return np.zeros(len(points), np.int32)
    places = cKDTree(points).query(points, k=2)[1]  # (n, 2): itself and its neighbour, in either order
    own = np.arange(len(points))
    return np.where(places[:, 0] == own, places[:, 1], places[:, 0]).astype(np.int32)
