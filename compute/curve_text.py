"""Curves that somebody pastes or types: text or lists of numbers → points, or a sentence that says what is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from compute.demo.recipe import LADDER
from compute.errors import FitError
from compute.registry import SUITES

MOST_POINTS = 500
SCALES = (1e-30, 1e30)  # what lies beyond is a slip, and overflows in squares
LOSSES = (1e-30, 1e9)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_GAPS = ("", "-", "–", "—", "nan", "na", "n/a", "none", "null", "?")
_LONGEST_SHOWN = 40


@dataclass(frozen=True)
class Ladder:
    """Sizes that a column of losses may belong to, smallest first."""

    name: str
    sizes: tuple[tuple[str, int], ...]  # network, non-embedding parameters


def _ladders() -> dict[str, Ladder]:
    v0, today = SUITES["pythia-v0"].sizes, SUITES["pythia"].sizes
    return {
        "paper": Ladder("the paper’s seven sizes", tuple((f"{s.figure_name}", s.n_non_embedding) for s in v0[:7])),
        "pythia": Ladder("Pythia’s eight sizes", tuple((size.lm, size.n_non_embedding) for size in today)),
        "demo": Ladder("the demo suite’s six sizes", tuple((one.name, one.n_non_embedding) for one in LADDER)),
    }


LADDERS: Mapping[str, Ladder] = MappingProxyType(_ladders())


@dataclass(frozen=True)
class Points:
    """A curve that can be looked at: two points or more, by rising scale.

    Attributes
    ----------
    x : tuple of float
        Scales, positive, at least two different.
    y : tuple of float
        Losses, at least 0, in the unit that they were written in.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]


def curve_from_text(text: str, *, ladder: str = "") -> Points:
    """Read a curve from pasted or typed text.

    Parameters
    ----------
    text : str
        A line for each point: scale and loss, apart by comma, semicolon, tab or spaces. A head, empty lines and lines
        that begin with # are passed over.
    ladder : str
        A key of `LADDERS` whose sizes the losses belong to; the text is losses alone then, smallest size first, one
        a line or all on one line.

    Returns
    -------
    Points

    Raises
    ------
    FitError
        A sentence with the line and what stands there.

    Examples
    --------
    >>> curve_from_text("steps, loss\\n1e3, 4.5\\n2e3, 4.1").x
    (1000.0, 2000.0)
    """
    rows = _rows(text)
    if ladder:
        return _of_ladder(rows, ladder)
    pairs: list[tuple[str, float, float]] = []
    for where, cells in rows:
        if len(cells) == 1 and _is_number(cells[0]):
            raise FitError(
                f"{where} holds one number, “{_short(cells[0])}”. Write scale and loss on each line, or choose whose "
                "sizes the losses belong to."
            )
        if len(cells) > 2:
            raise FitError(
                f"{where} holds {len(cells)} cells; a line is a scale and a loss. Write numbers with a decimal point "
                "and without commas between thousands."
            )
        pairs.append((where, _scale(where, cells[0]), _loss(where, cells[-1])))
    return _points(pairs)


def curve_from_numbers(x: Sequence[float | None], y: Sequence[float | None]) -> Points:
    """Take a curve from two lists of numbers; the sentences speak of points, counted from 1.

    Raises
    ------
    FitError
        As `curve_from_text`, and where the lists differ in length.

    Examples
    --------
    >>> curve_from_numbers([100, 10], [1, 2]).y
    (2.0, 1.0)
    """
    _check_lengths(len(x), len(y))
    pairs = []
    for place, (scale, loss) in enumerate(zip(x, y, strict=True), 1):
        where = f"Point {place}"
        pairs.append((where, _checked_scale(where, scale), _checked_loss(where, loss)))
    return _points(pairs)


def curve_from_cells(x: Sequence[str], y: Sequence[str]) -> Points:
    """Take a curve from two lists of written numbers; the sentences speak of points, counted from 1.

    Raises
    ------
    FitError
        As `curve_from_numbers`, and where something is no number.

    Examples
    --------
    >>> curve_from_cells(["1e3", "2e3"], ["4.5", "4"]).y
    (4.5, 4.0)
    """
    _check_lengths(len(x), len(y))
    rows = ((f"Point {place}", *cells) for place, cells in enumerate(zip(x, y, strict=True), 1))
    return _points([(where, _scale(where, a.strip()), _loss(where, b.strip())) for where, a, b in rows])


def _check_lengths(n_scales: int, n_losses: int) -> None:
    if n_scales != n_losses:
        raise FitError(f"There are {n_scales} scales and {n_losses} losses; give one loss for each scale.")


