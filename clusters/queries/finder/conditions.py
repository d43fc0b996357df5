"""What a prediction must satisfy, as tests of blocks of rows: cheap ones see whole blocks, dear ones what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from clusters.queries.finder.answers import ids_of_answer
from clusters.queries.finder.columns import N_CELLS, Columns, on_plane
from clusters.queries.finder.polygon import INSIDE, ON_EDGE, cell_states, is_inside
from clusters.stored.arrays import vocabulary_of
from clusters.values.finding import Bounds, Criteria, Lasso, Plane
from compute.numerics.curves import CLASS_NAMES

Rows = slice | np.ndarray
N_SAMPLED = 2048  # rows that tell how many a condition leaves


class Condition(Protocol):
    """One test; `cost` is about what a row takes, relative to comparing a number."""

    @property
    def cost(self) -> float: ...

    def holds(self, rows: Rows) -> np.ndarray:
        """Whether each of the rows passes, bool."""


@dataclass(frozen=True, eq=False)
class Between:
    """A float32 column above one number and below another, compared as float64 would."""

    values: np.ndarray
    least: np.float32 | None  # the smallest and the largest float32 that pass
    most: np.float32 | None
    cost: float = 1.0

    def holds(self, rows: Rows) -> np.ndarray:
        values = self.values[rows]
        if self.least is None:
            return values <= self.most
        passed = values >= self.least
        return passed if self.most is None else np.logical_and(passed, values <= self.most, out=passed)


def between(values: np.ndarray, bounds: Bounds) -> Between:
    least = None if bounds.above is None else _next_above(bounds.above)
    most = None if bounds.below is None else -_next_above(-bounds.below)
    return Between(np.asarray(values), least, most)


def _next_above(bound: float) -> np.float32:
    """The smallest float32 that is greater than a number."""
    with np.errstate(over="ignore"):
        near = np.float32(bound)
    return near if float(near) > bound else np.nextafter(near, np.float32(np.inf))


@dataclass(frozen=True, eq=False)
class Among:
    """A column of codes of which a table says which pass."""

    codes: np.ndarray
    passes: np.ndarray  # bool, one for each code
    cost: float = 4.0

    def holds(self, rows: Rows) -> np.ndarray:
        return self.passes.take(self.codes[rows], mode="clip")


@dataclass(frozen=True, eq=False)
class Exactly:
    """A column of codes that must be one code."""

    codes: np.ndarray
    code: int
    cost: float = 0.5

    def holds(self, rows: Rows) -> np.ndarray:
        return self.codes[rows] == self.code


@dataclass(frozen=True, eq=False)
class Inside:
    """Within a polygon on a plane: of cells off its edges all is known, near them every point is tested."""

    plane: Plane
    corners: np.ndarray  # (m, 2), in the plane's even coordinates
    states: np.ndarray  # of every code
    codes: np.ndarray
    x: np.ndarray
    y: np.ndarray
    cost: float = 6.0

    def holds(self, rows: Rows) -> np.ndarray:
        states = self.states.take(self.codes[rows], mode="clip")
        near = np.flatnonzero(states == ON_EDGE)
        inside = states == INSIDE
        if len(near):
            at = near + rows.start if isinstance(rows, slice) else rows[near]
            inside[near] = is_inside(*on_plane(self.plane, self.x[at], self.y[at]), self.corners)
        return inside


def inside(columns: Columns, lasso: Lasso) -> Inside:
    plane = columns.planes[lasso.plane]
    corners = np.array(lasso.on(plane))
    states = cell_states(corners, plane.x_range, plane.y_ends, N_CELLS)
    x, y = (np.asarray(columns.values(name)) for name in (plane.x, plane.y))
    return Inside(plane, corners, states, np.asarray(columns.cells(plane)), x, y)


def conditions(columns: Columns, criteria: Criteria) -> list[Condition]:
    """The tests that criteria without facets stand for, the most useful first."""
    tests: list[Condition] = [between(columns.values(name), bounds) for name, bounds in criteria.bounds]
    if criteria.lasso:
        tests.append(inside(columns, criteria.lasso))
    if criteria.answer:
        ids = ids_of_answer(vocabulary_of(columns.run), criteria.answer, is_whole=criteria.is_whole)
        tests.append(_answered(columns, ids))
    if criteria.answer_id is not None:
        tests.append(Exactly(np.asarray(columns.answers), criteria.answer_id + 1))
    return in_order(tests, columns.n)


def _answered(columns: Columns, ids: np.ndarray) -> Condition:
    answers = np.asarray(columns.answers)
    if len(ids) == 1:
        return Exactly(answers, int(ids[0]) + 1)
    passes = np.zeros(len(vocabulary_of(columns.run)) + 2, bool)  # the last stands for ids beyond the vocabulary
    passes[ids + 1] = True
    return Among(answers, passes)


def facet_table(columns: Columns, criteria: Criteria) -> np.ndarray:
    """Which codes of the facets the criteria allow, bool; the first code is none's."""
    table = np.ones(columns.facets_shape, bool)
    chosen = (
        [columns.kinds.index(kind) for kind in criteria.kinds],
        list(criteria.bands),
        [CLASS_NAMES.index(name) for name in criteria.classes],
        [] if criteria.induced is None else [int(criteria.induced)],
        [] if criteria.clustered is None else [int(criteria.clustered)],
    )
    for axis, values in enumerate(chosen):
        if values:
            others = np.setdiff1d(np.arange(table.shape[axis]), values)
            table[(slice(None),) * axis + (others,)] = False
    return np.concatenate([[False], table.ravel()])


def in_order(tests: Sequence[Condition], n: int) -> list[Condition]:
    """The tests by cost over the share that they drop, told from a sample of rows."""
    if len(tests) < 2:
        return list(tests)
    sample = np.unique(np.linspace(0, n - 1, min(n, N_SAMPLED)).astype(np.int64))
    ranked = [(test.cost / (1.001 - test.holds(sample).mean()), i) for i, test in enumerate(tests)]
    return [tests[i] for _, i in sorted(ranked)]
