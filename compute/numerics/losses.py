"""Per-token losses of a language model over a corpus, in nats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from compute.errors import CheckpointError, CorpusError
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.families import module_roles
from compute.numerics.memory import halving_batches
from compute.numerics.packing import linear_map, packed_linears
from compute.numerics.precision import float32_residuals, full_products

# Least and most rows, and logits, of one chunk. On a CPU 25 MiB of float32: near its caches, and below the 32 MiB from
# which the C library gives memory back, and fetches it anew, for every chunk.
CHUNKS = {"cpu": (32, 256, 6_500_000), "cuda": (256, 1 << 16, 1 << 27)}
BATCH_TOKENS = {"cpu": 1024, "cuda": 65536}
ROWS_PER_BODY_PRODUCT = 512
PREDICTIONS_PER_BLOCK = 50_000


def document_blocks(corpus: TokenizedCorpus, predictions_per_block: int = PREDICTIONS_PER_BLOCK) -> list[range]:
    """Split a corpus into runs of documents of about equal work.

    Parameters
    ----------
    corpus : TokenizedCorpus
    predictions_per_block : int
        A block holds at most this many predictions, or a single document.

    Returns
    -------
    list of range
        Ranges of documents that follow each other and together hold every document.

    Raises
    ------
    CorpusError
        If ``predictions_per_block`` is less than 1.
    """
    if predictions_per_block < 1:
        raise CorpusError(f"A block must hold at least 1 prediction, not {predictions_per_block}.")
    starts = corpus.prediction_starts
    blocks = []
    first = 0
    while first < corpus.n_documents:
        reach = int(np.searchsorted(starts, starts[first] + predictions_per_block, side="right")) - 1
        last = min(max(reach, first + 1), corpus.n_documents)
        blocks.append(range(first, last))
        first = last
    return blocks


def token_losses(
    model: nn.Module,
    corpus: TokenizedCorpus,
    *,
    documents: range | None = None,
    max_batch_tokens: int | None = None,
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Loss of every predicted token, each document on its own.

    Parameters
    ----------
    model : nn.Module
        As `load_checkpoint` gives it, already on ``device``.
    corpus : TokenizedCorpus
    documents : range or None
        Documents to evaluate, a range with step 1; None for all.
    max_batch_tokens : int or None
        Tokens in one batch, padding included; a longer document is a batch of its own. None for what the device
        is fastest with.
    device : str or torch.device
        Where the model is.
    progress : callable or None
        Called after every batch with the number of predictions done so far in this call.

    Returns
    -------
    ndarray of shape (n_predictions of these documents,), float32
        Losses in nats, in canonical order; concatenated over consecutive ranges they are the whole column.

    Raises
    ------
    CheckpointError
        If a loss is not a finite number, the model does not fit the corpus, or memory runs out although batches
        were halved twice.

    Notes
    -----
    The loss of token t is ``logsumexp(z) - z_t`` with z the float32 logits at the position before. Documents are
    sorted by length and padded on the right without a mask: a causal network never sees what follows, so a loss
    does not depend on its batch mates. Logits exist for one chunk of positions at a time. A body of half precision
    adds up its layers in float32; the unembedding is float32 always.
    """
    documents = _checked_documents(corpus, documents)
    _check_fit(model, corpus, documents)
    starts = corpus.prediction_starts
    first, last = int(starts[documents.start]), int(starts[documents.stop])
    losses = np.full(last - first, np.nan, np.float32)
    budget = max_batch_tokens or BATCH_TOKENS[torch.device(device).type]
    done = 0
    with torch.inference_mode(), full_products(), _evaluator(model, corpus, device) as batch_losses:
        for batch, found in halving_batches(
            _longest_first(corpus, documents), lambda left: budget // int(corpus.lengths[left[0]]), batch_losses
        ):
            losses[_places(starts[batch] - first, corpus.lengths[batch] - 1)] = found
            done += len(found)
            if progress is not None:
                progress(done)
    refuse_non_finite(losses, first)
    return losses


def mean_loss(losses: np.ndarray) -> float:
    """Mean loss in nats, accumulated in float64.

    Parameters
    ----------
    losses : ndarray of shape (n,), float
        Losses in nats.

    Raises
    ------
    CheckpointError
        If there is no loss, or one is not a finite number.

    Notes
    -----
    Sequential float32 accumulation is 0.5-0.8% low at 1e7 tokens and a third low at 1e8.
    """
    if np.size(losses) == 0:
        raise CheckpointError("There are no losses to average: evaluate the checkpoint on some text first.")
    refuse_non_finite(losses, 0)
    return float(np.mean(losses, dtype=np.float64))


