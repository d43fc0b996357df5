"""Which points lie within a polygon: by crossings of a ray, so that a drawn loop may cross itself."""

from __future__ import annotations

import numpy as np

OUTSIDE, INSIDE, ON_EDGE = 0, 1, 2
NEAR = 1e-3  # of a cell: what numbers may be off by, with much to spare


def is_inside(x: np.ndarray, y: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Whether points (n,) lie within a closed polygon (m, 2): a ray to larger x crosses it an odd number of times.

    Points are sorted by y, so that every edge sees only those that it may pass.
    """
    order = np.argsort(y)
    xs, ys = x[order], y[order]
    crossed = np.zeros(len(x), bool)
    ends = np.roll(corners, -1, axis=0)
    first = np.searchsorted(ys, np.minimum(corners[:, 1], ends[:, 1])).tolist()
    last = np.searchsorted(ys, np.maximum(corners[:, 1], ends[:, 1])).tolist()
    for (x0, y0), (x1, y1), i, j in zip(corners.tolist(), ends.tolist(), first, last, strict=True):
        if i < j:
            crossed[i:j] ^= xs[i:j] < (x1 - x0) * (ys[i:j] - y0) / (y1 - y0) + x0
    inside = np.empty(len(x), bool)
    inside[order] = crossed
    return inside


def cell_states(
    corners: np.ndarray, x_range: tuple[float, float], y_range: tuple[float, float], n_cells: int
) -> np.ndarray:
    """Of every cell, x-major: outside, inside, or touched by an edge, so that its points must be tested one by one.

    uint8 of shape (n_cells² + 2,): the first is for no cell, the last for points off the plane.
    """
    low, high = np.array([x_range[0], y_range[0]]), np.array([x_range[1], y_range[1]])
    steps = (corners - low) / (high - low) * n_cells  # corners in cells
    edges = list(zip(steps.tolist(), np.roll(steps, -1, axis=0).tolist(), strict=True))
    states = _centres_inside(edges, n_cells).astype(np.uint8)
    for start, end in edges:
        _mark_edge(states, start, end)
    return np.concatenate([[OUTSIDE], states.ravel(), [OUTSIDE]]).astype(np.uint8)


def _centres_inside(edges: list[tuple[list[float], list[float]]], n_cells: int) -> np.ndarray:
    """Whether the middle of each cell lies within, bool (n_cells, n_cells), x first."""
    centres = np.arange(n_cells) + 0.5
    inside = np.zeros((n_cells, n_cells), bool)
    for (x0, y0), (x1, y1) in edges:
        if y0 != y1:
            meets = np.flatnonzero((y0 > centres) != (y1 > centres))
            crossings = (x1 - x0) * (centres[meets] - y0) / (y1 - y0) + x0
            inside[:, meets] ^= centres[:, None] < crossings
    return inside


def _mark_edge(states: np.ndarray, start: list[float], end: list[float]) -> None:
    """Mark the cells that an edge touches or nearly touches."""
    last = len(states) - 1
    (x0, y0), (x1, y1) = sorted([start, end])
    slope = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
    for i in range(max(int(x0 - NEAR), 0), min(int(x1 + NEAR), last) + 1):
        left, right = max(i - NEAR, x0), min(i + 1 + NEAR, x1)
        rises = (y0, y1) if x1 == x0 else (y0 + slope * (left - x0), y0 + slope * (right - x0))
        first, final = int(max(min(rises) - NEAR, 0)), int(min(max(rises) + NEAR, last))
        states[i, first : final + 1] = ON_EDGE
