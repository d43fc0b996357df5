"""Whether what a small network has learned stays learned in larger ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compute.errors import FitError

ROWS_PER_BLOCK = 1 << 18


@dataclass(frozen=True, eq=False)
class Persistence:
    """Tokens by the first size at which they are learned.

    Attributes
    ----------
    n_first : ndarray of shape (n_sizes,), int64
        Tokens whose loss lies below the threshold at this size and at no smaller one.
    n_staying : ndarray of shape (n_sizes,), int64
        Those of them whose loss lies below it at every larger size, too; at the last size all do.
    """

    n_first: NDArray[np.int64]
    n_staying: NDArray[np.int64]


def persistence(losses: np.ndarray, *, threshold: float) -> Persistence:
    """Count tokens by the first size at which their loss is low, and those that stay so.

    Parameters
    ----------
    losses : ndarray of shape (n_tokens, n_sizes), float
        Losses, columns by size ascending; a memory map is read once, block by block.
    threshold : float
        In the unit of the losses; a loss must lie below it.

    Returns
    -------
    Persistence

    Raises
    ------
    FitError
        If the losses have no two dimensions or no column.

    References
    ----------
    Michaud et al., The Quantization Model of Neural Scaling, arXiv:2303.13506, section 5 (below 0.3 nats).

    Examples
    --------
    >>> found = persistence(np.array([[0.1, 0.2, 0.1], [0.1, 0.9, 0.1], [3.0, 0.1, 0.2]]), threshold=0.3)
    >>> found.n_first, found.n_staying
    (array([2, 1, 0]), array([1, 1, 0]))
    """
    if losses.ndim != 2 or losses.shape[1] == 0:
        raise FitError(f"losses must be of shape (n_tokens, n_sizes), but are {losses.shape}")
    n_sizes = losses.shape[1]
    n_first, n_staying = np.zeros(n_sizes, np.int64), np.zeros(n_sizes, np.int64)
    for start in range(0, len(losses), ROWS_PER_BLOCK):
        is_low = np.asarray(losses[start : start + ROWS_PER_BLOCK]) < threshold
        is_low = is_low[is_low.any(axis=1)]
        first = is_low.argmax(axis=1)
        n_first += np.bincount(first, minlength=n_sizes)
        stays = is_low.sum(axis=1) == n_sizes - first
        n_staying += np.bincount(first[stays], minlength=n_sizes)
    return Persistence(n_first, n_staying)