def check_token_ids(model: nn.Module, token_ids: np.ndarray, length: int) -> None:
    """Refuse tokens or lengths that the model was not made for.

    Raises
    ------
    CheckpointError
        If an id lies outside the model's vocabulary, or ``length`` tokens exceed its context.
    """
    config: Any = model.config
    top = int(np.max(token_ids)) if len(token_ids) else 0
    if top >= config.vocab_size:
        raise CheckpointError(
            f"The corpus holds token {top}, but the model knows {config.vocab_size} tokens. Tokenise the text with the "
            "tokenizer that this model was trained with."
        )
    if length > config.max_position_embeddings + 1:
        raise CheckpointError(
            f"A document has {length} tokens, but the model reads {config.max_position_embeddings}. Cut documents to "
            f"at most {config.max_position_embeddings} tokens (--max-length; 'Tokens of a document' in the form)."
        )


def _check_fit(model: nn.Module, corpus: TokenizedCorpus, documents: range) -> None:
    """The same for a range of documents."""
    tokens = corpus.token_ids[corpus.offsets[documents.start] : corpus.offsets[documents.stop]]
    check_token_ids(model, tokens, int(np.max(corpus.lengths[documents.start : documents.stop], initial=0)))


def _checked_documents(corpus: TokenizedCorpus, documents: range | None) -> range:
    """The range, or all documents."""
    if documents is None:
        return range(corpus.n_documents)
    if documents.step != 1 or not 0 <= documents.start <= documents.stop <= corpus.n_documents:
        raise CorpusError(f"{documents} is no run of documents: the corpus holds 0 to {corpus.n_documents - 1}.")
    return documents


def _longest_first(corpus: TokenizedCorpus, documents: range) -> np.ndarray:
    """Documents that have predictions."""
    lengths = corpus.lengths[documents.start : documents.stop]
    order = np.argsort(-lengths, kind="stable")
    return order[lengths[order] >= 2] + documents.start


@contextmanager
def _evaluator(
    model: nn.Module, corpus: TokenizedCorpus, device: str | torch.device
) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """A function from documents to their losses end to end."""
    roles = module_roles(model)
    body, unembedding = model.get_submodule(roles.body), cast(nn.Linear, model.get_submodule(roles.unembedding))
    weight, bias = unembedding.weight.float(), unembedding.bias
    rows = _rows_per_chunk(weight)
    head = linear_map(weight, None if bias is None else bias.float(), rows)

    def batch_losses(batch: np.ndarray) -> np.ndarray:
        lengths = corpus.lengths[batch]
        tokens = _padded(corpus, batch, lengths)
        inputs = torch.from_numpy(tokens[:, :-1]).to(device)
        hidden = body(input_ids=inputs, use_cache=False).last_hidden_state
        real = np.arange(tokens.shape[1] - 1) < (lengths - 1)[:, None]
        hidden = hidden.flatten(0, 1)[torch.from_numpy(np.flatnonzero(real)).to(device)]
        targets = torch.from_numpy(tokens[:, 1:][real]).to(device)
        parts = zip(hidden.split(rows), targets.split(rows), strict=True)
        return torch.cat([_cross_entropy(head(part.float()), answers) for part, answers in parts]).cpu().numpy()

    with packed_linears(body, ROWS_PER_BODY_PRODUCT), float32_residuals(model):
        yield batch_losses


def _padded(corpus: TokenizedCorpus, batch: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Token ids of shape (n_documents, longest), int64, zeros on the right."""
    tokens = np.zeros((len(batch), int(lengths.max())), np.int64)
    for row, document in enumerate(batch):
        tokens[row, : lengths[row]] = corpus.document_tokens(document)
    return tokens


def _places(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """start, start + 1, ... of every document end to end, int64 of shape (counts.sum(),)."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))


def _rows_per_chunk(unembedding: torch.Tensor) -> int:
    """Positions whose logits exist at the same time."""
    least, most, logits = CHUNKS[unembedding.device.type]
    return min(max(logits // len(unembedding), least), most)


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Losses in nats of shape (n,) from logits (n, V), which are overwritten, and targets (n,)."""
    of_targets = logits.gather(1, targets[:, None])[:, 0]
    largest = logits.amax(1)
    sums = logits.sub_(largest[:, None]).exp_().sum(1)
    return sums.log_() + (largest - of_targets)  # the bracket is exact where the target is the likeliest


def refuse_non_finite(losses: np.ndarray, first: int) -> None:
    """Refuse NaN and infinity, naming the first."""
    wrong = ~np.isfinite(losses)
    if wrong.any():
        index = int(wrong.argmax())
        raise CheckpointError(
            f"The loss at flat index {first + index} is {losses[index]}: the checkpoint's weights are damaged or its "
            "training diverged. Leave this checkpoint out, or copy it again."
        )
