"""Which predictions are clustered: those predicted well, but not by copying from their context."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compute.errors import SelectionError
from compute.numerics.corpus import TokenizedCorpus

KEY_BITS = 63
TOKENS_PER_GROUP = 1 << 22


def zero_loss_mask(losses: np.ndarray, threshold_nats: float) -> np.ndarray:
    """Mark predictions whose loss lies strictly below the threshold.

    Parameters
    ----------
    losses : ndarray of shape (n_predictions,), float
        Losses in nats.
    threshold_nats : float
        Positive; the paper uses 0.1 nats.

    Returns
    -------
    ndarray of shape (n_predictions,), bool

    Raises
    ------
    SelectionError
        If the threshold is not a positive number, or a loss is not a number.
    """
    if not (np.isfinite(threshold_nats) and threshold_nats > 0):
        raise SelectionError(f"The loss threshold must be a positive number of nats, not {threshold_nats}.")
    wrong = np.isnan(losses)
    if wrong.any():
        raise SelectionError(f"The loss at flat index {int(wrong.argmax())} is not a number: compute the losses again.")
    return np.asarray(losses) < threshold_nats


def induction_mask(corpus: TokenizedCorpus) -> np.ndarray:
    """Mark tokens that end a trigram seen before in the same document.

    Parameters
    ----------
    corpus : TokenizedCorpus

    Returns
    -------
    ndarray of shape (n_predictions,), bool
        True where tokens (t-2, t-1, t) occurred, in this order, at an earlier end position of the document;
        overlapping occurrences count ("a a a a" marks the last).

    Notes
    -----
    Document and trigram are packed into one 63-bit key; a stable sort puts equal keys together in their order of
    appearance, and all but the first of each are marked. Documents are taken in groups, so that the key
    has room and memory stays bounded.
    """
    induced = np.zeros(corpus.n_predictions, bool)
    bits = max(int(np.max(corpus.token_ids)).bit_length(), 1)
    for first, last in _document_groups(corpus, bits):
        _mark_repeats(corpus, first, last, bits, induced)
    return induced


def _document_groups(corpus: TokenizedCorpus, bits: int) -> Iterator[tuple[int, int]]:
    """Ranges of documents whose numbers fit beside three tokens and whose tokens fit in memory."""
    most = 1 << (KEY_BITS - 3 * bits) if 3 * bits <= KEY_BITS else corpus.n_documents
    first = 0
    while first < corpus.n_documents:
        reach = int(np.searchsorted(corpus.offsets, corpus.offsets[first] + TOKENS_PER_GROUP, side="right")) - 1
        last = min(max(reach, first + 1), first + most, corpus.n_documents)
        yield first, last
        first = last


def _mark_repeats(corpus: TokenizedCorpus, first: int, last: int, bits: int, induced: np.ndarray) -> None:
    """Mark the repeated trigrams of documents first to last - 1."""
    tokens = np.asarray(corpus.token_ids[corpus.offsets[first] : corpus.offsets[last]], np.int64)
    if len(tokens) < 3:
        return
    document = np.repeat(np.arange(last - first), corpus.lengths[first:last])
    ends = np.flatnonzero(document[2:] == document[:-2]) + 2
    columns = (tokens[ends], tokens[ends - 1], tokens[ends - 2], document[ends])
    if 3 * bits + int(last - first - 1).bit_length() <= KEY_BITS:
        key = ((columns[3] << bits | columns[2]) << bits | columns[1]) << bits | columns[0]
        order = np.argsort(key, kind="stable")
        equal = key[order[1:]] == key[order[:-1]]
    else:  # ids so large that three do not fit a key
        order = np.lexsort(columns)  # stable too
        equal = np.logical_and.reduce([column[order[1:]] == column[order[:-1]] for column in columns])
    repeats = ends[order[1:][equal]]
    # Of a document with tokens, all but the first are predicted.
    local = repeats - (corpus.offsets[first + document[repeats]] - corpus.offsets[first])
    induced[corpus.prediction_starts[first + document[repeats]] + local - 1] = True


def largest_stride(n_candidates: int, n_tokens: int) -> int:
    """Largest s for which every s-th of the candidates still gives n_tokens.

    Examples
    --------
    >>> largest_stride(499_951, 10_000)
    50
    """
    return n_candidates if n_tokens == 1 else (n_candidates - 1) // (n_tokens - 1)


def select_tokens(candidates: np.ndarray, *, n_tokens: int, stride: int | None) -> np.ndarray:
    """Take every stride-th candidate until there are enough.

    Parameters
    ----------
    candidates : ndarray of shape (n_candidates,), integer
        Flat indices in ascending order.
    n_tokens : int
        How many to take, at least 1.
    stride : int or None
        The paper takes every 50th. None takes the largest stride that still gives ``n_tokens``, which spreads
        them over the whole corpus.

    Returns
    -------
    ndarray of shape (n_tokens,), int64
        Flat indices in ascending order.

    Raises
    ------
    SelectionError
        If there are too few candidates, or they are not ascending.

    Examples
    --------
    >>> select_tokens(np.arange(10), n_tokens=3, stride=None)
    array([0, 4, 8])
    """
    candidates = np.asarray(candidates)
    if n_tokens < 1 or (stride is not None and stride < 1):
        raise SelectionError(f"Take at least 1 token with a stride of at least 1, not {n_tokens} with {stride}.")
    if candidates.ndim != 1 or (candidates.size and candidates.dtype.kind not in "iu"):
        raise SelectionError(f"Candidates must be a flat array of integers, not {candidates.dtype}.")
    if np.any(candidates[1:] <= candidates[:-1]):
        raise SelectionError("Candidates must be flat indices in ascending order, each once.")
    _refuse_too_few(len(candidates), n_tokens, stride)
    step = largest_stride(len(candidates), n_tokens) if stride is None else stride
    return candidates[::step][:n_tokens].astype(np.int64)


def _refuse_too_few(n_candidates: int, n_tokens: int, stride: int | None) -> None:
    """Say how many tokens there are, and what would help."""
    within_reach = -(-n_candidates // (stride or 1))
    if within_reach >= n_tokens:
        return
    if n_candidates >= n_tokens:
        raise SelectionError(
            f"Every {stride}th of {n_candidates:,} candidates gives {within_reach:,} tokens, but {n_tokens:,} were "
            f"asked for. Lower the stride to {largest_stride(n_candidates, n_tokens)} or ask for {within_reach:,}."
        )
    advice = f"Ask for at most {n_candidates:,}, " if n_candidates else ""
    remedy = "evaluate more text, raise the loss threshold or cluster a stronger model"
    raise SelectionError(
        f"{n_candidates:,} tokens pass the filters, but {n_tokens:,} were asked for. "
        + (f"{advice}{remedy}." if advice else f"{remedy[0].upper()}{remedy[1:]}.")
    )
