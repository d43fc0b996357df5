"""Where things stand on paper: scales, ticks, paths, and labels that keep clear of each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

ZERO_SLOT = 28.0  # pixels that a log axis gives to the value 0, left of its break
LEAST_MOVE = 0.6  # pixels; nearer points are the same dot on paper
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
LARGEST = 0.9995e15  # from which on numbers are written as powers of ten
TINY, HUGE = 1e-300, 1e300  # what lies beyond is drawn there: floats end soon after
Point = tuple[float, float]


class Scale:
    """Values → pixels along one axis."""

    def __init__(self, kind: str, lo: float, hi: float, start: float, end: float, *, has_zero: bool = False) -> None:
        self.is_log, self.zero_at = kind == "log", start if has_zero else None
        if has_zero:  # a log axis keeps a place for 0 before its break
            start += math.copysign(ZERO_SLOT, end - start)
        low, high = (math.log(lo), math.log(hi)) if self.is_log else (lo, hi)
        self.factor = (end - start) / (high - low) if high != low else 0.0
        self.shift = start - low * self.factor if high != low else (start + end) / 2

    def __call__(self, value: float) -> float:
        if self.is_log:
            if value <= 0 and self.zero_at is not None:
                return self.zero_at
            value = math.log(max(value, TINY))
        return self.shift + self.factor * value

    def all(self, values: Iterable[float]) -> list[float]:
        """The same for many values: charts hold thousands, and calls cost more than sums."""
        if self.is_log:
            return [self(value) for value in values] if self.zero_at is not None else self._logs(values)
        factor, shift = self.factor, self.shift
        return [shift + factor * value for value in values]

    def _logs(self, values: Iterable[float]) -> list[float]:
        factor, shift, log = self.factor, self.shift, math.log
        return [shift + factor * log(value if value > TINY else TINY) for value in values]


def is_narrow(lo: float, hi: float) -> bool:
    """Whether floats hold no several ticks between the two."""
    return hi - lo <= max(TINY, 1e-12 * max(abs(lo), abs(hi)))


def linear_ticks(lo: float, hi: float, n: int = 5) -> list[float]:
    """Round numbers between `lo` and `hi`, about `n` of them."""
    if is_narrow(lo, hi):
        return [lo]
    rough = (hi - lo) / max(n, 1)
    power = math.floor(math.log10(rough))
    step = next(step for m in (1, 2, 2.5, 5, 10) if (step := m * 10.0**power) >= rough * 0.999)
    first = math.ceil(lo / step - 1e-9)
    last = math.floor(hi / step + 1e-9)
    return [round(i * step, 12 - power) for i in range(first, last + 1)]


LOG_STEPS = ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))


NARROW = 2.5  # a logarithmic range so short that even steps read better


def log_ticks(lo: float, hi: float, n: int = 6) -> list[float]:
    """Powers of ten and the densest round steps that give at most `n` ticks; even steps in a narrow range."""
    if not hi > lo > 0:
        return [lo]
    if hi / lo < NARROW:
        return linear_ticks(lo, hi, n)
    powers = range(math.floor(math.log10(lo)), math.ceil(math.log10(hi)) + 1)
    for steps in LOG_STEPS:
        found = [step * 10.0**power for power in powers for step in steps]
        inside = [value for value in found if lo * (1 - 1e-9) <= value <= hi * (1 + 1e-9)]
        if len(inside) <= n:
            return inside or [lo, hi]
    skip = math.ceil(len(inside) / n)
    return [10.0**power for power in powers if power % skip == 0 and 10.0**power in inside]


def minus(text: str) -> str:
    """A number's text with the sign that it deserves."""
    return text.replace("-", "−")


def tick_text(value: float) -> str:
    """A tick as people write it: 0.25, 1,000, 30 k, 1 M, 10⁻⁴."""
    size = abs(value)
    if 0 < size < 0.0009 or LARGEST <= size < math.inf:
        return power_text(value)
    for unit, name in UNITS:
        if size >= unit and size >= 10_000:
            return minus(f"{value / unit:g}") + " " + name
    return minus(f"{value:,.6g}")


def power_text(value: float) -> str:
    """Three digits and a power of ten: 10⁻⁴, 1.5·10¹⁸."""
    power = math.floor(math.log10(abs(value)) + 1e-9)
    factor = f"{value / 10.0**power:.3g}"
    return ("" if factor == "1" else minus(f"{factor}·")) + "10" + str(power).translate(SUPERSCRIPTS)


@lru_cache(maxsize=4096)  # ticks and names come again
def text_width(text: str, size: float = 12.0) -> float:
    """About how wide a text of the sans face is, in pixels."""
    narrow = sum(text.count(c) for c in " .,:;|!ijlt’'()")
    return size * (0.56 * (len(text) - narrow) + 0.31 * narrow)


def thin(points: Iterable[Point], least: float = LEAST_MOVE) -> list[Point]:
    """Leave out points that fall on the one before; first and last stay, so the same input gives the same line."""
    kept: list[Point] = []
    last: Point | None = None
    for last in points:
        if not kept or abs(last[0] - kept[-1][0]) >= least or abs(last[1] - kept[-1][1]) >= least:
            kept.append(last)
    if last is not None and kept[-1] != last:
        kept.append(last)
    return kept


def line_path(points: Sequence[Point]) -> str:
    """The path through points: "M0 1L2 3"."""
    return ("M" + "L".join([f"{x:.1f} {y:.1f}" for x, y in points])).replace(".0", "") if points else ""


