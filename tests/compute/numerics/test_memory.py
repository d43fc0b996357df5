"""Batches shrink when memory runs out, twice at most."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compute.errors import CheckpointError
from compute.numerics.memory import halving_batches, is_out_of_memory


def room_for(n: int, error: Exception):
    """Work that fails with more than n items."""
    sizes: list[int] = []

    def work(batch: np.ndarray) -> int:
        sizes.append(len(batch))
        if len(batch) > n:
            raise error
        return int(batch.sum())

    return work, sizes


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:126] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."),
    ],
)
def test_batches_are_halved_until_they_fit_and_stay_so(error: Exception) -> None:
    work, sizes = room_for(2, error)
    done = list(halving_batches(np.arange(10), lambda left: 8, work))
    assert [batch.tolist() for batch, _ in done] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert [total for _, total in done] == [1, 5, 9, 13, 17]
    assert sizes == [8, 4, 2, 2, 2, 2, 2]


def test_after_two_halvings_a_sentence_says_what_was_tried() -> None:
    work, sizes = room_for(1, MemoryError())
    with pytest.raises(CheckpointError, match="8, then 4, then 2 texts at a time"):
        list(halving_batches(np.arange(10), lambda left: 8, work))
    assert sizes == [8, 4, 2]


def test_a_single_item_cannot_be_halved() -> None:
    work, sizes = room_for(0, MemoryError())
    with pytest.raises(CheckpointError, match="with 1 text at a time"):
        list(halving_batches(np.arange(3), lambda left: 0, work))
    assert sizes == [1]


def test_other_errors_pass_through() -> None:
    work, sizes = room_for(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        list(halving_batches(np.arange(3), lambda left: 2, work))
    assert sizes == [2]


def test_what_the_allocator_says_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
