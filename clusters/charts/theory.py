"""The quantization model in figures: how often quanta are used, what is lost, and loss over each resource."""

from __future__ import annotations

import math

import numpy as np

from clusters.charts.chart import Chart, Help, Rows, linear_axis, log_axis, make_chart, make_series, vertical
from clusters.charts.numbers import compact, count, fixed, percent, plain
from compute.numerics import quantization as model
from compute.numerics.knobs import Knobs
from compute.numerics.quantization import RESOURCES, Resource
from compute.numerics.theory import exponents
from compute.numerics.zipf import probabilities

AXES: dict[Resource, str] = {"parameters": "parameters N", "samples": "samples D", "steps": "steps S"}
WORDS: dict[Resource, str] = {"parameters": "parameters", "samples": "data", "steps": "steps"}
CLOSE = 0.01  # an approximation within this share of the truth is called close
LEAST_SHARE = 1e-9  # of the loss at the start: less is no loss to draw
USE_HELP = Help(
    what="The theory says that what a network can know comes in pieces, the quanta, and that some are needed far more "
    "often than others: the k-th most frequent with a probability that falls as a power of k.",
    formula="p_k = k^−(α+1) / ζ(α+1); with K quanta Z_K = Σ k^−(α+1) up to K replaces ζ",
    source="§2",
)
LOSS_HELP = Help(
    what="A network that has learned the n most frequent quanta loses a where they are needed and b elsewhere (or, in "
    "the appendix’s cases, what the surprise of a quantum leaves). The exact curve is a Hurwitz zeta function; the "
    "paper’s power law is the integral that comes near it, and the same integral moved up by a half comes far nearer.",
    formula="L_n = a + (b − a) T_n, T_n = ζ(α+1, n+1)/ζ(α+1) ≈ n^−α/(α ζ)",
    source="§2 and appendix A",
)
RESOURCE_HELP = {
    "parameters": Help(
        what="A quantum takes C parameters, so a network of N holds N/C of them, rounded down: the curve is a "
        "staircase. Dashed: the same network with the data and the steps that the knobs say, whichever is scarcer.",
        formula="n = ⌊N/C⌋, so L − a ∝ N^−α", source="§2",
    ),
    "samples": Help(
        what="A quantum is learned once τ samples have used it, however often they are seen. Dashed: with the "
        "parameters and steps that the knobs say.",
        formula="D p_n = τ, so n = (D/(τ ζ))^(1/(1+α)) and L − a ∝ D^−α/(1+α)", source="§2",
    ),
    "steps": Help(
        what="In a single epoch every step brings B new samples, so the k-th quantum is learned after T k^(α+1) steps. "
        "Dashed: with the parameters and data that the knobs say.",
        formula="S B p_n = τ, so n = (S/T)^(1/(1+α)) and L − a ∝ S^−α/(1+α)", source="§2",
    ),
}  # fmt: skip
SLOPES_HELP = Help(
    what="How steep the curves are at every n, if one could measure over a very short range. In an infinite world they "
    "come down or up to the theory’s exponents as n grows; in a finite one they turn up before the last quantum.",
    formula="−d ln L / d ln N (with n = N/C), and the same over 1 + α for data and steps",
    source="§2; the bend of a finite world is seen in appendix B",
)


def use_chart(knobs: Knobs, *, number: int) -> Chart:
    """How often each quantum is used."""
    k = model.n_grid(model.reach(knobs))
    p = probabilities(k, knobs.alpha, knobs.n_quanta)
    last = int(min(10, k[-1]))
    ends = (
        "" if last == 1 else f", quantum {last} in {percent(float(probabilities(last, knobs.alpha, knobs.n_quanta)))}"
    )
    whole = "ζ" if knobs.n_quanta is None else "Z"
    return make_chart(
        slug="use", number=number, title=f"The first quantum is used in {percent(float(p[0]))} of samples{ends}",
        description="Probability that a sample needs quantum k, against k",
        reading=f"It falls as k to the power {fixed(-knobs.alpha - 1, 3)}; {whole} = {fixed(knobs.total, 4)}.",
        series=[make_series("line", zip(k, p, strict=True), name="p", css="c1",
                            marker="dot" if len(k) < 8 else "")],
        x=log_axis(k, "quantum k", n=5), y=log_axis(p, "used by this share of samples", n=5, pad=1.3), help=USE_HELP,
        table={"head": ["k", "p_k"], "rows": Rows(k, p)},
    )  # fmt: skip


