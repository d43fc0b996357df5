"""Where a cluster's tokens sit at neighbouring ks, as boxes and the flows between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypedDict

from clusters.values.readings import Part, Rung

LEAST_HEIGHT, GAP, HEAD, FOOT = 22.0, 10.0, 28.0, 8.0


class Node(TypedDict):
    x: str  # this and the following: pixels, as the paper has them
    y: str  # of the box
    height: str
    bar_y: str  # of the bar that is as tall as the tokens are many
    bar_height: str
    k: int
    label: int | None
    href: str  # "" until the view sets it
    is_here: bool
    text: str
    detail: str  # a second line, where the box is tall
    short: str  # what stands beside the text, where it isn't
    is_tall: bool
    text_x: str
    text_y: str
    detail_y: str
    left: float  # where flows leave and arrive
    bar_top: float


class Flow(TypedDict):
    path: str
    is_near: bool
    title: str


class Drawing(TypedDict):
    width: float
    height: float
    node_width: float
    heads: list[dict[str, Any]]
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
    rungs = _untangled(rungs, k)
    scale = _scale(rungs, n_tokens, frame.height - HEAD - FOOT)
    pitch = (frame.width - frame.node_width) / max(len(rungs) - 1, 1)
    columns = [_column(rung, i * pitch, scale, n_tokens, k, frame) for i, rung in enumerate(rungs)]
    flows: list[Flow] = []
    for rung, (left, right) in zip(rungs, pairwise(columns), strict=False):
        flows += _flows(rung, left, right, scale, frame.node_width)
    heads = [{"x": _px(i * pitch), "k": rung.k, "is_here": rung.k == k} for i, rung in enumerate(rungs)]
    nodes = [node for column in columns for node in column]
    return {
        "width": frame.width, "height": frame.height, "node_width": frame.node_width,
        "heads": heads, "nodes": nodes, "flows": flows,
    }  # fmt: skip


def _untangled(rungs: Sequence[Rung], k: int) -> list[Rung]:
    """The rungs with their parts in an order that follows the flows, from this cluster outwards."""
    at = [rung.k for rung in rungs].index(k)
    orders = [list(range(len(rung.parts))) for rung in rungs]
    for i in range(at + 1, len(rungs)):
        orders[i] = _following(orders[i - 1], rungs[i - 1].flows, len(rungs[i].parts))
    for i in range(at - 1, -1, -1):
        mirrored = Counter({(b, a): n for (a, b), n in rungs[i].flows.items()})
        orders[i] = _following(orders[i + 1], mirrored, len(rungs[i].parts))
    places = [{part: place for place, part in enumerate(order)} for order in orders]
    result = []
    for i, rung in enumerate(rungs):
        flows = Counter({(places[i][a], places[i + 1][b]): n for (a, b), n in rung.flows.items() if i + 1 < len(rungs)})
        result.append(Rung(rung.k, [rung.parts[part] for part in orders[i]], flows))
    return result


def _following(order: list[int], flows: Counter[tuple[int, int]], n_parts: int) -> list[int]:
    """Parts of the next rung by the mean place of what flows into them."""
    place = {part: i for i, part in enumerate(order)}
    weight, total = [0.0] * n_parts, [0.0] * n_parts
    for (a, b), n in flows.items():
        if a in place:
            weight[b] += n * place[a]
            total[b] += n
    return sorted(range(n_parts), key=lambda part: (weight[part] / total[part] if total[part] else 0.0, part))


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
        is_tall, middle = height >= 34, y + height / 2
        nodes.append(
            _words(part, rung.k, n_tokens, is_here=rung.k == k, is_narrow=frame.is_narrow)
            | {"x": _px(x), "y": _px(y), "height": _px(height), "bar_y": _px(middle - bar / 2),
               "bar_height": _px(bar), "is_tall": is_tall, "text_x": _px(x + 14),
               "text_y": _px(middle - 3 if is_tall else middle + 4), "detail_y": _px(middle + 13),
               "left": x, "bar_top": middle - bar / 2}
        )  # fmt: skip
        y += height + GAP
    return nodes


def _words(part: Part, k: int, n_tokens: int, *, is_here: bool, is_narrow: bool) -> Any:
    """What a box says; "short" only where it fits on the first line."""
    overlap = f"J {part.jaccard(n_tokens):.2f}"
    if is_here:
        text, detail, short = "this cluster", f"{n_tokens:,} token" + ("" if n_tokens == 1 else "s"), ""
    elif part.label is None:
        text, detail, short = f"{part.n_shared:,}", f"in {part.n_clusters} more", f"in {part.n_clusters} more"
    else:
        text, short = f"{part.n_shared:,} of {part.size:,}", overlap
        detail = overlap if is_narrow else f"label {part.label} · {overlap}"
    if is_narrow or len(text) + len(short) > 18:
        short = ""
    return {"k": k, "label": part.label, "href": "", "is_here": is_here, "text": text, "detail": detail, "short": short}


def _flows(rung: Rung, left: list[Node], right: list[Node], scale: float, node_width: float) -> list[Flow]:
    """Ribbons from every box to the boxes of the next column, stacked in order so that few cross."""
    out = [node["bar_top"] for node in left]
    into = [node["bar_top"] for node in right]
    flows: list[Flow] = []
    for (a, b), n in sorted(rung.flows.items()):
        thick = n * scale
        flows.append({
            "path": _ribbon(left[a]["left"] + node_width, out[a], right[b]["left"], into[b], thick),
            "is_near": left[a]["is_here"] or right[b]["is_here"],
            "title": f"{n:,} token" + ("" if n == 1 else "s"),
        })  # fmt: skip
        out[a] += thick
        into[b] += thick
    return flows


def _px(length: float) -> str:
    return f"{length:.1f}"


def _ribbon(x0: float, y0: float, x1: float, y1: float, thick: float) -> str:
    middle = (x0 + x1) / 2
    return (
        f"M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}V{y1 + thick:.1f}"
        f"C{middle:.1f} {y1 + thick:.1f} {middle:.1f} {y0 + thick:.1f} {x0:.1f} {y0 + thick:.1f}Z"
    )
