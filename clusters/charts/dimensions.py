"""How neighbours grow in number with the radius: the slope is the dimension."""

from __future__ import annotations

from collections.abc import Sequence

from clusters.charts.chart import Chart, Help, log_axis, make_chart, make_series
from clusters.charts.numbers import count, fixed
from clusters.values.clouds import Cloud

STYLES = (("c1", "dot"), ("c2", "diamond"), ("c3", "square"))
HELP = Help(
    what="Around every sampled point the others within a radius are counted, for nine radii between those that hold "
    "1% and 10% of all pairs. On a d-dimensional manifold their number grows as the radius to the d, whatever the "
    "number of axes, so the slope on logarithmic axes is the dimension. Intervals are jackknifed over points.",
    formula="d̂ = Δ ln N(r) / Δ ln r; gradients: r² = 2 − 2 cos",
    source="none in the paper; Grassberger and Procaccia 1983",
)


def dimensions_chart(clouds: Sequence[Cloud], *, number: int) -> Chart:
    """Every cloud's neighbours over its radii, each relative to its largest."""
    known = [cloud for cloud in clouds if cloud.dimension is not None]
    series, rows, legend = [], [], []
    for cloud in known:
        css, marker = STYLES[clouds.index(cloud) % len(STYLES)]
        points = [
            [r / cloud.radii[-1], n / (cloud.n_points - 1), f"{cloud.name}: {fixed(n, 1)} within {r:.3g}"]
            for r, n in zip(cloud.radii, cloud.neighbours, strict=True)
        ]
        series.append(make_series("line", points, name=cloud.name, css=css, marker=marker))
        legend.append((marker, css, f"{cloud.name}, {fixed(cloud.dimension, 1)}"))
        rows += [[cloud.name, r, cloud.unit, n] for r, n in zip(cloud.radii, cloud.neighbours, strict=True)]
    ticks = [(0.01, "1%"), (0.02, "2%"), (0.05, "5%"), (0.1, "10%")]
    radii = [point[0] for one in series for point in one["points"]]
    return make_chart(
        slug="dimensions", number=number, size="band", title=_title(known), reading=_reading(clouds), series=series,
        description="Share of all other points within a radius, against the radius relative to the one that holds 10%",
        x=log_axis(radii or [0.5, 1], "radius, relative to the one that holds 10% of all pairs", pad=1.05, n=5),
        y=log_axis([0.01, 0.1], "share of all others within it", ticks=ticks, pad=1.1), help=HELP,
        legend=legend,
        table={"head": ["points", "radius", "unit", "mean number of others within"], "rows": rows},
    )  # fmt: skip


def _title(known: Sequence[Cloud]) -> str:
    if not known:
        return "No dimension could be counted"
    said = [f"{cloud.name} {fixed(cloud.dimension, 1)}" for cloud in known]
    return f"Neighbours grow as in so many dimensions: {', '.join(said)}"


def _reading(clouds: Sequence[Cloud]) -> str:
    said = [
        f"{cloud.name} {fixed(cloud.low, 1)} to {fixed(cloud.high, 1)}" if cloud.dimension is not None
        else f"{cloud.name}: {cloud.problem}"
        for cloud in clouds
    ]  # fmt: skip
    n = max((cloud.n_points for cloud in clouds), default=0)
    text = "; ".join(said)
    return f"95% intervals over {count(n)} sampled tokens: {text}." if said else "This bundle holds no points."
