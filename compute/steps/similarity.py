"""Fifth step: the cosine of every pair of gradients, from stored rows, from sketches, or block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compute.errors import ClusteringError, GradientError
from compute.steps import blocks
from compute.steps.gradients import EXACT, PROBE, GradientStore, gradient_store, similarity_kinds, stored
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
    kinds = similarity_kinds(run)
    stamp = _stamp(run, store)
    found = run.files.load("similarity/flat_index", stamp)
    loaded = {kind: run.files.load(f"similarity/{kind}", stamp, mmap=True) for kind in kinds}
    cosines = {kind: array for kind, array in loaded.items() if array is not None}
    if found is None or not is_compared(run, store):
        kept, cosines = _compared(run, store, stamp)
        found = store.tokens[kept]
        run.files.save("similarity/flat_index", found, stamp)
        for kind, array in cosines.items():
            run.files.save(f"similarity/{kind}", array, stamp)
        if PROBE in store.files:
            run.files.save(f"similarity/{PROBE}", _probe_table(run, store, kept, stamp), stamp)
        for name in (_PARTIAL, blocks.FOLDER, blocks.REFINED):
            run.files.remove(name)
    return Similarity(found, cosines, len(store.tokens) - len(found), stamp)


def is_compared(run: Run, store: GradientStore) -> bool:
    """Whether the gradients have been compared, so that nobody needs them any more."""
    stamp = _stamp(run, store)
    names = ("flat_index", *similarity_kinds(run), *((PROBE,) if PROBE in store.files else ()))
    return all(run.files.has(f"similarity/{name}", stamp) for name in names)


def compare_block(run: Run, place: int) -> None:
    """Do one block's part of an exact comparison that stores no gradients."""
    store = gradient_store(run)
    if not is_compared(run, store):
        blocks.compare_block(run, store, place, _stamp(run, store))


def similarity_facts(run: Run) -> dict[str, Any]:
    """How the gradients were compared, and how far a sketched cosine may be off."""
    from compute.numerics.sketch import sketch_error

    wanted = run.config.similarity
    facts: dict[str, Any] = {"vectors": run.config.vectors, "mode": wanted.mode}
    if wanted.mode == "sketch":
        facts |= {"sketch_size": wanted.sketch_size, "sketch_seed": wanted.sketch_seed, "refine": wanted.refine}
        facts |= sketch_error(run.config.selection.n_tokens, wanted.sketch_size)
    return facts


def sketches(run: Run) -> dict[str, np.ndarray]:
    """The sketches of the tokens that were compared, float16 (n_kept, size) by kind; in exact mode only signed ones."""
    store = gradient_store(run)
    if store.tables == (EXACT,):
        similarity(run)
        table = run.files.load(f"similarity/{PROBE}", _stamp(run, store), mmap=True)
        assert table is not None  # noqa: S101  (it lies beside the cosines)
        return {"signed": table}
    tables = {}
    for kind in store.tables:
        parts, norms = stored(run, store, kind)
        tables[kind] = np.concatenate(_rows_of(parts, store, norms > 0))
    return tables


def _stamp(run: Run, store: GradientStore) -> str:
    wanted = run.config.similarity
    return digest(
        ["similarity", store.stamp, similarity_kinds(run), COLUMNS_PER_CHUNK, wanted.block_tokens, wanted.refine]
    )


def _compared(run: Run, store: GradientStore, stamp: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Which tokens have a direction, and the cosines of these."""
    if run.config.similarity.block_tokens is not None:
        norms, cosines = blocks.assembled(run, store, stamp)
        kept = norms > 0
        _refuse_few(run, int(kept.sum()), len(norms))
        return kept, {kind: _between(table, kept) for kind, table in cosines.items()}
    if store.tables == (EXACT,):
        return _summed(run, store, EXACT, similarity_kinds(run), stamp)
    cosines = {}
    for kind in store.tables:
        kept, of_kind = _summed(run, store, kind, (kind,), stamp)
        cosines |= of_kind
    if run.config.similarity.refine:
        blocks.refine(run, store, kept, cosines, stamp)
    return kept, cosines


def _probe_table(run: Run, store: GradientStore, kept: np.ndarray, stamp: str) -> np.ndarray:
    """Sketches of the tokens that have a direction, made when their gradients were at hand."""
    if run.config.similarity.block_tokens is not None:
        return np.concatenate(blocks.block_sketches(run, store, stamp))[kept]
    return np.concatenate(stored(run, store, PROBE)[0])[kept]


def _between(table: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return table if kept.all() else table[np.ix_(kept, kept)]


def _summed(
    run: Run, store: GradientStore, table: str, kinds: tuple[str, ...], stamp: str
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Cosines of one table's rows, and where two kinds are asked for also of their absolute values."""
    parts, norms = stored(run, store, table)
    kept = norms > 0
    _refuse_few(run, int(kept.sum()), len(norms))
    rows = _rows_of(parts, store, kept)
    partial = f"{_PARTIAL}/{table}"
    gram = _resumed(run, partial, stamp, int(kept.sum()), store.n_columns, kinds)
    timer = SaveTimer()
    n_before = store.tables.index(table) * gram.n_chunks
    while not gram.done:
        run.tell(n_before + gram.next_chunk, len(store.tables) * gram.n_chunks)
        run.wait_for(lambda: gram.add(rows))
        is_worth_saving = run.config.similarity.refine > 0 if gram.done else timer.is_due()  # refining takes long
        if is_worth_saving:
            sums = [gram.signed] if gram.absolute is None else [gram.signed, gram.absolute]
            run.files.here.save(partial, np.stack(sums), stamp, next_chunk=gram.next_chunk)
    results = zip(kinds, gram.finish(), strict=False)
    return kept, {kind: cosine for kind, cosine in results if cosine is not None}


def _rows_of(parts: list[np.ndarray], store: GradientStore, kept: np.ndarray) -> list[np.ndarray]:
    """The rows to keep; the files themselves, not copies, where that is all of them."""
    blocks_kept = [kept[block.start : block.stop] for block in store.blocks]
    rows = [part if chosen.all() else part[chosen] for part, chosen in zip(parts, blocks_kept, strict=True)]
    return [part for part in rows if len(part)]


def _resumed(
    run: Run, partial: str, stamp: str, n_rows: int, n_columns: int, kinds: tuple[str, ...]
) -> GramAccumulator:
    """Sums so far, or empty ones."""
    from compute.numerics.similarity import GramAccumulator

    saved = run.files.here.load_with_facts(partial, stamp)
    if saved is None:
        return GramAccumulator(n_rows, n_columns, COLUMNS_PER_CHUNK, absolute=len(kinds) > 1, device=run.device)
    sums, facts = saved
    chunk = min(COLUMNS_PER_CHUNK, n_columns)
    state = {"shape": np.array([n_rows, n_columns, chunk]), "next_chunk": np.array(facts["next_chunk"])}
    return GramAccumulator.restore(state | dict(zip(("signed", "absolute"), sums, strict=False)), device=run.device)


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
