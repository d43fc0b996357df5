"""What the crowd looks at: ten million predictions, a thousand clusters of 10,000 tokens, few training steps."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.paper.plan import STEPS, Plan

K = 400  # the clustering that people look at and label
N_PEOPLE = 20  # with an account, a key and labels of their own


@dataclass(frozen=True)
class LoadPlan(Plan):
    """The paper's text and tokens (100,000 memberships), without its 143 steps, which nobody here asks for."""

    n_stepped: int = 1

    @property
    def steps(self) -> tuple[int, ...]:
        return STEPS[::-20][::-1]

    @property
    def ks(self) -> tuple[int, ...]:
        fitting = tuple(k for k in (10, 50, 100, 200, K) if k <= self.n_selected // 6)
        return fitting or (2, 3, 5, 8)
