"""Second step: the loss of every prediction, in nats, under every checkpoint.

A column depends on the text, the weights and the number format alone, so runs whose workspaces lie side by side share
it. Several workers may compute parts of one column.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from compute.config import CheckpointRef, RunConfig
from compute.steps.checkpoints import checkpoint_facts, load, naming, precision_of, weights_stamp
from compute.steps.run import Run, SaveTimer
from compute.steps.weights import bring
from compute.workspace import digest

if TYPE_CHECKING:
    from compute.numerics.loss_summary import LossSummary

PREDICTIONS_PER_BLOCK = 25_000  # of networks up to pythia-70m, and on a GPU: a kill costs at most this many
PARAMETERS_OF_WHOLE_BLOCKS = 80_000_000  # larger networks have smaller blocks on a CPU, for as many seconds of work


def n_parts(config: RunConfig) -> int:
    """Pieces of work that one checkpoint's losses are computed in."""
    size, n_documents = config.documents_per_shard, config.corpus.max_documents
    return 1 if size is None or n_documents is None else -(-n_documents // size)


def losses(run: Run, ref: CheckpointRef) -> np.ndarray:
    """One checkpoint's losses in nats, float32 of shape (n_predictions,), memory-mapped."""
    stamp = losses_stamp(run, ref)
    column = run.columns.load(_name(stamp), stamp, mmap=True)
    if column is None:
        parts = [losses_part(run, ref, part) for part in range(n_parts(run.config))]
        run.columns.save(_name(stamp), np.concatenate([part for part in parts if part is not None]), stamp)
        run.files.remove(f"parts/{ref.key}")
        column = run.columns.load(_name(stamp), stamp, mmap=True)
    assert column is not None  # noqa: S101  (it was written just now)
    run.columns.touch(_name(stamp))
    return column


def losses_part(run: Run, ref: CheckpointRef, part: int) -> np.ndarray | None:
    """Losses of one part of the documents; None where the whole column is there already."""
    stamp = losses_stamp(run, ref)
    if run.columns.is_known(_name(stamp), stamp):
        return None
    name = f"parts/{ref.key}/{part}"
    found = run.files.load(name, stamp)
    if found is None:
        found = _evaluate(run, ref, part, stamp)
        run.files.save(name, found, stamp)
        run.files.here.remove(f"partial/{ref.key}/{part}")
    return found


def losses_summary(run: Run, ref: CheckpointRef) -> LossSummary:
    """Mean, quantiles and histograms of a column, kept with it."""
    from compute.numerics.loss_summary import LossSummary, loss_summary

    name = _name(losses_stamp(run, ref))
    stamp = digest([losses_stamp(run, ref), [field.name for field in dataclasses.fields(LossSummary)]])
    found: dict[str, Any] | None = run.columns.load_json(name, stamp)
    if found is None:
        found = dataclasses.asdict(loss_summary(losses(run, ref)))
        run.columns.save_json(name, found, stamp)
    return LossSummary(**found)


def losses_stamp(run: Run, ref: CheckpointRef) -> str:
    """What one column of losses is computed from."""
    facts = [run.corpus.stamp, weights_stamp(run, ref), precision_of(run, ref), PREDICTIONS_PER_BLOCK]
    return digest(["losses", *facts, run.config.documents_per_shard if n_parts(run.config) > 1 else None])


def _name(stamp: str) -> str:
    return stamp[:32]


def _evaluate(run: Run, ref: CheckpointRef, part: int, stamp: str) -> np.ndarray:
    """Go through the part's documents block by block, from where an earlier attempt stopped."""
    from compute.numerics.losses import token_losses

    tokens = run.corpus.tokens
    documents = _documents(run, part)
    first, last = (int(tokens.prediction_starts[end]) for end in (documents.start, documents.stop))
    block_size = _predictions_per_block(run, ref)
    partial, stamp = f"partial/{ref.key}/{part}", digest([stamp, block_size])
    saved = run.files.here.load(partial, stamp)
    pieces = [] if saved is None else [saved]
    n_done = sum(map(len, pieces))
    run.tell(n_done, last - first)
    if n_done == last - first:
        return np.concatenate([*pieces, np.empty(0, np.float32)])
    bring(run, ref)
    model = load(ref, run.device, precision_of(run, ref))
    timer = SaveTimer()
    for block in _blocks(run, documents, block_size):
        if tokens.prediction_starts[block.stop] <= first + n_done:
            continue
        with naming(ref):
            piece = token_losses(
                model,
                tokens,
                documents=block,
                device=run.device,
                progress=run.teller(n_done, last - first),
            )
        pieces.append(piece)
        n_done += len(piece)
        if n_done < last - first and timer.is_due():
            run.files.here.save(partial, np.concatenate(pieces), stamp)
    return np.concatenate(pieces)


def _documents(run: Run, part: int) -> range:
    """The documents of one part; the last parts of a corpus that is shorter than its limit are empty."""
    n, size = run.corpus.tokens.n_documents, run.config.documents_per_shard
    if n_parts(run.config) == 1 or size is None:
        return range(n)
    return range(min(part * size, n), min((part + 1) * size, n))


def _predictions_per_block(run: Run, ref: CheckpointRef) -> int:
    """About half a minute's work at most on two cores; a single document may take longer."""
    if run.device.startswith("cuda"):
        return PREDICTIONS_PER_BLOCK
    n_parameters = checkpoint_facts(run, ref)["n_parameters"]
    return max(1, PREDICTIONS_PER_BLOCK * PARAMETERS_OF_WHOLE_BLOCKS // max(n_parameters, PARAMETERS_OF_WHOLE_BLOCKS))


def _blocks(run: Run, documents: range, n_predictions: int) -> Iterator[range]:
    from compute.numerics.losses import document_blocks

    for block in document_blocks(run.corpus.tokens, n_predictions):
        first, last = max(block.start, documents.start), min(block.stop, documents.stop)
        if first < last:
            yield range(first, last)
