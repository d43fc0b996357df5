"""Where a cluster's tokens sit at neighbouring ks, as boxes and the flows between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from clusters.queries.clusters import Part, Rung

LEAST_HEIGHT, GAP, HEAD, FOOT = 22.0, 10.0, 28.0, 8.0


class Node(TypedDict):
    x: float
    y: float  # of the box
    height: float
    bar_y: float  # of the bar that is as tall as the tokens are many
    bar_height: float
    k: int
    label: int | None
    is_here: bool
    text: str
    detail: str
    is_tall: bool  # room for two lines of text


class Flow(TypedDict):
    path: str
    is_near: bool
    title: str
    k: int
    label: int | None


class Drawing(TypedDict):
    width: float
    height: float
    node_width: float
    heads: list[dict[str, object]]
    nodes: list[Node]
    flows: list[Flow]


@dataclass(frozen=True)
class Frame:
    """The paper: for wide windows all rungs, for phones the nearest ones."""

    width: float
    height: float
    node_width: float
    is_narrow: bool = False


WIDE = Frame(width=1232, height=236, node_width=138)
NARROW = Frame(width=358, height=300, node_width=86, is_narrow=True)


def crosswalk_drawing(rungs: Sequence[Rung], k: int, n_tokens: int, frame: Frame) -> Drawing:
    """Boxes in columns by k, as tall as their share of the cluster's tokens."""
    if frame.is_narrow:
        at = [rung.k for rung in rungs].index(k)
        rungs = rungs[max(at - 1, 0) : at + 2]
    scale = _scale(rungs, n_tokens, frame.height - HEAD - FOOT)
    pitch = (frame.width - frame.node_width) / max(len(rungs) - 1, 1)
    columns = [_column(rung, i * pitch, scale, n_tokens, k, frame) for i, rung in enumerate(rungs)]
    flows: list[Flow] = []
    for rung, left, right in zip(rungs, columns, columns[1:], strict=False):
        flows += _flows(rung, left, right, scale, k, frame.node_width)
    heads = [{"x": i * pitch, "k": rung.k, "is_here": rung.k == k} for i, rung in enumerate(rungs)]
    nodes = [node for column in columns for node in column]
    return {
        "width": frame.width, "height": frame.height, "node_width": frame.node_width,
        "heads": heads, "nodes": nodes, "flows": flows,
    }  # fmt: skip


def _scale(rungs: Sequence[Rung], n_tokens: int, room: float) -> float:
    """Pixels a token, such that the tallest column fits."""
    scale = room / n_tokens
    for _ in range(20):
        tallest = max(
            sum(max(part.n_shared * scale, LEAST_HEIGHT) for part in rung.parts) + GAP * (len(rung.parts) - 1)
            for rung in rungs
        )
        if tallest <= room:
            break
        scale *= 0.9
    return min(scale, 118 / n_tokens) if room < 220 else min(scale, 180 / n_tokens)


def _column(rung: Rung, x: float, scale: float, n_tokens: int, k: int, frame: Frame) -> list[Node]:
    heights = [max(part.n_shared * scale, LEAST_HEIGHT) for part in rung.parts]
    y = HEAD + (frame.height - HEAD - FOOT - sum(heights) - GAP * (len(heights) - 1)) / 2
    nodes = []
    for part, height in zip(rung.parts, heights, strict=True):
        bar = part.n_shared * scale
        nodes.append(_node(part, rung.k, n_tokens, is_here=rung.k == k, is_narrow=frame.is_narrow)
                     | {"x": x, "y": y, "height": height, "bar_y": y + (height - bar) / 2, "bar_height": bar,
                        "is_tall": height >= 34})  # fmt: skip
        y += height + GAP
    return nodes


def _node(part: Part, k: int, n_tokens: int, *, is_here: bool, is_narrow: bool) -> Node:
    if is_here:
        text, detail = "this cluster", f"{n_tokens:,} tokens"
    elif part.label is None:
        text, detail = f"{part.n_shared:,} tokens", f"in {part.n_clusters} more"
    else:
        text, detail = f"{part.n_shared:,} of {part.size:,}", f"J {part.jaccard(n_tokens):.2f}"
        detail = detail if is_narrow else f"label {part.label} · {detail}"
    return {"k": k, "label": part.label, "is_here": is_here, "text": text, "detail": detail}  # type: ignore[typeddict-item]


def _flows(rung: Rung, left: list[Node], right: list[Node], scale: float, k: int, node_width: float) -> list[Flow]:
    """Ribbons from every box to the boxes of the next column, stacked in order so that few cross."""
    out = [node["bar_y"] for node in left]
    into = [node["bar_y"] for node in right]
    flows: list[Flow] = []
    for (a, b), n in sorted(rung.flows.items()):
        thick = n * scale
        far = right[b] if left[a]["is_here"] or not right[b]["is_here"] else left[a]
        flows.append({
            "path": _ribbon(left[a]["x"] + node_width, out[a], right[b]["x"], into[b], thick),
            "is_near": left[a]["is_here"] or right[b]["is_here"],
            "title": f"{n:,} token" + ("" if n == 1 else "s"),
            "k": far["k"], "label": far["label"],
        })  # fmt: skip
        out[a] += thick
        into[b] += thick
    return flows


def _ribbon(x0: float, y0: float, x1: float, y1: float, thick: float) -> str:
    middle = (x0 + x1) / 2
    return (
        f"M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}V{y1 + thick:.1f}"
        f"C{middle:.1f} {y1 + thick:.1f} {middle:.1f} {y0 + thick:.1f} {x0:.1f} {y0 + thick:.1f}Z"
    )
