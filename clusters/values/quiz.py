"""The intruder test in numbers: what a question shows, and how often the intruder was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compute.numerics.proportions import wilson

N_SHOWN, N_MEMBERS = 5, 4
BY_GUESSING = 1 / N_SHOWN


@dataclass(frozen=True)
class IntruderScore:
    """How often the intruder was found."""

    n_right: int
    n_asked: int  # questions that were answered
    n_people: int
    n_open: int = 0  # questions that wait for an answer

    @property
    def share(self) -> float:
        return self.n_right / self.n_asked

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, 95 %; answers count as independent."""
        return wilson(self.n_right, self.n_asked)

    @property
    def low(self) -> float:
        return self.interval[0]

    @property
    def high(self) -> float:
        return self.interval[1]

    @property
    def sub(self) -> str:
        """How sure it is: "64–95%, 5 people"."""
        people = "1 person" if self.n_people == 1 else f"{self.n_people:,} people"
        return f"{self.between}, {people}"

    @property
    def between(self) -> str:
        return f"{round(100 * self.low)}–{round(100 * self.high)}%"

    @property
    def verdict(self) -> str:
        """Against guessing."""
        if self.low > BY_GUESSING:
            return "more often than by guessing"
        return "less often than by guessing" if self.high < BY_GUESSING else "not told from guessing yet"


@dataclass(frozen=True)
class Scored:
    """A cluster, or a person, with its score."""

    thing: Any
    score: IntruderScore
