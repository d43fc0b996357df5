"""What a document's page draws: its losses from end to end, and what two checkpoints differ by."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from clusters.charts.geometry import rect_path
from clusters.charts.numbers import count, fixed, percent

MOST_BARS = 600
TOP_NATS, SIGNED_TOP_NATS = 12.0, 6.0
HEIGHT = 48


class Strip(TypedDict):
    width: int  # in bars
    height: int
    base: float
    bars: list[dict[str, str]]  # {"css", "d"}
    pages: list[dict[str, float]]  # {"number", "x", "width", "is_here"}
    token_x: float | None
    description: str


@dataclass(frozen=True)
class Comparison:
    """Losses of one document under a checkpoint, or their difference to those under another."""

    n: int
    mean: float
    low: float  # of the 95% interval of the mean
    high: float
    share_better: float


def compared(differences: np.ndarray) -> Comparison | None:
    """Mean of differences in nats with its interval, tokens taken as independent; None without two known ones."""
    known = differences[np.isfinite(differences)]
    n = len(known)
    if n < 2:
        return None
    mean, half = float(known.mean()), 1.96 * float(known.std(ddof=1)) / math.sqrt(n)
    return Comparison(n, mean, mean - half, mean + half, float(np.mean(known < 0)))


def loss_words(losses: np.ndarray, corpus_mean: float | None, lm: str) -> tuple[str, str]:
    """Title and reading of a document's losses under one checkpoint."""
    found = compared(losses)
    if found is None:
        return "Too few losses are known to tell", ""
    reading = (
        f"Mean {fixed(found.mean)} nats (95% interval {fixed(found.low)} to {fixed(found.high)}, n = {count(found.n)} "
        "tokens, taken as independent)."
    )
    if corpus_mean is None or not math.isfinite(corpus_mean):
        return f"A mean loss of {fixed(found.mean)} nats under {lm}", reading
    than = f"the corpus’ mean of {fixed(corpus_mean)}"
    if found.low <= corpus_mean <= found.high:
        return f"About as hard for {lm} as the corpus", f"{reading} That includes {than}."
    word = "Easier" if found.mean < corpus_mean else "Harder"
    return f"{word} for {lm} than the corpus", f"{reading} {than[0].upper()}{than[1:]} lies outside."


def difference_words(differences: np.ndarray, name: str, other: str) -> tuple[str, str]:
    """Title and reading of what two checkpoints differ by."""
    found = compared(differences)
    if found is None:
        return "Too few losses are known to compare", ""
    reading = (
        f"Mean difference {fixed(found.mean)} nats (95% interval {fixed(found.low)} to {fixed(found.high)}, "
        f"n = {count(found.n)} tokens, taken as independent)."
    )
    if found.low <= 0 <= found.high:
        title = f"{name} and {other} predict this document about equally well"
    else:
        better, worse = (name, other) if found.mean < 0 else (other, name)
        title = f"{better} predicts this document better than {worse}"
    return title, f"{name} has the lower loss at {percent(found.share_better)} of tokens. {reading}"


def strip(
    values: np.ndarray, shades: Sequence[str], *, is_signed: bool, page: int, page_size: int, place: int | None
) -> Strip | None:
    """Losses along a document as bars from its beginning to its end, at most MOST_BARS; None without any.

    `shades` are those of the values, `place` that of the selected token.
    """
    n = len(values)
    if not n or not np.isfinite(values).any():
        return None
    per_bar = math.ceil(n / MOST_BARS)
    base = HEIGHT / 2 if is_signed else float(HEIGHT)
    by_shade: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    sizes = np.where(np.isfinite(values), np.abs(values), -1.0)
    for bar, start in enumerate(range(0, n, per_bar)):
        strongest = start if per_bar == 1 else start + int(np.argmax(sizes[start : start + per_bar]))
        if sizes[strongest] < 0:
            continue
        height = min(sizes[strongest] / (SIGNED_TOP_NATS if is_signed else TOP_NATS), 1.0) * base
        top = base if is_signed and values[strongest] < 0 else base - height
        by_shade[shades[strongest]].append((bar, top, 1, max(height, 0.5)))
    words = "Difference" if is_signed else "Loss"
    return {
        "width": math.ceil(n / per_bar), "height": HEIGHT, "base": base,
        "bars": [{"css": f"f{shade}", "d": rect_path(rects)} for shade, rects in sorted(by_shade.items())],
        "pages": _pages(n, page, page_size, per_bar), "token_x": None if place is None else (place + 0.5) / per_bar,
        "description": f"{words} of {n:,} tokens along the document"
        + (f"; of every {per_bar} the strongest" if per_bar > 1 else ""),
    }  # fmt: skip


def _pages(n: int, page: int, page_size: int, per_bar: int) -> list[dict[str, float]]:
    """Where the document's pages begin and end on the strip."""
    return [
        {"number": i + 1, "x": start / per_bar, "width": min(page_size, n - start) / per_bar, "is_here": i + 1 == page}
        for i, start in enumerate(range(0, n, page_size))
    ]
