"""The gradient of one token's loss, for many tokens.

Each gradient is computed once, on the context that the token depends on, with the logits of that one position.
Several contexts share a forward and a backward pass; hooks then form every context's own gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from compute.errors import CheckpointError, GradientError
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.families import layer_modules, module_roles
from compute.numerics.losses import check_token_ids

SCOPES = ("default", "as-published")
BATCH_BYTES = {"cpu": 1 << 25, "cuda": 1 << 31}  # gradients of one batch, float32
BATCH_TOKENS = {"cpu": 1 << 11, "cuda": 1 << 15}
NORM_ENTRIES = 1 << 13  # converted to float64 at a time: stays in cache
BATCHES_PER_WINDOW = 4  # batches sorted by length together when gradients are wanted in order

Parameters = list[tuple[str, nn.Parameter]]


def gradient_parameters(model: nn.Module, scope: str = "default") -> Parameters:
    """Parameters that a token's gradient is taken over.

    Parameters
    ----------
    model : nn.Module
    scope : {"default", "as-published"}
        "default" leaves out both embeddings and every normalisation. "as-published" keeps the final normalisation,
        as the paper's filter by name did.

    Returns
    -------
    list of (name, parameter)
        In the model's own order; a gradient of length P is their gradients end to end, each in row-major order.

    Raises
    ------
    CheckpointError
        If the model's family is unknown, or it has a parameter whose role is not declared.
    GradientError
        If there is no such scope.

    Notes
    -----
    GPT-NeoX: P = L (12 d^2 + 9 d), which is 18,902,016 for pythia-70m; "as-published" adds 2 d.
    """
    if scope not in SCOPES:
        raise GradientError(f"There is no gradient scope {scope!r}; choose among {', '.join(SCOPES)}.")
    roles = module_roles(model)
    kept = set(layer_modules(model, roles.layer_linears))
    dropped = {*roles.embeddings, roles.unembedding, *layer_modules(model, roles.layer_norms)}
    (kept if scope == "as-published" else dropped).add(roles.final_norm)
    chosen: Parameters = []
    for name, parameter in model.named_parameters():
        owner = name.rpartition(".")[0]
        if owner in kept:
            chosen.append((name, parameter))
        elif owner not in dropped:
            raise CheckpointError(f"The role of the parameter {name} is not declared for this model family.")
    return chosen


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
    with _recording(model, parameters) as recorder:
        rows, losses = _batch_gradients(model, recorder, [np.asarray(token_ids)])
    if not np.isfinite(_norms(rows)).all():
        raise GradientError(f"The gradient at a loss of {losses[0]} nats is not finite: the weights are damaged.")
    return rows[0].cpu().numpy(), float(losses[0])


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
    scope : {"default", "as-published"}
        See `gradient_parameters`.
    device : str or torch.device
        Where the model is.

    Yields
    ------
    ndarray of shape (P,), float32
        In the order of ``flat_indices``, not normalised.

    Raises
    ------
    CorpusError
        If there is no such prediction.
    GradientError
        If a gradient is not finite.
    """
    flat_indices = np.asarray(flat_indices)
    parameters = gradient_parameters(model, scope)
    window = BATCHES_PER_WINDOW * _rows_per_batch(parameters, device)
    for start in range(0, len(flat_indices), window):
        indices = flat_indices[start : start + window]
        buffer: list[np.ndarray] = [np.empty(0)] * len(indices)
        for places, rows, _ in _gradient_batches(model, corpus, indices, parameters, device):
            for place, row in zip(places, rows.cpu().numpy(), strict=True):
                buffer[place] = row.copy()
        yield from buffer


