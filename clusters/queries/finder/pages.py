"""One page of what was found, in any order: the best few are kept while the blocks pass by, and nothing is sorted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from clusters.queries.finder.columns import BLOCK, Columns
from clusters.queries.finder.search import FEW, Found, _threads
from clusters.values.finding import Cursor, Order


@dataclass(frozen=True, eq=False)
class Best:
    """Some predictions with the keys that they are sorted by: larger keys first, equal ones by index."""

    keys: np.ndarray
    indices: np.ndarray

    @staticmethod
    def none() -> Best:
        return Best(np.empty(0, np.float32), np.empty(0, np.int64))

    def with_more(self, keys: np.ndarray, indices: np.ndarray, most: int) -> Best:
        """The first `most` of both; all new indices are larger than those that are here."""
        keys, indices = np.concatenate([self.keys, keys]), np.concatenate([self.indices, indices])
        if len(keys) > most:
            least = np.partition(keys, len(keys) - most)[len(keys) - most]
            better = keys > least
            ties = np.flatnonzero(keys == least)[: most - np.count_nonzero(better)]
            better[ties] = True
            keys, indices = keys[better], indices[better]
        return Best(keys, indices)

    def sorted(self) -> Best:
        order = np.lexsort((self.indices, -self.keys))
        return Best(self.keys[order], self.indices[order])


def page_of(
    columns: Columns, found: Found, order: Order, n_rows: int, after: Cursor | None = None
) -> tuple[list[int], Cursor | None]:
    """Indices of the first rows after a cursor, and the cursor of the next page, if there is one.

    What has no number to be sorted by comes last, by place in the corpus.
    """
    if order.column:
        best = _best(found, columns.values(order.column), order.falls, n_rows + 1, after)
    else:
        best = _next(found, n_rows + 1, after)
    indices = best.indices[:n_rows].tolist()
    has_more = len(best.indices) > n_rows
    return indices, Cursor(float(best.keys[n_rows - 1]), indices[-1]) if has_more else None


def _next(found: Found, most: int, after: Cursor | None) -> Best:
    first = after.index + 1 if after else 0
    parts, n = [], 0
    for indices in found.blocks(first):
        parts.append(indices[np.searchsorted(indices, first) :][:most])
        n += len(parts[-1])
        if n >= most:
            break
    chosen = np.concatenate(parts)[:most] if parts else np.empty(0, np.int64)
    return Best(np.zeros(len(chosen), np.float32), chosen)


def _best(found: Found, values: np.ndarray, falls: bool, most: int, after: Cursor | None) -> Best:
    values = np.asarray(values)
    middle = (found.n // BLOCK + 1) // 2 * BLOCK
    ends = sorted({0, min(middle, found.n), found.n})
    halves = _threads.map(lambda ends: _best_of(found, values, falls, most, after, *ends), list(pairwise(ends)))
    best = Best.none()
    for half in halves:
        best = best.with_more(half.keys, half.indices, most)
    return best.sorted()


def _best_of(
    found: Found, values: np.ndarray, falls: bool, most: int, after: Cursor | None, first: int, last: int
) -> Best:
    best = Best.none()
    for start in range(first, last, BLOCK):
        cut = best.keys.min() if len(best.keys) >= most else None
        keys, indices = _candidates(found, values, falls, after, start, cut)
        if len(indices):
            best = best.with_more(keys, indices, most)
    return best


def _candidates(
    found: Found, values: np.ndarray, falls: bool, after: Cursor | None, start: int, cut: np.float32 | None
) -> tuple[np.ndarray, np.ndarray]:
    """Keys and indices of a block that come after the cursor and before the cut."""
    mask = found.mask(start)
    stop = min(start + BLOCK, found.n)
    if mask is not None and np.count_nonzero(mask) * FEW < stop - start:
        at = np.flatnonzero(mask) + start
        keys = _keys(values[at], falls)
        kept = np.ones(len(at), bool)
    else:
        at = None
        keys = _keys(values[start:stop], falls)
        kept = np.ones(stop - start, bool) if mask is None else mask
    if cut is not None:
        kept &= keys > cut
    if after is not None:
        key = np.float32(after.key)
        kept &= (keys < key) | ((keys == key) & ((np.arange(start, stop) if at is None else at) > after.index))
    chosen = np.flatnonzero(kept)
    return keys[chosen], (chosen + start if at is None else at[chosen])


def _keys(values: np.ndarray, falls: bool) -> np.ndarray:
    """What a falling order sorts by; no number becomes −∞."""
    return np.fmax(values if falls else -values, np.float32(-np.inf))
