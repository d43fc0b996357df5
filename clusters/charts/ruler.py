"""All clusters of a clustering at a glance: their sizes by rank, one of them marked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypedDict

from clusters.charts.geometry import rect_path

LEAST_PITCH = 3.0  # pixels a cluster; with less, bars of clusters of one size are one bar


class Ruler(TypedDict):
    width: int
    height: int
    bars: str
    mark: dict[str, float] | None
    text_x: float
    anchor: str
    label: str
    note: str


def ruler(sizes: Sequence[int], rank: int | None, *, width: int, height: int, with_note: bool) -> Ruler:
    """Sizes of all clusters by rank on a log scale, one of them marked."""
    pitch, foot = width / len(sizes), height - 2
    tall = math.log(max(sizes[0], 2))
    bar = max(pitch * 0.72, 0.6)

    def rect(first: int, n: int) -> tuple[float, float, float, float]:
        high = (height - 18) * (0.2 + 0.8 * math.log(max(sizes[first], 1)) / tall)
        return first * pitch + (pitch - bar) / 2, foot - high, (n - 1) * pitch + bar, high

    bars = rect_path([rect(first, n) for first, n in _bars(sizes, rank, are_merged=pitch < LEAST_PITCH)])
    note = f"{counted(len(sizes), 'cluster')}, log size"
    if rank is None:
        return {"width": width, "height": height, "bars": bars, "mark": None, "text_x": 0.0, "anchor": "",
                "label": "", "note": note if with_note else ""}  # fmt: skip
    x, y, wide, high = rect(rank - 1, 1)
    middle = x + wide / 2
    is_right = middle > width * 0.55
    return {
        "width": width,
        "height": height,
        "bars": bars,
        "mark": {"x": x, "y": y, "width": max(wide, 2.0), "height": high, "middle": middle},
        "text_x": middle - 6 if is_right else middle + 6,
        "anchor": "e" if is_right else "",
        "label": f"rank {rank} · {counted(sizes[rank - 1], 'token')}",
        "note": note if with_note and not is_right else "",
    }


def _bars(sizes: Sequence[int], rank: int | None, *, are_merged: bool) -> Iterator[tuple[int, int]]:
    """First cluster and number of clusters of every bar, all but the marked one's."""
    places = [place for place in range(len(sizes)) if place + 1 != rank]
    if not are_merged:
        yield from ((place, 1) for place in places)
        return
    for _, same in groupby(places, key=lambda place: (sizes[place], rank is not None and place >= rank)):
        run = list(same)
        yield run[0], len(run)


def counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
