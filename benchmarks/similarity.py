"""Similarities of 10,000 tokens, both affinities, from stored sketches: each pair of rows once by a symmetric update;
against the published procedure's blocks of 250, multiplied pair by pair in float32.
"""

from __future__ import annotations

import resource
import sys
from functools import cache

import numpy as np

from benchmarks.case import Case
from benchmarks.probe import product_seconds
from compute.numerics.similarity import GramAccumulator
from compute.numerics.sketch import SIZE

N_TOKENS, BLOCK = 10_000, 250
GRAM_COLUMNS = 16_384

Cosines = tuple[np.ndarray, np.ndarray]


@cache
def sketches() -> np.ndarray:
    """Two tables of sketches (2, S, k), float16, in groups of like ones."""
    rng = np.random.default_rng(0)
    tables = np.empty((2, N_TOKENS, SIZE), np.float16)
    for table in tables:
        centres = rng.standard_normal((100, SIZE), dtype=np.float32)
        for row in table:
            row[:] = 0.7 * centres[rng.integers(100)] + 0.7 * rng.standard_normal(SIZE, dtype=np.float32)
    return tables


def in_blocks() -> Cosines:
    signed, absolute = (_in_blocks(table) for table in sketches())
    return signed, absolute


def _in_blocks(table: np.ndarray) -> np.ndarray:
    cosine = np.empty((N_TOKENS, N_TOKENS), np.float32)
    rows = table.astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for i in range(0, N_TOKENS, BLOCK):
        for j in range(i, N_TOKENS, BLOCK):
            part = rows[i : i + BLOCK] @ rows[j : j + BLOCK].T
            cosine[i : i + BLOCK, j : j + BLOCK] = part
            cosine[j : j + BLOCK, i : i + BLOCK] = part.T
    return cosine


def summed() -> Cosines:
    signed, absolute = (_summed(table) for table in sketches())
    return signed, absolute


def _summed(table: np.ndarray) -> np.ndarray:
    gram = GramAccumulator(N_TOKENS, SIZE, GRAM_COLUMNS, absolute=False)
    while not gram.done:
        gram.add([table])
    return gram.finish()[0]


def case() -> Case:
    sketches()
    products = 2 * (SIZE / GRAM_COLUMNS) * (N_TOKENS / BLOCK) ** 2 / 2
    return Case(
        about=f"{N_TOKENS:,} tokens, sketches of {SIZE:,}",
        reference=in_blocks,
        ours=summed,
        difference=lambda a, b: f"at most {max(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True)):.0e}",
        bound=lambda: product_seconds([(BLOCK, GRAM_COLUMNS, BLOCK, round(products))]),
        repeats=1,
    )


def main() -> None:
    """Ours alone, and the most memory that the process ever held."""
    sketches()
    summed()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"peak memory {peak / 1e9:.2f} GB, {sketches().nbytes / 1e9:.2f} GB of it sketches")


if __name__ == "__main__":
    main()
