"""All clusters of a clustering at a glance: their sizes by rank, one of them marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

from clusters.charts.geometry import rect_path


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
    pitch, foot, top = width / len(sizes), height - 2, height - 18
    bar = max(pitch * 0.72, 0.6)
    tall = math.log(max(sizes[0], 2))
    rects = []
    for i, size in enumerate(sizes):
        high = top * (0.2 + 0.8 * math.log(max(size, 1)) / tall)
        rects.append((i * pitch + (pitch - bar) / 2, foot - high, bar, high))
    note = f"{counted(len(sizes), 'cluster')}, log size"
    if rank is None:
        return {"width": width, "height": height, "bars": rect_path(rects), "mark": None, "text_x": 0.0, "anchor": "",
                "label": "", "note": note if with_note else ""}  # fmt: skip
    x, y, wide, high = rects.pop(rank - 1)
    middle = x + wide / 2
    is_right = middle > width * 0.55
    return {
        "width": width,
        "height": height,
        "bars": rect_path(rects),
        "mark": {"x": x, "y": y, "width": max(wide, 2.0), "height": high, "middle": middle},
        "text_x": middle - 6 if is_right else middle + 6,
        "anchor": "e" if is_right else "",
        "label": f"rank {rank} · {counted(sizes[rank - 1], 'token')}",
        "note": note if with_note and not is_right else "",
    }


def counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
