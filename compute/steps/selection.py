"""Third step: which tokens are clustered, those predicted well and not by copying from their context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from compute.config import SelectionConfig
from compute.steps.losses import losses
from compute.steps.run import Run
from compute.workspace import digest


@dataclass(frozen=True)
class Selection:
    """Which predictions are clustered; `facts` are what the manifest states."""

    induced: np.ndarray  # bool (n_predictions,)
    flat_index: np.ndarray  # int64 (n_tokens,), ascending
    facts: dict[str, Any]


def chosen_tokens(run: Run) -> np.ndarray:
    """Flat indices of the tokens whose vectors are compared, int64, ascending."""
    return selection(run).flat_index if run.tokens is None else run.tokens


def selection(run: Run) -> Selection:
    """Filter and choose the tokens that the settings ask for."""
    return choose(run, losses(run, run.config.clustered_checkpoint), run.config.selection)


def choose(run: Run, column: np.ndarray, wanted: SelectionConfig) -> Selection:
    """Filter and choose tokens by the losses of one network."""
    from compute.numerics.selection import largest_stride, select_tokens, zero_loss_mask

    induced = _induced(run)
    low = zero_loss_mask(column, wanted.threshold_nats)
    candidates = np.flatnonzero(low & ~induced if wanted.exclude_induced else low)
    chosen = select_tokens(candidates, n_tokens=wanted.n_tokens, stride=wanted.stride)
    facts = {
        "threshold_nats": wanted.threshold_nats,
        "n_below": int(low.sum()),
        "n_induced": int((low & induced).sum()),  # of those below
        "n_candidates": len(candidates),
        "stride": wanted.stride or largest_stride(len(candidates), wanted.n_tokens),
    }
    return Selection(induced, chosen, facts)


def _induced(run: Run) -> np.ndarray:
    from compute.numerics.selection import induction_mask

    stamp = digest(["induction", run.corpus.stamp])
    induced = run.files.load("selection/induced", stamp)
    if induced is None:
        induced = run.wait_for(lambda: induction_mask(run.corpus.tokens))
        run.files.save("selection/induced", induced, stamp)
    return induced
