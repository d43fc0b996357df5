"""Vectors that stand for tokens: gradients of their losses, MLP activations, or the gradients' large entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from compute.errors import GradientError
from compute.numerics.backward import (
    Contexts,
    at_targets,
    count_entries,
    gradient_parameters,
    gradient_pass,
    pad_contexts,
    refuse_half_precision,
)
from compute.numerics.corpus import TokenizedCorpus
from compute.numerics.families import layer_modules, module_roles
from compute.numerics.losses import check_token_ids
from compute.numerics.memory import halving_batches

KINDS = ("gradients", "activations", "sparsified")
SPARSE_BELOW = 7e-3  # of a unit gradient
BATCH_BYTES = {"cpu": 1 << 25, "cuda": 1 << 32}  # vectors of one batch, float32; on a CPU they stay in cache
SHARED_BYTES = {"cpu": 1 << 29, "cuda": 1 << 32}  # vectors of one text
BATCH_TOKENS = {"cpu": 1 << 10, "cuda": 1 << 15}
NORM_ENTRIES = 1 << 9  # summed in float32 before float64 takes over
TINY_NORM = 1e-12  # float32 squares of its entries vanish

VectorBatch = tuple[np.ndarray, torch.Tensor, np.ndarray]


def n_entries(model: nn.Module, *, kind: str = "gradients", scope: str = "default") -> int:
    """P, the length of a vector.

    Parameters
    ----------
    model : nn.Module
        Also on the meta device.
    kind, scope
        As in `vector_batches`.

    Raises
    ------
    GradientError
        If there is no such kind or scope.
    """
    _check_kind(kind)
    if kind != "activations":
        return count_entries(gradient_parameters(model, scope))
    return sum(_mlp_width(model, path) for path in layer_modules(model, (module_roles(model).mlp_down,)))


def vector_batches(
    model: nn.Module,
    corpus: TokenizedCorpus,
    flat_indices: np.ndarray,
    *,
    kind: str = "gradients",
    scope: str = "default",
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Iterator[VectorBatch]:
    """Vectors of many tokens, in whatever order is fastest.

    Parameters
    ----------
    model : nn.Module
        As `load_checkpoint` gives it in float32, already on ``device``.
    corpus : TokenizedCorpus
    flat_indices : integer ndarray of shape (n,)
        Predictions, in any order.
    kind : {"gradients", "activations", "sparsified"}
        "gradients": of the tokens' losses. "activations": inputs of every layer's last linear map of the MLP at the
        position that predicts the token. "sparsified": unit gradients without their entries below 0.007 in size.
    scope : {"default", "as-published", "all"}
        See `gradient_parameters`; activations have none.
    device : str or torch.device
        Where the model is.
    progress : callable or None
        Called after every batch has been used with the number of vectors done so far.

    Yields
    ------
    places : int64 ndarray of shape (b,)
        Which of ``flat_indices``.
    rows : float32 tensor of shape (b, P)
        Their vectors, on ``device``, of any length; overwritten by the next batch.
    norms : float64 ndarray of shape (b,)
        Euclidean norms of the rows; drop the rows where it is 0.

    Raises
    ------
    CorpusError
        If there is no such prediction.
    CheckpointError
        If the model does not fit the corpus, or memory runs out for batches a quarter as large too.
    GradientError
        If there is no such kind or scope, the weights are in half precision, or a vector is not finite.

    Notes
    -----
    Each text is cut after its target. A forward pass costs about 2 N per token and a backward pass 4 N, N being the
    parameters; targets of one document share the forward pass of the longest where that is cheaper: a target of
    context length l on its own costs 6 N l, and another backward pass over the longest 4 N l_max.
    """
    _check_kind(kind)
    refuse_half_precision(model)
    flat_indices = np.asarray(flat_indices)
    documents, positions = corpus.locate(flat_indices)
    size = n_entries(model, kind=kind, scope=scope)
    where = torch.device(device).type
    most, most_of_one_text = (limit[where] // (4 * size) for limit in (BATCH_BYTES, SHARED_BYTES))
    share_from = 0.0 if kind == "activations" else 2 / 3
    groups = shared_texts(documents, positions, share_from, max(1, most_of_one_text))

    n_targets = np.array([len(group) for group in groups])

    def room(left: np.ndarray) -> int:
        first = left[0]
        limit = max(1, min(most // n_targets[first], BATCH_TOKENS[where] // int(positions[groups[first][0]])))
        return int(np.count_nonzero(n_targets[left[:limit]] == n_targets[first]))

    done = 0
    with _vectors(model, kind, scope) as vectors:

        def work(batch: np.ndarray) -> VectorBatch:
            chosen = np.array([groups[group] for group in batch])
            texts = [corpus.document_tokens(documents[i])[: positions[i] + 1] for i in chosen[:, 0]]
            check_token_ids(model, np.concatenate(texts), len(texts[0]))
            rows, norms = vectors(pad_contexts(texts, positions[chosen] - 1, device))
            return chosen.T.ravel(), rows, norms

        for _, (places, rows, norms) in halving_batches(np.arange(len(groups)), room, work):
            _refuse_non_finite(norms, flat_indices[places], kind)
            yield places, rows, norms
            done += len(places)
            if progress is not None:
                progress(done)


def shared_texts(documents: np.ndarray, positions: np.ndarray, share_from: float, most: int) -> list[list[int]]:
    """Group targets of one document that share the text up to the furthest.

    Parameters
    ----------
    documents, positions : integer ndarray of shape (n,)
        Of every target.
    share_from : float
        A target joins those further on if its context is longer than this share of the longest.
    most : int
        Targets in one group.

    Returns
    -------
    list of list of int
        Places in the two arrays, every one once; in a group the furthest position first, no position twice. Groups
        with more targets come first, then those with longer texts.
    """
    groups: list[list[int]] = []
    for place in np.lexsort((-positions, documents)).tolist():
        group = groups[-1] if groups else []
        if (
            0 < len(group) < most
            and documents[place] == documents[group[0]]
            and share_from * positions[group[0]] < positions[place] < positions[group[-1]]
        ):
            group.append(place)
        else:
            groups.append([place])
    return sorted(groups, key=lambda group: (-len(group), -int(positions[group[0]])))


def row_norms(rows: torch.Tensor) -> np.ndarray:
    """Euclidean norms of float32 rows (n, P), float64 of shape (n,); not finite where an entry is not."""
    whole = rows.shape[1] - rows.shape[1] % NORM_ENTRIES
    parts = [rows[:, :whole].unflatten(1, (-1, NORM_ENTRIES)), rows[:, None, whole:]]
    norms = torch.cat([torch.linalg.vector_norm(part, dim=2) for part in parts if part.numel()], dim=1)
    total = torch.linalg.vector_norm(norms, dim=1, dtype=torch.float64)
    for place in torch.nonzero(total < TINY_NORM).flatten().tolist():
        total[place] = torch.linalg.vector_norm(rows[place], dtype=torch.float64)
    return total.cpu().numpy()


@contextmanager
def _vectors(
    model: nn.Module, kind: str, scope: str
) -> Iterator[Callable[[Contexts], tuple[torch.Tensor, np.ndarray]]]:
    """A function from contexts to vectors and their norms, all first targets before all second ones."""
    if kind == "activations":
        yield lambda contexts: _with_norms(_activations(model, contexts))
        return
    with gradient_pass(model, gradient_parameters(model, scope)) as gradients:

        def vectors(contexts: Contexts) -> tuple[torch.Tensor, np.ndarray]:
            rows, norms = _with_norms(gradients(contexts)[0])
            if kind == "gradients":
                return rows, norms
            scale = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
            rows.mul_(torch.from_numpy(scale).to(rows)[:, None])
            return _with_norms(rows.masked_fill_(rows.abs() < SPARSE_BELOW, 0))

        yield vectors


def _with_norms(rows: torch.Tensor) -> tuple[torch.Tensor, np.ndarray]:
    return rows, row_norms(rows)


def _activations(model: nn.Module, contexts: Contexts) -> torch.Tensor:
    """Inputs of every layer's last linear map of the MLP at the targets, layer by layer: (m n, P)."""
    roles = module_roles(model)
    seen: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(at_targets(inputs[0], contexts.targets).float())

    modules = [model.get_submodule(path) for path in layer_modules(model, (roles.mlp_down,))]
    handles = [module.register_forward_pre_hook(keep) for module in modules]
    try:
        with torch.no_grad():  # the vectors are changed in place later
            model.get_submodule(roles.body)(input_ids=contexts.tokens, use_cache=False)
            return torch.cat(seen, dim=2).transpose(0, 1).flatten(0, 1)
    finally:
        for handle in handles:
            handle.remove()


def _mlp_width(model: nn.Module, path: str) -> int:
    """Width of what enters a linear map, whichever way round its weight is."""
    module = model.get_submodule(path)
    return int(module.in_features if isinstance(module, nn.Linear) else module.nx)  # type: ignore[arg-type]


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise GradientError(f"There are no vectors of the kind {kind!r}; choose among {', '.join(KINDS)}.")


def _refuse_non_finite(norms: np.ndarray, flat_indices: np.ndarray, kind: str) -> None:
    if np.isfinite(norms).all():
        return
    wrong = flat_indices[int(np.isfinite(norms).argmin())]
    what = "MLP activations" if kind == "activations" else "gradient"
    raise GradientError(
        f"The {what} at flat index {wrong} {'are' if kind == 'activations' else 'is'} not finite: the checkpoint's "
        "weights are damaged or its training diverged. Cluster another checkpoint, or copy this one again."
    )
