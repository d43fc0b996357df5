"""Which points lie within a polygon: by crossings of a ray, so that a drawn loop may cross itself."""

from __future__ import annotations

import numpy as np

OUTSIDE, INSIDE, ON_EDGE = 0, 1, 2


def is_inside(x: np.ndarray, y: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Whether points (n,) lie within a closed polygon (m, 2): a ray to larger x crosses it an odd number of times."""
    inside = np.zeros(len(x), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        meets = (y0 > y) != (y1 > y)
        inside ^= meets & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside


def cell_states(
    corners: np.ndarray, x_range: tuple[float, float], y_range: tuple[float, float], n_cells: int
) -> np.ndarray:
    """Of every cell, x-major: outside, inside, or so near an edge that its points must be tested one by one.

    uint8 of shape (n_cells² + 2,): the first is for no cell, the last for points off the plane.
    """
    low, high = np.array([x_range[0], y_range[0]]), np.array([x_range[1], y_range[1]])
    steps = (corners - low) / (high - low) * n_cells  # corners in cells
    centres = np.arange(n_cells) + 0.5
    states = np.empty((n_cells, n_cells), np.uint8)
    for j, y in enumerate(centres):
        states[:, j] = is_inside(centres, np.full(n_cells, y), steps)
    for start, end in zip(steps, np.roll(steps, -1, axis=0), strict=True):
        _mark_edge(states, start, end)
    return np.concatenate([[OUTSIDE], states.ravel(), [OUTSIDE]]).astype(np.uint8)


def _mark_edge(states: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
    """Mark the cells within one cell of an edge: more than it touches, however numbers round."""
    last = len(states) - 1
    (x0, y0), (x1, y1) = (start, end) if start[0] <= end[0] else (end, start)
    for i in range(max(int(x0) - 1, 0), min(int(x1) + 1, last) + 1):
        left, right = np.clip([i - 1, i + 2], x0, x1)  # the edge over this column and its neighbours
        rises = [y0, y1] if x1 == x0 else [y0 + (y1 - y0) * (at - x0) / (x1 - x0) for at in (left, right)]
        states[i, max(int(min(rises)) - 1, 0) : min(int(max(rises)) + 1, last) + 1] = ON_EDGE
