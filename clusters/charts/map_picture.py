"""A map as a drawing: for paper, for frames on other sites and for browsers without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clusters.charts.chart import Axis, Chart, Help, Series, linear_axis, make_chart, make_series
from clusters.charts.maps import REST, Colouring

CELLS = (120, 80)  # across and down
APART = 0.035  # of the width; a label nearer to another than this is left to the legend
MarkedCells = list[list[float | str]]


def map_picture(
    points: np.ndarray, box: tuple[float, float, float, float], colouring: Colouring, *,
    area: Sequence[tuple[float, float]], made: str, what: str,
) -> Chart:  # fmt: skip
    """The points (n, 2) inside a box, each a small cell in its colour, as the page's canvas shows them."""
    left, bottom, right, top = box
    at = cells_of(points, box, CELLS)
    cells = painted(at, colouring)
    series = [make_series("cells", _runs(cells, box, at, colouring), name="points")] if at.is_in.any() else []
    series += _labelled(colouring, box)
    if area:
        series.append(make_series("line", [*area, area[0]], name="chosen area", css="act"))
    return make_chart(
        slug="map", number=1, title=colouring.title, reading=colouring.reading, size="wide", series=series,
        description=f"Map of tokens by {what}, coloured by {colouring.what}; the axes have no meaning",
        x=_bare(left, right), y=_bare(bottom, top), legend_title=colouring.what, legend=_legend(colouring),
        table={"head": ["x", "y", "points in the cell"], "rows": _counted(at, box)},
        help=Help(
            what=f"Every point is a token; tokens that are alike by their {what} are drawn near each other. Only who "
            "is near whom means something: the axes have no unit, and long distances and the sizes of gaps say "
            f"little. {made}",
            source="The authors show such projections of training curves beside the paper",
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Cells:
    """Which cell of a grid every point lies in."""

    flat: np.ndarray  # int64 (n,), in rows from the bottom; −1 outside
    is_in: np.ndarray
    shape: tuple[int, int]


def cells_of(points: np.ndarray, box: tuple[float, float, float, float], shape: tuple[int, int]) -> Cells:
    """Cells in rows from the bottom; points outside the box have none."""
    left, bottom, right, top = box
    n_across, n_down = shape
    x, y = np.asarray(points, np.float64).T
    across = np.floor((x - left) * (n_across / (right - left)))
    down = np.floor((y - bottom) * (n_down / (top - bottom)))
    is_in = (across >= 0) & (across < n_across) & (down >= 0) & (down < n_down)
    flat = np.where(is_in, down * n_across + across, -1).astype(np.int64)
    return Cells(flat, is_in, shape)


def painted(at: Cells, colouring: Colouring) -> np.ndarray:
    """Code of every cell, −1 where it is empty: of several, the rarest category's, and never the rest's."""
    turn = np.zeros(REST + 1, np.int64)
    if not colouring.is_ordered:
        for swatch in colouring.swatches:
            turn[swatch.code] = -swatch.n
    turn[REST] = np.iinfo(np.int64).min
    inside = np.flatnonzero(at.is_in)
    order = inside[np.argsort(turn[colouring.codes[inside]], kind="stable")]
    cells = np.full(at.shape[0] * at.shape[1], -1, np.int64)
    cells[at.flat[order]] = colouring.codes[order]  # what comes last stays
    return cells


def _runs(
    cells: np.ndarray, box: tuple[float, float, float, float], at: Cells, colouring: Colouring
) -> MarkedCells:  # fmt: skip
    """Neighbouring cells of one colour as one."""
    css = {swatch.code: swatch.css for swatch in colouring.swatches}
    left, bottom, right, top = box
    n_across, n_down = at.shape
    width, height = (right - left) / n_across, (top - bottom) / n_down
    places = np.arange(len(cells))
    is_edge = (np.diff(cells, prepend=-2) != 0) | (places % n_across == 0)
    starts = places[is_edge]
    ends = np.append(starts[1:], len(cells))
    runs: MarkedCells = []
    for start, end, code in zip(starts.tolist(), ends.tolist(), cells[starts].tolist(), strict=True):
        if code >= 0:
            row, column = divmod(start, n_across)
            x, y = left + column * width, bottom + row * height
            runs.append([x, x + (end - start) * width, y, y + height, css[code]])
    return runs


def _counted(at: Cells, box: tuple[float, float, float, float]) -> list[list[float]]:
    """Middle of every cell that holds points, and how many."""
    left, bottom, right, top = box
    n_across, n_down = at.shape
    width, height = (right - left) / n_across, (top - bottom) / n_down
    counts = np.bincount(at.flat[at.is_in], minlength=1)
    flat = np.flatnonzero(counts)
    x = np.round(left + (flat % n_across + 0.5) * width, 4)
    y = np.round(bottom + (flat // n_across + 0.5) * height, 4)
    return [list(cell) for cell in zip(x.tolist(), y.tolist(), counts[flat].tolist(), strict=True)]


def _labelled(colouring: Colouring, box: tuple[float, float, float, float]) -> list[Series]:
    """A mark at the middle of every category that has a label, with the label's first word: the legend has the rest."""
    left, bottom, right, top = box
    found: list[Series] = []
    taken: list[tuple[float, float]] = []
    for swatch in colouring.swatches:
        if not (swatch.label and swatch.at and left <= swatch.at[0] <= right and bottom <= swatch.at[1] <= top):
            continue
        x, y = swatch.at
        if any(abs(x - a) < 2 * APART * (right - left) and abs(y - b) < APART * (right - left) for a, b in taken):
            continue
        taken.append(swatch.at)
        point = [x, y, swatch.text, swatch.href]
        word = swatch.label.split()[0]
        found.append(make_series("points", [point], name=swatch.text, css=swatch.css, label=word, marker=swatch.shape))
    return found


def _legend(colouring: Colouring) -> list[tuple[str, str, str]]:
    return [
        (swatch.shape if swatch.label else "square", swatch.css, swatch.label or swatch.text.split(",")[0])
        for swatch in colouring.swatches
    ]


def _bare(low: float, high: float) -> Axis:
    """An axis without numbers: the map's have no meaning."""
    return linear_axis([low, high], "", exact=True, ticks=())
