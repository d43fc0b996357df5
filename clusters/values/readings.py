"""What queries read of clusters and tokens and charts draw: plain values, known to both."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

Unit = Literal["nats", "bits"]


@dataclass(frozen=True, eq=False)
class Similarities:
    """Cosines among sampled members of a cluster, and from them to sampled tokens outside it."""

    rows: np.ndarray  # (n,): the sampled members' rows of the similarity matrix, ascending
    members: np.ndarray  # (n, n)
    across: np.ndarray  # (n · n_outside,)
    n_members: int
    n_outside: int
    n_all_outside: int

    @property
    def n_sampled(self) -> int:
        return len(self.rows)

    @property
    def within(self) -> np.ndarray:
        """Every pair of sampled members once."""
        return self.members[np.triu_indices(self.n_sampled, 1)]

    @property
    def means(self) -> np.ndarray:
        """Each sampled member's mean cosine with the others, (n,); of a lone one, 1."""
        if self.n_sampled < 2:
            return np.ones(self.n_sampled)
        sums = self.members.sum(axis=1, dtype=np.float64) - np.diagonal(self.members)
        return sums / (self.n_sampled - 1)

    @property
    def margin(self) -> float | None:
        """Half the 95% interval of the mean within; members are independent, not pairs: Var ≈ 4 σ²/n."""
        if self.n_sampled < 3:
            return None
        return 1.96 * 2 * float(self.means.std(ddof=1)) / math.sqrt(self.n_sampled)


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
class Match:
    """A cluster of another clustering that holds some of this one's tokens."""

    affinity: str
    k: int
    label: int
    n_shared: int
    size: int
    jaccard: float  # shared tokens over tokens in either


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