def loss_chart(knobs: Knobs, *, number: int) -> Chart:
    """Loss of n quanta: exact, and as the integral and the midpoint form have it."""
    n = model.n_grid(model.reach(knobs))
    exact, integral, midpoint = _forms(knobs, n)
    start, left = float(model.loss(knobs, 0)), model.floor(knobs)
    series = [
        make_series("line", _above(n, integral, start), name="integral", css="c2 dash", label="integral",
                    label_at=_place(n, integral, 0.3)),
        make_series("line", _above(n, midpoint, start), name="midpoint", css="c4 dash"),
        make_series("line", _above(n, exact, start), name="exact", css="mean", label="exact",
                    label_at=_place(n, exact, 0.62)),
    ]  # fmt: skip
    drawn = [point[1] for one in series for point in one["points"]]
    return make_chart(
        slug="loss", number=number, title=_loss_title(knobs, start, left), series=series, help=LOSS_HELP,
        description=f"Mean loss in {knobs.unit} against the number of quanta learned, with two approximations",
        reading=_loss_reading(knobs, start, left), x=log_axis(n, "quanta learned n", n=5),
        y=log_axis(drawn or [start], f"mean loss, {_unit(knobs)}", n=5, pad=1.1),
        table={"head": ["n", "exact", "integral", "midpoint"], "rows": Rows(n, exact, integral, midpoint)},
    )  # fmt: skip


def error_chart(knobs: Knobs, *, number: int) -> Chart:
    """How far the approximations are from the exact loss."""
    n = model.n_grid(model.reach(knobs))
    exact, integral, midpoint = _forms(knobs, n)
    found = {"integral": _misses(exact, integral), "midpoint": _misses(exact, midpoint)}
    styles = {"integral": "c2", "midpoint": "c4"}
    series = [
        make_series("line", [[x, y] for x, y in zip(n, miss, strict=True) if y > LEAST_SHARE], name=name,
                    css=styles[name], label=name)
        for name, miss in found.items()
    ]  # fmt: skip
    drawn = [point[1] for one in series for point in one["points"]]
    return make_chart(
        slug="errors", number=number, title=_error_title(n, found), series=series, help=LOSS_HELP,
        description="Relative error of the two approximations against the number of quanta learned",
        reading=_error_reading(knobs, n, found), x=log_axis(n, "quanta learned n", n=5),
        y=log_axis(drawn or [CLOSE], "error as a share of the exact loss", n=5, pad=1.3),
        table={"head": ["n", "integral", "midpoint"], "rows": Rows(n, *found.values())},
    )  # fmt: skip


def resource_chart(knobs: Knobs, resource: Resource, *, number: int) -> Chart:
    """Loss over one resource alone, and with the two others as the knobs have them."""
    curve, unit, letter = model.resource_curve(knobs, resource), _unit(knobs), RESOURCES[resource]
    start = float(curve.loss[0])
    amount = {"parameters": knobs.n_parameters, "samples": knobs.n_samples, "steps": knobs.n_steps}[resource]
    together = model.joint(knobs)
    alone = float(model.loss(knobs, together.quanta[resource]))
    limited = np.flatnonzero(curve.joint > curve.loss * (1 + 1e-9))
    since = max(int(limited[0]) - 1, 0) if len(limited) else len(curve.x)
    series = [
        make_series("line", _above(curve.x, curve.loss, start), name=f"{letter} alone", css="mean", label="alone",
                    label_at=_place(curve.x, curve.loss, 0.55)),
        make_series("line", _above(curve.x[since:], curve.joint[since:], start), name="with the others", css="c2 dash",
                    label="with the others"),
    ]  # fmt: skip
    within = curve.x[0] <= amount <= curve.x[-1]
    if within:
        words = f"{letter} = {compact(amount)}"
        points = _above(np.array([amount]), np.array([together.loss]), start)
        series.append(make_series("points", [[*point, f"{words}: {fixed(together.loss, 4)}"] for point in points],
                                  name="as the knobs are", css="act", marker="diamond"))  # fmt: skip
    drawn = [point[1] for one in series for point in one["points"]]
    return make_chart(
        slug=f"over-{resource}", number=number,
        title=_resource_title(knobs, resource, amount, together.quanta[resource]),
        description=f"Mean loss in {unit} against {AXES[resource]}, alone and with the other two resources limited",
        reading=_resource_reading(knobs, resource, alone, together), series=series,
        rules=[vertical("refl", amount, f"{letter} = {compact(amount)}", side="start")] if within else [],
        x=log_axis(curve.x, AXES[resource], n=5), y=log_axis(drawn or [start], f"mean loss, {unit}", n=5, pad=1.1),
        help=RESOURCE_HELP[resource],
        table={"head": [letter, "quanta n", "loss alone", "loss with the others"],
               "rows": Rows(curve.x, curve.n, curve.loss, curve.joint)},
    )  # fmt: skip


