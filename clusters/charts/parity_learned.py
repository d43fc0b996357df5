"""How many tasks of sparse parity are learned with a resource, and when each is, beside the theory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clusters.charts.chart import Chart, Help, log_axis, make_chart, make_series
from clusters.charts.numbers import compact, count, fixed
from clusters.charts.parity_laws import Theory
from clusters.values.parity import NOUNS, Law, Point, Resource
from compute.errors import FitError
from compute.numerics import parity_measures as measures

LEARNED_HELP = Help(
    what="Tasks whose test loss was below 0.1 nats at any time of the training. The theory puts every resource into "
    "the most frequent tasks first, so their number is a power of the resource.",
    formula="n ∝ N;  n ∝ S^(1/(α + 1));  n ∝ D^(1/(α + 1))",
    source="appendix B, Figure 9",
)
CONVERGENCE_HELP = Help(
    what="When each task is learned, against how often it comes. If a task needed a fixed number of its own samples, "
    "steps would be inverse to frequency.",
    formula="first step with a loss below 0.1 bits; theory: S_r ∝ 1 / p_r",
    source="appendix B, Figure 8: slope −0.81",
)


def learned_chart(
    resource: Resource, points: Sequence[Point], theory: Theory, law: Law | None, *, number: int
) -> Chart:
    """Tasks learned against a resource, with a line of the theory's power through the middle of them."""
    known = [one for one in points if one.y > 0]
    noun, power = NOUNS[resource], theory.power(resource)
    series = []
    if known:
        line = _through([(one.x, one.y) for one in known], power)
        middle = [math.sqrt(first * last) for first, last in zip(*line, strict=True)]
        label = f"theory {resource}" + ("" if resource == "N" else f"^{fixed(power)}")
        series.append(make_series("line", line, name="theory", css="refl", label=label, label_at=middle))
    fitted = _growth(known, law)
    if fitted:
        inside = [(one.x, one.y) for one in known if fitted.first <= one.x <= fitted.last]
        ends = _through(inside or [(one.x, one.y) for one in known], fitted.exponent)
        series.append(make_series("line", ends, name="fit", css="fitl", label=f"{resource}^{fixed(fitted.exponent)}",
                                  label_at=ends[-1]))  # fmt: skip
    marks = [[one.x, one.y, f"{one.name}: {count(one.y)} tasks"] for one in known]
    series.append(make_series("step" if resource == "S" else "points", marks, name="learned", css="ink"))
    n_none = len(points) - len(known)
    return make_chart(
        slug=f"learned-{resource.lower()}", number=number, size="third", help=LEARNED_HELP,
        title=learned_title(resource, points, fitted, theory), series=series,
        description=f"Number of learned tasks against {noun}",
        reading=_learned_reading(resource, fitted, n_none),
        x=log_axis([one.x for one in points], noun, n=4, pad=1.15),
        y=log_axis([1, 2, *(point[1] for one in series for point in one["points"])], "tasks learned", n=5, pad=1.1),
        table={"head": [noun, "tasks learned", "network"], "rows": [[one.x, one.y, one.name] for one in points]},
    )  # fmt: skip


def _growth(known: Sequence[Point], law: Law | None) -> measures.Law | None:
    """n ∝ x^exponent, as the experiment fitted it or as fitted here; None for too few points."""
    if law is not None and law.is_fitted and law.first is not None and law.last is not None:
        low, high = (math.nan if value is None else value for value in (law.low, law.high))
        return measures.Law(law.exponent, low, high, law.r_squared or 0.0, law.first, law.last, law.n_points)
    try:
        return measures.growth_law([one.x for one in known], [one.y for one in known])
    except FitError:
        return None


def _through(points: Sequence[tuple[float, float]], exponent: float) -> list[list[float]]:
    """Both ends of the line with this slope through the middle of the points, where least squares put it."""
    xs, ys = np.log([x for x, _ in points]), np.log([y for _, y in points])
    ends = [float(xs.min()), float(xs.max())]
    return [[math.exp(x), math.exp(float(ys.mean()) + exponent * (x - float(xs.mean())))] for x in ends]


