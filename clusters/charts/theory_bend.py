"""What a finite world does to measured exponents: the bend, its two readings, and the way back."""

from __future__ import annotations

import math

import numpy as np

from clusters.charts.chart import Chart, Help, Rows, linear_axis, log_axis, make_chart, make_series, vertical
from clusters.charts.numbers import count, fixed
from clusters.charts.theory import LEAST_SHARE
from compute.numerics import quantization as model
from compute.numerics.knobs import Knobs
from compute.numerics.theory import Exponents

# α of the paper's multitask sparse parity with 500 tasks, and the exponent measured over parameters (Figure 10)
PARITY_MEASURED = ((0.1, 0.2286), (0.2, 0.2828), (0.3, 0.3392), (0.4, 0.3781), (0.5, 0.4541), (0.6, 0.5030),
                   (0.7, 0.5711), (0.8, 0.6080))  # fmt: skip
PARITY_TASKS = 500
N_ALPHAS = 24
BEND_HELP = Help(
    what="With a last quantum the loss reaches its floor and the curve bends down, so that a straight line through a "
    "part of it is steeper than the theory’s. Whether the world holds only K quanta, or infinitely many of which an "
    "observer tells apart the first R, what the observer sees bends in the same way: both are readings of emergence, "
    "and only the whole loss, which bends in the first world alone, could tell them apart.",
    formula="T_n = (ζ(α+1, n+1) − ζ(α+1, K+1)) / Z_K for n up to K, and 0 beyond",
    source="appendix B measures it on 500 parity tasks; the two readings are of the article on kexue.fm",
)
WINDOW_HELP = Help(
    what="For every α, the exponent that a least-squares line through ln L over the window of n finds. Where it lies "
    "above the diagonal, small exponents look larger than they are. Read backwards, it corrects a measurement.",
    formula="slope of −ln L_n on ln n over the window, n whole",
    source="appendix B, Figure 10; its prose names the opposite sign: measured α_N lies above α for small α and below "
    "for large",
)


