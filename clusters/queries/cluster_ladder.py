"""Where a cluster's tokens sit in other clusterings: neighbouring ks, all ks, the other affinity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from clusters.models import Cluster, Run
from clusters.queries.clusters import labels_of
from clusters.values.readings import Match, Part, Rung


def crosswalk(
    run: Run, affinity: str, ks: Sequence[int], k: int, rows: np.ndarray, *, reach: int = 2, most: int = 5
) -> list[Rung]:
    """Where the tokens at these rows sit at the `reach` smaller and the `reach` larger ks."""
    at = ks.index(k)
    near = ks[max(at - reach, 0) : at + reach + 1]
    parts: list[list[Part]] = []
    places: list[np.ndarray] = []  # of every token: the place of its part
    for other in near:
        found, place = _parts(labels_of(run, affinity, other), rows, most)
        parts.append(found)
        places.append(place)
    flows = [Counter(zip(a.tolist(), b.tolist(), strict=True)) for a, b in pairwise(places)]
    return [Rung(*rung) for rung in zip(near, parts, [*flows, Counter()], strict=True)]


def _parts(labels: np.ndarray, rows: np.ndarray, most: int) -> tuple[list[Part], np.ndarray]:
    own = np.asarray(labels)[rows]
    shared = Counter(own.tolist())
    order = sorted(shared, key=lambda label: (-shared[label], label))
    keep = order if len(order) <= most else order[: most - 1]
    sizes = np.bincount(labels)
    parts = [Part(label, shared[label], int(sizes[label])) for label in keep]
    rest = order[len(keep) :]
    if rest:
        n_rest, n_size = sum(shared[label] for label in rest), sum(int(sizes[label]) for label in rest)
        parts.append(Part(None, n_rest, n_size, len(rest)))
    place_of = {label: min(place, len(keep)) for place, label in enumerate(order)}
    return parts, np.array([place_of[label] for label in own.tolist()], int)


def best_matches(run: Run, ks: Mapping[str, Sequence[int]], rows: np.ndarray) -> list[Match]:
    """The cluster most like these tokens, by Jaccard index, in every clustering; by affinity, then k."""
    return [_best(run, affinity, k, rows) for affinity, there in ks.items() for k in there]


def _best(run: Run, affinity: str, k: int, rows: np.ndarray) -> Match:
    labels, shared, sizes, jaccard = _shared(run, affinity, k, rows)
    place = int(np.lexsort((labels, -shared, -jaccard))[0])
    return Match(affinity, k, *(part[place].item() for part in (labels, shared, sizes, jaccard)))


def overlaps(run: Run, affinity: str, k: int, rows: np.ndarray) -> list[Match]:
    """The clusters of one clustering that hold any of these tokens, those most alike first."""
    labels, shared, sizes, jaccard = _shared(run, affinity, k, rows)
    order = np.lexsort((labels, -shared, -jaccard))
    return [
        Match(affinity, k, *values)
        for values in zip(*(part[order].tolist() for part in (labels, shared, sizes, jaccard)), strict=True)
    ]


def _shared(run: Run, affinity: str, k: int, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Labels of the clusters that hold any of these tokens, how many, their sizes, and the Jaccard indices."""
    labels = np.asarray(labels_of(run, affinity, k))
    sizes, counts = np.bincount(labels), np.bincount(labels[rows])
    there = np.flatnonzero(counts)
    shared, sizes = counts[there], sizes[there]
    return there, shared, sizes, shared / (sizes + len(rows) - shared)


def clusters_with_labels(run: Run, affinity: str, k: int, labels: Sequence[int]) -> dict[int, Cluster]:
    """Rank and commonest answers of these clusters, by label."""
    rows = Cluster.objects.filter(
        clustering__run=run, clustering__affinity=affinity, clustering__k=k, label__in=list(labels)
    )
    return {one.label: one for one in rows.only("label", "rank", "size", "top_answers", "clustering")}
