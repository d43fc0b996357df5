"""Measured exponents of sparse parity against α, beside the theory for infinitely and for finitely many tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clusters.charts.chart import Chart, Help, linear_axis, make_chart, make_series
from clusters.charts.numbers import fixed
from clusters.charts.parity_laws import REVERSED_PROSE
from clusters.values.parity import Law, Resource

WHAT: Mapping[Resource, str] = {"N": "over parameters", "S": "over steps", "D": "over samples"}
PAPER_SOURCE = "Michaud et al. 2023, Figure 10, read from the positions of its markers; 500 tasks, 100 bits"
PAPER: Mapping[Resource, Mapping[float, float]] = {
    "N": {0.1: 0.2286, 0.2: 0.2828, 0.3: 0.3392, 0.4: 0.3781, 0.5: 0.4541, 0.6: 0.5030, 0.7: 0.5711, 0.8: 0.6080},
    "S": {0.1: 0.2275, 0.2: 0.2666, 0.3: 0.3070, 0.4: 0.3456, 0.5: 0.3756, 0.6: 0.4221, 0.7: 0.4684, 0.8: 0.4821},
    "D": {
        0.1: 0.2751, 0.15: 0.2711, 0.2: 0.2736, 0.25: 0.2842, 0.3: 0.2972, 0.35: 0.3106, 0.4: 0.3076, 0.45: 0.3218,
        0.5: 0.3352, 0.55: 0.3408, 0.6: 0.3573, 0.65: 0.3661, 0.7: 0.3730, 0.75: 0.3939, 0.8: 0.4039,
    },
}  # fmt: skip
HELP = Help(
    what="One measured exponent a value of α, with its 95% interval. Dotted: what infinitely many tasks would give. "
    "Dashed: what the finite number of tasks gives over the range of tasks that was really learned; it accounts for "
    "the sign and much of the size of the deviation where α is small.",
    formula="α_N = α;  α_S = α_D = α/(1 + α)",
    source="appendix B, Figure 10",
)


def exponents_chart(resource: Resource, laws: Sequence[Law], *, with_paper: bool, number: int) -> Chart:
    """Measured, finite-K and infinite exponents of one resource; laws by rising α, at least one of them fitted."""
    known = [law for law in laws if law.is_fitted]
    alphas = [law.alpha for law in known]
    paper = PAPER[resource] if with_paper else {}
    ends = [min([*alphas, *paper]), max([*alphas, *paper])]
    grid = np.linspace(ends[0], ends[1], 40)
    theory = [[a, infinite(resource, a)] for a in grid.tolist()]
    finite = [[law.alpha, law.finite_k] for law in known if law.finite_k is not None]
    whiskers = [
        make_series("line", [[law.alpha, law.low], [law.alpha, law.high]], name="interval", css="c1")
        for law in known if law.has_interval
    ]  # fmt: skip
    series = [
        make_series("line", theory, name="theory", css="refl", label="theory", label_at=theory[-1]),
        make_series(
            "line", finite, name="finite K", css="c6 dash", label="finite K", label_at=finite[-1] if finite else None
        ),
        make_series(
            "points",
            [[a, y, f"paper, α = {a:g}: {fixed(y, 3)}"] for a, y in paper.items()],
            name="paper",
            css="ink3",
            marker="diamond",
        ),
        *whiskers,
        make_series(
            "points",
            [[law.alpha, law.exponent, f"α = {law.alpha:g}: {fixed(law.exponent, 3)}"] for law in known],
            name="measured",
            css="c1",
        ),
    ]
    shown = [one for one in series if one["points"]]
    ys = [0.0, *(point[1] for one in shown for point in one["points"])]
    legend = [("dot", "c1", "measured")] + ([("diamond", "ink3", "paper")] if paper else [])
    return make_chart(
        slug=f"exponents-{resource.lower()}", number=number, size="third", title=exponents_title(resource, known),
        description=f"Measured exponent {WHAT[resource]} against α, with the theory’s curves",
        reading=_reading(resource, known), series=shown, help=HELP, legend=legend,
        x=linear_axis(ends, "α", n=4), y=linear_axis(ys, f"exponent {WHAT[resource]}", n=4, from_zero=True),
        table={
            "head": ["α", f"α_{resource}", "low", "high", "theory", "finite K", "paper"],
            "rows": [[law.alpha, law.exponent, law.low, law.high, infinite(resource, law.alpha), law.finite_k,
                      PAPER[resource].get(round(law.alpha, 4))] for law in known],
        },
    )  # fmt: skip


def infinite(resource: Resource, alpha: float) -> float:
    return alpha if resource == "N" else alpha / (1 + alpha)


def exponents_title(resource: Resource, known: Sequence[Law]) -> str:
    """Which side of the theory both ends lie on."""
    over = WHAT[resource].capitalize()
    if len(known) < 2:
        return f"{over}: one value of α"
    first, last = (_side(resource, law) for law in (known[0], known[-1]))
    words = {1: "above", -1: "below", 0: "in agreement with"}
    if first == last:
        return f"{over}: {words[first]} the theory at the smallest and the largest α"
    return f"{over}: {words[first]} the theory at the smallest α, {words[last]} it at the largest"


def _side(resource: Resource, law: Law) -> int:
    """1 above the theory, −1 below, 0 where the interval holds it."""
    expected = infinite(resource, law.alpha)
    if law.low is not None and law.high is not None and law.low <= expected <= law.high:
        return 0
    return (law.exponent > expected) - (law.exponent < expected)


def _reading(resource: Resource, known: Sequence[Law]) -> str:
    near = [(abs(law.exponent - infinite(resource, law.alpha)), abs(law.exponent - law.finite_k))
            for law in known if law.finite_k is not None]  # fmt: skip
    said = []
    if near:
        infinitely, finitely = (float(np.mean(values)) for values in zip(*near, strict=True))
        said.append(f"Mean distance from the theory {fixed(infinitely, 3)}, from finite K {fixed(finitely, 3)}.")
    if resource == "N":
        said.append(REVERSED_PROSE)
    return " ".join(said)
