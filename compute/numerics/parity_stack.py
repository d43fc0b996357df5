"""Networks for sparse parity, side by side: Linear – ReLU – Linear of many widths on many supplies of samples.

The input of a network is a task in one-hot form beside the bits. Its first layer is computed as a row looked up by task
plus a product with the bits alone, which saves n_tasks/(n_tasks + n_bits) of the multiplications.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from compute.errors import FitError
from compute.numerics.parity_tasks import Purpose, Samples

TILE = 1 << 19  # hidden values at work at once on a CPU, so that they stay in its cache
TILE_ON_GPU = 1 << 28
BLOCK = 512  # samples, ordered by task, whose sums by task one product makes


@dataclass(frozen=True, eq=False)
class Parameters:
    """One network, as Linear(n_tasks + n_bits, width) – ReLU – Linear(width, 2).

    Attributes
    ----------
    first : tensor of shape (width, n_tasks + n_bits), float32
        Columns of tasks before those of bits.
    first_bias : tensor of shape (width,), float32
    second : tensor of shape (2, width), float32
        Rows of the answers 0 and 1.
    second_bias : tensor of shape (2,), float32
    """

    first: torch.Tensor
    first_bias: torch.Tensor
    second: torch.Tensor
    second_bias: torch.Tensor

    @property
    def width(self) -> int:
        return self.first.shape[0]


def n_parameters(n_tasks: int, n_bits: int, width: int) -> int:
    """Count all parameters of a network: width (n_tasks + n_bits) + width + 2 width + 2.

    Examples
    --------
    >>> n_parameters(500, 100, 500)
    301502
    """
    return width * (n_tasks + n_bits + 3) + 2


def initial_parameters(n_tasks: int, n_bits: int, width: int, seed: int) -> Parameters:
    """Draw a network as torch's Linear does: every entry uniform within ± 1/√(inputs of its layer).

    Parameters
    ----------
    n_tasks, n_bits, width, seed : int

    Returns
    -------
    Parameters

    Examples
    --------
    >>> bool(initial_parameters(500, 100, 8, seed=0).first.abs().max() <= 600**-0.5)
    True
    """
    state = np.random.SeedSequence([seed, Purpose.WEIGHTS, width]).generate_state(1, np.uint64)
    draw = torch.Generator().manual_seed(int(state[0]) >> 1)
    limits = (n_tasks + n_bits) ** -0.5, width**-0.5
    return Parameters(
        torch.empty(width, n_tasks + n_bits).uniform_(-limits[0], limits[0], generator=draw),
        torch.empty(width).uniform_(-limits[0], limits[0], generator=draw),
        torch.empty(2, width).uniform_(-limits[1], limits[1], generator=draw),
        torch.empty(2).uniform_(-limits[1], limits[1], generator=draw),
    )


class Stack:
    """Networks of `widths` on each of several supplies of samples, trained as one.

    Parameters
    ----------
    networks : sequence of sequences of Parameters
        ``networks[s][m]`` reads supply s; every supply has networks of the same widths.
    n_tasks, n_bits : int
    device : str or torch.device

    Attributes
    ----------
    weights : tensor of shape (n_supplies, n_tasks + n_bits + 3, total width), float32
        Rows: one for each task, one for each bit, the first bias, the second layer for the answers 0 and 1. The columns
        of one network lie beside those of the next.
    biases : tensor of shape (n_supplies, 2, n_networks), float32
        Of the second layer.

    Notes
    -----
    With the preactivation h = E_t + b + W x, the logits' difference z = v · relu(h) + c and the cross-entropy
    softplus(z) − y z, let g = (σ(z) − y)/B. Then A = g 1[h > 0] holds all that the first layer needs:
    ∂L/∂W = v xᵀA, ∂L/∂E_t = v Σ_{samples of t} A, and ∂L/∂v = W · xᵀA + Σ_t E_t Σ_t A + b Σ A (entry by entry), so the
    hidden activations are read once. The gradients of the second layer's rows are −∂L/∂v and ∂L/∂v.

    Examples
    --------
    >>> stack = Stack([[initial_parameters(3, 4, w, seed=0) for w in (5, 7)]], n_tasks=3, n_bits=4)
    >>> stack.weights.shape, stack.parameters(0, 1).width
    (torch.Size([1, 10, 12]), 7)
    """

    def __init__(
        self,
        networks: Sequence[Sequence[Parameters]],
        n_tasks: int,
        n_bits: int,
        device: str | torch.device = "cpu",
    ) -> None:
        widths = [one.width for one in networks[0]]
        if not widths or any([one.width for one in row] != widths for row in networks):
            raise FitError("networks that are trained together must have the same widths on every supply of samples")
        self.n_tasks, self.n_bits, self.widths = n_tasks, n_bits, widths
        self.device = torch.device(device)
        ends = np.cumsum([0, *widths])
        self.columns = [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]
        self.weights = torch.stack([torch.cat([_as_rows(one) for one in row], 1) for row in networks]).to(self.device)
        biases = [torch.stack([one.second_bias for one in row], 1) for row in networks]
        self.biases = torch.stack(biases).to(self.device)
        self._room = torch.empty(0, self.weights.shape[2], device=self.device)

    @property
    def n_supplies(self) -> int:
        return len(self.weights)

    @property
    def n_networks(self) -> int:
        return len(self.widths)

    def parameters(self, supply: int, network: int) -> Parameters:
        """Copy one network out of the stack, to the CPU."""
        rows = self.weights[supply, :, self.columns[network]].cpu()
        n_inputs = self.n_tasks + self.n_bits
        return Parameters(
            rows[:n_inputs].T.contiguous(),
            rows[n_inputs].clone(),
            rows[n_inputs + 1 :].clone(),
            self.biases[supply, :, network].cpu().clone(),
        )

    def losses(self, supply: int, samples: Samples) -> torch.Tensor:
        """Cross-entropy of every sample under the networks of one supply.

        Parameters
        ----------
        supply : int
        samples : Samples
            Of n_samples.

        Returns
        -------
        tensor of shape (n_networks, n_samples), float32
            In nats, >= 0.
        """
        found = torch.empty(self.n_networks, len(samples), device=self.device)
        rows_by_task, difference = self._prepared(supply)
        for rows in self._tiles(len(samples)):
            hidden = self._hidden(supply, samples, rows, rows_by_task)
            z = self._logits(supply, hidden, difference)
            found[:, rows] = torch.nn.functional.softplus(z * _signs(samples.answers[rows]))
        return found

    def mean_losses(
        self, supply: int, parts: Iterable[Samples], tell: Callable[[], None] = lambda: None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean cross-entropy of every task, and how many samples it has.

        Parameters
        ----------
        supply : int
        parts : iterable of Samples
        tell : callable
            Is called after every part.

        Returns
        -------
        losses : tensor of shape (n_networks, n_tasks), float64
            In nats; nan for tasks without a sample.
        counts : tensor of shape (n_tasks,), int64
        """
        counts = torch.zeros(self.n_tasks, dtype=torch.int64, device=self.device)
        sums = torch.zeros(self.n_networks, self.n_tasks, dtype=torch.float64, device=self.device)
        for samples in parts:
            counts += torch.bincount(samples.tasks, minlength=self.n_tasks)
            sums.index_add_(1, samples.tasks, self.losses(supply, samples).double())
            tell()
        return sums / counts, counts

    def gradients(self, batches: Sequence[Samples], into: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Gradients of every network's mean loss over its supply's batch.

        Parameters
        ----------
        batches : sequence of Samples
            One for each supply.
        into : tensors of the shapes of `weights` and `biases`
            Are overwritten.

        Returns
        -------
        tensor of shape (n_supplies, n_networks), float32
            Mean losses, nats.
        """
        by_rows, by_biases = into
        by_rows.zero_()
        losses = torch.empty(self.n_supplies, self.n_networks, device=self.device)
        for supply, samples in enumerate(batches):
            losses[supply] = self._accumulate(supply, samples, by_rows[supply], by_biases[supply])
        self._finish(by_rows)
        return losses

    def _accumulate(
        self, supply: int, samples: Samples, by_rows: torch.Tensor, by_biases: torch.Tensor
    ) -> torch.Tensor:
        """Add xᵀA and the sums of A by task to `by_rows`; give mean losses (n_networks,)."""
        n, sums = len(samples), torch.zeros(2, self.n_networks, device=self.device)
        rows_by_task, difference = self._prepared(supply)
        by_bits = by_rows[self.n_tasks : self.n_tasks + self.n_bits]
        for rows in self._tiles(n):
            hidden = self._hidden(supply, samples, rows, rows_by_task)
            signs = _signs(samples.answers[rows])
            z = self._logits(supply, hidden, difference).mul_(signs)
            sums[0] += torch.nn.functional.softplus(z).sum(1)
            g = z.sigmoid_().mul_(signs).mul_(1 / n)  # (n_networks, n_rows)
            sums[1] += g.sum(1)
            active = hidden.sign_()  # of relu: 1 where a unit is active
            for columns, slope in zip(self.columns, g, strict=True):
                active[:, columns].mul_(slope[:, None])
            by_bits.addmm_(samples.bits[rows].T, active)
            _add_by_task(by_rows, samples.tasks[rows], active)
        by_biases[0], by_biases[1] = -sums[1], sums[1]
        return sums[0] / n

    def _prepared(self, supply: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of tasks with the bias (n_tasks, total width), and the second layer's difference (total width,)."""
        weights, n_inputs = self.weights[supply], self.n_tasks + self.n_bits
        return weights[: self.n_tasks] + weights[n_inputs], weights[n_inputs + 2] - weights[n_inputs + 1]

    def _hidden(self, supply: int, samples: Samples, rows: slice, rows_by_task: torch.Tensor) -> torch.Tensor:
        """Activations (n_rows, total width), in memory that the next call takes again: fresh pages cost as much."""
        by_bits = self.weights[supply, self.n_tasks : self.n_tasks + self.n_bits]
        n_rows = rows.stop - rows.start
        if len(self._room) < n_rows:
            self._room = torch.empty(n_rows, self.weights.shape[2], device=self.device)
        hidden = torch.index_select(rows_by_task, 0, samples.tasks[rows], out=self._room[:n_rows])
        return hidden.addmm_(samples.bits[rows], by_bits).clamp_(min=0)

    def _logits(self, supply: int, hidden: torch.Tensor, difference: torch.Tensor) -> torch.Tensor:
        """Logit of answer 1 less that of answer 0 (n_networks, n_rows); networks never see each other's numbers."""
        found = torch.stack([hidden[:, columns] @ difference[columns] for columns in self.columns])
        return found.add_((self.biases[supply, 1] - self.biases[supply, 0])[:, None])

    def _finish(self, by_rows: torch.Tensor) -> None:
        """Turn sums of A into gradients of all rows, in place."""
        n_inputs = self.n_tasks + self.n_bits
        torch.sum(by_rows[:, : self.n_tasks], 1, out=by_rows[:, n_inputs])
        inner = torch.linalg.vecdot(by_rows[:, : n_inputs + 1], self.weights[:, : n_inputs + 1], dim=1)
        difference = self.weights[:, n_inputs + 2] - self.weights[:, n_inputs + 1]
        by_rows[:, : n_inputs + 1] *= difference[:, None]
        by_rows[:, n_inputs + 1], by_rows[:, n_inputs + 2] = -inner, inner

    def _tiles(self, n: int) -> list[slice]:
        most = TILE if self.device.type == "cpu" else TILE_ON_GPU
        size = max(256, min(n, most // self.weights.shape[2]))
        n_tiles = math.ceil(n / size)
        ends = [n * i // n_tiles for i in range(n_tiles + 1)]
        return [slice(a, b) for a, b in itertools.pairwise(ends)]


def _as_rows(one: Parameters) -> torch.Tensor:
    return torch.cat([one.first.T, one.first_bias[None], one.second])


def _signs(answers: torch.Tensor) -> torch.Tensor:
    """1 where the answer is 0, −1 where it is 1."""
    return 1 - 2 * answers


def _add_by_task(by_rows: torch.Tensor, tasks: torch.Tensor, active: torch.Tensor) -> None:
    """Add every row of `active` to its task's; tasks ascend, so on a CPU small products do it."""
    if active.device.type != "cpu":
        by_rows.index_add_(0, tasks, active)
        return
    for chosen, rows in zip(tasks.split(BLOCK), active.split(BLOCK), strict=True):
        first, last = int(chosen[0]), int(chosen[-1])
        one_hot = chosen == torch.arange(first, last + 1)[:, None]
        by_rows[first : last + 1].addmm_(one_hot.float(), rows)
