"""How alike a cluster's members are: every pair as a cell, and their cosines against those across the border."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from clusters.charts.chart import Chart, Help, linear_axis, make_chart, make_series, vertical
from clusters.charts.geometry import minus
from clusters.charts.numbers import fixed, percent
from clusters.charts.ruler import counted
from clusters.values.readings import Similarities

N_BINS = 48
MOST_ROWS = 48  # of the heatmap
EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)  # cosines at which the shades h0 to h7 begin
BELOW = "line2"  # the shade of cosines below 0
CLEAR_GAP = 0.1  # between the means within and across, before a title calls it clear
_HEATMAP_HELP = Help(
    what="Row and column are members, in the same order; a cell’s shade is the cosine of their two gradients under the "
    "clustered network. One block means one thing learned; several blocks, that the cluster joins several.",
    formula="cos(gᵢ, gⱼ) = gᵢ · gⱼ / (‖gᵢ‖ ‖gⱼ‖)",
    source="§5, on the similarity of gradients",
)
_HISTOGRAM_HELP = Help(
    what="Blue: cosines of pairs of members. Grey: cosines of a member and a token of another cluster. Each is scaled "
    "to its own peak. The farther apart they stand, the more the cluster is a thing of its own.",
    formula="coherence = mean within − mean across",
    source="§5: the clusters are made from these cosines",
)


@dataclass(frozen=True)
class Member:
    """A member as a row of the heatmap."""

    token: int  # flat index
    name: str
    answer: str


@dataclass(frozen=True)
class Heatmap:
    """The figure, and what a script needs to name the pair under the pointer."""

    chart: Chart
    members: list[Member]  # from the top
    values: str  # cosines in hundredths, int8, row by row, base64


def heatmap(
    found: Similarities, members: dict[int, Member], order: str, *, number: int, selected: int | None
) -> Heatmap | None:
    """Members against members; None for a lone one. `members` has those of `found.rows`, by row."""
    if found.n_sampled < 2:
        return None
    places = _shown_places(found, members, selected)
    places = _ordered(places, found, members, order)
    shown = [members[int(found.rows[place])] for place in places]
    values = found.members[np.ix_(places, places)]
    n = len(places)
    title = _heatmap_title(values[np.triu_indices(n, 1)], found.across)
    chart = make_chart(
        slug="members", number=number, title=title, size="third", help=_HEATMAP_HELP,
        description=f"Cosines of the gradients of {n} members, pair by pair",
        reading=_heatmap_reading(n, found.n_members, order),
        x=linear_axis([0, n], "the same members", ticks=(), exact=True),
        y=linear_axis([0, n], f"{n} members, by {order}", ticks=(), exact=True),
        series=[make_series("cells", _cells(values), name="cosine"), *_outline(shown, selected)],
        legend_title="cosine", legend=_legend(),
        table={"head": ["index", "member", "index of the other", "other member", "cosine"],
               "rows": _pairs(shown, values)},
    )  # fmt: skip
    hundredths = np.clip(np.round(values * 100), -127, 127).astype(np.int8)
    return Heatmap(chart, shown, base64.b64encode(hundredths.tobytes()).decode())


def similarity_chart(found: Similarities, *, number: int, within: float | None, across: float | None) -> Chart:
    """Cosines within the cluster against those across; `within` and `across` are the means over all pairs."""
    inside, outside = found.within, found.across
    lowest = min((float(part.min()) for part in (inside, outside) if len(part)), default=0.0)
    lo = math.floor(min(lowest, 0.0) * 10) / 10
    edges = np.linspace(lo, 1.0, N_BINS + 1)
    series, rules = [], []
    if len(outside):
        series += _histogram(outside, edges, name="across", css="c6")
    if len(inside):
        series += _histogram(inside, edges, name="within", css="c1")
    if across is not None:
        rules.append(vertical("refl", across, f"across {_cosine(across)}", side="start"))
    if within is not None:
        rules.append(vertical("edge", within, f"within {_cosine(within)}", side="end"))
    return make_chart(
        slug="similarity", number=number, title=similarity_title(within, across),
        reading=_similarity_reading(found), help=_HISTOGRAM_HELP,
        description="Cosine of pairs of gradients: within the cluster, and from its members to the rest",
        x=linear_axis([lo, 1.0], "cosine of two gradients", exact=True),
        y=linear_axis([0, 1.2], "share of pairs, each scaled to its peak", ticks=(), exact=True),
        series=series, rules=rules, size="third",
    )  # fmt: skip


def similarity_title(within: float | None, across: float | None) -> str:
    """What the two means say."""
    if within is None:
        return "One member has no pair to compare"
    if across is None:
        return "Every clustered token is a member"
    if within - across >= CLEAR_GAP:
        return "Members resemble each other, not the rest"
    if within > across:
        return "Members resemble each other a little more than the rest"
    return "Members resemble the rest as much as each other"


def with_margin(within: float | None, found: Similarities | None) -> tuple[str, str]:
    """The mean within and half its 95% interval, to as many digits as the interval bears; "" where unknown."""
    margin = found.margin if found else None
    if within is None or margin is None:
        return ("" if within is None else _cosine(within)), ""
    digits = 2 if margin >= 0.005 else 3
    return fixed(within, digits), fixed(margin, digits)


def centroid_affinity(cosine: float, kind: str) -> float:
    """Affinity of two clusters' mean gradients: 1 − arccos(c)/π; for absolute gradients the cosine itself."""
    return cosine if kind == "absolute" else 1 - math.acos(min(max(cosine, -1.0), 1.0)) / math.pi


