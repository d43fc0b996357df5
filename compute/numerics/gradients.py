"""The gradient of one token's loss, for many tokens, each computed once on the context that it depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from compute.errors import GradientError
from compute.numerics.backward import Parameters, gradient_parameters, gradient_pass, pad_contexts
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.families import module_roles
from compute.numerics.losses import check_token_ids
from compute.numerics.vectors import n_entries, row_norms, vector_batches

__all__ = ["gradient_parameters", "gradient_rows", "gradients", "token_gradient", "unit_rows"]

TOKENS_PER_WINDOW = 64  # computed together when gradients are wanted in order
BYTES_PER_WINDOW = 1 << 29


def token_gradient(model: nn.Module, token_ids: np.ndarray, parameters: Parameters) -> tuple[np.ndarray, float]:
    """Gradient of the loss on the last token given those before it.

    Parameters
    ----------
    model : nn.Module
        As `load_checkpoint` gives it.
    token_ids : integer ndarray of shape (length,)
        The context and, last, the answer; at least 2 tokens.
    parameters : list of (name, parameter)
        From `gradient_parameters`.

    Returns
    -------
    gradient : ndarray of shape (P,), float32
        In nats per unit of each parameter.
    loss : float
        In nats.

    Raises
    ------
    GradientError
        If there is no context, or the gradient is not finite.
    """
    token_ids = np.asarray(token_ids)
    if len(token_ids) < 2:
        raise GradientError(
            f"A gradient needs a context and an answer: at least 2 tokens, not {len(token_ids)}. Leave the first token "
            "of a document out."
        )
    check_token_ids(model, token_ids, len(token_ids))
    device = model.get_parameter(f"{module_roles(model).unembedding}.weight").device
    with gradient_pass(model, parameters) as gradients_of:
        rows, losses = gradients_of(pad_contexts([token_ids], np.array([[len(token_ids) - 2]]), device))
    if not np.isfinite(row_norms(rows)).all():
        raise GradientError(f"The gradient at a loss of {float(losses)} nats is not finite: the weights are damaged.")
    return rows[0].cpu().numpy(), float(losses)


def gradients(
    model: nn.Module,
    corpus: TokenizedCorpus,
    flat_indices: np.ndarray,
    *,
    scope: str = "default",
    device: str | torch.device = "cpu",
) -> Iterator[np.ndarray]:
    """Gradients of the losses of many tokens, one after the other.

    Parameters
    ----------
    model : nn.Module
        As `load_checkpoint` gives it, already on ``device``.
    corpus : TokenizedCorpus
    flat_indices : integer ndarray of shape (n,)
        Predictions, in any order.
    scope : {"default", "as-published", "all"}
        See `gradient_parameters`.
    device : str or torch.device
        Where the model is.

    Yields
    ------
    ndarray of shape (P,), float32
        In the order of ``flat_indices``, not normalised.

    Raises
    ------
    CorpusError, CheckpointError, GradientError
        As `vector_batches` does.
    """
    flat_indices = np.asarray(flat_indices)
    window = max(1, min(TOKENS_PER_WINDOW, BYTES_PER_WINDOW // (4 * n_entries(model, scope=scope))))
    for start in range(0, len(flat_indices), window):
        indices = flat_indices[start : start + window]
        buffer: list[np.ndarray] = [np.empty(0)] * len(indices)
        for places, rows, _ in vector_batches(model, corpus, indices, scope=scope, device=device):
            for place, row in zip(places, rows.cpu().numpy(), strict=True):
                buffer[place] = row.copy()
        yield from buffer


def gradient_rows(
    model: nn.Module,
    corpus: TokenizedCorpus,
    flat_indices: np.ndarray,
    *,
    kind: str = "gradients",
    scope: str = "default",
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Directions and norms of the vectors of many tokens.

    Parameters
    ----------
    model, corpus, flat_indices, kind, scope, device, progress
        As in `vector_batches`.

    Returns
    -------
    rows : ndarray of shape (n, P), float16
        Unit vectors times sqrt(P), so that entries are about 1 in size; row i belongs to ``flat_indices[i]``.
        A vector of zeros gives a row of zeros.
    norms : ndarray of shape (n,), float64
        Euclidean norms of the vectors; drop the rows where it is 0.

    Raises
    ------
    CorpusError, CheckpointError, GradientError
        As `vector_batches` does.

    Notes
    -----
    ``rows[i] @ rows[j] / P`` is the cosine similarity; float16 adds an error of about 1e-5 to it.
    """
    rows, norms = unit_rows(model, corpus, flat_indices, kind=kind, scope=scope, device=device, progress=progress)
    return rows.numpy(), norms


def unit_rows(
    model: nn.Module,
    corpus: TokenizedCorpus,
    flat_indices: np.ndarray,
    *,
    kind: str = "gradients",
    scope: str = "default",
    device: str | torch.device = "cpu",
    kept_on: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> tuple[torch.Tensor, np.ndarray]:
    """`gradient_rows` as a tensor on the device ``kept_on``: for similarities computed where the gradients are.

    Parameters
    ----------
    model, corpus, flat_indices, kind, scope, device, progress
        As in `vector_batches`.
    kept_on : str or torch.device
        Where the rows are to lie: 2 n P bytes.

    Returns
    -------
    rows : float16 tensor of shape (n, P)
    norms : ndarray of shape (n,), float64

    Raises
    ------
    CorpusError, CheckpointError, GradientError
        As `vector_batches` does.
    """
    flat_indices = np.asarray(flat_indices)
    length = n_entries(model, kind=kind, scope=scope)
    out = torch.zeros(len(flat_indices), length, dtype=torch.float16, device=kept_on)
    norms = np.zeros(len(flat_indices), np.float64)
    batches = vector_batches(model, corpus, flat_indices, kind=kind, scope=scope, device=device, progress=progress)
    for places, rows, lengths in batches:
        scale = length**0.5 / np.where(lengths > 0, lengths, np.inf)
        for place, row, factor in zip(places.tolist(), rows, scale.tolist(), strict=True):
            out[place].copy_(row.mul_(factor))
        norms[places] = lengths
    return out, norms
