"""Second step: the loss of every prediction, in nats, under every checkpoint."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from compute.config import CheckpointRef
from compute.steps.checkpoints import load, naming, weights_stamp
from compute.steps.run import Run, SaveTimer
from compute.workspace import digest

TOKENS_PER_BATCH = {"cpu": 4096, "gpu": 65_536}  # a core's cache likes small batches
PREDICTIONS_PER_BLOCK = 25_000  # a kill costs at most this many, and part of the result's last bits


def losses(run: Run, ref: CheckpointRef) -> np.ndarray:
    """One checkpoint's losses in nats, float32 of shape (n_predictions,)."""
    stamp = losses_stamp(run, ref)
    column = run.files.load(f"losses/{ref.key}", stamp)
    if column is None:
        column = _evaluate(run, ref, stamp)
        run.files.save(f"losses/{ref.key}", column, stamp)
        run.files.remove(_partial(ref))
    return column


def losses_stamp(run: Run, ref: CheckpointRef) -> str:
    """What one column of losses is computed from."""
    return digest(["losses", run.corpus.stamp, weights_stamp(ref), PREDICTIONS_PER_BLOCK])


def _evaluate(run: Run, ref: CheckpointRef, stamp: str) -> np.ndarray:
    """Go through the documents block by block, from where an earlier attempt stopped."""
    from compute.numerics.losses import document_blocks, token_losses

    tokens = run.corpus.tokens
    n = tokens.n_predictions
    saved = run.files.load(_partial(ref), stamp)
    parts = [] if saved is None else [saved]
    n_done = sum(map(len, parts))
    run.tell(n_done, n)
    model = load(ref, run.device)
    timer = SaveTimer()
    for block in document_blocks(tokens, PREDICTIONS_PER_BLOCK):
        if tokens.prediction_starts[block.stop] <= n_done:
            continue
        progress = _shifted(run, n_done, n)
        with naming(ref):
            part = token_losses(
                model,
                tokens,
                documents=block,
                max_batch_tokens=TOKENS_PER_BATCH["cpu" if run.device == "cpu" else "gpu"],
                device=run.device,
                progress=progress,
            )
        parts.append(part)
        n_done += len(parts[-1])
        if n_done < n and timer.is_due():
            run.files.save(_partial(ref), np.concatenate(parts), stamp)
    return np.concatenate(parts)


def _shifted(run: Run, start: int, n: int) -> Callable[[int], None]:
    return lambda n_done: run.tell(start + n_done, n)


def _partial(ref: CheckpointRef) -> str:
    return f"partial/losses/{ref.key}"