def slopes_chart(knobs: Knobs, *, number: int) -> Chart:
    """Local exponents of loss in parameters and in data, against the number of quanta learned."""
    n = model.n_grid(model.reach(knobs))
    n = n[:-1] if knobs.n_quanta is not None and len(n) > 1 else n
    over_n, theory = model.slopes(knobs, n), exponents(knobs.alpha)
    over_d = over_n / (1 + knobs.alpha)
    ends = (float(n[0]), float(n[-1]))
    series = [
        make_series("line", [[x, theory.parameters] for x in ends], name="theory, N", css="refl", label="α"),
        make_series("line", [[x, theory.data] for x in ends], name="theory, D and S", css="refl", label="α/(1+α)"),
        make_series("line", _finite(n, over_n), name="over parameters", css="c1", label="over N",
                    label_at=_place(n, over_n, 0.3)),
        make_series("line", _finite(n, over_d), name="over data and steps", css="c3", label="over D and S",
                    label_at=_place(n, over_d, 0.55)),
    ]  # fmt: skip
    most = 3 * theory.parameters  # the end of a finite world rises without bound
    drawn = [min(point[1], most) for one in series for point in one["points"]]
    for one in series:
        one["points"] = [point for point in one["points"] if point[1] <= most]
    return make_chart(
        slug="slopes", number=number, title=_slopes_title(knobs, n, over_n), series=series, help=SLOPES_HELP,
        description="Local exponents of mean loss in parameters, and in data and steps, against quanta learned",
        reading=_slopes_reading(knobs, over_n), x=log_axis(n, "quanta learned n", n=5),
        y=linear_axis(drawn, "local exponent", from_zero=True),
        table={"head": ["n", "over N", "over D and S"], "rows": Rows(n, over_n, over_d)},
    )  # fmt: skip


