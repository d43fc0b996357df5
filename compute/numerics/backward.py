"""A forward and a backward pass over several contexts that gives every target token's own gradient.

Hooks on the linear maps form each gradient from the inputs and the output's derivatives, so no parameter needs one.
The last layer's query, attention output and MLP, and the logits, exist at the targets alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.pytorch_utils import Conv1D

from compute.errors import CheckpointError, GradientError
from compute.numerics.families import layer_modules, module_roles

SCOPES = ("default", "as-published", "all")
ATTENTION_AT_TARGETS = "sdpa_at_targets"

Parameters = list[tuple[str, nn.Parameter]]


@dataclass(frozen=True)
class Contexts:
    """Texts and the tokens in them whose losses are differentiated.

    Attributes
    ----------
    tokens : int64 tensor of shape (n, longest)
        Padded on the right; a causal network never sees the padding.
    targets : int64 tensor of shape (n, m)
        Positions whose outputs predict the answers; in one text all different.
    answers : int64 tensor of shape (n, m)
        Token ids.
    """

    tokens: torch.Tensor
    targets: torch.Tensor
    answers: torch.Tensor


GradientPass = Callable[[Contexts], tuple[torch.Tensor, torch.Tensor]]


def gradient_parameters(model: nn.Module, scope: str = "default") -> Parameters:
    """Parameters that a token's gradient is taken over.

    Parameters
    ----------
    model : nn.Module
    scope : {"default", "as-published", "all"}
        "default" leaves out every embedding, the unembedding and every normalisation. "as-published" keeps the final
        normalisation, as the paper's filter by name did for GPT-NeoX. "all" leaves out nothing.

    Returns
    -------
    list of (name, parameter)
        In the model's own order; a gradient of length P is their gradients end to end, each in row-major order.

    Raises
    ------
    CheckpointError
        If the model's family is unknown, or it has a parameter whose role is not declared.
    GradientError
        If there is no such scope, or the family has none like it.

    Notes
    -----
    GPT-NeoX: P = L (12 d^2 + 9 d), which is 18,902,016 for pythia-70m; "as-published" adds 2 d.
    """
    if scope not in SCOPES:
        raise GradientError(f"There is no gradient scope {scope!r}; choose among {', '.join(SCOPES)}.")
    roles = module_roles(model)
    family = model.config.model_type  # type: ignore[union-attr]
    if scope == "as-published" and family != "gpt_neox":
        raise GradientError(
            f"The scope 'as-published' is that of the paper's GPT-NeoX models; this one is of the family {family!r}. "
            "Use the scope 'default', or 'all'."
        )
    if scope == "all":
        return list(model.named_parameters())
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


def count_entries(parameters: Parameters) -> int:
    """P, the length of a gradient."""
    return sum(parameter.numel() for _, parameter in parameters)


def pad_contexts(texts: list[np.ndarray], targets: np.ndarray, device: str | torch.device) -> Contexts:
    """Contexts on the device.

    Parameters
    ----------
    texts : list of n integer ndarrays of shape (length,)
        Each ends with its last answer.
    targets : integer ndarray of shape (n, m)
        Positions in each text that predict the token after them.
    device : str or torch.device
    """
    tokens = np.zeros((len(texts), max(map(len, texts)) - 1), np.int64)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text) - 1] = text[:-1]
    answers = np.stack([text[places + 1] for text, places in zip(texts, targets, strict=True)]).astype(np.int64)
    arrays = (tokens, np.ascontiguousarray(targets, np.int64), answers)
    return Contexts(*(torch.from_numpy(array).to(device) for array in arrays))


@contextmanager
def gradient_pass(model: nn.Module, parameters: Parameters) -> Iterator[GradientPass]:
    """A function from contexts to gradients, while the model is prepared for it.

    Yields
    ------
    callable
        From `Contexts` to ``rows``, float32 of shape (m n, P), and ``losses`` in nats, float64 of shape (m n,), both
        with all first targets before all second ones. The next call overwrites the rows.

    Raises
    ------
    GradientError
        If the weights are in half precision.

    Notes
    -----
    Linear maps: G = sum_t delta_t a_t^T, with a_t the input and delta_t the derivative by the output at position t;
    a bias has sum_t delta_t. Where other parameters are asked for, each target is differentiated on its own.
    """
    refuse_half_precision(model)
    required = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(False)
    try:
        if all(_is_recordable(model, name) for name, _ in parameters):
            with _recording(model, parameters) as recorder:
                yield recorder
        else:
            yield _Plain(model, parameters)
    finally:
        for parameter, flag in required:
            parameter.requires_grad_(flag)


def refuse_half_precision(model: nn.Module) -> None:
    """Gradients and activations are compared to many digits: half precision has three."""
    for parameter in model.parameters():
        if parameter.dtype not in (torch.float32, torch.float64):
            raise GradientError(
                f"The weights are {str(parameter.dtype).removeprefix('torch.')}, too coarse for gradients. Load the "
                "checkpoint with dtype=torch.float32."
            )


def at_targets(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The targets' values (n, m, ...) of values at every position (n, length, ...)."""
    return values.gather(1, _index(targets, values))