def step_path(points: Sequence[Point]) -> str:
    """The staircase through points: level first, then up or down."""
    if not points:
        return ""
    parts = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    parts += [f"H{_n(x)}V{_n(y)}" for x, y in points[1:]]
    return "".join(parts)


def closed_path(upper: Sequence[Point], lower: Sequence[Point]) -> str:
    """The area between two lines."""
    return line_path([*upper, *reversed(lower)]) + "Z" if upper else ""


def rect_path(rects: Iterable[tuple[float, float, float, float]]) -> str:
    """Many rectangles (x, y, width, height) as one path."""
    return "".join([f"M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}h{-w:.1f}z" for x, y, w, h in rects]).replace(".0", "")


def dot_paths(points: Iterable[Point], r: float) -> list[str]:
    """A circle around each point, as a path."""
    rest = f"a{_n(r)} {_n(r)} 0 1 0 {_n(2 * r)} 0a{_n(r)} {_n(r)} 0 1 0 {_n(-2 * r)} 0z"
    return [f"M{x - r:.1f} {y:.1f}{rest}" for x, y in points]


def marker_path(shape: str, x: float, y: float, r: float) -> str:
    """A marker that is no circle, as a path around its middle."""
    if shape == "diamond":
        corners = [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)]
    elif shape == "triangle":
        corners = [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)]
    else:  # square
        corners = [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]
    return line_path([(x + r * dx, y + r * dy) for dx, dy in corners]) + "Z"


def _n(value: float) -> str:
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


@dataclass(frozen=True)
class Box:
    """A rectangle on paper."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """The shared area, in square pixels."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across * down if across > 0 and down > 0 else 0.0

    def outside(self, frame: Box) -> float:
        """How far it reaches over a frame's edges, in pixels."""
        return (
            max(0.0, frame.left - self.left)
            + max(0.0, self.right - frame.right)
            + max(0.0, frame.top - self.top)
            + max(0.0, self.bottom - frame.bottom)
        )


@dataclass(frozen=True)
class Placed:
    """A label with its place: baseline start, middle or end, and the box it fills."""

    text: str
    x: float
    y: float
    anchor: str  # "", "m" or "e": the stylesheet's classes
    box: Box


ASCENT, DESCENT = 10.0, 3.0
OFFSETS = (  # dx, dy of the anchor point, text anchor; earlier is better
    (8, 4, ""), (8, -5, ""), (8, 13, ""), (-8, 4, "e"), (0, -9, "m"), (0, 18, "m"), (-8, -6, "e"), (-8, 15, "e"),
    (8, -18, ""), (8, 26, ""), (-8, -19, "e"), (-8, 27, "e"), (12, -32, ""), (12, 40, ""), (-12, -32, "e"),
    (-12, 40, "e"),
)  # fmt: skip
CELL = 5.0  # pixels: how finely lines are remembered as obstacles


def cells_of(points: Sequence[Point]) -> set[tuple[int, int]]:
    """The squares of the paper that a line through the points crosses."""
    cells = {(int(x / CELL), int(y / CELL)) for x, y in points} if len(points) > 1 else set()
    for (x0, y0), (x1, y1) in pairwise(points):
        n = int(max(abs(x1 - x0), abs(y1 - y0)) / CELL) + 1
        for i in range(1, n):
            cells.add((int((x0 + (x1 - x0) * i / n) / CELL), int((y0 + (y1 - y0) * i / n) / CELL)))
    return cells


def place_labels(
    wanted: Sequence[tuple[str, Point, str]],
    frame: Box,
    obstacles: set[tuple[int, int]] | None = None,
    taken: Sequence[Box] = (),
    size: float = 12.0,
) -> list[Placed]:
    """Put each text near its point: inside the frame, off the other texts, and off the lines where it can.

    Each text comes with its point and "", or with the anchor ("s", "m", "e") that fixes it exactly there.
    """
    boxes, result = list(taken), []
    for text, at, fixed in wanted:
        first, *others = ((0, 4, fixed.replace("s", "")),) if fixed else OFFSETS
        best = _candidate(text, at, first, size)
        least = _cost(best.box, frame, obstacles or set(), boxes)
        for preference, offset in enumerate(others, 1):
            if preference >= least:
                break  # no place that comes later costs less than its turn
            candidate = _candidate(text, at, offset, size)
            cost = _cost(candidate.box, frame, obstacles or set(), boxes) + preference
            if cost < least:
                best, least = candidate, cost
        boxes.append(best.box)
        result.append(best)
    return result


def _cost(box: Box, frame: Box, obstacles: set[tuple[int, int]], boxes: Sequence[Box]) -> float:
    """How badly a text would stand there: on others, over the edge, on lines."""
    on_others = sum(box.overlap(other) > 0 for other in boxes)
    return 1000 * on_others + 200 * box.outside(frame) + 6 * _crossed(box, obstacles)


def _crossed(box: Box, obstacles: set[tuple[int, int]]) -> int:
    columns = range(int(box.left / CELL), int(box.right / CELL) + 1)
    rows = range(int(box.top / CELL), int(box.bottom / CELL) + 1)
    return sum((column, row) in obstacles for column in columns for row in rows)


def _candidate(text: str, at: Point, offset: tuple[float, float, str], size: float) -> Placed:
    dx, dy, anchor = offset
    x, y, width = at[0] + dx, at[1] + dy, text_width(text, size)
    left = {"": x, "m": x - width / 2, "e": x - width}[anchor]
    return Placed(text, x, y, anchor, Box(left, y - ASCENT, left + width, y + DESCENT))
