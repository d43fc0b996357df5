"""The intruder test in numbers: what a question shows, and how often the intruder was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from compute.numerics.proportions import at_least, wilson

N_SHOWN, N_MEMBERS = 5, 4
BY_GUESSING = 1 / N_SHOWN
BY_CHANCE = 0.025  # guessing that is right as often is less likely than that


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
    def is_told(self) -> bool:
        """Whether guessing would hardly be right as often."""
        return at_least(self.n_right, self.n_asked, BY_GUESSING) < BY_CHANCE

    @property
    def verdict(self) -> str:
        """Against guessing: by how likely that is to be right as often, or as seldom."""
        if self.is_told:
            return "more often than by guessing"
        is_less = 1 - at_least(self.n_right + 1, self.n_asked, BY_GUESSING) < BY_CHANCE
        return "less often than by guessing" if is_less else "not told from guessing yet"


@dataclass(frozen=True)
class Scored:
    """A cluster, or a person, with its score."""

    thing: Any
    score: IntruderScore
