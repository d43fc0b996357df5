"""Loss against parameters, steps and samples on sparse parity, and how many tasks are learned, beside the theory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clusters.charts.chart import Chart, Help, Series, log_axis, make_chart, make_series
from clusters.charts.numbers import compact, count, fixed
from clusters.values.parity import LN2, NOUNS, Law, Measured, Point, Resource, unit_factor
from clusters.values.readings import Unit
from compute.errors import FitError
from compute.numerics import parity_measures as measures
from compute.numerics.theory import expected_loss

N_DRAWN = 60  # points of the finite theory's curve
MOST_MARKS = 60  # points of a law over steps
REVERSED_PROSE = (
    "The paper’s text has this deviation the wrong way round: its own Figure 10 shows α_N above α where α is small and "
    "below it where α is large."
)
LAW_HELP = {
    "N": Help(
        what="Each point is a network of another width, trained on ever new batches; its loss is that at the end. "
        "Dotted: the theory for infinitely many tasks. Dashed grey: the same theory with as many tasks as there are "
        "here, which bends down as fewer remain.",
        formula="n ∝ N;  L ∝ N^(−α)",
        source="§4 and Figure 2; appendix B and Figures 7 and 10",
    ),
    "S": Help(
        what="Test loss of the widest network while it is trained on ever new batches. Dotted: the theory for "
        "infinitely many tasks. Dashed grey: with as many tasks as there are here.",
        formula="n ∝ S^(1/(α + 1));  L ∝ S^(−α/(α + 1))",
        source="§4 and Figure 2; appendix B and Figures 8 and 10",
    ),
    "D": Help(
        what="Each point is a network trained again and again on D samples; its loss is the lowest over training, as "
        "if it had been stopped in time. Dotted: the theory for infinitely many tasks. Dashed grey: with as many tasks "
        "as there are here.",
        formula="n ∝ D^(1/(α + 1));  L ∝ D^(−α/(α + 1))",
        source="§4 and Figure 2; appendix B and Figures 9 and 10",
    ),
}
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


@dataclass(frozen=True)
class Theory:
    """What the lines of one law rest on."""

    alpha: float
    n_tasks: int

    def power(self, resource: Resource) -> float:
        """n ∝ x to this power."""
        return 1.0 if resource == "N" else 1 / (1 + self.alpha)

    def exponent(self, resource: Resource) -> float:
        """L ∝ x to minus this."""
        return self.alpha if resource == "N" else self.alpha / (1 + self.alpha)


def law_chart(measured: Measured, theory: Theory, *, unit: Unit, number: int) -> Chart:
    """Points, the fitted line, and both theories drawn through the middle of what was fitted."""
    factor, resource = unit_factor(unit), measured.resource
    kept = _spread(measured.points)
    fitted = [one for one in kept if measured.window and measured.window.holds(one.x)]
    left_out = [one for one in kept if one not in fitted]
    series = [
        *_theory_series(measured, theory, factor),
        *_fit_series(measured, factor),
        make_series("points", [_mark(one, factor, unit) for one in fitted], name="fitted", css="ink"),
        make_series("points", [_mark(one, factor, unit) for one in left_out], name="not fitted", css="ink3"),
    ]
    ys = [one.y * factor for one in measured.points]
    noun = NOUNS[resource]
    return make_chart(
        slug=f"loss-{resource.lower()}",
        number=number,
        size="third",
        title=law_title(measured),
        help=LAW_HELP[resource],
        description=f"Test loss in {unit} against {noun}, with the fitted power law and the theory’s lines",
        reading=law_reading(measured, unit),
        series=[one for one in series if one["points"]],
        x=log_axis([one.x for one in measured.points], noun, n=4, pad=1.15),
        y=log_axis(ys, f"test loss, {unit}", n=5, pad=1.1),
        table={
            "head": [noun, f"test loss, {unit}", "fitted", "network"],
            "rows": [
                [one.x, one.y * factor, bool(measured.window and measured.window.holds(one.x)), one.name]
                for one in measured.points
            ],
        },
    )


def _mark(point: Point, factor: float, unit: Unit) -> list[object]:
    return [point.x, point.y * factor, f"{point.name}: {fixed(point.y * factor, 3)} {unit}"]


def _spread(points: Sequence[Point]) -> list[Point]:
    """At most so many points as can be told apart, about evenly in the logarithm; ends stay."""
    if len(points) <= MOST_MARKS:
        return list(points)
    first, last = points[0].x, points[-1].x
    wanted = np.geomspace(first, last, MOST_MARKS)
    xs = np.array([one.x for one in points])
    return [points[i] for i in np.unique(np.clip(np.searchsorted(xs, wanted), 0, len(xs) - 1)).tolist()]


def _fit_series(measured: Measured, factor: float) -> list[Series]:
    fit, inside = measured.fit, measured.inside
    if fit is None or not inside:
        return []
    ends = [min(one.x for one in inside), max(one.x for one in inside)]
    line = [[x, float(fit.predict(x)) * factor] for x in ends]
    middle = math.sqrt(ends[0] * ends[1])
    return [
        make_series("line", line, name="fit", css="fitl", label=f"{measured.resource}^{fixed(-fit.alpha)}",
                    label_at=[middle, float(fit.predict(middle)) * factor])
    ]  # fmt: skip


def _theory_series(measured: Measured, theory: Theory, factor: float) -> list[Series]:
    """The infinite theory's line and the finite one's curve, each through the middle of the fitted points."""
    inside = [one for one in measured.inside if 0 < one.y < LN2] or [one for one in measured.points if 0 < one.y < LN2]
    if not inside:
        return []
    resource = measured.resource
    x0 = math.exp(sum(math.log(one.x) for one in inside) / len(inside))
    y0 = math.exp(sum(math.log(one.y) for one in inside) / len(inside))
    xs = np.geomspace(measured.points[0].x, measured.points[-1].x, N_DRAWN)
    exponent = theory.exponent(resource)
    top = max(max(one.y for one in measured.points), LN2) * 1.02
    straight = [
        [x, y * factor] for x, y in zip(xs.tolist(), (y0 * (xs / x0) ** -exponent).tolist(), strict=True) if y <= top
    ]
    line = make_series("line", straight, name="theory", css="refl", label="theory" if straight else "",
                       label_at=straight[-1] if straight else None)  # fmt: skip
    bent = finite_curve(inside, theory, resource, xs)
    least = 0.8 * min(one.y for one in measured.points)
    finite = [[x, y * factor] for x, y in zip(xs.tolist(), bent.tolist(), strict=True) if y >= least]
    name = f"K = {theory.n_tasks}"
    return [
        line,
        make_series("line", finite, name=f"theory, {name}", css="c6 dash", label=name if finite else "",
                    label_at=finite[0] if finite else None),
    ]  # fmt: skip


def finite_curve(inside: Sequence[Point], theory: Theory, resource: Resource, xs: np.ndarray) -> np.ndarray:
    """Loss in nats that K tasks expect at every x: float64 like `xs`.

    n = c · x^power with the c for which the points lie on the curve in the mean of ln x.
    """
    n = np.geomspace(1e-2, theory.n_tasks * (1 - 1e-6), 400)
    losses = np.maximum(_loss(n, theory), 1e-12)
    needed = np.interp(-np.log([one.y for one in inside]), -np.log(losses), np.log(n))  # ln n that each loss stands for
    power = theory.power(resource)
    shift = float(np.mean(needed - power * np.log([one.x for one in inside])))
    return _loss(np.exp(shift + power * np.log(xs)), theory)


def _loss(n: np.ndarray, theory: Theory) -> np.ndarray:
    """Expected loss in nats with n of K tasks learned, in proportion between whole numbers."""
    low = np.floor(n)
    share = n - low
    at, above = (
        expected_loss(np.minimum(k, theory.n_tasks), theory.alpha, theory.n_tasks, 0.0, LN2) for k in (low, low + 1)
    )
    return np.asarray(at * (1 - share) + above * share)


def law_title(measured: Measured) -> str:
    law, letter = measured.law, f"α_{measured.resource}"
    if not law.is_fitted:
        return f"No power law over {NOUNS[measured.resource]}"
    if law.exponent <= 0:
        return f"The loss does not fall with {NOUNS[measured.resource]}"
    own, theory = fixed(law.exponent), fixed(law.theory)
    if law.theory is None:
        return f"{letter} = {own}"
    if law.agrees:
        return f"{letter} = {own} agrees with the theory’s {theory}"
    if law.agrees is None or own == theory:
        return f"{letter} = {own}; the theory says {theory}"
    return f"{letter} = {own} lies {'above' if law.exponent > law.theory else 'below'} the theory’s {theory}"


def law_reading(measured: Measured, unit: Unit) -> str:
    law, window = measured.law, measured.window
    if not law.is_fitted:
        return f"No line is drawn: {law.reason}." if law.reason else "No line is drawn."
    said = []
    if law.has_interval:
        said.append(f"95% interval {fixed(law.low)} to {fixed(law.high)} over {count(law.n_points)} points,")
    else:
        said.append(f"{count(law.n_points)} points, too few for an interval,")
    if window:
        said.append(f"{compact(window.first)} to {compact(window.last)} {NOUNS[measured.resource]}.")
    if law.r_squared is not None:
        said.append(f"R² {fixed(law.r_squared, 3)}.")
    if law.finite_k is not None:
        said.append(f"Over the range learned, finitely many tasks expect {fixed(law.finite_k)}.")
    if measured.resource == "S":
        said.append("Steps of one training are no independent draws: the truth is less certain.")
    if measured.resource == "N":
        said.append(REVERSED_PROSE)
    return " ".join(said)


# ── tasks learned ──


def learned_chart(
    resource: Resource, points: Sequence[Point], theory: Theory, law: Law | None, *, number: int
) -> Chart:
    """Tasks learned against a resource, with a line of the theory's power through the middle of them."""
    known = [one for one in points if one.y > 0]
    noun, power = NOUNS[resource], theory.power(resource)
    series = []
    if known:
        x0, y0 = (math.exp(sum(math.log(v) for v in values) / len(known))
                  for values in ([one.x for one in known], [one.y for one in known]))  # fmt: skip
        xs = [min(one.x for one in known), max(one.x for one in known)]
        line = [[x, min(y0 * (x / x0) ** power, 1.5 * theory.n_tasks)] for x in xs]
        label = f"theory {resource}" + ("" if resource == "N" else f"^{fixed(power)}")
        series.append(make_series("line", line, name="theory", css="refl", label=label,
                                  label_at=[x0, y0] if xs[0] < xs[1] else None))  # fmt: skip
    fitted = _growth(known, law)
    if fitted:
        ends = _through([(one.x, one.y) for one in known if fitted.first <= one.x <= fitted.last], fitted.exponent)
        series.append(make_series("line", ends, name="fit", css="fitl", label=f"{resource}^{fixed(fitted.exponent)}",
                                  label_at=ends[-1]))  # fmt: skip
    kept = _spread(known)
    marks = [[one.x, one.y, f"{one.name}: {count(one.y)} tasks"] for one in kept]
    series.append(make_series("points", marks, name="learned", css="ink"))
    n_none = len(points) - len(known)
    return make_chart(
        slug=f"learned-{resource.lower()}", number=number, size="third", help=LEARNED_HELP,
        title=learned_title(resource, points, fitted, theory), series=series,
        description=f"Number of learned tasks against {noun}",
        reading=_learned_reading(resource, fitted, n_none),
        x=log_axis([one.x for one in points], noun, n=4, pad=1.15),
        y=log_axis([1, *(one.y for one in known), 2], "tasks learned", n=5, pad=1.15),
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
        what = "early steps" if resource == "S" else "networks"
        said.append(f"{count(n_none)} {what} with no learned task cannot stand on a logarithmic axis.")
    return " ".join(said)


# ── when tasks are learned ──


def convergence_chart(probabilities: np.ndarray, steps: np.ndarray, *, name: str, number: int) -> Chart:
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
        reading=_convergence_reading(fit, len(known)),
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


def _convergence_reading(fit: measures.Law | None, n: int) -> str:
    said = f"{count(n)} learned tasks"
    if fit is not None and math.isfinite(fit.low):
        said += f", 95% interval {fixed(fit.low)} to {fixed(fit.high)}"
    return f"{said}. The paper’s network of this kind has −0.81 over 45 tasks."
