"""Losses of every prediction: known from the start, learned in one step, gradually, never, or unlearned.

Every loss is a number of half precision, as `curves/steps` holds it. So a column's histogram, mean and quantiles
follow exactly from how often each of these numbers occurs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.paper.plan import SIZES, STEPS, Plan

BLOCK = 65_536  # predictions worked on at a time
N_CODES = 0x7C00  # numbers of half precision from 0 up to infinity
VALUES = np.arange(N_CODES, dtype=np.uint16).view(np.float16).astype(np.float64)
X = np.log([size.n_non_embedding for size in SIZES]).astype(np.float32)
KIND_SHARES = (0.09, 0.13, 0.53, 0.23, 0.02)
KNOWN, STEP, GRADUAL, FLAT, INVERSE = range(5)
LN_STEPS = np.log(STEPS)
START_NATS = 10.8  # ln of the vocabulary
NOISE = np.exp(0.05 * np.random.default_rng(7).standard_normal(1 << 21, np.float32))

Floats = np.ndarray


def blocks(n: int) -> list[tuple[int, slice]]:
    """Number and place of every block."""
    return [(i, slice(first, min(first + BLOCK, n))) for i, first in enumerate(range(0, n, BLOCK))]


def final_losses(plan: Plan, block: int, answer_ids: np.ndarray) -> Floats:
    """Losses of a block of predictions at the end of training, float16 (n_sizes, n)."""
    rng = np.random.Generator(np.random.SFC64([plan.seed, 10, block]))
    n = len(answer_ids)
    kind = np.searchsorted(np.cumsum(KIND_SHARES)[:-1], rng.random(n, np.float32), side="right")
    rarity = np.log1p(answer_ids, dtype=np.float32) / np.float32(np.log(plan.n_vocabulary))
    high = (np.float32(1.1) + 6 * rarity) * rng.uniform(0.5, 1.2, n).astype(np.float32)
    low = high * rng.uniform(0.0, 0.5, n).astype(np.float32)
    width = rng.uniform(1.2, 3.0, n).astype(np.float32)
    centre = rng.uniform(X[0] - 1, X[-1] + 1, n).astype(np.float32)
    tiny = np.exp(1.4 * rng.standard_normal(n, np.float32) - 4)
    step, known, flat, inverse = (kind == k for k in (STEP, KNOWN, FLAT, INVERSE))
    high[step] = np.maximum(high[step], 2) + rng.uniform(1, 6, np.count_nonzero(step))
    low[step], width[step] = tiny[step] * 2, 0.06
    high[known] = low[known] = tiny[known] / 3
    low[flat] = high[flat]
    low[inverse] = high[inverse] * 1.6
    losses = low + (high - low) / (1 + np.exp(np.minimum((X[:, None] - centre) / width, 80)))
    losses *= NOISE[rng.integers(0, len(NOISE), n)] * np.exp(0.04 * rng.standard_normal(losses.shape, np.float32))
    return losses.astype(np.float16)


def step_losses(plan: Plan, network: int, block: int, final: Floats, answer_ids: np.ndarray) -> Floats:
    """Losses of a block over a network's training, float16 (n_steps, n); the last row is `final`."""
    rng = np.random.Generator(np.random.SFC64([plan.seed, 20 + network, block]))
    n = len(final)
    last = final.astype(np.float32)
    rarity = np.log1p(answer_ids, dtype=np.float32) / np.float32(np.log(plan.n_vocabulary))
    middle = np.float32(5) + 4 * rarity + rng.standard_normal(n, np.float32)  # ln of the step at half height
    power = rng.uniform(0.7, 2.5, n).astype(np.float32)
    late = rng.random(n, np.float32) < 0.2
    middle[late] = rng.uniform(LN_STEPS[1], LN_STEPS[-2], np.count_nonzero(late))
    power[late] = 9
    height = np.float32(START_NATS) * NOISE[rng.integers(0, len(NOISE), n)] - last
    found = np.empty((len(plan.steps), n), np.float16)
    for row, step in enumerate(plan.steps[:-1]):
        value = np.subtract(np.float32(np.log(step)), middle)
        value *= power
        np.exp(value, out=value)
        value += 1
        np.divide(height, value, out=value)
        value += last
        place = int(rng.integers(0, len(NOISE) - n))
        value *= NOISE[place : place + n]
        found[row] = value
    found[-1] = final
    return found


@dataclass(frozen=True, eq=False)
class Column:
    """What the manifest and the histograms say of one checkpoint's losses."""

    counts: np.ndarray  # int64 (N_CODES,): how often each number of half precision occurs

    @property
    def mean(self) -> float:
        return float(self.counts @ VALUES / self.counts.sum())

    def quantiles(self, shares: tuple[float, ...]) -> dict[str, float]:
        """The smallest loss with at least this share of all at or below it."""
        reached, n = np.cumsum(self.counts), int(self.counts.sum())
        ranks = [max(int(np.ceil(share * n)) - 1, 0) for share in shares]
        places = np.searchsorted(reached, ranks, side="right")
        return {str(share): float(VALUES[place]) for share, place in zip(shares, places, strict=True)}

    def fine_counts(self, edges: Floats) -> np.ndarray:
        """Losses between edges, the last included, and above the last, int32."""
        between = np.histogram(VALUES, edges, weights=self.counts.astype(np.float64))[0]
        above = self.counts[np.searchsorted(VALUES, edges[-1], side="right") :].sum()
        return np.append(between, above).astype(np.int32)

    def log_counts(self, edges: Floats) -> np.ndarray:
        """Losses below, between and above edges, int64."""
        place = np.searchsorted(edges, VALUES, side="right")
        return np.bincount(place, self.counts, minlength=len(edges) + 1).astype(np.int64)


def count_codes(half: Floats) -> np.ndarray:
    """How often each number of half precision occurs, int64 (N_CODES,)."""
    return np.bincount(half.view(np.uint16), minlength=N_CODES)
