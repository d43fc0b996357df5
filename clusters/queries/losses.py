"""Reads of how losses are distributed: from the bundle's histograms, never from its columns."""

from __future__ import annotations

import numpy as np

from clusters.models import Run
from clusters.stored.arrays import array_of, bundle_of
from clusters.stored.derived import derived
from clusters.stored.recent import Recent
from clusters.values.distributions import Binning, Distribution, Heights, Learned
from compute.numerics.persistence import persistence

LEARNED_NATS = 0.3  # the paper's threshold for a token that a network has learned
_PERSISTENCE = f"losses/persistence-{LEARNED_NATS}"
_COLUMNS = (
    "ordinal", "checkpoint__lm", "checkpoint__revision", "checkpoint__step", "checkpoint__n_non_embedding", "is_final",
    "checkpoint_id", "mean_loss_nats", "fraction_below",
)  # fmt: skip


def distributions(run: Run) -> list[Distribution]:
    """Every checkpoint in the manifest's order: by size, then step. One query, one array."""
    rows = run.run_checkpoints.order_by("ordinal").values_list(*_COLUMNS)
    stated = run.manifest.get("checkpoints", [])
    binning, counts = _histograms(run)
    n_predictions = run.corpus.n_predictions
    heights = _heights.known(run.bundle_sha256) or {}
    found = []
    for place, (ordinal, lm, revision, step, n_non_embedding, is_final, checkpoint_id, mean, below) in enumerate(rows):
        entry = stated[ordinal] if ordinal < len(stated) else {}
        is_counted = ordinal < len(counts)
        found.append(
            Distribution(
                lm=lm, revision=revision, step=step, n_non_embedding=n_non_embedding,
                is_final=is_final, is_clustered=checkpoint_id == run.checkpoint_id, mean_nats=mean,
                fraction_below=below, quantiles_nats=entry.get("quantiles_nats") or {}, n_predictions=n_predictions,
                binning=binning if is_counted else None, row=counts[ordinal] if is_counted else np.empty(0, np.int64),
                known_heights=heights.get(place),
            )
        )  # fmt: skip
    return found


def remember_heights(run: Run, found: list[Distribution]) -> None:
    """Keep how high every checkpoint's lines reach: it takes all bins of all checkpoints to know."""
    _heights.get(run.bundle_sha256, lambda: {place: one.heights for place, one in enumerate(found)})


_heights: Recent[dict[int, Heights]] = Recent(64)  # by the checkpoint's place among the run's


def _histograms(run: Run) -> tuple[Binning | None, np.ndarray]:
    """Bins, and counts of every checkpoint, of which only the rows that are drawn are read; none in some bundles."""
    bundle = bundle_of(run)
    for name, make in (("losses/fine_histogram", Binning.fine), ("losses/histogram", Binning.plain)):
        if bundle.has(name) and bundle.has(f"{name}_edges"):
            edges = np.asarray(array_of(run, f"{name}_edges"), np.float64)
            return make(edges), np.asarray(array_of(run, name))
    return None, np.empty((0, 0), np.int64)


def finals(found: list[Distribution]) -> list[Distribution]:
    """Every network at the end of its training, smallest first."""
    return sorted((one for one in found if one.is_final), key=lambda one: one.n_non_embedding)


def by_network(found: list[Distribution]) -> dict[str, list[Distribution]]:
    """Checkpoints by step of every network that has two or more, smallest network first."""
    networks: dict[str, list[Distribution]] = {}
    for one in sorted(found, key=lambda one: one.n_non_embedding):
        if one.step is not None:
            networks.setdefault(one.lm, []).append(one)
    return {lm: sorted(steps, key=lambda one: one.step or 0) for lm, steps in networks.items() if len(steps) > 1}


def can_persist(run: Run) -> bool:
    """Whether the bundle holds curves over two sizes or more."""
    return bundle_of(run).has("curves/losses") and len(run.manifest.get("sizes", [])) > 1


def learned(run: Run) -> list[Learned]:
    """Tokens by the smallest size that learns them, and whether they stay learned; worked out once a run."""
    n_first, n_staying = derived(run, _PERSISTENCE, lambda: _persistence(run)).tolist()
    sizes = run.manifest["sizes"]
    return [
        Learned(size["lm"], size["n_non_embedding"], first, staying)
        for size, first, staying in zip(sizes, n_first, n_staying, strict=True)
    ]


def _persistence(run: Run) -> np.ndarray:
    found = persistence(array_of(run, "curves/losses"), threshold=LEARNED_NATS)
    return np.stack([found.n_first, found.n_staying])