def _back_in_place(values: torch.Tensor, targets: torch.Tensor, length: int) -> torch.Tensor:
    """Values (n, m, ...) at their positions among zeros, (n, length, ...)."""
    everywhere = values.new_zeros(len(values), length, *values.shape[2:])
    return everywhere.scatter(1, _index(targets, values), values)


def _index(targets: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    width = values.shape[2:]
    return targets.view(*targets.shape, *[1] * len(width)).expand(*targets.shape, *width)


def _target_losses(model: nn.Module, contexts: Contexts, **settings: Any) -> torch.Tensor:
    """Losses of the targets in nats, float64 of shape (n, m)."""
    roles = module_roles(model)
    hidden = model.get_submodule(roles.body)(input_ids=contexts.tokens, use_cache=False, **settings).last_hidden_state
    logits = model.get_submodule(roles.unembedding)(at_targets(hidden, contexts.targets))
    # float32 rounds 1 - p at small losses, and that is what the whole gradient is multiplied by.
    losses = nn.functional.cross_entropy(logits.double().flatten(0, 1), contexts.answers.flatten(), reduction="none")
    return losses.view_as(contexts.answers)


def _is_recordable(model: nn.Module, name: str) -> bool:
    owner = name.rpartition(".")[0]
    module = model.get_submodule(owner)
    return isinstance(module, nn.Linear | Conv1D | nn.LayerNorm) and owner != module_roles(model).unembedding


@dataclass
class _Plain:
    """Autograd, one target after the other: for every kind of parameter."""

    model: nn.Module
    parameters: Parameters

    def __call__(self, contexts: Contexts) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = [parameter.requires_grad_(True) for _, parameter in self.parameters]
        (n, m), device = contexts.targets.shape, contexts.tokens.device
        rows = torch.empty(n * m, count_entries(self.parameters), dtype=torch.float32, device=device)
        losses = torch.empty(n * m, dtype=torch.float64, device=device)
        for row in range(n * m):
            turn, text = divmod(row, n)
            target = contexts.targets[text : text + 1, turn : turn + 1]
            tokens = contexts.tokens[text : text + 1, : int(target) + 1]
            with torch.enable_grad():
                answer = contexts.answers[text : text + 1, turn : turn + 1]
                loss = _target_losses(self.model, Contexts(tokens, target, answer)).sum()
                grads = torch.autograd.grad(loss, wanted)
            rows[row] = torch.cat([grad.flatten() for grad in grads])
            losses[row] = loss.detach()
        return rows, losses


@dataclass
class _Slot:
    """Where one module's gradients go in a row."""

    module: nn.Module
    weight: slice | None = None
    bias: slice | None = None


@dataclass
class _Recorder:
    """Forms each target's gradient from what the hooks see of a forward and a backward pass."""

    model: nn.Module
    slots: list[_Slot]
    n_entries: int
    last_layer: _LastLayer
    room: torch.Tensor = field(default_factory=lambda: torch.empty(0, 0))
    rows: torch.Tensor = field(default_factory=lambda: torch.empty(0, 0))

    def __call__(self, contexts: Contexts) -> tuple[torch.Tensor, torch.Tensor]:
        n, m = contexts.targets.shape
        if len(self.room) < n * m:
            self.room = self.rows = torch.empty(0, 0)  # free the old before making the new
            self.room = torch.empty(n * m, self.n_entries, dtype=torch.float32, device=contexts.tokens.device)
        with torch.enable_grad(), self.last_layer.at(contexts) as settings:
            losses = _target_losses(self.model, contexts, **settings)
            for turn in range(m):
                self.rows = self.room[turn * n : (turn + 1) * n]
                losses[:, turn].sum().backward(retain_graph=turn + 1 < m)
        return self.room[: n * m], losses.detach().T.flatten()

    def watch(self, slot: _Slot) -> Callable[[nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]:
        """A forward hook that keeps the module's input until the derivative of its output arrives."""

        def forward(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            kept = inputs[0].detach()
            if not output.requires_grad:
                output.requires_grad_(True)  # the backward pass ends at the first layer, not at the embedding
            output.register_hook(lambda delta: self._write(slot, kept, delta))

        return forward

    def _write(self, slot: _Slot, inputs: torch.Tensor, delta: torch.Tensor) -> None:
        """Linear: G = sum_t delta_t a_t^T. LayerNorm: g = sum_t delta_t * normalised a_t. Bias: sum_t delta_t."""
        module = slot.module
        delta, inputs = delta.float(), inputs.float()
        if slot.weight is not None:
            place = self.rows[:, slot.weight]
            if isinstance(module, nn.Linear):
                torch.bmm(delta.mT, inputs, out=place.unflatten(1, (module.out_features, module.in_features)))
            elif isinstance(module, Conv1D):
                torch.bmm(inputs.mT, delta, out=place.unflatten(1, (module.nx, module.nf)))
            elif isinstance(module, nn.LayerNorm):
                normal = nn.functional.layer_norm(inputs, module.normalized_shape, eps=module.eps)
                torch.sum(delta * normal, dim=1, out=place)
        if slot.bias is not None:
            torch.sum(delta, dim=1, out=self.rows[:, slot.bias])


@contextmanager
def _recording(model: nn.Module, parameters: Parameters) -> Iterator[_Recorder]:
    """Hooks on the modules that own the parameters and on the last layer, until the end."""
    last_layer = _LastLayer(model)
    recorder = _Recorder(model, _slots(model, parameters), count_entries(parameters), last_layer)
    handles = [slot.module.register_forward_hook(recorder.watch(slot)) for slot in recorder.slots]
    handles += last_layer.hooks()  # after those that record, which see the targets alone
    try:
        yield recorder
    finally:
        for handle in handles:
            handle.remove()


def _slots(model: nn.Module, parameters: Parameters) -> list[_Slot]:
    """One slot for each module that owns some of the parameters."""
    slots: dict[str, _Slot] = {}
    start = 0
    for name, parameter in parameters:
        owner, _, kind = name.rpartition(".")
        slot = slots.setdefault(owner, _Slot(model.get_submodule(owner)))
        place = slice(start, start + parameter.numel())
        if kind == "weight":
            slot.weight = place
        else:
            slot.bias = place
        start = place.stop
    return list(slots.values())


class _LastLayer:
    """Lets the last layer work at the targets alone: only they reach the losses.

    Its values elsewhere are zeros or what the residual stream holds, and have no derivative.
    """

    def __init__(self, model: nn.Module) -> None:
        roles = module_roles(model)
        self._config: Any = model.config
        self._path = list(layer_modules(model, ("",)))[-1]
        self._model = model
        self._spans = [(roles.attention_output, roles.attention_output), (roles.mlp_norm, roles.mlp_down)]
        if roles.query is not None:
            self._spans.append((roles.query, roles.query))
        self._contexts: Contexts | None = None

    def hooks(self) -> list[Any]:
        """Between the first and the last module of a span there are only the targets."""
        handles: list[Any] = []
        for first, last in self._spans:
            handles.append(self._model.get_submodule(self._path + first).register_forward_pre_hook(self._narrow))
            handles.append(self._model.get_submodule(self._path + last).register_forward_hook(self._widen))
        return handles

    @contextmanager
    def at(self, contexts: Contexts) -> Iterator[dict[str, Any]]:
        """What the network is called with while the last layer works at the contexts' targets."""
        implementation = self._config._attn_implementation
        self._contexts = contexts
        try:
            if implementation != "sdpa":
                yield {}
                return
            self._config._attn_implementation = ATTENTION_AT_TARGETS
            yield {"targets": contexts.targets}
        finally:
            self._contexts = None
            self._config._attn_implementation = implementation

    def _narrow(self, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        if self._contexts is None:
            return None
        return (at_targets(inputs[0], self._contexts.targets), *inputs[1:])

    def _widen(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor | None:
        if self._contexts is None:
            return None
        return _back_in_place(output, self._contexts.targets, self._contexts.tokens.shape[1])


def _attention_at_targets(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    targets: torch.Tensor,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot products; in the last layer only for the targets' queries, zeros elsewhere (n, length, heads, d)."""
    config: Any = module.config
    if module.layer_idx != config.num_hidden_layers - 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    length = query.shape[2]
    if attention_mask is None:
        seen = torch.arange(length, device=query.device) <= targets[..., None]
    else:
        seen = at_targets(attention_mask[:, 0].expand(len(query), -1, -1), targets)
    asked = at_targets(query.transpose(1, 2), targets).transpose(1, 2)
    found, _ = sdpa_attention_forward(module, asked, key, value, seen[:, None], is_causal=False, **settings)
    return _back_in_place(found, targets, length), None


AttentionInterface.register(ATTENTION_AT_TARGETS, _attention_at_targets)
AttentionMaskInterface.register(ATTENTION_AT_TARGETS, sdpa_mask)
