"""What the page of probes draws: one pasted token's loss over the sizes of the suite."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from clusters.charts.chart import Chart, Help, curve_chart
from clusters.charts.geometry import minus
from clusters.charts.numbers import compact
from clusters.charts.token import CLASS_MEANINGS
from clusters.values.readings import Scores, Unit

KNOWN_NATS = 0.1
HELP = Help(
    what="The loss of one token of your text, given what stands before it, under the last checkpoint of every network "
    "of the suite. The networks have never been asked about this text here: a worker computed these numbers for you.",
    formula="L = −ln p(answer | context), in nats; bits are nats / ln 2",
    source="§4, Figure 4 (tokens of the Pile)",
)


def curve(sizes: Sequence[int], losses: np.ndarray, scores: Scores, token: str, unit: Unit) -> Chart | None:
    """Losses in nats (n_sizes,); None where fewer than two networks were asked."""
    if len(sizes) < 2:
        return None
    points = [[size, float(loss)] for size, loss in zip(sizes, losses, strict=True)]
    reading = f"{scores.curve_class.capitalize()}: {CLASS_MEANINGS[scores.curve_class]}."
    if scores.monogenicity is not None and scores.n_eff is not None:
        reading += minus(f" Monogenicity {scores.monogenicity:.2f}, {scores.n_eff:.1f} effective steps.")
    return curve_chart(
        [{"points": points, "name": token, "css": "mean", "marker": "dot"}],
        over="parameters", slug="loss-over-parameters", number=1, title=_title(sizes, losses, unit), unit=unit,
        reading=reading if scores.curve_class != "unknown" else f"{len(sizes)} sizes: too few for scores.", help=HELP,
    )  # fmt: skip


def finding(label: int, cosine: float, within: float | None) -> str:
    """How near the nearest cluster is, against how near its members are to each other."""
    said = minus(f"Cluster {label} is nearest: the gradient’s mean cosine with its members is {cosine:.2f}")
    if within is None:
        return f"{said}."
    measure = "as much as" if abs(cosine - within) < 0.05 else "more than" if cosine > within else "less than"
    return minus(f"{said}, {measure} theirs with each other ({within:.2f}).")


def _title(sizes: Sequence[int], losses: np.ndarray, unit: Unit) -> str:
    factor = 1 / math.log(2) if unit == "bits" else 1.0
    first, last = float(losses[0]), float(losses[-1])
    low, high = (f"{loss * factor:.2f}" for loss in (first, last))
    if float(np.max(losses)) < KNOWN_NATS:
        return f"Known to every size: {low} {unit} under the smallest, {high} under the largest"
    if last >= first:
        return f"No gain with size: {low} {unit} at {compact(sizes[0])} parameters, {high} at {compact(sizes[-1])}"
    return f"From {low} {unit} at {compact(sizes[0])} to {high} at {compact(sizes[-1])} parameters"
