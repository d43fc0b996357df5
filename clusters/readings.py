"""What queries read of clusters and tokens and charts draw: plain values, known to both."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

Unit = Literal["nats", "bits"]


@dataclass(frozen=True)
class Similarities:
    """Cosines of pairs within a cluster and from its members to all other clustered tokens."""

    within: np.ndarray
    across: np.ndarray
    n_members: int
    n_sampled: int


@dataclass(frozen=True)
class Part:
    """A cluster's tokens in one cluster of another clustering; label None gathers the small ones."""

    label: int | None
    n_shared: int
    size: int
    n_clusters: int = 1

    def jaccard(self, n_tokens: int) -> float:
        """Overlap of both clusters: shared tokens over tokens in either."""
        return self.n_shared / (n_tokens + self.size - self.n_shared)


@dataclass(frozen=True)
class Rung:
    """One k of the crosswalk: its parts by size, and how many tokens go from each to each part of the next rung."""

    k: int
    parts: list[Part]
    flows: Counter[tuple[int, int]]  # (place of the part here, place of the part in the next rung) → tokens


@dataclass(frozen=True)
class Scores:
    """How one token's loss curve over sizes looks; None where it cannot be told."""

    monogenicity: float | None
    n_eff: float | None
    amplitude_bits: float | None
    linearity: float | None
    breakthroughness: float | None
    curve_class: str


@dataclass(frozen=True)
class StepCurve:
    """Losses in nats of some tokens over the training steps of one network."""

    lm: str
    n_non_embedding: int
    steps: list[int]
    losses: np.ndarray  # (n_tokens, n_steps)
