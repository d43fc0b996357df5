"""Reads of runs: the list, one run's facts, its clusterings' sizes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from django.db.models import OuterRef, QuerySet, Subquery

from clusters.models import Cluster, Clustering, Run, RunCheckpoint
from clusters.queries.access import User, visible_jobs, visible_runs
from clusters.stored.arrays import array_of, bundle_of
from clusters.values.facts import LOSS_EDGES, FinalCheckpoint, RankCurves, Sizes
from compute.errors import BundleError
from compute.models import Job
from compute.numerics.ranks import adjusted_rand_index

NEAR_K = 100  # the number of clusters shown where nobody chose one
N_LARGEST = 16
N_OPEN_JOBS = 20
MOST_KEPT = 1000  # values worked out from arrays and remembered
MOST_LOSSES = 250_000  # predictions counted where the bundle holds no histogram of them


def runs_for_list(user: User, *, archived: bool) -> QuerySet[Run]:
    """Visible runs, newest first, with the mean loss of the clustered network."""
    own = RunCheckpoint.objects.filter(run=OuterRef("pk"), checkpoint=OuterRef("checkpoint"))
    runs = visible_runs(user).filter(archived_at__isnull=not archived)
    return (
        runs.select_related("checkpoint", "corpus", "owner")
        .defer("manifest", "score_density")
        .annotate(mean_loss_nats=Subquery(own.values("mean_loss_nats")[:1]))
    )


def has_archived(user: User) -> bool:
    return visible_runs(user).filter(archived_at__isnull=False).exists()


@dataclass(frozen=True)
class Ladder:
    """The ks of a run, ascending, and the sizes by rank at the one nearest to 100."""

    ks: list[int]
    sizes: list[int]


def ladders(runs: list[Run]) -> dict[int, Ladder]:
    """The ladder of every run that has clusterings, by its primary key."""
    by_run: dict[int, dict[int, int]] = defaultdict(dict)  # run → k → a clustering
    for run_id, k, pk in (
        Clustering.objects.filter(run__in=runs).order_by("k", "-affinity").values_list("run", "k", "pk")
    ):
        by_run[run_id].setdefault(k, pk)
    shown = {run_id: there[_nearest(list(there))] for run_id, there in by_run.items()}
    sizes = dict(Clustering.objects.filter(pk__in=shown.values()).values_list("pk", "sizes"))
    return {run_id: Ladder(sorted(there), sizes[shown[run_id]]) for run_id, there in by_run.items()}


def open_jobs(user: User) -> list[Job]:
    """Runs under way or waiting to be computed that the person may see, newest first."""
    jobs = visible_jobs(user).filter(kind="qdg", state__in=Job.OPEN_STATES).select_related("requested_by")
    return list(jobs.order_by("-id")[:N_OPEN_JOBS])


def ks_of(run: Run, affinity: str = "signed") -> list[int]:
    """The numbers of clusters that this run has at one affinity, ascending."""
    return sorted(c["k"] for c in run.manifest.get("clusterings", ()) if c["affinity"] == affinity)


def affinities_of(run: Run) -> list[str]:
    """The affinities that this run was clustered with, in the manifest's order."""
    return list(dict.fromkeys(c["affinity"] for c in run.manifest.get("clusterings", ())))


def default_affinity(run: Run) -> str:
    return next(iter(affinities_of(run)), "signed")


def default_k(run: Run, affinity: str = "") -> int | None:
    """The k nearest to 100, the smaller of two; None for a run without clusterings."""
    ks = ks_of(run, affinity or default_affinity(run))
    return _nearest(ks) if ks else None


def _nearest(ks: list[int]) -> int:
    return min(ks, key=lambda k: (abs(k - NEAR_K), k))


