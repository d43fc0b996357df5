"""All predictions that satisfy criteria: tested block by block in two threads, kept as bits for the next request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from clusters.models import Run
from clusters.queries.finder.columns import BLOCK, N_CELLS, Columns
from clusters.queries.finder.conditions import Among, Condition, conditions, facet_table
from clusters.stored.arrays import corpus_of, vocabulary_of
from clusters.stored.derived import derived
from clusters.stored.recent import Recent
from clusters.values.finding import Criteria, Plane, Preset, presets

FEW = 16  # below one row in so many, what is left of a block is gathered row by row
SPARSE = 0.25  # below this share, what was found is gathered before it is counted
MOST_KEPT = 24  # results remembered; a search of ten million predictions takes 1.3 MB


@dataclass(frozen=True, eq=False)
class Found:
    """Which predictions were found: a bit each; no bits where all were."""

    n: int
    count: int
    bits: np.ndarray | None = None  # uint8, eight predictions each, the first in the highest bit

    def mask(self, start: int) -> np.ndarray | None:
        """Whether each prediction of the block was found, bool; None where all were."""
        if self.bits is None:
            return None
        n = min(BLOCK, self.n - start)
        return np.unpackbits(self.bits[start // 8 : (start + n + 7) // 8], count=n).view(bool)

    def blocks(self, first: int = 0) -> Iterator[np.ndarray]:
        """Indices found in every block from the one with prediction `first` on."""
        for start in range(first // BLOCK * BLOCK, self.n, BLOCK):
            mask = self.mask(start)
            found = np.arange(min(BLOCK, self.n - start)) if mask is None else np.flatnonzero(mask)
            if len(found):
                yield found + start


_kept: Recent[Any] = Recent(MOST_KEPT)
_threads = ThreadPoolExecutor(2, thread_name_prefix="finder")


def search(columns: Columns, criteria: Criteria) -> Found:
    """The predictions that satisfy the criteria."""
    if criteria.is_all:
        return Found(columns.n, columns.n)
    return _kept.get(("search", columns.run.bundle_sha256, criteria), lambda: _search(columns, criteria))


def facet_counts(columns: Columns, criteria: Criteria) -> np.ndarray:
    """How many predictions satisfy the criteria without their facets, int64 of shape `columns.facets_shape`."""
    base, shape = criteria.base, columns.facets_shape

    def counted() -> np.ndarray:
        def of_all() -> np.ndarray:
            return facet_counts(columns, Criteria()).ravel()

        return _tally(search(columns, base), columns.facets, int(np.prod(shape)), of_all).reshape(shape)

    if base.is_all:
        return derived(columns.run, "finder/facet-counts-2", counted)
    return _kept.get(("facets", columns.run.bundle_sha256, base), counted)


def density(columns: Columns, criteria: Criteria, plane: Plane) -> np.ndarray:
    """How many of the predictions found lie in each cell of a plane, int64 (N_CELLS, N_CELLS), x first."""

    def counted() -> np.ndarray:
        def of_all() -> np.ndarray:
            whole = density(columns, Criteria(), plane).ravel()
            return np.append(whole, columns.n - whole.sum())

        counts = _tally(search(columns, criteria), columns.cells(plane), N_CELLS**2 + 1, of_all)
        return counts[:-1].reshape(N_CELLS, N_CELLS)

    if criteria.is_all:
        return derived(columns.run, f"finder/density-{plane.key}-{N_CELLS}", counted)
    return counted()


def answer_counts(columns: Columns, criteria: Criteria) -> np.ndarray:
    """How many of the predictions found are about each token, int64, by its id."""
    n_ids = max(len(vocabulary_of(columns.run)), int(corpus_of(columns.run).token_ids.max()) + 1)

    def counted() -> np.ndarray:
        return _tally(search(columns, criteria), columns.answers, n_ids, lambda: answer_counts(columns, Criteria()))

    return derived(columns.run, "finder/answer-counts", counted) if criteria.is_all else counted()


def preset_counts(columns: Columns, rules: Sequence[Preset]) -> list[int]:
    """How many predictions of the corpus satisfy each rule; counted once."""
    if not rules:
        return []
    version = sha256(repr([rule.criteria for rule in rules]).encode()).hexdigest()[:16]
    counts = derived(
        columns.run,
        f"finder/presets-{version}",
        lambda: np.array([_search(columns, rule.criteria).count for rule in rules], np.int64),
    )
    return counts.tolist()


def prepare(run: Run) -> None:
    """Work out and keep what searches of a run need, so that no reader waits for it."""
    columns = Columns(run)
    answer_counts(columns, Criteria())
    facet_counts(columns, Criteria())
    preset_counts(columns, list(presets(columns.offer)))
    for plane in columns.planes.values():
        density(columns, Criteria(), plane)


def _search(columns: Columns, criteria: Criteria) -> Found:
    among = search(columns, criteria.base) if criteria.has_facets else Found(columns.n, columns.n)
    tests: Sequence[Condition]
    if criteria.has_facets:
        tests = [Among(np.asarray(columns.facets), facet_table(columns, criteria))]
    else:
        tests = conditions(columns, criteria)
    parts = list(_threads.map(lambda start: _passed(among, tests, start), range(0, columns.n, BLOCK)))
    return Found(columns.n, sum(count for _, count in parts), np.concatenate([bits for bits, _ in parts]))


def _passed(among: Found, tests: Sequence[Condition], start: int) -> tuple[np.ndarray, int]:
    """One block's bits and their number; once few rows are left, the other tests see only these."""
    stop = min(start + BLOCK, among.n)
    mask = among.mask(start)
    for i, test in enumerate(tests):
        if mask is None:
            mask = test.holds(slice(start, stop))
            continue
        left = np.count_nonzero(mask)
        if left * FEW < stop - start:
            mask = _gathered(mask, tests[i:], start)
            break
        mask &= test.holds(slice(start, stop))
    mask = np.ones(stop - start, bool) if mask is None else mask
    return np.packbits(mask), int(np.count_nonzero(mask))


def _gathered(mask: np.ndarray, tests: Sequence[Condition], start: int) -> np.ndarray:
    at = np.flatnonzero(mask) + start
    for test in tests:
        if len(at):
            at = at[test.holds(at)]
    mask = np.zeros(len(mask), bool)
    mask[at - start] = True
    return mask


def _tally(found: Found, codes: np.ndarray, n_codes: int, all_counts: Callable[[], np.ndarray]) -> np.ndarray:
    """How many of the predictions found have each of the codes 1..n_codes.

    Where nearly all were found, the others are counted and taken from the counts of all.
    """
    codes = np.asarray(codes)
    total = np.zeros(n_codes + 1, np.int64)
    is_most = found.bits is not None and found.count > found.n * (1 - SPARSE)
    for start in range(0, found.n, BLOCK):
        block, mask = codes[start : start + BLOCK], found.mask(start)
        if mask is None:
            total += np.bincount(block, minlength=n_codes + 1)
            continue
        mask = ~mask if is_most else mask
        if np.count_nonzero(mask) < SPARSE * len(mask):
            total += np.bincount(block[np.flatnonzero(mask)], minlength=n_codes + 1)
        else:  # code 0 counts what was not found: quicker than leaving much of it out
            total += np.bincount(block * mask, minlength=n_codes + 1)
    return all_counts() - total[1:] if is_most else total[1:]
