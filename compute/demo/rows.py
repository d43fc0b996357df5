"""Training rows: each starts at a document's first token, as documents are evaluated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compute.demo.recipe import END_OF_TEXT_ID, MAX_LENGTH


def training_rows(documents: Sequence[Sequence[int]], length: int = MAX_LENGTH) -> np.ndarray:
    """Return int16 rows of shape (n documents, length): a document, then others to fill the row.

    Documents are joined by the end-of-text token. What fills a row comes from half the corpus away, so that
    a text isn't met twice in short order.
    """
    n = len(documents)
    rows = np.empty((n, length), dtype=np.int16)
    for i in range(n):
        row = list(documents[i][:length])
        j = (i + n // 2) % n
        while len(row) < length:
            row.append(END_OF_TEXT_ID)
            row.extend(documents[j][: length - len(row)])
            j = (j + 1) % n
        rows[i] = row
    return rows


def row_order(n_rows: int, n_needed: int, seed: int) -> np.ndarray:
    """Return the order in which rows are met: as many seeded permutations as are needed."""
    rng = np.random.default_rng(seed)
    turns = [rng.permutation(n_rows) for _ in range(-(-n_needed // n_rows))]
    return np.concatenate(turns)[:n_needed]
