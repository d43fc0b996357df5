"""Mean similarity between clusters as a figure, and the scale of the matrix's colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clusters.charts.chart import Chart, Help, linear_axis, make_chart, make_series
from clusters.charts.numbers import count, fixed
from clusters.charts.raster import RAMPS, Ramp

SEAM = 0.52  # cells reach a little under the next one, so that rounded edges leave no gap
FEW = 5  # tokens; means of smaller clusters are said to be unsure
HELP = Help(
    what=(
        "Every token that was clustered has a gradient: the change of the network’s weights that would make this token "
        "likelier. Two tokens are similar where their gradients point the same way. Here tokens stand in the order of "
        "their clusters, so a cluster that found something shows as a block on the diagonal, and a bright block off it "
        "says that two clusters were learned, in part, by the same change."
    ),
    formula="C = ĝᵢ · ĝⱼ, Ĉ = 1 − arccos(C) / π; a block’s mean leaves out each token’s pair with itself",
    source="§5, the figure of the similarity matrix beside its crop around clusters 46 to 56",
)


def ramp_of(*, is_signed: bool) -> Ramp:
    """The stylesheet's diverging scale where values have a sign, its density scale where they don't."""
    return "diverging" if is_signed else "density"


def positions(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Where on the colour scale each value lies, from 0 to 1; what lies beyond the limits has the end's colour."""
    low, high = limits
    return np.clip((values - low) / (high - low), 0, 1)


def legend(limits: tuple[float, float], ramp: Ramp) -> dict[str, Any]:
    """The colour scale as a drawing of 240 × 34 with its two ends and its middle in words."""
    names, digits = RAMPS[ramp], digits_for(limits)
    low, high = limits
    return {
        "stops": [{"css": f"s-{name}", "offset": round(i / (len(names) - 1), 4)} for i, name in enumerate(names)],
        "ticks": [
            {"x": 0, "css": "", "text": fixed(low, digits)},
            {"x": 120, "css": "m", "text": fixed((low + high) / 2, digits)},
            {"x": 240, "css": "e", "text": fixed(high, digits)},
        ],
    }


def digits_for(limits: tuple[float, float]) -> int:
    """Decimal places that tell values between the limits apart."""
    width = limits[1] - limits[0]
    return 2 if width > 0.2 else 3 if width > 0.02 else 4


def means_chart(
    means: np.ndarray, ranks: Sequence[int], sizes: Sequence[int], limits: tuple[float, float], *, is_signed: bool,
    words: str, number: int,
) -> Chart:  # fmt: skip
    """Mean similarity between every two of some clusters; `means` is float (n, n), NaN where there is no pair."""
    shades, n, digits = RAMPS[ramp_of(is_signed=is_signed)], len(ranks), digits_for(limits)
    where = positions(means, limits) * (len(shades) - 1)
    cells = [
        [column - 0.5, column + SEAM, row + SEAM, row - 0.5, shades[round(float(where[row, column]))]]
        for row in range(n)
        for column in range(n)
        if np.isfinite(means[row, column])
    ]
    steps = np.linspace(*limits, len(shades))
    ticks = [(place, count(rank)) for place, rank in enumerate(ranks)]
    ends = [-0.5, n - 0.5]
    y = linear_axis(ends, "rank of cluster", exact=True, ticks=ticks)
    y["lo"], y["hi"] = y["hi"], y["lo"]  # the first rank on top, as in the matrix
    return make_chart(
        slug="cluster-means", number=number, title=_title(means), size="wide", help=HELP,
        description=f"Mean {words} between clusters of ranks {count(ranks[0])} to {count(ranks[-1])}",
        reading=_reading(means, sizes), x=linear_axis(ends, "rank of cluster", exact=True, ticks=ticks), y=y,
        series=[make_series("cells", cells, name="mean")],
        legend=[("square", shades[i], fixed(float(steps[i]), digits)) for i in reversed(range(len(shades)))],
        legend_title="mean",
        table={
            "head": ["rank", "rank of the other", f"mean {words}", "pairs"],
            "rows": [
                [ranks[a], ranks[b], float(means[a, b]), n_pairs(sizes, a, b)] for a in range(n) for b in range(a, n)
            ],
        },
    )  # fmt: skip


def n_pairs(sizes: Sequence[int], a: int, b: int) -> int:
    """Pairs of different tokens between two clusters, or within one."""
    return int(sizes[a] * (sizes[a] - 1) // 2 if a == b else sizes[a] * sizes[b])


def _title(means: np.ndarray) -> str:
    """How many clusters resemble themselves more than any other of those shown."""
    own = np.diagonal(means)
    known = np.isfinite(own)
    n_known = int(known.sum())
    if len(means) < 2 or not n_known:
        return "Mean similarity between clusters"
    others = np.where(np.eye(len(means), dtype=bool), -np.inf, np.nan_to_num(means, nan=-np.inf)).max(axis=1)
    n_own = int((own > others)[known].sum())
    if n_own == n_known:
        return f"All {count(n_known)} clusters are more like themselves than like any other shown"
    return f"{count(n_own)} of {count(n_known)} clusters are more like themselves than like any other shown"


def _reading(means: np.ndarray, sizes: Sequence[int]) -> str:
    said = "A token’s pair with itself is left out of every mean."
    off = np.where(np.eye(len(means), dtype=bool), np.nan, means)
    if np.isfinite(off).any():
        said = f"The two clusters most alike have a mean of {fixed(float(np.nanmax(off)), 2)}. {said}"
    n_small = sum(size < FEW for size in sizes)
    if n_small == 1:
        said += " One cluster holds fewer than five tokens: its means rest on few pairs."
    elif n_small:
        said += f" {count(n_small)} clusters hold fewer than five tokens: their means rest on few pairs."
    return said
