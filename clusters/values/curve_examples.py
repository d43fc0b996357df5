"""Curves to begin with: the paper's six tokens, and curves that were made up to show a shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from compute.numerics.bnsl import Break, BrokenPowerLaw
from compute.numerics.theories import Over

# bits at the paper's seven sizes, read from the vector graphics of its Figures 4 and 12
PAPER_TOKENS: tuple[tuple[str, str], ...] = (
    ("Sir(sa)", "11.616 12.540 12.500 11.297 0.422 0.223 0.056"),
    ("Marshall", "10.547 9.842 9.873 0.221 0.072 0.034 0.211"),
    ("V(TB)", "9.524 8.228 7.774 8.951 8.703 8.513 0.117"),
    ("inf(estation)", "9.134 7.681 5.683 4.366 4.116 3.219 1.680"),
    ("normal", "6.744 5.545 4.527 3.648 3.243 2.774 1.354"),
    ("consumer", "9.252 7.311 6.309 5.248 5.180 4.363 3.965"),
)
MADE_UP: tuple[tuple[str, Over, str], ...] = (
    ("double descent", "parameters", "1e5 3.2\n3e5 2.1\n1e6 1.6\n3e6 2.4\n1e7 3.3\n3e7 1.9\n1e8 1.1\n3e8 0.8\n1e9 0.7"),
    ("inverse scaling", "parameters", "2e7 0.9\n8e7 1.1\n3e8 1.6\n8e8 2.0\n2.5e9 2.9\n6.4e9 3.6"),
)
BREAK = BrokenPowerLaw(1.2, math.log(40), 0.2, (Break(at=2e4, change=0.35, width=0.4),))


@dataclass(frozen=True)
class Example:
    """A curve to open: its text and what it is."""

    name: str
    text: str
    over: Over = "parameters"
    ladder: str = ""
    unit: str = "nats"


def paper_examples() -> list[Example]:
    return [Example(name, text, ladder="paper", unit="bits") for name, text in PAPER_TOKENS]


def made_up_examples() -> list[Example]:
    """Shapes that the paper's tokens lack; the last is computed from a law with one break."""
    x = np.geomspace(1e2, 1e6, 33)
    text = "\n".join(f"{a:.4g} {y:.5g}" for a, y in zip(x, BREAK.predict(x), strict=True))
    return [
        *(Example(name, text, over) for name, over, text in MADE_UP),
        Example("a law with one break", text, "steps"),
    ]
