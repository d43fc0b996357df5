"""Beside the losses: each token's curves over model size and training steps, one row a token, and their scores."""

from __future__ import annotations

import math
import tempfile

import numpy as np

from compute.bundle import storage_errors
from compute.config import CheckpointRef
from compute.steps.checkpoints import by_step, checkpoint_facts, sizes
from compute.steps.losses import losses, losses_stamp
from compute.steps.run import Run
from compute.workspace import digest

SCORES = ("monogenicity", "amplitude_bits", "n_eff", "linearity", "breakthroughness", "r_squared")
MIN_SIZES = 3  # a curve over fewer sizes has no scores
N_DENSITY_BINS = 40
CURVES_PER_CHUNK = 100_000
TABLE_BYTES_IN_MEMORY = 4_000_000_000


def curves(run: Run) -> dict[str, np.ndarray]:
    """Losses over size, float32 of shape (n_predictions, n_sizes), and their scores if there are enough sizes.

    "steps/LM" holds a network's losses over its training steps, float16 of shape (n_predictions, n_steps).
    """
    refs = sizes(run)
    stamp = digest(["curves", *(losses_stamp(run, ref) for ref in refs)])
    names = ["losses", *((*SCORES, "slope", "class", "density") if len(refs) >= MIN_SIZES else ())]
    found = {name: run.files.load(f"curves/{name}", stamp, mmap=True) for name in names}
    arrays = {name: array for name, array in found.items() if array is not None}
    if len(arrays) < len(names):
        table = _token_major(run, refs, np.float32)
        arrays = {"losses": table}
        if len(refs) >= MIN_SIZES:
            arrays |= _scores(run, table, refs)
        for name, array in arrays.items():
            run.files.save(f"curves/{name}", array, stamp)
    return arrays | _over_steps(run)


def _over_steps(run: Run) -> dict[str, np.ndarray]:
    """One table a network with several checkpoints; half precision holds a loss to 0.05%."""
    tables = {}
    for lm, refs in by_step(run.config).items():
        if len(refs) < 2:
            continue
        stamp = digest(["steps", *(losses_stamp(run, ref) for ref in refs)])
        table = run.files.load(f"curves/steps/{lm}", stamp, mmap=True)
        if table is None:
            table = _token_major(run, refs, np.float16)
            run.files.save(f"curves/steps/{lm}", table, stamp)
        tables[f"steps/{lm}"] = table
    return tables


def _token_major(run: Run, refs: list[CheckpointRef], dtype: type[np.floating]) -> np.ndarray:
    """Columns side by side, transposed block by block."""
    columns = [losses(run, ref) for ref in refs]
    table = _room(run, (len(columns[0]), len(columns)), dtype)
    for first in range(0, len(table), CURVES_PER_CHUNK):
        for place, column in enumerate(columns):
            table[first : first + CURVES_PER_CHUNK, place] = column[first : first + CURVES_PER_CHUNK]
        run.keep_alive()
    return table


def _room(run: Run, shape: tuple[int, int], dtype: type[np.floating]) -> np.ndarray:
    """An array to be filled; in a nameless file where it is large: 143 steps of 106 million predictions are 30 GB."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes <= TABLE_BYTES_IN_MEMORY:
        return np.empty(shape, dtype)
    run.files.require_space(2 * n_bytes, f"Losses of {shape[0]:,} predictions at {shape[1]} checkpoints, side by side,")
    with storage_errors(run.files.root), tempfile.TemporaryFile(dir=run.files.root) as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def _scores(run: Run, table: np.ndarray, refs: list[CheckpointRef]) -> dict[str, np.ndarray]:
    from compute.numerics.curves import FLAT, classify, curve_scores

    ln_scale = np.log([checkpoint_facts(run, ref)["n_non_embedding"] for ref in refs])
    parts, kinds = [], []
    for first in range(0, len(table), CURVES_PER_CHUNK):
        bits = table[first : first + CURVES_PER_CHUNK].astype(np.float64) / math.log(2)
        parts.append(curve_scores(bits, ln_scale))
        kinds.append(classify(parts[-1]))
        run.tell(min(first + CURVES_PER_CHUNK, len(table)), len(table))
    scores = {name: np.concatenate([getattr(part, name) for part in parts]) for name in SCORES}
    scores["slope"] = np.concatenate([part.slope for part in parts]) * np.float32(math.log(2))  # bits to nats
    scores["class"] = np.concatenate(kinds)
    shown = scores["class"] != FLAT
    density, _, _ = np.histogram2d(
        scores["monogenicity"][shown],
        scores["n_eff"][shown],
        bins=N_DENSITY_BINS,
        range=((-1, 1), (1, len(refs) - 1)),
    )
    return scores | {"density": density.astype(np.int64)}
