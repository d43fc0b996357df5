"""What the demo suite is: its ladder of networks, their training recipe and the names of its files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VOCABULARY = 4096
END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
MAX_LENGTH = 256
CLUSTERED = "demo-793k"


@dataclass(frozen=True)
class Recipe:
    """How every network of the ladder is trained: the same rows in the same order."""

    seed: int = 20230323
    steps: int = 2400
    batch: int = 8
    warmup: int = 120
    final_lr_share: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    clip: float = 1.0

    def lr_share(self, step: int) -> float:
        """Linear warm-up, then linear decay to `final_lr_share` of the peak."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        left = (self.steps - step) / max(1, self.steps - self.warmup)
        return self.final_lr_share + (1 - self.final_lr_share) * left


@dataclass(frozen=True)
class Network:
    """One rung: width, depth, heads, peak learning rate, and whether its history is kept."""

    name: str
    d_model: int
    n_layers: int
    n_heads: int
    lr: float
    has_history: bool = False

    @property
    def n_non_embedding(self) -> int:
        """Parameters outside both embedding matrices: L(12d² + 13d) + 2d."""
        return self.n_layers * (12 * self.d_model**2 + 13 * self.d_model) + 2 * self.d_model

    def checkpoint_steps(self, recipe: Recipe) -> list[int]:
        """Steps whose weights are kept: 0, ten log-spaced ones and the last, or the last alone."""
        if not self.has_history:
            return [recipe.steps]
        spaced = np.geomspace(min(10, recipe.steps), recipe.steps, 11).round().astype(int)
        return sorted({0, *spaced.tolist()})


LADDER = (
    Network("demo-10k", 16, 3, 2, 1e-2),
    Network("demo-38k", 32, 3, 4, 8e-3, has_history=True),
    Network("demo-150k", 64, 3, 4, 5e-3, has_history=True),
    Network("demo-336k", 96, 3, 4, 4e-3),
    Network("demo-793k", 128, 4, 4, 3e-3, has_history=True),
    Network("demo-3m", 256, 4, 8, 2e-3),
)
# The clustered network first: its clusters are judged while the others train.
TRAINING_ORDER = ("demo-793k", "demo-150k", "demo-38k", "demo-336k", "demo-10k", "demo-3m")