def learned_title(resource: Resource, points: Sequence[Point], fitted: measures.Law | None, theory: Theory) -> str:
    most = max((one.y for one in points), default=0)
    if not most:
        return "No task is learned"
    if fitted is None or fitted.exponent <= 0:
        return f"{count(most)} of {count(theory.n_tasks)} tasks are learned at most"
    own, expected = fixed(fitted.exponent), fixed(theory.power(resource))
    return f"Tasks learned grow as {resource} to the power {own}; theory {expected}"


def _learned_reading(resource: Resource, fitted: measures.Law | None, n_none: int) -> str:
    said = []
    if fitted is not None and math.isfinite(fitted.low):
        said.append(f"95% interval {fixed(fitted.low)} to {fixed(fitted.high)}.")
    elif fitted is None:
        said.append("Too few points for a slope.")
    if n_none:
        what = "early step" if resource == "S" else "network"
        many = f"One {what}" if n_none == 1 else f"{count(n_none)} {what}s"
        said.append(f"{many} with no learned task cannot stand on a logarithmic axis.")
    return " ".join(said)


# ── when tasks are learned ──


def convergence_chart(
    probabilities: np.ndarray, steps: np.ndarray, tau: Mapping[str, Any] | None = None, *, name: str, number: int
) -> Chart:
    """First step at which each task is below 0.1 bits, int (n_tasks,), −1 where never, against its frequency."""
    known = np.flatnonzero(steps > 0)
    p, s = probabilities[known], steps[known].astype(np.float64)
    fit = _convergence(p, s)
    points = [
        [float(x), float(y), f"rank {rank + 1}: step {count(float(y))}"] for rank, x, y in zip(known, p, s, strict=True)
    ]
    series = []
    if fit is not None:
        pairs = list(zip(p.tolist(), s.tolist(), strict=True))
        inverse, line = _through(pairs, -1.0), _through(pairs, fit.exponent)
        series += [
            make_series("line", inverse, name="theory 1/p", css="refl", label="theory p^−1", label_at=inverse[0]),
            make_series("line", line, name="fit", css="fitl", label=f"p^{fixed(fit.exponent)}", label_at=line[-1]),
        ]
    series.append(make_series("points", points, name="learned tasks", css="ink"))
    return make_chart(
        slug="convergence",
        number=number,
        size="side",
        help=CONVERGENCE_HELP,
        series=series,
        title=convergence_title(fit.exponent if fit else None, len(known)),
        description=f"First step below 0.1 bits against the frequency of a task, {name}",
        reading=_convergence_reading(fit, len(known), tau),
        x=log_axis(p.tolist(), "frequency of the task", n=4, pad=1.2),
        y=log_axis(s.tolist(), "step of learning", n=5, pad=1.2),
        table={
            "head": ["rank", "frequency", "first step below 0.1 bits"],
            "rows": [[int(rank) + 1, float(x), float(y)] for rank, x, y in zip(known, p, s, strict=True)],
        },
    )


def _convergence(p: np.ndarray, steps: np.ndarray) -> measures.Law | None:
    try:
        return measures.convergence_law(p, steps)
    except FitError:
        return None


def convergence_title(slope: float | None, n: int) -> str:
    if not n:
        return "No task is learned, so none is learned first"
    if slope is None or n < 3:
        return f"{count(n)} learned task{'s are' if n > 1 else ' is'} too few for a slope"
    if slope >= 0:
        return "Rarer tasks are not learned later"
    return f"Steps of learning go as frequency to the power {fixed(slope)}; theory −1"


def _convergence_reading(fit: measures.Law | None, n: int, tau: Mapping[str, Any] | None) -> str:
    said = [f"{count(n)} learned task{'' if n == 1 else 's'}"]
    if fit is not None and math.isfinite(fit.low):
        said[0] += f", 95% interval {fixed(fit.low)} to {fixed(fit.high)}"
    if tau is not None:
        ends = f", {compact(tau['low'])} to {compact(tau['high'])}" if tau["low"] < tau["high"] else ""
        said.append(f"Until then a task had been seen {compact(tau['median'])} times in the median{ends}")
    return ". ".join([*said, "The paper’s network of this kind has −0.81 over 45 tasks."])
