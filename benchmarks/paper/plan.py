"""How large the bundle becomes."""

from __future__ import annotations

from dataclasses import dataclass

from compute.config import PAPER_KS
from compute.registry import Size, known_suite

SUITE = "pythia-v0"
N_PREDICTIONS, N_DOCUMENTS, N_SELECTED = 10_658_635, 20_000, 10_000  # the paper's
MAX_LENGTH = 1024
N_VOCABULARY = 50_254
N_SKETCH = 8192
N_MAPPED = 100_000
SIZES: tuple[Size, ...] = known_suite(SUITE).sizes[:7]
STEPS = tuple(range(1000, 143_001, 1000))
STEPPED = ("pythia-70m-v0", "pythia-410m-v0", "pythia-160m-v0", "pythia-1b-v0", "pythia-1.4b-v0")  # as room allows
CLUSTERED = STEPPED[0]
SMALL_KS = (2, 3, 5, 8)


@dataclass(frozen=True)
class Plan:
    """What is asked for: the paper's size, or a share of it for tests."""

    scale: float = 1.0
    n_stepped: int = 2  # networks with all their training steps
    seed: int = 0

    @property
    def n_predictions(self) -> int:
        return max(2000, round(N_PREDICTIONS * self.scale))

    @property
    def n_documents(self) -> int:
        return max(20, round(N_DOCUMENTS * self.scale))

    @property
    def n_selected(self) -> int:
        return max(60, round(N_SELECTED * self.scale))

    @property
    def n_mapped(self) -> int:
        return min(self.n_predictions, max(200, round(N_MAPPED * self.scale)))

    @property
    def n_vocabulary(self) -> int:
        return N_VOCABULARY if self.scale >= 0.1 else 3000

    @property
    def n_sketch(self) -> int:
        return N_SKETCH if self.scale >= 0.1 else 256

    @property
    def steps(self) -> tuple[int, ...]:
        return STEPS if self.scale >= 0.1 else STEPS[::-20][::-1]

    @property
    def stepped(self) -> tuple[str, ...]:
        return STEPPED[: self.n_stepped]

    @property
    def ks(self) -> tuple[int, ...]:
        fitting = tuple(k for k in PAPER_KS if k <= self.n_selected // 6)
        return fitting if len(fitting) > 3 else tuple(sorted({*SMALL_KS, *fitting}))

    @property
    def columns(self) -> list[tuple[Size, int]]:
        """Every checkpoint, by size and then step."""
        return [(size, step) for size in SIZES for step in (self.steps if size.lm in self.stepped else self.steps[-1:])]

    @property
    def n_bytes(self) -> int:
        """What the bundle takes on disk, roughly."""
        curves = self.n_predictions * (4 * len(self.columns) + 2 * len(self.steps) * self.n_stepped + 4 * 14 + 4)
        return curves + 8 * self.n_selected**2 + 2 * self.n_selected * self.n_sketch + 50_000_000
