"""Loss against parameters, steps and samples on sparse parity, and how many tasks are learned, beside the theory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clusters.charts.chart import Chart, Help, Series, log_axis, make_chart, make_series
from clusters.charts.numbers import compact, count, fixed
from clusters.values.parity import LN2, NOUNS, Measured, Point, Resource, unit_factor
from clusters.values.readings import Unit
from compute.numerics.theory import expected_loss

N_DRAWN = 60  # points of the finite theory's curve
MOST_MARKS = 60  # points of a law over steps
REVERSED_PROSE = (
    "In the paper’s Figure 10 this exponent lies above α where α is small and below it where α is large; its text says "
    "the reverse."
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
    kept = spread(measured.points)
    fitted = [one for one in kept if measured.window and measured.window.holds(one.x)]
    left_out = [one for one in kept if one not in fitted]
    fit_line = _fit_series(measured, factor)
    ys = [one.y * factor for one in measured.points] + [y for one in fit_line for _, y in one["points"]]
    y_axis = log_axis(ys, f"test loss, {unit}", n=5, pad=1.1)
    series = [
        *_theory_series(measured, theory, factor, (y_axis["lo"], y_axis["hi"])),
        *fit_line,
        make_series("points", [_mark(one, factor, unit) for one in fitted], name="fitted", css="ink"),
        make_series("points", [_mark(one, factor, unit) for one in left_out], name="not fitted", css="ink3"),
    ]
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
        y=y_axis,
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


def spread(points: Sequence[Point]) -> list[Point]:
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


def _theory_series(measured: Measured, theory: Theory, factor: float, frame: tuple[float, float]) -> list[Series]:
    """The infinite theory's line and the finite one's curve through the middle of what was fitted, within the axes."""
    inside = [one for one in measured.inside if 0 < one.y < LN2] or [one for one in measured.points if 0 < one.y < LN2]
    if not inside:
        return []
    resource = measured.resource
    x0, y0 = (math.exp(float(np.mean(np.log(values)))) for values in ([p.x for p in inside], [p.y for p in inside]))
    xs = np.geomspace(measured.points[0].x, measured.points[-1].x, N_DRAWN)
    straight, bent = y0 * (xs / x0) ** -theory.exponent(resource), finite_curve(inside, theory, resource, xs)
    pairs = [
        [[x, y] for x, y in zip(xs.tolist(), (values * factor).tolist(), strict=True) if frame[0] <= y <= frame[1]]
        for values in (straight, bent)
    ]
    texts = ("theory", f"K = {theory.n_tasks}")
    return [
        make_series("line", line, name=name, css=css, label=text, label_at=line[end])
        for line, name, css, text, end in zip(
            pairs, ("theory", "theory, finite"), ("refl", "c6 dash"), texts, (-1, 0), strict=True
        )
        if line
    ]


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
    law = measured.law
    if not law.is_fitted:
        return f"No power law over {NOUNS[measured.resource]}"
    if law.exponent <= 0:
        return f"The loss does not fall with {NOUNS[measured.resource]}"
    own, theory = fixed(law.exponent), fixed(law.theory)
    if law.theory is None:
        return f"Exponent {own} over {NOUNS[measured.resource]}"
    if law.agrees:
        return f"Exponent {own} agrees with the theory’s {theory}"
    if law.agrees is None or own == theory:
        return f"Exponent {own}; the theory says {theory}"
    return f"Exponent {own}, {'above' if law.exponent > law.theory else 'below'} the theory’s {theory}"


def law_reading(measured: Measured, unit: Unit) -> str:
    law, inside = measured.law, measured.inside
    if not law.is_fitted:
        return f"No line is drawn: {law.reason}." if law.reason else "No line is drawn."
    said = []
    if law.has_interval:
        said.append(f"95% interval {fixed(law.low)} to {fixed(law.high)} over {count(law.n_points)} points,")
    else:
        said.append(f"{count(law.n_points)} points, too few for an interval,")
    if inside:
        said.append(f"{compact(inside[0].x)} to {compact(inside[-1].x)} {NOUNS[measured.resource]}.")
    if law.r_squared is not None:
        said.append(f"R² {fixed(law.r_squared, 3)}.")
    if law.finite_k is not None:
        said.append(f"Over the range learned, finitely many tasks expect {fixed(law.finite_k)}.")
    if measured.resource == "S":
        said.append("Steps of one training are no independent draws: the truth is less certain.")
    if measured.resource == "N":
        said.append(REVERSED_PROSE)
    return " ".join(said)