def gradient_rows(
    model: nn.Module,
    corpus: TokenizedCorpus,
    flat_indices: np.ndarray,
    *,
    scope: str = "default",
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Directions and norms of the gradients of many tokens.

    Parameters
    ----------
    model, corpus, flat_indices, scope, device
        As in `gradients`.
    progress : callable or None
        Called after every batch with the number of gradients done so far in this call.

    Returns
    -------
    rows : ndarray of shape (n, P), float16
        Unit gradients times sqrt(P), so that entries are about 1 in size; row i belongs to ``flat_indices[i]``.
        A gradient of zeros gives a row of zeros.
    norms : ndarray of shape (n,), float64
        Euclidean norms of the gradients; drop the rows where it is 0.

    Raises
    ------
    CorpusError
        If there is no such prediction.
    GradientError
        If a gradient is not finite.

    Notes
    -----
    ``rows[i] @ rows[j] / P`` is the cosine similarity; float16 adds an error of about 1e-5 to it.
    """
    flat_indices = np.asarray(flat_indices)
    parameters = gradient_parameters(model, scope)
    n_entries = _n_entries(parameters)
    out = np.zeros((len(flat_indices), n_entries), np.float16)
    norms = np.zeros(len(flat_indices), np.float64)
    done = 0
    for places, rows, lengths in _gradient_batches(model, corpus, flat_indices, parameters, device):
        scale = n_entries**0.5 / np.where(lengths > 0, lengths, np.inf)
        rows.mul_(torch.from_numpy(scale).to(rows)[:, None])
        out[places] = rows.half().cpu().numpy()
        norms[places] = lengths
        done += len(places)
        if progress is not None:
            progress(done)
    return out, norms


def _gradient_batches(
    model: nn.Module,
    corpus: TokenizedCorpus,
    flat_indices: np.ndarray,
    parameters: Parameters,
    device: str | torch.device,
) -> Iterator[tuple[np.ndarray, torch.Tensor, np.ndarray]]:
    """Places in ``flat_indices``, gradients (n, P) and norms (n,), contexts of like length together, longest first.

    The gradients are overwritten by the next batch.
    """
    documents, positions = corpus.locate(flat_indices)
    most, n_tokens = _rows_per_batch(parameters, device), BATCH_TOKENS[torch.device(device).type]
    order = np.argsort(-positions, kind="stable")
    with _recording(model, parameters) as recorder:
        while len(order):
            size = max(1, min(most, n_tokens // int(positions[order[0]])))
            places, order = order[:size], order[size:]
            texts = [corpus.document_tokens(documents[i])[: positions[i] + 1] for i in places]
            rows, _ = _batch_gradients(model, recorder, texts)
            norms = _norms(rows)
            if not np.isfinite(norms).all():
                wrong = flat_indices[places[int(np.isfinite(norms).argmin())]]
                raise GradientError(
                    f"The gradient at flat index {wrong} is not finite: the checkpoint's weights are damaged or its "
                    "training diverged. Cluster another checkpoint, or copy this one again."
                )
            yield places, rows, norms


def _norms(rows: torch.Tensor) -> np.ndarray:
    """Euclidean norms of float32 rows (n, P), accumulated in float64; not finite where an entry is not."""
    squares = torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    for part in rows.split(NORM_ENTRIES if rows.device.type == "cpu" else rows.shape[1], dim=1):
        squares += torch.linalg.vector_norm(part, dim=1, dtype=torch.float64) ** 2
    return squares.sqrt().cpu().numpy()


def _batch_gradients(
    model: nn.Module, recorder: _Recorder, texts: Sequence[np.ndarray]
) -> tuple[torch.Tensor, np.ndarray]:
    """Gradients (n, P) and losses (n,) of the last tokens of several texts.

    Contexts are padded on the right without a mask. The loss depends on the last real position only, so the
    gradient is exactly zero at every padded one.
    """
    lengths = np.array([len(text) - 1 for text in texts])
    if lengths.min() < 1:
        raise GradientError("A token without context has no gradient: give at least 2 tokens.")
    tokens = np.zeros((len(texts), int(lengths.max())), np.int64)
    for row, text in enumerate(texts):
        tokens[row, : lengths[row]] = text[:-1]
    answers = np.array([int(text[-1]) for text in texts])
    check_token_ids(model, np.array([tokens.max(), answers.max()]), int(lengths.max()) + 1)
    roles = module_roles(model)
    unembedding = model.get_submodule(roles.unembedding)
    device = model.get_parameter(f"{roles.unembedding}.weight").device
    recorder.begin(len(texts), device)
    with torch.enable_grad():
        body = model.get_submodule(roles.body)
        hidden = body(input_ids=torch.from_numpy(tokens).to(device), use_cache=False).last_hidden_state
        last = hidden[torch.arange(len(texts), device=device), torch.from_numpy(lengths - 1).to(device)]
        # float32 rounds 1 - p at small losses, and that is what the whole gradient is multiplied by.
        logits = unembedding(last).double()
        losses = nn.functional.cross_entropy(logits, torch.from_numpy(answers).to(device), reduction="none")
        losses.sum().backward()
    return recorder.rows, losses.detach().cpu().numpy()


@dataclass
class _Slot:
    """Where one module's gradients go in a row."""

    module: nn.Module
    weight: slice | None = None
    bias: slice | None = None


@dataclass
class _Recorder:
    """Forms each sample's gradient from what the hooks see of a forward and a backward pass."""

    slots: list[_Slot]
    n_entries: int
    room: torch.Tensor = field(default_factory=lambda: torch.empty(0, 0))
    rows: torch.Tensor = field(default_factory=lambda: torch.empty(0, 0))

    def begin(self, n_samples: int, device: torch.device) -> None:
        """Make room for the gradients of a batch, reusing the last batch's."""
        if len(self.room) < n_samples:
            self.room = torch.empty(n_samples, self.n_entries, dtype=torch.float32, device=device)
        self.rows = self.room[:n_samples]

    def watch(self, slot: _Slot) -> Callable[[nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]:
        """A forward hook that keeps the module's input until the gradient of its output arrives."""

        def forward(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            if not torch.is_grad_enabled():
                return
            kept = inputs[0].detach()
            if not output.requires_grad:
                output.requires_grad_(True)  # the backward pass ends at the first layer, not at the embedding
            output.register_hook(lambda delta: self._write(slot, kept, delta))

        return forward

    def _write(self, slot: _Slot, inputs: torch.Tensor, delta: torch.Tensor) -> None:
        """Linear: G = sum_t delta_t a_t^T. LayerNorm: g = sum_t delta_t * normalised a_t. Bias: sum_t delta_t."""
        module = slot.module
        if slot.weight is not None and isinstance(module, nn.Linear):
            target = self.rows[:, slot.weight].unflatten(1, (module.out_features, module.in_features))
            torch.bmm(delta.float().mT, inputs.float(), out=target)
        elif slot.weight is not None and isinstance(module, nn.LayerNorm):
            normal = nn.functional.layer_norm(inputs, module.normalized_shape, eps=module.eps)
            torch.sum(delta * normal, dim=1, dtype=torch.float32, out=self.rows[:, slot.weight])
        if slot.bias is not None:
            torch.sum(delta, dim=1, dtype=torch.float32, out=self.rows[:, slot.bias])


@contextmanager
def _recording(model: nn.Module, parameters: Parameters) -> Iterator[_Recorder]:
    """Hooks on the modules that own the parameters, and no parameter requiring a gradient, until the end."""
    recorder = _Recorder(_slots(model, parameters), _n_entries(parameters))
    required = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(False)
    handles = [slot.module.register_forward_hook(recorder.watch(slot)) for slot in recorder.slots]
    try:
        yield recorder
    finally:
        for handle in handles:
            handle.remove()
        for parameter, flag in required:
            parameter.requires_grad_(flag)


def _slots(model: nn.Module, parameters: Parameters) -> list[_Slot]:
    """One slot for each module that owns some of the parameters."""
    slots: dict[str, _Slot] = {}
    start = 0
    for name, parameter in parameters:
        owner, _, kind = name.rpartition(".")
        module = model.get_submodule(owner)
        if not isinstance(module, nn.Linear | nn.LayerNorm) or owner == module_roles(model).unembedding:
            raise GradientError(f"The gradient of {name} is not known for a module of type {type(module).__name__}.")
        slot = slots.setdefault(owner, _Slot(module))
        place = slice(start, start + parameter.numel())
        if kind == "weight":
            slot.weight = place
        else:
            slot.bias = place
        start = place.stop
    return list(slots.values())


def _n_entries(parameters: Parameters) -> int:
    """P, the length of a gradient."""
    return sum(parameter.numel() for _, parameter in parameters)


def _rows_per_batch(parameters: Parameters, device: str | torch.device) -> int:
    """Gradients that fit the memory set aside for one batch."""
    return max(1, BATCH_BYTES[torch.device(device).type] // (4 * max(_n_entries(parameters), 1)))
