"""Multitask sparse parity: the tasks, how often each is asked, and the samples that networks learn and are tested on.

What is drawn for a step depends on the seed, the exponent and the step alone, so training can stop and go on anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray

from compute.errors import FitError
from compute.numerics.zipf import probabilities

PACKED = 8  # bits in a byte
PART = 1 << 16  # samples of a test set that are unpacked at once
_FLOATS_OF_BYTE = torch.from_numpy(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(np.float32)
)  # (256, 8)


class Purpose(IntEnum):
    """What random numbers are drawn for; each purpose has a sequence of its own."""

    SUBSETS = 0
    TRAINING = 1
    TRAINING_SET = 2
    ORDER = 3
    TEST = 4
    WEIGHTS = 5


@dataclass(frozen=True, eq=False)
class Tasks:
    """Sparse parities of one string of bits, and how often each is asked.

    Attributes
    ----------
    subsets : ndarray of shape (n_tasks, k), int16
        Ascending indices of the bits whose parity is a task's answer; no two tasks share a subset.
    probabilities : ndarray of shape (n_tasks,), float64
        Falling; they sum to 1.
    n_bits : int
    alpha : float
    seed : int
    """

    subsets: NDArray[np.int16]
    probabilities: NDArray[np.float64]
    n_bits: int
    alpha: float
    seed: int

    @property
    def n_tasks(self) -> int:
        return len(self.subsets)

    @property
    def k(self) -> int:
        return self.subsets.shape[1]


@dataclass(frozen=True, eq=False)
class Samples:
    """Questions with their answers, ordered by task.

    Attributes
    ----------
    tasks : tensor of shape (n_samples,), int64
        Ascending, from 0.
    bits : tensor of shape (n_samples, n_bits), float32
        Zeros and ones.
    answers : tensor of shape (n_samples,), float32
        Parity of the task's bits, 0 or 1.
    """

    tasks: torch.Tensor
    bits: torch.Tensor
    answers: torch.Tensor

    def __len__(self) -> int:
        return len(self.tasks)


def draw_tasks(n_tasks: int, n_bits: int, k: int, alpha: float, seed: int = 0) -> Tasks:
    """Draw distinct subsets of bits, by rejection, and give them Zipfian frequencies.

    Parameters
    ----------
    n_tasks, n_bits, k : int
        At least 1; k at most n_bits, n_tasks at most the number of subsets of k bits.
    alpha : float
        Positive; task i (from 1) is asked with a probability proportional to i^−(alpha + 1).
    seed : int
        Of the subsets; the same for every alpha.

    Returns
    -------
    Tasks

    Raises
    ------
    FitError
        A count below 1, k > n_bits, more tasks than subsets, or alpha <= 0.

    Notes
    -----
    p_i = i^−(alpha+1) / Σ_{j<=n_tasks} j^−(alpha+1).

    References
    ----------
    Michaud et al., The Quantization Model of Neural Scaling, arXiv:2303.13506, section 3.1.

    Examples
    --------
    >>> tasks = draw_tasks(3, 4, 2, alpha=1.0)
    >>> tasks.subsets.shape, tasks.probabilities.round(3).tolist()
    ((3, 2), [0.735, 0.184, 0.082])
    """
    for name, value in (("tasks", n_tasks), ("bits", n_bits), ("bits a task", k)):
        if value < 1:
            raise FitError(f"the number of {name} must be at least 1, but is {value}")
    if k > n_bits:
        raise FitError(f"a parity of {k} bits cannot be taken of a string of {n_bits}")
    most = math.comb(n_bits, k)
    if n_tasks > most:
        raise FitError(f"{n_tasks} different tasks are asked for, but {n_bits} bits have only {most} subsets of {k}")
    frequencies = probabilities(np.arange(1, n_tasks + 1), alpha, n_tasks)
    rng = np.random.default_rng([seed, Purpose.SUBSETS])
    found: dict[tuple[int, ...], None] = {}
    while len(found) < n_tasks:
        found[tuple(sorted(rng.choice(n_bits, k, replace=False).tolist()))] = None
    return Tasks(np.array(list(found), np.int16), frequencies / frequencies.sum(), n_bits, alpha, seed)


def samples_of(tasks: Tasks, task_indices: NDArray[np.integer], bits: NDArray[np.integer]) -> Samples:
    """Make samples of tasks and bits that are known.

    Parameters
    ----------
    tasks : Tasks
    task_indices : ndarray of shape (n_samples,), int
        From 0; sorted here, and the bits with them.
    bits : ndarray of shape (n_samples, n_bits), int
        Zeros and ones.

    Returns
    -------
    Samples

    Examples
    --------
    >>> tasks = draw_tasks(1, 2, 2, alpha=1.0)
    >>> samples_of(tasks, np.zeros(3, int), np.array([[0, 0], [0, 1], [1, 1]])).answers.tolist()
    [0.0, 1.0, 0.0]
    """
    order = np.argsort(task_indices, kind="stable")
    chosen = torch.from_numpy(np.asarray(task_indices, np.int64)[order])
    table = torch.from_numpy(np.asarray(bits, np.float32)[order])
    return Samples(chosen, table, _answers(torch.from_numpy(tasks.subsets.astype(np.int64)), chosen, table))


class Source:
    """Samples without end (online), or the same `n_samples` again and again in a new order every epoch.

    Parameters
    ----------
    tasks : Tasks
    batch_size : int
        Samples a step; of a smaller training set, all.
    n_samples : int, optional
        Size of the training set; None draws every batch anew.
    device : str or torch.device

    Notes
    -----
    A batch is drawn by inverse transform: as many uniform numbers as samples are looked up among the cumulated
    probabilities, the index of the last task being the largest possible. Bits are unpacked from random words.

    Examples
    --------
    >>> source = Source(draw_tasks(5, 8, 2, alpha=0.4), batch_size=100)
    >>> torch.equal(source.batch(3).bits, source.batch(3).bits)
    True
    """

    def __init__(
        self, tasks: Tasks, batch_size: int, n_samples: int | None = None, device: str | torch.device = "cpu"
    ) -> None:
        if batch_size < 1 or (n_samples is not None and n_samples < 1):
            raise FitError(f"a batch and a training set hold at least 1 sample, not {batch_size} and {n_samples}")
        self.tasks = tasks
        self.batch_size = batch_size if n_samples is None else min(batch_size, n_samples)
        self.n_samples = n_samples
        self.device = torch.device(device)
        self.cumulated = torch.from_numpy(np.cumsum(tasks.probabilities)).to(self.device)
        self.subsets = torch.from_numpy(tasks.subsets.astype(np.int64)).to(self.device)
        self.table = _FLOATS_OF_BYTE.to(self.device)
        self._set: tuple[torch.Tensor, torch.Tensor] | None = None
        self._order: tuple[int, torch.Tensor] | None = None

    def batch(self, step: int) -> Samples:
        """Samples of one training step, from 0."""
        if self.n_samples is None:
            draw = self._generator(Purpose.TRAINING, step)
            chosen = self._draw_tasks(self.batch_size, draw)
            return self._samples(chosen.sort().values, self._draw_bits(self.batch_size, draw))
        chosen, packed = self._training_set
        index = self._positions(step * self.batch_size, self.batch_size)
        picked, order = chosen[index].sort()
        return self._samples(picked.long(), packed[index[order]])

    def test(self, step: int, counts: NDArray[np.int64]) -> Iterator[Samples]:
        """New samples, `counts[i]` of task i, in parts: the test set of one log."""
        draw = self._generator(Purpose.TEST, step)
        chosen = torch.repeat_interleave(torch.from_numpy(np.asarray(counts, np.int64)).to(self.device))
        for part in chosen.split(PART):
            yield self._samples(part, self._draw_bits(len(part), draw))

    def seen(self, n_most: int) -> Iterator[Samples]:
        """The first samples of the training set, at most so many, in parts; none where every batch is new."""
        if self.n_samples is not None:
            chosen, packed = self._training_set
            order = chosen[:n_most].argsort()
            for part in order.split(PART):
                yield self._samples(chosen[part].long(), packed[part])

    @property
    def _training_set(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Tasks (n_samples,), int16, and packed bits (n_samples, n_bytes), uint8."""
        if self._set is None:
            n = self.n_samples or 0
            draw = self._generator(Purpose.TRAINING_SET, n)
            self._set = self._draw_tasks(n, draw).to(torch.int16), self._draw_bits(n, draw)
        return self._set

    def _positions(self, first: int, n: int) -> torch.Tensor:
        """Indices of `n` samples from the first-th on of all epochs end to end."""
        size = self.n_samples or 0
        parts = []
        while n:
            epoch, start = divmod(first, size)
            parts.append(self._epoch_order(epoch)[start : start + n])
            first, n = first + len(parts[-1]), n - len(parts[-1])
        return torch.cat(parts)

    def _epoch_order(self, epoch: int) -> torch.Tensor:
        if self._order is None or self._order[0] != epoch:
            draw = self._generator(Purpose.ORDER, self.n_samples or 0, epoch)
            self._order = epoch, torch.randperm(self.n_samples or 0, generator=draw, device=self.device)
        return self._order[1]

    def _generator(self, *purpose: int) -> torch.Generator:
        facts = [self.tasks.seed, round(self.tasks.alpha * 1e9), *(int(one) for one in purpose)]
        state = np.random.SeedSequence(facts).generate_state(1, np.uint64)
        return torch.Generator(self.device).manual_seed(int(state[0]) >> 1)

    def _draw_tasks(self, n: int, draw: torch.Generator) -> torch.Tensor:
        uniform = torch.rand(n, generator=draw, device=self.device, dtype=torch.float64)
        return torch.searchsorted(self.cumulated, uniform, right=True).clamp_(max=self.tasks.n_tasks - 1)

    def _draw_bits(self, n: int, draw: torch.Generator) -> torch.Tensor:
        """Packed bits (n, n_bytes), uint8."""
        n_bytes = -(-self.tasks.n_bits // PACKED)
        words = torch.empty(-(-n * n_bytes // 8), dtype=torch.int64, device=self.device)
        words.random_(-(2**63), None, generator=draw)
        return words.view(torch.uint8)[: n * n_bytes].view(n, n_bytes)

    def _samples(self, chosen: torch.Tensor, packed: torch.Tensor) -> Samples:
        flat = self.table.index_select(0, packed.reshape(-1).int())
        bits = flat.view(len(chosen), -1)[:, : self.tasks.n_bits]
        return Samples(chosen, bits, _answers(self.subsets, chosen, bits))


def _answers(subsets: torch.Tensor, chosen: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    return bits.gather(1, subsets.index_select(0, chosen)).sum(1).remainder_(2)
