"""How much of what was clustered stands in the training text, word for word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compute.demo.documents import demo_documents
from compute.demo.recipe import END_OF_TEXT_ID
from compute.demo.suite import SUITE_FOLDER
from compute.demo.tokenizing import encode

CONTEXT = 16
_BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Overlap:
    """Which clustered tokens end a run of 16 + 1 tokens that the training text holds too."""

    share: float
    n_tokens: int
    n_seen: int
    n_short: int
    is_seen: np.ndarray


def training_stream(cache_dir: Path | str | None = None, suite: Path = SUITE_FOLDER) -> np.ndarray:
    """Return the training part as one int32 stream, its documents joined by the end-of-text token."""
    texts, _, _ = demo_documents("train", cache_dir)
    return joined(encode(texts, suite))


def joined(documents: Sequence[Sequence[int]]) -> np.ndarray:
    """Join documents by the end-of-text token."""
    parts = [np.asarray([*ids, END_OF_TEXT_ID], dtype=np.int32) for ids in documents]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)


def training_overlap(
    contexts: Sequence[Sequence[int]], answers: Sequence[int], stream: np.ndarray | None = None
) -> Overlap:
    """Tell which (last 16 tokens of the context, answer) occur in the training stream.

    `contexts` are token ids before each clustered token (their last 16 are enough), `answers` its own id.
    Tokens with fewer than 16 before them can't be looked up; they count as not seen and in `n_short`.
    """
    stream = training_stream() if stream is None else np.asarray(stream)
    runs = np.zeros((len(answers), CONTEXT + 1), dtype=np.int64)
    is_long = np.zeros(len(answers), dtype=bool)
    for i, (context, answer) in enumerate(zip(contexts, answers, strict=True)):
        if len(context) >= CONTEXT:
            runs[i] = [*context[-CONTEXT:], answer]
            is_long[i] = True
    known = _hashes(stream.astype(np.int64))
    is_seen = is_long & np.isin(_hash_columns(runs.T), known)
    n = len(answers)
    share = float(is_seen.mean()) if n else 0.0
    return Overlap(share, n, int(is_seen.sum()), int(n - is_long.sum()), is_seen)


def _hashes(stream: np.ndarray) -> np.ndarray:
    """Hash every run of 17 tokens of a stream."""
    n = stream.size - CONTEXT
    if n <= 0:
        return np.zeros(0, dtype=np.uint64)
    return np.unique(_hash_columns([stream[i : i + n] for i in range(CONTEXT + 1)]))


def _hash_columns(columns: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    mixed = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        mixed = (mixed ^ (column.astype(np.uint64) + np.uint64(1))) * _BASE
        mixed ^= mixed >> np.uint64(31)
    return mixed