def _forms(knobs: Knobs, n: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return model.loss(knobs, n), model.loss(knobs, n, "integral"), model.loss(knobs, n, "midpoint")


def _above(x: np.ndarray, y: np.ndarray, start: float) -> list[list[float]]:
    """Points whose loss a logarithmic axis can show."""
    least = LEAST_SHARE * abs(start)
    return [[float(a), float(b)] for a, b in zip(x, y, strict=True) if b > least]


def _finite(x: np.ndarray, y: np.ndarray) -> list[list[float]]:
    return [[float(a), float(b)] for a, b in zip(x, y, strict=True) if math.isfinite(b)]


def _place(x: np.ndarray, y: np.ndarray, along: float) -> list[float] | None:
    """A point of a line, so far along it."""
    known = np.flatnonzero(np.asarray(y) > 0)
    if not len(known):
        return None
    at = known[int(along * (len(known) - 1))]
    return [float(x[at]), float(y[at])]


def _misses(exact: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Relative errors, nan where there is no loss to be wrong about."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(exact > 0, np.abs(other / exact - 1), np.nan)


def _unit(knobs: Knobs) -> str:
    return "nats" if knobs.unit == "nats" else "as a and b"


def _loss_title(knobs: Knobs, start: float, left: float) -> str:
    n = 10 if knobs.n_quanta is None else min(10, max(1, knobs.n_quanta // 2))
    share = (float(model.loss(knobs, n)) - left) / (start - left) if start > left else 0.0
    noun = "Ten quanta leave" if n == 10 else f"{count(n)} quanta leave" if n > 1 else "One quantum leaves"
    return f"{noun} {percent(share)} of what there is to learn"


def _loss_reading(knobs: Knobs, start: float, left: float) -> str:
    end = f"towards {plain(left)}" if knobs.n_quanta is None else f"to {plain(left)} at n = {count(knobs.n_quanta)}"
    said = f"From {plain(start)} with nothing learned {end}."
    if left < 0:
        most = 1 / float(probabilities(1, knobs.alpha, knobs.n_quanta))
        said += f" A loss below 0 is none: of this α, case 2 holds up to C = {fixed(most)} for the first quantum."
    return said


def _error_title(n: np.ndarray, found: dict[str, np.ndarray]) -> str:
    starts = {name: _close_from(n, miss) for name, miss in found.items()}
    told = [f"the {name} from n = {count(at)}" for name, at in starts.items() if at is not None]
    if not any(np.isfinite(miss).any() for miss in found.values()):
        return "No loss is left that an approximation could miss"
    if not told:
        return "Neither approximation comes within 1% here"
    return f"Within 1%: {', '.join(told)}"


def _close_from(n: np.ndarray, miss: np.ndarray) -> float | None:
    """The first n from which on the error stays small."""
    known = np.flatnonzero(np.isfinite(miss))
    wrong = known[miss[known] > CLOSE]
    if not len(wrong):
        return float(n[known[0]]) if len(known) else None
    later = known[known > wrong[-1]]
    return float(n[later[0]]) if len(later) else None


def _error_reading(knobs: Knobs, n: np.ndarray, found: dict[str, np.ndarray]) -> str:
    first = [f"the {name} {percent(float(miss[0]))}" for name, miss in found.items() if math.isfinite(miss[0])]
    if not first:
        return "Once the first quantum is learned no loss is left, so no share of it either."
    more = f" Further on the integral’s is about α/(2n) = {fixed(knobs.alpha / 2, 3)}/n."
    return f"At n = 1 {' and '.join(first)}.{more if knobs.n_quanta is None and knobs.case == 'constant' else ''}"


def _resource_title(knobs: Knobs, resource: Resource, amount: float, n: float) -> str:
    letter = RESOURCES[resource]
    exact = exponents(knobs.alpha)
    power = exact.parameters if resource == "parameters" else exact.data
    if n < 1:
        return f"{letter} = {compact(amount)} is too little for the first quantum"
    if knobs.n_quanta is not None and n >= knobs.n_quanta:
        whole = "the only quantum" if knobs.n_quanta == 1 else f"all {count(knobs.n_quanta)} quanta"
        return f"{letter} = {compact(amount)} is enough for {whole}"
    local = float(model.slopes(knobs, n))
    local = local if resource == "parameters" else local / (1 + knobs.alpha)
    here = f"{fixed(local, 3)} at {letter} = {compact(amount)}"
    if model.floor(knobs) > 0:
        said = f"Over {WORDS[resource]} the whole loss falls with {here}"
        return f"{said}; above its floor the theory says {fixed(power, 3)}"
    return f"Over {WORDS[resource]} the exponent is {here}, and the theory’s {fixed(power, 3)}"


def _resource_reading(knobs: Knobs, resource: Resource, alone: float, together: model.Joint) -> str:
    n = together.quanta[resource]
    said = f"Alone it would allow {_quanta(n)} and a loss of {fixed(alone, 4)}"
    if knobs.n_quanta is not None and together.n >= knobs.n_quanta:
        return f"{said}, as the others do: there are no more quanta."
    if resource in together.limited_by:
        return f"{said}; it is what limits here."
    limits = " and ".join(RESOURCES[one] for one in together.limited_by)
    verb = "allows" if len(together.limited_by) == 1 else "allow"
    return f"{said}; but {limits} {verb} {_quanta(together.n)}, so {fixed(together.loss, 4)}."


def _quanta(n: float) -> str:
    if n < 1:
        return "no quantum"
    return f"{count(n)} quanta" if n >= 1.5 else "one quantum"


def _slopes_title(knobs: Knobs, n: np.ndarray, over_n: np.ndarray) -> str:
    known = np.flatnonzero(np.isfinite(over_n))
    if not len(known):
        return "With a single quantum there is no slope"
    middle = known[np.argmin(np.abs(np.log(n[known]) - np.log(n[known[-1]]) / 2))]
    return f"Measured near n = {count(n[middle])}, α would seem {fixed(float(over_n[middle]), 3)}"


def _slopes_reading(knobs: Knobs, over_n: np.ndarray) -> str:
    exact = exponents(knobs.alpha)
    said = f"Dotted: the theory’s {fixed(exact.parameters, 3)} over N and {fixed(exact.data, 3)} over D and S."
    if not np.isfinite(over_n).any():
        return f"{said} No curve is drawn: where no loss is left nothing falls."
    if (left := model.floor(knobs)) > 0:
        return f"{said} They hold for the loss above its floor of {fixed(left, 3)}; the whole loss is flatter."
    if knobs.n_quanta is not None:
        return f"{said} Near n = K = {count(knobs.n_quanta)} the curves rise beyond the figure."
    if knobs.case == "removed":
        return f"{said} The logarithm of case 1 keeps the curve below them for long."
    return f"{said} Small n start apart from them and come near."