def _shown_places(found: Similarities, members: dict[int, Member], selected: int | None) -> list[int]:
    """Places in the sample of at most MOST_ROWS members, evenly spread, the selected one among them."""
    n = found.n_sampled
    if n <= MOST_ROWS:
        return list(range(n))
    own = [place for place in range(n) if members[int(found.rows[place])].token == selected]
    spread = np.linspace(0, n - 1, MOST_ROWS - len(own)).round().astype(int).tolist()
    return sorted({*spread, *own})


def _ordered(places: list[int], found: Similarities, members: dict[int, Member], order: str) -> list[int]:
    if order == "answer":
        return sorted(places, key=lambda place: (members[int(found.rows[place])].answer, place))
    if order == "mean similarity":
        means = found.means
        return sorted(places, key=lambda place: (-means[place], place))
    return places


def _cells(values: np.ndarray) -> list[list[Any]]:
    """Cells of a row that share a shade are drawn as one; the diagonal, a token with itself, is left out."""
    n = len(values)
    shades = np.searchsorted(EDGES, values, side="right") - 1
    cells = []
    for i in range(n):
        row = shades[i].tolist()
        row[i] = -2
        start = 0
        for shade, run in groupby(row):
            end = start + len(list(run))
            if shade != -2:
                cells.append([start, end, n - i - 1, n - i, BELOW if shade < 0 else f"h{shade}"])
            start = end
    return cells


def _outline(shown: list[Member], selected: int | None) -> list[Any]:
    """A frame around the selected member's row."""
    at = next((i for i, member in enumerate(shown) if member.token == selected), None)
    if at is None:
        return []
    n = len(shown)
    low, high = n - at - 1, n - at
    corners = [[0, low], [n, low], [n, high], [0, high], [0, low]]
    return [make_series("line", corners, name="selected", css="ink", token=selected)]


def _legend() -> list[tuple[str, str, str]]:
    ends = (*EDGES[1:], 1.0)
    ramp = [("square", f"h{i}", f"{low:g} to {high:g}") for i, (low, high) in enumerate(zip(EDGES, ends, strict=True))]
    return [*reversed(ramp), ("square", BELOW, "below 0")]


def _pairs(shown: list[Member], values: np.ndarray) -> list[list[Any]]:
    return [
        [shown[i].token, shown[i].name, shown[j].token, shown[j].name, float(values[i, j])]
        for i in range(len(shown))
        for j in range(i + 1, len(shown))
    ]


def _heatmap_title(inside: np.ndarray, across: np.ndarray) -> str:
    if len(across):
        bar, than = float(across.mean()), "more alike than member and outsider are on average"
    else:
        bar, than = 0.0, "alike rather than opposed"
    share = float((inside > bar).mean())
    if len(inside) == 1:
        return f"The one pair is {'' if share else 'not '}{than}"
    many = {1.0: "All", 0.0: "None"}.get(share) or percent(share)
    return f"{many} of {counted(len(inside), 'pair')} are {than}"


def _heatmap_reading(n: int, n_members: int, order: str) -> str:
    whom = f"All {n} members" if n == n_members else f"An even sample of {n} of {n_members:,} members"
    first = ", the most typical first" if order == "mean similarity" else ""
    return f"{whom}, ordered by {order}{first}. Shades have fixed limits, the same for every cluster."


def _histogram(values: np.ndarray, edges: np.ndarray, *, name: str, css: str) -> list[Any]:
    places = ((values - edges[0]) * (N_BINS / (edges[-1] - edges[0]))).astype(np.int32)
    counts = np.bincount(np.clip(places, 0, N_BINS - 1), minlength=N_BINS)
    heights = (counts / max(counts.max(), 1)).tolist()
    steps = edges.tolist()
    area, line = [], [[steps[0], 0.0]]
    for low, high, height in zip(steps[:-1], steps[1:], heights, strict=True):
        area += [[low, 0.0, height], [high, 0.0, height]]
        line += [[low, height], [high, height]]
    line.append([steps[-1], 0.0])
    return [make_series("area", area, name=name, css=css), make_series("line", line, name=name, css=css)]


def _similarity_reading(found: Similarities) -> str:
    text = f"{counted(len(found.within), 'pair')} within; {len(found.across):,} across."
    samples = []
    if found.n_sampled < found.n_members:
        samples.append(f"{found.n_sampled:,} of {found.n_members:,} members")
    if found.n_outside < found.n_all_outside:
        samples.append(f"{found.n_outside:,} of {found.n_all_outside:,} other tokens")
    return f"{text} Drawn from an even sample: {', '.join(samples)}. The means are over all pairs." if samples else text


def _cosine(value: float) -> str:
    return minus(f"{float(value):.2f}")
