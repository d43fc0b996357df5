"""One column of losses in a few numbers: mean, quantiles, and histograms with equal steps of losses and logarithms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from compute.errors import CheckpointError
from compute.numerics.losses import refuse_non_finite

SHARES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
LOG_EDGES = np.logspace(-7, 2, 181)  # nats, 20 bins a decade; float32 cannot tell a loss below 1e-7 from 0
FINE_EDGES = np.arange(15_001) * 0.002 * math.log(2)  # nats: 0 to 30 bits, 500 bins a bit
VALUES_PER_CHUNK = 1 << 20
_HALF = 16  # bits


@dataclass(frozen=True)
class LossSummary:
    """What `loss_summary` finds; every field is as JSON holds it.

    Attributes
    ----------
    n : int
        Losses.
    mean : float
        In nats, accumulated in float64.
    quantiles : dict from str to float
        In nats, named by share, from "0.001" to "0.999": the smallest loss with at least this share of all losses at
        or below it.
    log_counts : list of int
        Losses below `LOG_EDGES`, in each of its bins (the lower edge included), and at or above its end; they sum
        to ``n``.
    fine_counts : list of int
        Losses in each bin between `FINE_EDGES`, of which the last includes its upper edge, and above the last; a loss
        that rounding brought below 0 counts as 0. They sum to ``n``.
    """

    n: int
    mean: float
    quantiles: dict[str, float]
    log_counts: list[int]
    fine_counts: list[int]


def loss_summary(losses: np.ndarray) -> LossSummary:
    """Summarise a column of losses.

    Parameters
    ----------
    losses : ndarray of shape (n,), float32
        Losses in nats; a memory map is read twice, chunk by chunk, and never held whole.

    Raises
    ------
    CheckpointError
        If there is no loss, or one is not a finite number.

    Notes
    -----
    Quantiles are exact: numbers of float32 order as their bits do, so one pass counts the upper 16 bits and a second
    pass counts the lower 16 bits of those that share their upper bits with a quantile.

    Fine bins are 0.002 bits wide, so that 9, 5 or 3 of them merge to bins of 0.018, 0.01 or 0.006 bits: 1,000 and
    3,000 bins on [0, 18] bits and 3,000 on [0, 30] have exactly these counts, since no number of float32 lies between
    an edge of theirs and the same edge here.

    Examples
    --------
    >>> found = loss_summary(np.array([0.0, 1.0, 1.0, 6.0], np.float32))
    >>> found.mean, found.quantiles["0.5"], found.quantiles["0.95"]
    (2.0, 1.0, 6.0)
    >>> found.fine_counts[0], sum(found.fine_counts[:9_000]), sum(found.fine_counts)  # under 0.002 and 18 bits, all
    (1, 4, 4)
    """
    n = len(losses)
    if n == 0:
        raise CheckpointError("There are no losses to summarise: evaluate the checkpoint on some text first.")
    upper = np.zeros(1 << _HALF, np.int64)
    log_counts = np.zeros(len(LOG_EDGES) + 1, np.int64)
    fine_counts = np.zeros(len(FINE_EDGES), np.int64)
    total = 0.0
    for start, chunk in _chunks(losses):
        refuse_non_finite(chunk, start)
        total += float(chunk.sum(dtype=np.float64))
        upper += np.bincount(_ordered_bits(chunk) >> _HALF, minlength=len(upper))
        log_counts += np.bincount(np.searchsorted(LOG_EDGES, chunk, side="right"), minlength=len(log_counts))
        fine_counts[:-1] += np.histogram(np.maximum(chunk, 0), FINE_EDGES)[0]
        fine_counts[-1] += np.count_nonzero(chunk > FINE_EDGES[-1])
    values = _order_statistics(losses, upper, [max(int(np.ceil(share * n)) - 1, 0) for share in SHARES])
    quantiles = {str(share): value for share, value in zip(SHARES, values, strict=True)}
    return LossSummary(n, total / n, quantiles, log_counts.tolist(), fine_counts.tolist())


def _chunks(losses: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(losses), VALUES_PER_CHUNK):
        yield start, np.ascontiguousarray(losses[start : start + VALUES_PER_CHUNK], np.float32)


def _ordered_bits(values: np.ndarray) -> np.ndarray:
    """uint32 that order as the float32 values do."""
    bits = values.view(np.uint32)
    return bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))


def _order_statistics(losses: np.ndarray, upper: np.ndarray, ranks: list[int]) -> list[float]:
    """The values at these ranks (from 0) of the sorted losses, given how many share their upper bits."""
    reached = np.cumsum(upper)
    halves = np.searchsorted(reached, ranks, side="right")
    lower = {int(half): np.zeros(1 << _HALF, np.int64) for half in halves}
    for _, chunk in _chunks(losses):
        bits = _ordered_bits(chunk)
        tops = bits >> _HALF
        for half, counts in lower.items():
            counts += np.bincount(bits[tops == half] & 0xFFFF, minlength=len(counts))
    found = []
    for rank, half in zip(ranks, halves.tolist(), strict=True):
        within = rank - (reached[half] - upper[half])
        found.append((half << _HALF) + int(np.searchsorted(np.cumsum(lower[half]), within, side="right")))
    bits = np.array(found, np.uint32)
    bits ^= np.where(bits >> 31, np.uint32(0x80000000), np.uint32(0xFFFFFFFF))
    return bits.view(np.float32).astype(float).tolist()
