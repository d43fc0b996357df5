"""Reads of probes: whether a run can be asked, what was answered, and what lies near a token's gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from django.conf import settings

from clusters.models import Affinity, Cluster, Clustering, Run
from clusters.parameters import whole_number
from clusters.queries.access import User, visible_jobs, visible_runs
from clusters.queries.clusters import flat_indices, labels_of
from clusters.queries.missing import Missing
from clusters.stored.arrays import bundle_of
from clusters.values.readings import Scores
from compute.config import CheckpointRef, RunConfig
from compute.errors import ComputeError, ConfigError
from compute.jobs.probes import KIND
from compute.models import Job, Probe
from compute.numerics.curves import CLASS_NAMES
from compute.suites import resolve, resolve_tokenizer

NO_SKETCHES = (
    "This run’s bundle holds no sketches of gradients: it was computed before there were probes, or elsewhere."
)
NO_SETTINGS = "Which networks this run was made with is not known here, so no text can be given to them."
OTHERS = 6  # earlier probes that a page lists


def settings_of(run: Run) -> RunConfig | None:
    """The run's settings with the places of its weights: those of its job, or what its bundle says."""
    told = [run.job.config] if run.job is not None else []
    for data in (*told, run.manifest.get("config", {})):
        try:
            return RunConfig.from_json(data)
        except ConfigError:
            continue
    return None


def why_not(run: Run) -> str:
    """The reason why this run cannot be asked about a text; empty where it can."""
    told = run.manifest.get("probe")
    if not isinstance(told, dict) or not bundle_of(run).has(str(told.get("table"))):
        return NO_SKETCHES
    config = settings_of(run)
    clustered = "/".join(str(run.manifest["clustered"][name]) for name in ("lm", "revision"))
    if config is None or config.clustered != clustered:
        return NO_SETTINGS
    if settings.RUNNER != "local":  # the weights lie with the workers
        return ""
    if not _is_here(config.clustered_checkpoint):
        return f"The weights of {clustered} are not on this server. Put them back where the run found them."
    return "" if _has_tokenizer(config) else "The run’s tokenizer is not on this server. Put it back where it was."


def probe_job(user: User, run: Run, number: str) -> Job:
    """The probe of this run that an address names, if this person may see it."""
    key = whole_number(number)
    jobs = visible_jobs(user).filter(kind=KIND, probe__bundle_sha256=run.bundle_sha256)
    job = None if key is None else jobs.select_related("probe", "requested_by").filter(pk=key).first()
    if job is None:
        raise Missing(
            f"There is no probe {number[:20]} of this run", "It was deleted, or it is someone’s own. Ask about a text."
        )
    return job


def probed_run(user: User, job: Job) -> Run | None:
    """The run that a probe asked, if this person may see it; None for any other job."""
    if job.kind != KIND:
        return None
    return visible_runs(user).filter(bundle_sha256=job.probe.bundle_sha256).first()


def own_probes(user: User, run: Run) -> list[Job]:
    """The person's latest probes of this run."""
    if not user.is_authenticated:
        return []
    jobs = Job.objects.filter(kind=KIND, requested_by_id=user.pk, probe__bundle_sha256=run.bundle_sha256)
    heavy = ("probe__facts", "probe__cosines", "config")
    return list(jobs.select_related("probe").defer(*heavy).order_by("-pk")[:OTHERS])


def n_open(user: User) -> int:
    """How many probes of this person wait or are being answered."""
    return Job.objects.filter(kind=KIND, requested_by_id=user.pk, state__in=Job.OPEN_STATES).count()