def final_checkpoints(run: Run) -> list[FinalCheckpoint]:
    """Every network at the end of its training, smallest first."""
    rows = run.run_checkpoints.filter(is_final=True).select_related("checkpoint").order_by("ordinal")
    found = [
        FinalCheckpoint(
            lm=row.checkpoint.lm,
            revision=row.checkpoint.revision,
            n_non_embedding=row.checkpoint.n_non_embedding,
            mean_loss_nats=row.mean_loss_nats,
            fraction_below=row.fraction_below,
            column=row.column,
            is_clustered=row.checkpoint_id == run.checkpoint_id,
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: one.n_non_embedding)


def clustered_mean_loss(run: Run) -> float | None:
    """Mean loss of the clustered network, which may be none of the final checkpoints."""
    row = run.run_checkpoints.filter(checkpoint=run.checkpoint_id).values_list("mean_loss_nats", flat=True)
    return row.first()


def rank_curves(run: Run) -> dict[str, RankCurves]:
    """Sizes of all clusterings by affinity: one query, no memberships."""
    rows = run.clusterings.order_by("k").values_list("affinity", "k", "sizes", "n_singletons")
    found: dict[str, list[Sizes]] = defaultdict(list)
    for affinity, k, sizes, n_singletons in rows:
        found[affinity].append(Sizes(k, sizes, n_singletons))
    return {affinity: RankCurves(affinity, found[affinity]) for affinity in affinities_of(run) if affinity in found}


def largest_clusters(run: Run, affinity: str, k: int, most: int = N_LARGEST) -> list[Cluster]:
    """The clusters of the first ranks."""
    clusters = Cluster.objects.filter(clustering__run=run, clustering__affinity=affinity, clustering__k=k)
    return list(clusters.order_by("rank").defer("top_last", "nearest")[:most])


def with_histograms(run: Run, finals: list[FinalCheckpoint]) -> list[FinalCheckpoint]:
    """The same with their losses counted in LOSS_EDGES; as they are where the bundle cannot be read."""
    try:
        counted = _counted(run)
        return [replace(one, histogram=counted.get(one.column) or _sampled(run, one.column)) for one in finals]
    except BundleError:
        return finals


def _counted(run: Run) -> dict[str, tuple[int, ...]]:
    """Counts in LOSS_EDGES by column, summed from the bundle's finer bins; none where it has no such bins."""
    names = ("losses/log_histogram", "losses/log_histogram_edges")
    if not all(bundle_of(run).has(name) for name in names):
        return {}
    counts, edges = (np.asarray(array_of(run, name)) for name in names)
    places = np.searchsorted(edges, np.array(LOSS_EDGES[1:-1]) * (1 - 1e-9))
    if not np.allclose(edges[places], LOSS_EDGES[1:-1]):
        return {}
    merged = np.add.reduceat(counts, [0, *(places + 1)], axis=1)  # the first count lies below all edges
    columns = (entry["column"] for entry in run.manifest.get("checkpoints", ()))
    return {column: tuple(row) for column, row in zip(columns, merged.tolist(), strict=False)}


def _sampled(run: Run, column: str) -> tuple[int, ...]:
    """Counts of a column; of more predictions than MOST_LOSSES an even sample, right to a tenth of a percent."""
    key = (run.bundle_sha256, column)
    if key not in _histograms:
        losses = array_of(run, column)
        sample = np.asarray(losses[:: max(1, len(losses) // MOST_LOSSES)], np.float64)
        counts, _ = np.histogram(np.minimum(sample, LOSS_EDGES[-1]), LOSS_EDGES)
        _keep(_histograms, key, tuple(counts.tolist()))
    return _histograms[key]


def agreement(run: Run, k: int) -> float | None:
    """Adjusted Rand index of the signed against the absolute clustering at k; None where one is missing."""
    if not all(k in ks_of(run, affinity) for affinity in ("signed", "absolute")):
        return None
    key = (run.bundle_sha256, k)
    if key not in _agreements:
        try:
            labels = [np.asarray(array_of(run, f"clustering/{affinity}/k{k}")) for affinity in ("signed", "absolute")]
        except BundleError:
            return None
        _keep(_agreements, key, adjusted_rand_index(*labels))
    return _agreements[key]


# by bundle, which never changes, and k or column
_agreements: dict[tuple[str, int], float] = {}
_histograms: dict[tuple[str, str], tuple[int, ...]] = {}


def _keep(kept: dict[Any, Any], key: Any, value: Any) -> None:
    """Remember a value, and no more than MOST_KEPT of them."""
    if len(kept) >= MOST_KEPT:
        kept.clear()
    kept[key] = value