def _rows(text: str) -> list[tuple[str, list[str]]]:
    """Where each line stands and its cells, without head, empty lines and remarks."""
    rows = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            rows.append((f"Line {number}", _cells(line)))
    if len(rows) > 1 and _is_head(rows[0][1]):
        rows = rows[1:]
    if not rows:
        raise FitError("There is nothing to read yet: write a line for each point, scale and loss.")
    return rows


def _is_head(cells: list[str]) -> bool:
    """Words and no number; "1,5" is neither, and is told to be none."""
    return not any(map(_is_number, cells)) and any(letter.isalpha() for cell in cells for letter in cell)


def _cells(line: str) -> list[str]:
    """A line's cells; commas, semicolons and tabs may leave one empty, spaces may not."""
    for mark in ("\t", ";", ","):
        if mark in line:
            cells = [cell.strip().strip("\"'") for cell in line.split(mark)]
            while len(cells) > 2 and not cells[-1]:
                cells.pop()
            return cells
    return [cell.strip("\"'") for cell in line.split()]


def _of_ladder(rows: list[tuple[str, list[str]]], name: str) -> Points:
    if name not in LADDERS:
        raise FitError(f"There are no sizes called {name[:_LONGEST_SHOWN]!r}; choose among {', '.join(LADDERS)}.")
    ladder = LADDERS[name]
    cells = [(where, cell) for where, row in rows for cell in row]
    losses = [(where, _loss(where, cell)) for where, cell in cells]
    if len(losses) != len(ladder.sizes):
        n = len(losses)
        raise FitError(
            f"There {'is' if n == 1 else 'are'} {n} loss{'' if n == 1 else 'es'}, but of {ladder.name} there are "
            f"{len(ladder.sizes)}: write one for each, smallest first, or write scale and loss on each line."
        )
    sizes = (float(size) for _, size in ladder.sizes)
    return _points([(where, size, loss) for size, (where, loss) in zip(sizes, losses, strict=True)])


def _scale(where: str, cell: str) -> float:
    return _checked_scale(where, None if _is_gap(cell) else _number(where, cell))


def _loss(where: str, cell: str) -> float:
    return _checked_loss(where, None if _is_gap(cell) else _number(where, cell))


def _checked_scale(where: str, scale: float | None) -> float:
    if scale is None or math.isnan(scale):
        raise FitError(f"{where} has no scale: a gap. Leave the point out, or write its scale.")
    if scale <= 0:
        raise FitError(f"{where} has the scale {_shown(scale)}; scales must be above 0, for curves are read over their "
                       "logarithm. Leave the point out.")  # fmt: skip
    return _within(where, "scale", float(scale), SCALES)


def _checked_loss(where: str, loss: float | None) -> float:
    if loss is None or math.isnan(loss):
        raise FitError(f"{where} has no loss: a gap. Leave the point out, or write its loss.")
    if loss < 0:
        raise FitError(f"{where} has the loss {_shown(loss)}; a loss lies at 0 or above. Mend it, or leave the point "
                       "out.")  # fmt: skip
    return _within(where, "loss", float(loss), LOSSES) if loss else 0.0


def _within(where: str, what: str, value: float, ends: tuple[float, float]) -> float:
    low, high = ends
    if not low <= value <= high:
        raise FitError(f"{where} has the {what} {_shown(value)}, which is none that anybody measures; it must lie from "
                       f"{_shown(low)} to {_shown(high)}. Mend it, or leave the point out.")  # fmt: skip
    return value


def _points(pairs: list[tuple[str, float, float]]) -> Points:
    if len(pairs) > MOST_POINTS:
        raise FitError(
            f"There are {len(pairs):,} points; {MOST_POINTS} at most are read. Leave some out, evenly in the logarithm "
            "of the scale."
        )
    if len(pairs) < 2:
        where = f"There is {'one point' if pairs else 'no point'}"
        raise FitError(f"{where}; a curve needs two or more.")
    if len({x for _, x, _ in pairs}) < 2:
        raise FitError(
            f"All {len(pairs)} points have the scale {_shown(pairs[0][1])}; a curve needs two different ones."
        )
    pairs = sorted(pairs, key=lambda pair: pair[1])
    return Points(tuple(x for _, x, _ in pairs), tuple(y for _, _, y in pairs))


def _number(where: str, cell: str) -> float:
    if not _is_number(cell):
        raise FitError(
            f"{where} says “{_short(cell)}”, which is no number. Write it in digits, such as 0.25 or 2.5e-1."
        )
    return float(_plain(cell))


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(_plain(cell)) is not None


def _is_gap(cell: str) -> bool:
    return cell.casefold() in _GAPS


def _plain(cell: str) -> str:
    return cell.replace("−", "-")


def _short(cell: str) -> str:
    return cell if len(cell) <= _LONGEST_SHOWN else f"{cell[:_LONGEST_SHOWN]}…"


def _shown(value: float) -> str:
    return f"{value:g}".replace("-", "−")