class Answer:
    """What was found about a text; positions count from 1, as its first token is not predicted."""

    def __init__(self, probe: Probe) -> None:
        facts: dict[str, Any] = probe.facts or {}
        self.token_ids: list[int] = facts["token_ids"]
        self.n_tokens_in_text: int = facts["n_tokens_in_text"]
        self.networks: list[dict[str, Any]] = facts["networks"]
        self.losses: list[list[float]] = facts["losses_nats"]  # one list a network
        self.clustered: dict[str, str] = facts["clustered"]
        self.clustered_losses: list[float] = facts["clustered_losses_nats"]
        self.skipped: list[dict[str, str]] = facts["skipped"]
        self.chosen: list[int] = facts["chosen"]
        self.norms: list[float] = facts["norms"]
        self.seconds: float = facts["seconds"]
        self._scores: dict[str, list[Any]] | None = facts["scores"]
        self._cosines = bytes(probe.cosines or b"")

    @property
    def n_predicted(self) -> int:
        return len(self.token_ids) - 1

    @cached_property
    def cosines(self) -> np.ndarray:
        """Float32 (n_chosen, n_selected)."""
        return np.frombuffer(self._cosines, np.float16).reshape(len(self.chosen), -1).astype(np.float32)

    def cosines_at(self, position: int) -> np.ndarray | None:
        """With every clustered token; None for a token without a gradient."""
        if position not in self.chosen or not self.norms[self.chosen.index(position)]:
            return None
        return self.cosines[self.chosen.index(position)]

    def curve_at(self, position: int) -> np.ndarray:
        """Losses in nats over the networks."""
        return np.array([column[position - 1] for column in self.losses])

    def scores_at(self, position: int) -> Scores:
        if self._scores is None:
            return Scores(None, None, None, None, None, "unknown")
        one = {name: values[position - 1] for name, values in self._scores.items()}
        kind = CLASS_NAMES[int(one.pop("class"))]
        return Scores(**one, curve_class=kind)


@dataclass(frozen=True)
class NearCluster:
    """A cluster, and how near a gradient is to it."""

    cluster: Cluster
    cosine: float  # mean over its members
    centroid: float | None  # with the mean of its members' directions
    highest: float


def nearest_tokens(run: Run, cosines: np.ndarray, n: int) -> list[tuple[int, float]]:
    """Flat index and cosine of the clustered tokens that are most alike, most alike first."""
    best = np.argsort(-cosines, kind="stable")[:n]
    return list(zip(flat_indices(run)[best].tolist(), cosines[best].tolist(), strict=True))


def nearest_clusters(run: Run, clustering: Clustering, cosines: np.ndarray, n: int) -> list[NearCluster]:
    """The clusters with the highest mean cosine to a gradient."""
    labels = np.asarray(labels_of(run, clustering.affinity, clustering.k))
    counts = np.bincount(labels, minlength=clustering.k)
    means = np.bincount(labels, weights=cosines, minlength=clustering.k) / np.maximum(counts, 1)
    highest = np.full(clustering.k, -np.inf)
    np.maximum.at(highest, labels, cosines)
    best = [int(label) for label in np.argsort(-np.where(counts > 0, means, -np.inf), kind="stable")[:n]]
    rows = {cluster.label: cluster for cluster in clustering.clusters.filter(label__in=best).defer("mean_curve")}
    return [
        NearCluster(rows[label], float(means[label]), _centroid(clustering, rows[label], means[label]), highest[label])
        for label in best
        if label in rows
    ]


def _centroid(clustering: Clustering, cluster: Cluster, mean: float) -> float | None:
    """cos(g, Σ gᵢ) = mean / |Σ gᵢ / n|, and that length is √(1 + (n − 1) w) / √n with w the mean cosine within."""
    if clustering.affinity != Affinity.SIGNED:
        return None
    within = cluster.similarity_within if cluster.size > 1 else 1.0
    if within is None:
        return None
    squared = (1 + (cluster.size - 1) * within) / cluster.size
    return min(max(float(mean) / math.sqrt(squared), -1.0), 1.0) if squared > 0 else None


def _is_here(ref: CheckpointRef) -> bool:
    try:
        return (resolve(ref.path) / "config.json").is_file()
    except (ComputeError, OSError):
        return False


def _has_tokenizer(config: RunConfig) -> bool:
    try:
        return resolve_tokenizer(config.suite.tokenizer).is_file()
    except (ComputeError, OSError):
        return False
