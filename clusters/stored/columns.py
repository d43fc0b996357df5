"""Losses of one checkpoint over the corpus, whichever of a bundle's tables holds them."""

from __future__ import annotations

from typing import Any

import numpy as np

from clusters.models import Run
from clusters.stored.arrays import array_of, bundle_of


def losses_under(run: Run, checkpoint: dict[str, Any]) -> np.ndarray | None:
    """Losses in nats of all predictions under a checkpoint of the manifest, memory-mapped: (n_predictions,), or None.

    Its own column, where the bundle has it; otherwise a column of the tables of curves over steps or over sizes. Slices
    read what they need and no more.
    """
    has = bundle_of(run).has
    column = checkpoint.get("column", "")
    if column and has(column):
        return array_of(run, column)
    for name, place in (_among_steps(run, checkpoint), _among_sizes(run, checkpoint)):
        if place is not None and has(name):
            return array_of(run, name)[:, place]
    return None


def clustered_checkpoint(run: Run) -> dict[str, Any]:
    """The manifest's entry of the checkpoint whose gradients were clustered."""
    clustered = run.manifest["clustered"]
    key = (clustered["lm"], clustered["revision"])
    return next(c for c in run.manifest["checkpoints"] if (c["lm"], c["revision"]) == key)


def _among_steps(run: Run, checkpoint: dict[str, Any]) -> tuple[str, int | None]:
    own = [c["step"] for c in run.manifest["checkpoints"] if c["lm"] == checkpoint["lm"]]
    steps, step = sorted(step for step in own if step is not None), checkpoint["step"]
    return f"curves/steps/{checkpoint['lm']}", steps.index(step) if step in steps else None


def _among_sizes(run: Run, checkpoint: dict[str, Any]) -> tuple[str, int | None]:
    keys = [(size["lm"], size["revision"]) for size in run.manifest["sizes"]]
    key = (checkpoint["lm"], checkpoint["revision"])
    return "curves/losses", keys.index(key) if key in keys else None
