"""When clusters are learned: the mean loss of every cluster over a scale, and where it falls below a threshold."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from django.db.models.fields.json import KT

from clusters.models import Cluster, Clustering, Run
from clusters.queries.selected import StepNetwork, selected_size_curves, selected_step_curves, step_networks
from clusters.stored.arrays import array_of, bundle_of
from clusters.stored.recent import Recent
from clusters.values.facts import Emergence, LearnedCluster, Scale
from compute.errors import BundleError
from compute.numerics.correlation import RankCorrelation, rank_correlation
from compute.numerics.emergence import crossings

LEAST_STEPS = 3
KEPT = 16  # tables of means; 0.9 MB each at 1,500 clusters and 143 steps


def scales(run: Run) -> list[Scale]:
    """Everything over which this run can say when a cluster is learned: parameters, and the steps of each network."""
    found = []
    sizes = run.manifest.get("sizes", [])
    try:
        if len(sizes) > 1 and selected_size_curves(run) is not None:
            found.append(Scale("parameters", "", tuple(float(one["n_non_embedding"]) for one in sizes)))
        found += [Scale("steps", one.lm, tuple(map(float, one.steps))) for one in _stepped(run)]
    except BundleError:
        return []
    return found


def emergence(run: Run, clustering: Clustering, scale: Scale, threshold_nats: float) -> Emergence:
    """Where each cluster's mean loss falls below the threshold for good, by rank."""
    key = (run.bundle_sha256, clustering.affinity, clustering.k, scale, threshold_nats)
    return _found.get(key, lambda: _emergence(run, clustering, scale, threshold_nats))


def _emergence(run: Run, clustering: Clustering, scale: Scale, threshold_nats: float) -> Emergence:
    means = cluster_means(run, clustering.affinity, clustering.k, scale)
    found = crossings(means, scale.values, threshold_nats)
    scales, states, last = found.scale.tolist(), found.state.tolist(), means[:, -1].tolist()
    rows = (
        Cluster.objects.filter(clustering=clustering)
        .order_by("rank")
        .values_list("label", "rank", "size", "dominant_share", KT("top_answers__0__0"))
    )
    clusters = [
        LearnedCluster(label, rank, size, share, str(answer or ""), scales[label], states[label], last[label])
        for label, rank, size, share, answer in rows
    ]
    return Emergence(scale, threshold_nats, clusters)


def cluster_means(run: Run, affinity: str, k: int, scale: Scale) -> np.ndarray:
    """Mean loss of every cluster's members in nats, float32 (k, m): row i belongs to label i."""
    key = (run.bundle_sha256, affinity, k, scale)
    labels = array_of(run, f"clustering/{affinity}/k{k}")
    return _means.get(key, lambda: _mean_curves(np.asarray(labels), _curves(run, scale), k))


def correlation(emergence: Emergence, *, permutations: bool = True) -> RankCorrelation:
    """Spearman's ρ of frequency rank with the scale of learning; FitError where either is the same for all."""
    more = {} if permutations else {"n_permutations": 0}
    return _correlation(emergence.ordered_by_frequency, emergence.ordered_by_scale, **more)


@lru_cache(maxsize=64)
def _correlation(x: tuple[float, ...], y: tuple[float, ...], **more: int) -> RankCorrelation:
    return rank_correlation(x, y, **more)


def _stepped(run: Run) -> list[StepNetwork]:
    return [one for one in step_networks(run) if len(one.steps) >= LEAST_STEPS]


def _curves(run: Run, scale: Scale) -> np.ndarray:
    """Losses of the clustered tokens over a scale, (n_selected, m)."""
    if scale.over == "parameters":
        curves = selected_size_curves(run)
        if curves is None:
            raise BundleError(f"{bundle_of(run).path} holds no losses over parameters")
        return curves
    return selected_step_curves(run, next(one for one in _stepped(run) if one.lm == scale.lm))


def _mean_curves(labels: np.ndarray, curves: np.ndarray, k: int) -> np.ndarray:
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(k))
    counts = np.bincount(labels, minlength=k)
    there = counts > 0
    sums = np.zeros((k, curves.shape[1]), np.float32)
    sums[there] = np.add.reduceat(np.asarray(curves[order], np.float32), starts[there], axis=0)
    return sums / np.maximum(counts, 1)[:, None]


_means: Recent[np.ndarray] = Recent(KEPT)
_found: Recent[Emergence] = Recent(KEPT)
