"""Fourth step: the gradient of each selected token's loss, one row a token, in half precision; or a sketch of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from compute.errors import StorageError
from compute.estimate import PROBE_SIZE
from compute.steps.checkpoints import load, naming, skeleton, weights_stamp
from compute.steps.run import Run
from compute.steps.selection import chosen_tokens
from compute.steps.weights import bring
from compute.workspace import digest

if TYPE_CHECKING:
    import torch
    from torch import nn

    from compute.numerics.sketch import CountSketch

BYTES_PER_FILE = 1_000_000_000
NUMBERS_PER_FILE = 500_000_000  # of gradients; some seconds of work, so that a kill costs little
ROWS_PER_FILE = (1, 2, 5, 10, 25, 50, 125, 250, 500)  # batches of like length are found among so many
EXACT = "rows"
PROBE = "probe"  # short sketches beside rows that are compared whole: what a probe's gradients are compared with


@dataclass(frozen=True)
class GradientStore:
    """Where the rows of all selected tokens are, or will be."""

    tokens: np.ndarray  # flat indices, in row order
    n_gradient: int  # numbers in a gradient
    n_columns: int  # numbers in a stored row
    tables: tuple[str, ...]  # "rows", or the sketches of each kind: "signed" and perhaps "absolute"
    stamp: str

    @property
    def blocks(self) -> list[range]:
        """Rows of each file; they depend on the lengths of a row alone, as does a row's last bit."""
        room = min(BYTES_PER_FILE // (2 * self.n_columns), NUMBERS_PER_FILE // self.n_gradient)
        size = max((n for n in ROWS_PER_FILE if n <= room), default=1)
        return [range(first, min(first + size, len(self.tokens))) for first in range(0, len(self.tokens), size)]

    @property
    def files(self) -> tuple[str, ...]:
        """The tables, and what is kept beside them."""
        return (*self.tables, PROBE) if self.tables == (EXACT,) else self.tables

    @property
    def bytes_per_token(self) -> int:
        return 2 * self.n_columns * len(self.tables) + (2 * PROBE_SIZE if PROBE in self.files else 0)


def gradient_store(run: Run) -> GradientStore:
    """The store that this run's settings call for."""
    from compute.numerics.vectors import n_entries

    config, ref = run.config, run.config.clustered_checkpoint
    tokens = chosen_tokens(run)
    bring(run, ref)
    n_gradient = n_entries(skeleton(ref), kind=config.vectors, scope=config.gradient_scope)
    facts = [run.corpus.stamp, weights_stamp(run, ref), config.vectors, config.gradient_scope, tokens.tolist()]
    if config.similarity.mode == "exact":
        seed = config.similarity.sketch_seed
        stamp = digest(["gradients", *facts, PROBE_SIZE, seed])
        return GradientStore(tokens, n_gradient, n_gradient, (EXACT,), stamp)
    size, seed = config.similarity.sketch_size, config.similarity.sketch_seed
    kinds = similarity_kinds(run)
    return GradientStore(tokens, n_gradient, size, kinds, digest(["sketches", *facts, size, seed, kinds]))


def probe_facts(run: Run) -> dict[str, Any]:
    """The sketches that the gradient of any other text can be compared with."""
    wanted = run.config.similarity
    size = PROBE_SIZE if wanted.mode == "exact" else wanted.sketch_size
    return {"table": "sketches/signed", "size": size, "seed": wanted.sketch_seed}


def probe_sketches(run: Run, rows: torch.Tensor) -> np.ndarray:
    """Sketches of half-precision rows, float16 of shape (n_rows, size)."""
    from compute.numerics.sketch import sketch_rows

    sketch = _sketch(rows.shape[1], PROBE_SIZE, run.config.similarity.sketch_seed)
    return sketch_rows(sketch, rows, device=run.device, progress=run.keep_alive)


def similarity_kinds(run: Run) -> tuple[str, ...]:
    """Which cosines the run's affinities are made of."""
    return ("signed", "absolute") if "absolute" in run.config.clustering.affinities else ("signed",)


def vector_options(run: Run) -> dict[str, str]:
    """Which vectors of the tokens are compared, and where they are computed."""
    return {"kind": run.config.vectors, "scope": run.config.gradient_scope, "device": run.device}


def gradients(run: Run, store: GradientStore, rows: range) -> None:
    """Compute the files that begin within these rows, where they are not stored yet."""
    blocks = [block for block in store.blocks if block.start in rows]
    missing = [block for block in blocks if not _is_stored(run, store, block)]
    if not missing:
        return
    absent = [block for block in store.blocks if not run.files.is_begun(_name(store.files[-1], block))]
    n_tokens = sum(map(len, absent))
    run.files.require_space(n_tokens * store.bytes_per_token, f"The gradients of {n_tokens:,} tokens")
    model = load(run.config.clustered_checkpoint, run.device)
    n = sum(map(len, blocks))
    n_done = n - sum(map(len, missing))
    for block in missing:
        run.tell(n_done, n)
        with naming(run.config.clustered_checkpoint):
            tables, norms = _rows(run, store, model, block, n_done, n)
        for name, table in tables.items():
            run.files.save(_name(name, block), table, store.stamp, norms=norms.tolist())
        n_done += len(block)


def stored(run: Run, store: GradientStore, table: str) -> tuple[list[np.ndarray], np.ndarray]:
    """All rows of a table, memory-mapped file by file, and the gradients' norms; what is missing is computed first."""
    parts: list[np.ndarray] = []
    norms: list[float] = []
    for block in store.blocks:
        found = run.files.load_with_facts(_name(table, block), store.stamp, mmap=True)
        if found is None:
            gradients(run, store, block)
            found = run.files.load_with_facts(_name(table, block), store.stamp, mmap=True)
        if found is None:
            raise StorageError(f"The gradients in {run.files.root} change while they are read; is a disk failing?")
        parts.append(found[0])
        norms += found[1]["norms"]
        run.keep_alive()
    return parts, np.array(norms)


def _is_stored(run: Run, store: GradientStore, block: range) -> bool:
    return all(run.files.is_known(_name(table, block), store.stamp) for table in store.files)


def _rows(
    run: Run, store: GradientStore, model: nn.Module, block: range, n_before: int, n: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The tables of one file, and its gradients' norms."""
    import torch

    from compute.numerics.gradients import gradient_rows

    tokens = store.tokens[block.start : block.stop]
    if store.tables != (EXACT,):
        return _sketches(run, store, model, tokens, n_before, n)
    rows, norms = gradient_rows(
        model,
        run.corpus.tokens,
        tokens,
        **vector_options(run),
        progress=run.teller(n_before, n),
    )
    return {EXACT: rows, PROBE: probe_sketches(run, torch.from_numpy(rows))}, norms


def _sketches(
    run: Run, store: GradientStore, model: nn.Module, tokens: np.ndarray, n_before: int, n: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Sketches of the gradients' directions; the gradients themselves are dropped batch by batch."""
    from compute.numerics.sketch import stored_sketch
    from compute.numerics.vectors import vector_batches

    sketch = _sketch(store.n_gradient, store.n_columns, run.config.similarity.sketch_seed)
    tables = {kind: np.zeros((len(tokens), store.n_columns), np.float16) for kind in store.tables}
    norms = np.zeros(len(tokens))
    batches = vector_batches(
        model,
        run.corpus.tokens,
        tokens,
        **vector_options(run),
        progress=run.teller(n_before, n),
    )
    for places, rows, lengths in batches:
        made = sketch.apply(rows, absolute="absolute" in tables, norms=lengths)
        for kind, sketches in zip(store.tables, made, strict=False):
            if sketches is not None:
                tables[kind][places] = stored_sketch(sketches)
        norms[places] = lengths
    return tables, norms


@lru_cache(maxsize=1)
def _sketch(n_entries: int, size: int, seed: int) -> CountSketch:
    """Its tables of random numbers take a second or two to make."""
    from compute.numerics.sketch import CountSketch

    return CountSketch(n_entries, size, seed)


def _name(table: str, block: range) -> str:
    return f"gradients/{table}{block.start:06d}"
