"""Fourth step: the gradient of each selected token's loss, one row a token, stored in half precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from compute.errors import StorageError
from compute.steps.checkpoints import load, naming, weights_stamp
from compute.steps.run import Run
from compute.steps.selection import selection
from compute.workspace import digest

BYTES_PER_FILE = 200_000_000
ROWS_PER_FILE = (1, 2, 5, 10, 25, 50, 125, 250)


@dataclass(frozen=True)
class GradientStore:
    """Where the rows of all selected tokens are, or will be."""

    tokens: np.ndarray  # flat indices, in row order
    n_columns: int
    stamp: str

    @property
    def blocks(self) -> list[range]:
        """Rows of each file; they depend on the length of a row alone, as does a row's last bit."""
        room = BYTES_PER_FILE // (2 * self.n_columns)
        size = max((n for n in ROWS_PER_FILE if n <= room), default=1)
        return [range(first, min(first + size, len(self.tokens))) for first in range(0, len(self.tokens), size)]


def gradient_store(run: Run) -> GradientStore:
    """The store that this run's settings call for."""
    from compute.numerics.gradients import gradient_parameters

    ref, scope = run.config.clustered_checkpoint, run.config.gradient_scope
    chosen = selection(run).flat_index
    n_columns = sum(parameter.numel() for _, parameter in gradient_parameters(load(ref, "cpu"), scope))
    stamp = digest(["gradients", run.corpus.stamp, weights_stamp(ref), scope, chosen.tolist()])
    return GradientStore(chosen, n_columns, stamp)


def gradients(run: Run, store: GradientStore, rows: range) -> None:
    """Compute the files that begin within these rows, where they are not stored yet."""
    from compute.numerics.gradients import gradient_rows

    blocks = [block for block in store.blocks if block.start in rows]
    missing = [block for block in blocks if not run.files.has(_name(block), store.stamp)]
    if not missing:
        return
    later = [block for block in store.blocks if block.start >= rows.stop]
    n_bytes = sum(2 * store.n_columns * len(block) for block in missing + later)
    run.files.require_space(n_bytes, f"The gradients of {sum(map(len, missing + later)):,} tokens")
    ref = run.config.clustered_checkpoint
    model = load(ref, run.device)
    n = sum(map(len, blocks))
    n_done = n - sum(map(len, missing))
    for block in missing:
        run.tell(n_done, n)
        progress = _shifted(run, n_done, n)
        with naming(ref):
            table, norms = gradient_rows(
                model,
                run.corpus.tokens,
                store.tokens[block.start : block.stop],
                scope=run.config.gradient_scope,
                device=run.device,
                progress=progress,
            )
        run.files.save(_name(block), table, store.stamp, norms=norms.tolist())
        n_done += len(block)


def stored(run: Run, store: GradientStore) -> tuple[list[np.ndarray], np.ndarray]:
    """All rows, memory-mapped file by file, and their norms; what is missing or damaged is computed first."""
    tables: list[np.ndarray] = []
    norms: list[float] = []
    for block in store.blocks:
        found = run.files.load_with_facts(_name(block), store.stamp, mmap=True)
        if found is None:
            gradients(run, store, block)
            found = run.files.load_with_facts(_name(block), store.stamp, mmap=True)
        if found is None:
            raise StorageError(f"The gradients in {run.files.root} change while they are read; is a disk failing?")
        tables.append(found[0])
        norms += found[1]["norms"]
        run.keep_alive()
    return tables, np.array(norms)


def _shifted(run: Run, start: int, n: int) -> Callable[[int], None]:
    return lambda n_done: run.tell(start + n_done, n)


def _name(block: range) -> str:
    return f"gradients/rows{block.start:06d}"
