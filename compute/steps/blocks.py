"""Exact cosines without a store: a block of gradients stays in memory while all later ones are computed and go by.

With B blocks every gradient is computed (B + 1) / 2 times on average: cheap where gradients cost less than reading
them back from a disk, as on a GPU. The same way the nearest neighbours found by sketches get their exact cosines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from compute.estimate import REFINED_BLOCK_BYTES
from compute.steps.checkpoints import load, naming
from compute.steps.gradients import PROBE, GradientStore, probe_sketches, similarity_kinds, vector_options
from compute.steps.run import Run, SaveTimer

if TYPE_CHECKING:
    import torch
    from torch import nn

FOLDER = "blocks"
TOKENS_PER_CHUNK = 250  # after each, what was compared can be saved
PASSING_BYTES = {"cpu": 1e9, "cuda": 8e9}  # of gradients that are compared with a block in one product
REFINED = "partial/refined"


def block_ranges(n_tokens: int, block_tokens: int) -> list[range]:
    """Rows of each block."""
    return [range(first, min(first + block_tokens, n_tokens)) for first in range(0, n_tokens, block_tokens)]


def compare_block(run: Run, store: GradientStore, place: int, stamp: str) -> None:
    """Cosines of one block with itself and all tokens after it, saved; taken up again where a kill left off."""
    from compute.numerics.pairs import cross_gram

    kinds = similarity_kinds(run)
    if all(run.files.has(_name(kind, place), stamp) for kind in (*kinds, PROBE)):
        return
    block, n = _ranges(run, store)[place], len(store.tokens)
    model = load(run.config.clustered_checkpoint, run.device)
    left, norms = _held(run, model, store.tokens[block.start : block.stop])
    if not run.files.has(_name(PROBE, place), stamp):
        run.files.save(_name(PROBE, place), probe_sketches(run, left), stamp)
    partial = f"{FOLDER}/partial{place}"
    saved = run.files.here.load_with_facts(partial, stamp)
    sums = np.zeros((len(kinds), len(block), n - block.start), np.float32) if saved is None else saved[0]
    n_done = 0 if saved is None else int(saved[1]["n_done"])
    timer = SaveTimer()
    for chunk in block_ranges(n, TOKENS_PER_CHUNK):
        if chunk.stop <= block.start + n_done:
            continue
        for columns, rows in _passing(run, model, store.tokens, np.arange(max(chunk.start, block.start), chunk.stop)):
            for table, cosines in zip(sums, cross_gram(left, rows, absolute=len(kinds) > 1), strict=False):
                table[:, columns - block.start] = cosines
        n_done = chunk.stop - block.start
        run.tell(n_done, n - block.start)
        if timer.is_due():
            run.files.here.save(partial, sums, stamp, n_done=n_done)
    for kind, table in zip(kinds, sums, strict=True):
        run.files.save(_name(kind, place), table, stamp, norms=norms.tolist())
    run.files.here.remove(partial)


def assembled(run: Run, store: GradientStore, stamp: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Norms of all gradients, and the whole matrices; a block that is missing is compared first."""
    n, norms = len(store.tokens), np.zeros(len(store.tokens))
    cosines = {kind: np.empty((n, n), np.float32) for kind in similarity_kinds(run)}
    for place, block in enumerate(_ranges(run, store)):
        compare_block(run, store, place, stamp)
        for kind, whole in cosines.items():
            found = run.files.load_with_facts(_name(kind, place), stamp, mmap=True)
            assert found is not None  # noqa: S101  (it was compared just now)
            table, facts = found
            within = table[:, : len(block)]
            whole[block.start : block.stop, block.start :] = table
            whole[block.start :, block.start : block.stop] = table.T
            whole[block.start : block.stop, block.start : block.stop] = (within + within.T) / 2
            norms[block.start : block.stop] = facts["norms"]
        run.keep_alive()
    for whole in cosines.values():
        np.fill_diagonal(whole, 1.0)
    return norms, cosines


