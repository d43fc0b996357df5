"""How fast this machine multiplies and copies, now, with the current number of threads."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch

from compute.numerics.packing import linear_map

Shape = tuple[int, int, int, float]  # m, k, n, count: (m, k) @ (k, n), so many times

SQUARE = 2048
COPIED_BYTES = 1 << 28  # well beyond any cache


def product_seconds(shapes: Sequence[Shape], dtype: torch.dtype = torch.float32) -> float:
    """Seconds that these matrix products take: each distinct shape is timed and multiplied by its count.

    The second factor is stored as a weight (n, k). The faster of two kernels counts: the plain product into memory that
    is already there, and the product with a weight packed beforehand.
    """
    rows: dict[tuple[int, int, int], float] = {}
    for m, k, n, _ in shapes:
        if (m, k, n) not in rows:
            rows[m, k, n] = _one_product(m, k, n, dtype)
    return sum(rows[m, k, n] * count for m, k, n, count in shapes)


def product_rate(dtype: torch.dtype = torch.float32) -> float:
    """GF/s of a square product."""
    return 2 * SQUARE**3 / product_seconds([(SQUARE, SQUARE, SQUARE, 1)], dtype) / 1e9


def copy_rate() -> float:
    """GB/s at which memory is copied, counting what is read and what is written."""
    source = torch.ones(COPIED_BYTES // 4)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / _median_seconds(lambda: target.copy_(source)) / 1e9


def _one_product(m: int, k: int, n: int, dtype: torch.dtype) -> float:
    left, weight = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype)
    out = torch.empty(m, n, dtype=dtype)
    with torch.inference_mode():
        packed = linear_map(weight, None, m)
        plain_s = _median_seconds(lambda: torch.mm(left, weight.T, out=out))
        return min(plain_s, _median_seconds(lambda: packed(left)))


def _median_seconds(work: Callable[[], object], least: int = 5, seconds: float = 0.2) -> float:
    """Median over at least so many runs and at least so long, after one that warms up."""
    work()
    times: list[float] = []
    while len(times) < least or sum(times) < seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