def bend_chart(knobs: Knobs, found: Exponents | None, *, number: int) -> Chart:
    """The whole loss and what is seen of it, with the line that a fit over the window would draw."""
    n = model.n_grid(max(knobs.n_seen, knobs.window[1] if knobs.window else 1))
    start = float(model.loss(knobs, 0))
    endless = _line(n, Knobs(**{**vars(knobs), "n_quanta": None}), start)
    whole, seen = _line(n, knobs, start), _line(n, knobs.seen, start)
    is_finite, is_cut = knobs.n_quanta is not None, knobs.n_seen != knobs.n_quanta
    series = []
    if is_finite:
        series.append(make_series("line", endless, name="without end", css="refl", label="without end"))
        series.append(make_series("line", whole, name=f"K = {count(knobs.n_quanta)}", css="c1",
                                  label=f"K = {count(knobs.n_quanta)}"))  # fmt: skip
    else:
        series.append(make_series("line", endless, name="the whole loss", css="c1", label="the whole loss"))
    if is_cut:
        name = f"seen at resolution {count(knobs.n_seen)}"
        series.append(make_series("line", seen, name=name, css="c3", label=name))
    window = knobs.window if found else None
    if found and window:
        line = _fitted(knobs, found.parameters, window)
        series.append(make_series("line", line, name="fit", css="fitl", label=f"n^−{fixed(found.parameters)}",
                                  label_at=line[len(line) // 2]))  # fmt: skip
    drawn = [point[1] for one in series for point in one["points"]]
    return make_chart(
        slug="bend", number=number, title=_bend_title(knobs, found), series=series, help=BEND_HELP,
        description="Mean loss against quanta learned: of the whole world and of what is seen of it, with a fit",
        reading=_bend_reading(knobs), window=window, x=log_axis(n, "quanta learned n", n=5),
        y=log_axis(drawn or [start], "mean loss", n=5, pad=1.1),
        table={"head": ["n", "without end", "whole loss", "seen"], "rows": _bend_rows(knobs, n)},
    )  # fmt: skip


def window_chart(knobs: Knobs, found: Exponents | None, *, number: int) -> Chart:
    """The exponent that the window shows at every α."""
    top = max(1.0, 1.25 * knobs.alpha, 1.1 * (knobs.measured or 0))
    alphas = np.linspace(top / 50, top, N_ALPHAS)
    shown = model.measured_over_alpha(knobs, alphas)
    points = [[float(x), float(y)] for x, y in zip(alphas, shown, strict=True) if math.isfinite(y)]
    series = [
        make_series("line", [[0, 0], [top, top]], name="measured = true", css="refl", label="no bend"),
        make_series("line", points, name=f"K = {count(knobs.n_seen)}", css="c1", label=_window_words(knobs),
                    label_at=points[len(points) // 3] if points else None),
    ]  # fmt: skip
    has_parity = knobs.n_seen == PARITY_TASKS and knobs.case == "constant" and knobs.a == 0
    if has_parity:
        marks = [[x, y, f"α = {x}: measured {y}"] for x, y in PARITY_MEASURED]
        series.append(make_series("points", marks, name="the paper’s parity networks", css="c2", marker="diamond"))
    if found:
        series.append(make_series("points", [[knobs.alpha, found.parameters, f"α = {knobs.alpha:g}"]], name="this α",
                                  css="act"))  # fmt: skip
    most = max([1.0, 1.6 * top, *(y for _, y, *_ in series[-1]["points"])])
    for one in series:
        one["points"] = [point for point in one["points"] if point[1] <= most]
    return make_chart(
        slug="window", number=number, title=_window_title(knobs, found), series=series, help=WINDOW_HELP,
        description="Exponent measured over the window against the true alpha",
        reading=_window_reading(knobs, has_parity=has_parity),
        rules=[vertical("thr", knobs.alpha, f"α = {knobs.alpha:g}")] if knobs.alpha <= top else [],
        x=linear_axis([0, top], "true α"), y=linear_axis([point[1] for one in series for point in one["points"]],
                                                         "measured exponent", from_zero=True),
        table={"head": ["alpha", "measured"], "rows": Rows(alphas, shown)},
    )  # fmt: skip


def _line(n: np.ndarray, knobs: Knobs, start: float) -> list[list[float]]:
    losses = model.loss(knobs, n)
    return [[float(x), float(y)] for x, y in zip(n, losses, strict=True) if y > LEAST_SHARE * abs(start)]


def _fitted(knobs: Knobs, slope: float, window: tuple[int, int]) -> list[list[float]]:
    """The fitted line over the window, through the middle of what is seen there."""
    n = np.arange(window[0], window[1] + 1, dtype=np.float64)
    height = float(np.mean(np.log(model.loss(knobs.seen, n)) + slope * np.log(n)))
    ends = np.geomspace(window[0], window[1], 9)
    return [[float(x), math.exp(height - slope * math.log(x))] for x in ends]


def _bend_rows(knobs: Knobs, n: np.ndarray) -> list[list[object]]:
    endless = Knobs(**{**vars(knobs), "n_quanta": None})
    columns = [model.loss(one, n).tolist() for one in (endless, knobs, knobs.seen)]
    return [list(row) for row in zip(n.tolist(), *columns, strict=True)]


def _bend_title(knobs: Knobs, found: Exponents | None) -> str:
    whom = f" of the first {count(knobs.n_seen)}" if knobs.n_seen != knobs.n_quanta else ""
    if found is None and knobs.window:
        return f"No exponent can be measured over {_window_words(knobs)}: the loss that is seen falls below 0"
    if found is None:
        return f"Of {_quanta(knobs.n_seen)} no exponent can be measured: a fit needs two n with a loss to fit"
    how = f"measure {fixed(found.parameters, 3)}" if found.parameters > 0 else "measure no fall"
    return f"Over {_window_words(knobs)}{whom} one would {how} where α is {knobs.alpha:g}"


def _bend_reading(knobs: Knobs) -> str:
    seen = count(knobs.n_seen)
    parts = "an observer sees the first alone" if seen == "1" else f"an observer tells the first {seen} apart"
    if knobs.n_quanta is None:
        return f"Infinitely many quanta, of which {parts}: what is seen ends at n = {seen}, the whole loss goes on."
    if knobs.n_seen < knobs.n_quanta:
        return f"{count(knobs.n_quanta)} quanta, of which {parts}: both curves end."
    return f"A finite set: at n = {seen} all is learned, whoever looks. Were there more quanta, the loss would go on."


def _quanta(n: int) -> str:
    return "a single quantum" if n == 1 else f"{count(n)} quanta"


def _window_words(knobs: Knobs) -> str:
    return f"n = {count(knobs.window[0])} to {count(knobs.window[1])}" if knobs.window else "no window"


def _window_title(knobs: Knobs, found: Exponents | None) -> str:
    if found is None:
        return "This window shows no exponent" if knobs.window else "There is no window to measure an exponent over"
    off = found.parameters - knobs.alpha
    if abs(off) < 0.005:
        return f"At α = {knobs.alpha:g} the window shows the true exponent"
    way = "too steep" if off > 0 else "too flat"
    return f"At α = {knobs.alpha:g} the window shows an exponent {fixed(abs(off), 3)} {way}"


def _window_reading(knobs: Knobs, *, has_parity: bool) -> str:
    if knobs.window is None:
        return f"A fit needs two n with a loss to fit, which {_quanta(knobs.n_seen)} cannot give."
    said = f"Among {_quanta(knobs.n_seen)}, over {_window_words(knobs)}."
    if has_parity:
        said += " Diamonds: what the paper measured on networks that learn 500 parity tasks."
    return said
