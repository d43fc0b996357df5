"""Shades of a density: the logarithm of a count in eight steps, and a legend that says what they stand for."""

from __future__ import annotations

import math

from clusters.charts.numbers import count

N_SHADES = 8


def shade(n: int, most: int) -> int:
    """The step of a count between 1 and the largest one."""
    return min(N_SHADES - 1, int(N_SHADES * math.log(n) / math.log(most + 1))) if most > 1 else 0


def shade_legend(most: int, noun: str) -> list[tuple[str, str, str]]:
    """Every second shade with the smallest count that it stands for."""
    firsts = [next((n for n in _candidates(most) if shade(n, most) == step), None) for step in range(N_SHADES)]
    rows = [(step, first) for step, first in enumerate(firsts) if first is not None and first <= most]
    kept = rows[::-2][:4][::-1]
    return [
        ("square", f"h{step}", f"{count(first)}+" + (f" {noun}" if step == kept[-1][0] else "")) for step, first in kept
    ]


def _candidates(most: int) -> list[int]:
    """Where shades may begin, without trying every count."""
    guesses = {math.ceil((most + 1) ** (step / N_SHADES)) for step in range(N_SHADES)}
    return sorted({max(1, guess + shift) for guess in guesses for shift in (-1, 0, 1)})
