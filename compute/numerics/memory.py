"""Batches that shrink when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch

from compute.errors import CheckpointError

MOST_HALVINGS = 2
SAID_BY_ALLOCATORS = (  # RuntimeError is all that some of them raise
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)

Result = TypeVar("Result")


def halving_batches(
    items: np.ndarray, size: Callable[[np.ndarray], int], work: Callable[[np.ndarray], Result]
) -> Iterator[tuple[np.ndarray, Result]]:
    """Work through items batch by batch; where memory runs out, go on with batches half as large.

    Parameters
    ----------
    items : ndarray of shape (n, ...)
        What is to be done, in order; largest first, so that memory runs out at once or never.
    size : callable
        Given the items that are left, how many of them the next batch should hold; less than 1 counts as 1.
    work : callable
        Does one batch. It may be called again with fewer of the same items, so it must not keep what it did.

    Yields
    ------
    batch : ndarray
        The items done, from the front.
    result
        What ``work`` gave for them.

    Raises
    ------
    CheckpointError
        If memory runs out although batches were halved twice, or for a single item.

    Examples
    --------
    >>> [(batch.tolist(), n) for batch, n in halving_batches(np.arange(5), lambda left: 2, len)]
    [([0, 1], 2), ([2, 3], 2), ([4], 1)]
    """
    tried: list[int] = []
    while len(items):
        batch = items[: max(1, size(items) >> len(tried))]
        result = _unless_out_of_memory(work, batch)
        if result is not None:
            yield batch, result[0]
            items = items[len(batch) :]
            continue
        tried.append(len(batch))
        if len(tried) > MOST_HALVINGS or len(batch) == 1:
            sizes = ", then ".join(str(n) for n in tried)
            raise CheckpointError(
                f"Memory ran out with {sizes} text{'' if tried == [1] else 's'} at a time. Free memory on this "
                "machine or its GPU, allow fewer tokens in a batch, cut documents shorter (max_length), or use a "
                "machine with more memory."
            )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, of the machine or of a GPU, ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SAID_BY_ALLOCATORS)


def _unless_out_of_memory(work: Callable[[np.ndarray], Result], batch: np.ndarray) -> tuple[Result] | None:
    """The result in a tuple, or None; what the failed attempt held is free again on return."""
    try:
        return (work(batch),)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
