"""Fifth step: the cosine of every pair of gradients, from one pass over the stored rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compute.errors import ClusteringError, GradientError
from compute.steps.gradients import GradientStore, gradient_store, stored
from compute.steps.run import Run, SaveTimer
from compute.workspace import digest

if TYPE_CHECKING:
    from compute.numerics.similarity import GramAccumulator

COLUMNS_PER_CHUNK = 16_384  # a few seconds of work at 3,000 tokens
_PARTIAL = "partial/sums"


@dataclass(frozen=True)
class Similarity:
    """Cosines of the tokens that have a gradient."""

    flat_index: np.ndarray  # int64 (n_kept,), ascending
    cosines: dict[str, np.ndarray]  # "signed" and perhaps "absolute", float32 (n_kept, n_kept)
    n_zero: int  # selected tokens whose gradient is zero
    stamp: str


def similarity(run: Run) -> Similarity:
    """Compare all gradients; a token whose gradient is zero has no direction and is dropped."""
    store = gradient_store(run)
    kinds = _kinds(run)
    stamp = _stamp(store, kinds)
    found = run.files.load("similarity/flat_index", stamp)
    loaded = {kind: run.files.load(f"similarity/{kind}", stamp) for kind in kinds}
    cosines = {kind: array for kind, array in loaded.items() if array is not None}
    if found is None or len(cosines) < len(kinds):
        found, cosines = _compare(run, store, stamp, kinds)
        run.files.save("similarity/flat_index", found, stamp)
        for kind, array in cosines.items():
            run.files.save(f"similarity/{kind}", array, stamp)
        run.files.remove(_PARTIAL)
    return Similarity(found, cosines, len(store.tokens) - len(found), stamp)


def is_compared(run: Run, store: GradientStore) -> bool:
    """Whether the gradients have been compared, so that nobody needs them any more."""
    kinds = _kinds(run)
    stamp = _stamp(store, kinds)
    return all(run.files.has(f"similarity/{name}", stamp) for name in ("flat_index", *kinds))


def _kinds(run: Run) -> list[str]:
    return ["signed", "absolute"] if "absolute" in run.config.clustering.affinities else ["signed"]


def _stamp(store: GradientStore, kinds: list[str]) -> str:
    return digest(["similarity", store.stamp, kinds, COLUMNS_PER_CHUNK])


def _compare(run: Run, store: GradientStore, stamp: str, kinds: list[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    tables, norms = stored(run, store)
    kept = norms > 0
    _refuse_few(run, int(kept.sum()), len(norms))
    rows = [_kept(table, kept[block.start : block.stop]) for block, table in zip(store.blocks, tables, strict=True)]
    rows = [table for table in rows if len(table)]
    gram = _resumed(run, stamp, int(kept.sum()), store.n_columns, kinds)
    timer = SaveTimer()
    while not gram.done:
        run.tell(gram.next_chunk, gram.n_chunks)
        run.wait_for(lambda: gram.add(rows))
        if not gram.done and timer.is_due():
            sums = [gram.signed] if gram.absolute is None else [gram.signed, gram.absolute]
            run.files.save(_PARTIAL, np.stack(sums), stamp, next_chunk=gram.next_chunk)
    results = zip(kinds, gram.finish(), strict=False)
    return store.tokens[kept], {kind: cosine for kind, cosine in results if cosine is not None}


def _kept(table: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The rows to keep; the file itself, not a copy, where that is all of them."""
    return table if kept.all() else table[kept]


def _resumed(run: Run, stamp: str, n_rows: int, n_columns: int, kinds: list[str]) -> GramAccumulator:
    """Sums so far, or empty ones."""
    from compute.numerics.similarity import GramAccumulator

    saved = run.files.load_with_facts(_PARTIAL, stamp)
    if saved is None:
        return GramAccumulator(n_rows, n_columns, COLUMNS_PER_CHUNK, absolute="absolute" in kinds)
    sums, facts = saved
    chunk = min(COLUMNS_PER_CHUNK, n_columns)
    state = {"shape": np.array([n_rows, n_columns, chunk]), "next_chunk": np.array(facts["next_chunk"])}
    return GramAccumulator.restore(state | dict(zip(kinds, sums, strict=True)))


def _refuse_few(run: Run, n_kept: int, n_selected: int) -> None:
    """Refuse what cannot be clustered before the long work, not after it."""
    if n_kept == 0:
        raise GradientError(
            f"All {n_selected:,} gradients are zero: the clustered checkpoint predicts every selected token with "
            "certainty. Cluster another checkpoint, or one from earlier in training."
        )
    largest = run.config.clustering.ks[-1]
    if largest > n_kept:
        raise ClusteringError(
            f"The largest k is {largest}, but only {n_kept:,} of {n_selected:,} tokens have a gradient that is not 0. "
            f"Ask for k up to {n_kept:,}, or for more tokens."
        )
