"""Links that open a curve of the site in the lab for curves of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from django import template

from clusters.forms.curve_paste import lab_href
from clusters.models import Cluster, Run

register = template.Library()
LEAST_STEPS = 3  # of a network's curve over training, so that it has a shape


@register.inclusion_tag("labs/_open_in_lab.html")
def token_in_lab(
    run: Run, index: int, losses: Sequence[float], curve_rows: Iterable[Sequence[Any]] = ()
) -> dict[str, list[dict[str, str]]]:
    """Links to a token's curve over size and to those over the training of every network.

    A row of `curve_rows` is a network's name, size, step and loss in nats, network by network.
    """
    name = f"token {index} of {run.name}"
    links = [("over size", lab_href(_over_sizes(run, losses), over="parameters", name=name))]
    for lm, rows in groupby(curve_rows, key=lambda row: row[0]):
        points = [(float(step), float(loss)) for _, _, step, loss in rows]
        if sum(step > 0 for step, _ in points) >= LEAST_STEPS:
            links.append((f"over {lm}’s training", lab_href(points, over="steps", name=f"{name}, {lm}")))
    return _shown(links)


@register.inclusion_tag("labs/_open_in_lab.html")
def cluster_in_lab(run: Run, cluster: Cluster) -> dict[str, list[dict[str, str]]]:
    """A link to a cluster's mean curve over size."""
    name = f"cluster {cluster.label} of {run.name}, mean"
    return _shown([("mean over size", lab_href(_over_sizes(run, cluster.mean_curve), over="parameters", name=name))])


def _over_sizes(run: Run, losses: Sequence[float | None]) -> list[tuple[float, float]]:
    sizes = run.manifest.get("sizes", [])
    return [(size["n_non_embedding"], loss) for size, loss in zip(sizes, losses, strict=False) if loss is not None]


def _shown(links: list[tuple[str, str]]) -> dict[str, list[dict[str, str]]]:
    return {"links": [{"text": text, "href": href} for text, href in links if href]}