def block_sketches(run: Run, store: GradientStore, stamp: str) -> list[np.ndarray]:
    """The probe sketches of every block that was compared."""
    found = [run.files.load(_name(PROBE, place), stamp) for place in range(len(_ranges(run, store)))]
    return [part for part in found if part is not None]


def refine(run: Run, store: GradientStore, kept: np.ndarray, cosines: dict[str, np.ndarray], stamp: str) -> None:
    """Put exact cosines in place of the sketched ones of each token's nearest neighbours; computes gradients again.

    A block of gradients stays in memory while those of its neighbours go by; what is compared so far is saved.
    """
    from compute.numerics.pairs import pair_cosines, replace_pairs, top_pairs

    model = load(run.config.clustered_checkpoint, run.device)
    tokens = store.tokens[kept]
    pairs = {kind: top_pairs(cosine, run.config.similarity.refine) for kind, cosine in cosines.items()}
    saved = run.files.here.load_with_facts(REFINED, stamp)
    found = np.full(sum(len(i) for i, _ in pairs.values()), np.nan) if saved is None else saved[0]
    values = dict(zip(pairs, np.split(found, np.cumsum([len(i) for i, _ in pairs.values()])[:-1]), strict=True))
    n_done = 0 if saved is None else int(saved[1]["n_done"])
    timer = SaveTimer()
    for block in block_ranges(len(tokens), max(1, REFINED_BLOCK_BYTES // (2 * store.n_gradient))):
        if block.stop <= n_done:
            continue
        within = {kind: np.flatnonzero((i >= block.start) & (i < block.stop)) for kind, (i, _) in pairs.items()}
        partners = np.unique(np.concatenate([pairs[kind][1][now] for kind, now in within.items()]))
        left, _ = _held(run, model, tokens[block.start : block.stop])
        for columns, rows in _passing(run, model, tokens, partners):
            place_of = np.full(len(tokens), -1)
            place_of[columns] = np.arange(len(columns))
            for kind, (i, j) in pairs.items():
                now = within[kind][place_of[j[within[kind]]] >= 0]
                absolute = kind == "absolute"
                values[kind][now] = pair_cosines(left, rows, i[now] - block.start, place_of[j[now]], absolute=absolute)
            run.keep_alive()
        if timer.is_due():
            run.files.here.save(REFINED, found, stamp, n_done=block.stop)
    for kind, cosine in cosines.items():
        replace_pairs(cosine, *pairs[kind], values[kind])


def _ranges(run: Run, store: GradientStore) -> list[range]:
    block_tokens = run.config.similarity.block_tokens
    assert block_tokens is not None  # noqa: S101  (asked for only where there are blocks)
    return block_ranges(len(store.tokens), block_tokens)


def _held(run: Run, model: nn.Module, tokens: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """Directions of these tokens' gradients in half precision, on the device, and their norms."""
    from compute.numerics.gradients import unit_rows

    with naming(run.config.clustered_checkpoint):
        return unit_rows(
            model,
            run.corpus.tokens,
            tokens,
            **vector_options(run),
            kept_on=run.device,
            progress=lambda n_done: run.keep_alive(),
        )


def _passing(
    run: Run, model: nn.Module, tokens: np.ndarray, chosen: np.ndarray
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Gradients of the chosen tokens, as many at a time as pay for one product, with the places of these."""
    import torch

    from compute.numerics.vectors import vector_batches

    held: list[tuple[np.ndarray, torch.Tensor]] = []
    n_bytes = 0
    with naming(run.config.clustered_checkpoint):
        for places, vectors, _ in vector_batches(
            model,
            run.corpus.tokens,
            tokens[chosen],
            **vector_options(run),
            progress=lambda n_done: run.keep_alive(),
        ):
            held.append((chosen[places], vectors.clone()))
            n_bytes += vectors.nbytes
            if n_bytes >= PASSING_BYTES[vectors.device.type]:
                yield np.concatenate([places for places, _ in held]), torch.cat([vectors for _, vectors in held])
                held, n_bytes = [], 0
    if held:
        yield np.concatenate([places for places, _ in held]), torch.cat([vectors for _, vectors in held])


def _name(kind: str, place: int) -> str:
    return f"{FOLDER}/{kind}{place}"
