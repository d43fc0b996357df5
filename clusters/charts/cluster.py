"""What a cluster's page draws of its members: bars of texts, curves over parameters and over steps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np

from clusters.charts.chart import Chart, Help, Table, curve_chart
from clusters.charts.geometry import tick_text
from clusters.charts.numbers import compact, percent
from clusters.charts.ruler import counted
from clusters.values.facts import EMERGENCE_NATS
from clusters.values.readings import StepCurve, Unit

MANY = 100  # beyond so many members, quantiles are drawn instead of lines
LEARNED_SHARE = 0.6  # the sizes between which a mean falls by this share of its largest fall
MOST_DOTS = 16  # measured places marked on a line; more would run together
LEAST_CHANGE = 0.1  # nats; a mean that changes by less is flat
QUANTILES = (0.1, 0.25, 0.75, 0.9)
BARS_HELP = Help(
    what="The tokens that the members end with, and the tokens right before them, by how many members have them. The "
    "clustering never saw the text: whatever is common here was found in gradients alone.",
    source="§5, where clusters are read by their contexts",
)
CLASSES_HELP = Help(
    what="Every member’s loss curve over network size is put into one of four classes by its shape: one step, gradual, "
    "neither, or flat. A cluster that is one quantum should hold monogenic curves that fall at the same size.",
    formula="M = (SSE_line − SSE_step) / (SSE_line + SSE_step + m·s₀²), s₀ = 0.25 bit, m sizes",
    source="§4, Figure 4; the score is ours",
)
_SIZES_HELP = Help(
    what="Each faint line is one member’s loss under the fully trained networks, by size; the strong line is their "
    "mean. Of more than 100 members, bands show where the middle 80% and the middle 50% of them lie.",
    formula="mean: (1/n) Σᵢ Lᵢ(N); members: Lᵢ(N) = −ln p_N(answer | context)",
    source="§4, Figure 4",
)
_STEPS_HELP = Help(
    what="The same members as one network trains. Step 0 stands before the break of the logarithmic axis. The network "
    "whose members are drawn can be chosen; of the others only the mean is drawn.",
    formula="mean: (1/n) Σᵢ Lᵢ(step)",
    source="§4, on learning over training steps",
)


class Bar(TypedDict):
    text: str
    count: int
    share: str
    width: str


def bars(counts: Sequence[Sequence[Any]], n_tokens: int, most: int) -> list[Bar]:
    """The commonest texts with their counts; the longest bar is the commonest text's."""
    top = max((count for _, count in counts), default=1)
    return [
        {"text": text, "count": count, "share": percent(count / n_tokens), "width": f"{100 * count / top:.1f}"}
        for text, count in counts[:most]
    ]


def bars_title(answers: Sequence[Sequence[Any]], last: Sequence[Sequence[Any]], n_tokens: int) -> tuple[str, str]:
    """What the commonest texts say of the cluster: a finding and its reading."""
    if n_tokens == 1:
        return "One token has one answer", "Nothing can be common to a single member."
    answer_share = answers[0][1] / n_tokens if answers else 0.0
    last_share = last[0][1] / n_tokens if last else 0.0
    if answer_share == 1:
        return "Every answer is the same", "One answer alone: the cluster may be a word, not a skill."
    if answer_share >= 0.5:
        return "One answer dominates", "One answer makes up most of the cluster: it may be a word, not a skill."
    before = "the token before is one" if last_share == 1 else "the token before mostly not"
    title = f"The answers differ, {before}" if last_share >= 0.5 else "Answers and tokens before them differ"
    return title, "No answer dominates, so the cluster isn’t merely one word."


def classes_title(classes: Sequence[tuple[str, int]], n_tokens: int) -> str:
    """What the classes of the members' curves say."""
    name, count = classes[0]
    if n_tokens == 1:
        return f"The member’s curve is {name}"
    share = "All" if count == n_tokens else ("Most" if count * 2 > n_tokens else "Many")
    return f"{share} members’ curves are {name}"


@dataclass(frozen=True)
class Course:
    """How a mean loss goes along its axis; `first` and `last` bound the stretch where most of its fall happens."""

    kind: Literal["flat", "rises", "falls", "falls, then rises"]
    first: int = 0
    last: int = 0


def course(mean: Sequence[float]) -> Course:
    """Name the course of a curve of losses in nats."""
    window = fall_window(mean)
    if window is None:
        return Course("rises" if len(mean) > 1 and max(mean) - mean[0] >= LEAST_CHANGE else "flat")
    first, last = window
    fall, back = mean[first] - mean[last], mean[-1] - min(mean[last:])
    return Course("falls, then rises" if back >= max(fall / 2, LEAST_CHANGE) else "falls", first, last)


def fall_window(mean: Sequence[float]) -> tuple[int, int] | None:
    """The narrowest stretch of a curve in which it falls by most of its largest fall; None where it hardly falls."""
    falls = [(mean[i] - mean[j], i, j) for i in range(len(mean)) for j in range(i + 1, len(mean))]
    largest = max((fall for fall, _, _ in falls), default=0.0)
    if not largest >= LEAST_CHANGE:
        return None
    _, _, first, last = min((j - i, -fall, i, j) for fall, i, j in falls if fall >= LEARNED_SHARE * largest)
    return first, last


@dataclass(frozen=True)
class Members:
    """Whose losses a figure shows."""

    tokens: Sequence[int]  # flat index of every row of the losses
    selected: int | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def noun(self) -> str:
        return "The member’s loss" if len(self) == 1 else "The members’ loss"


def sizes_chart(sizes: Sequence[int], losses: np.ndarray, members: Members, unit: Unit, *, number: int) -> Chart:
    """Losses of all members (n, n_sizes) and their mean over non-embedding parameters."""
    mean = mean_curve(losses)
    title, reading = _sizes_words(sizes, mean, members, unit)
    curves = [*_member_curves(sizes, losses, members), *_mean_curves(sizes, losses, "mean", members)]
    chart = curve_chart(
        curves, over="parameters", slug="loss-over-parameters", number=number, title=title, unit=unit, size="third",
        reading=f"{reading} {_members_note(members)}", help=_SIZES_HELP,
    )  # fmt: skip
    chart["table"] = _table("parameters", sizes, losses, members, unit)
    return chart


def steps_chart(curves: Sequence[StepCurve], lm: str, members: Members, unit: Unit, *, number: int) -> Chart:
    """Losses over training steps: the members of one network, and the mean of every other."""
    own = next(curve for curve in curves if curve.lm == lm)
    others = [curve for curve in curves if curve.lm != lm]
    lines = [*_member_curves(own.steps, own.losses, members)]
    for place, curve in enumerate(others):
        shade = f"v{round(1 + 6 * place / max(len(others) - 1, 1))}"
        lines.append(_line(curve.steps, mean_curve(curve.losses), name=curve.lm, label=curve.lm, css=shade))
    lines += _mean_curves(own.steps, own.losses, lm, members)
    rest = " Of the other networks the mean alone is drawn." if others else ""
    chart = curve_chart(
        lines, over="steps", slug="loss-over-steps", number=number, title=_steps_title(own, members), unit=unit,
        reading=f"{lm}: {_members_note(members)}{rest}", size="third", help=_STEPS_HELP,
    )  # fmt: skip
    chart["table"] = _table("step", own.steps, own.losses, members, unit)
    return chart


def mean_curve(losses: np.ndarray) -> np.ndarray:
    """Mean over members (n, m) → (m,), float64; what is no number is left out, and NaN where nothing is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a number
        return np.asarray(np.nanmean(losses, axis=0, dtype=np.float64))


def _sizes_words(sizes: Sequence[int], mean: np.ndarray, members: Members, unit: Unit) -> tuple[str, str]:
    values = mean.tolist()
    if len(values) == 1:
        return f"{members.noun} under one network", f"{_loss(values[0], unit)} at {compact(sizes[0])} parameters."
    found = course(values)
    ends = f"The mean goes from {_loss(values[0], unit)} to {_loss(values[-1], unit)}."
    if found.kind == "flat":
        return f"{members.noun} hardly changes with size", ends
    if found.kind == "rises":
        return f"{members.noun} rises with size", ends
    start, end = compact(sizes[found.first]), compact(sizes[found.last])
    between = f"between {start} and {end} parameters" if start != end else f"among networks of {end} parameters"
    there = f"The mean falls from {_loss(values[found.first], unit)} to {_loss(values[found.last], unit)} there."
    if found.kind == "falls, then rises":
        return f"{members.noun} falls {between}, then rises again", f"{there} It ends at {_loss(values[-1], unit)}."
    if values[found.last] < EMERGENCE_NATS:
        return ("Members are" if len(members) > 1 else "The member is") + f" learned {between}", there
    return f"{members.noun} falls most {between}", there


def _steps_title(curve: StepCurve, members: Members) -> str:
    mean = mean_curve(curve.losses).tolist()
    found = course(mean)
    if found.kind == "flat":
        return f"Training of {curve.lm} hardly changes the loss"
    if found.kind == "rises":
        return f"{members.noun} rises as {curve.lm} trains"
    between = f"between steps {tick_text(curve.steps[found.first])} and {tick_text(curve.steps[found.last])}"
    if found.kind == "falls, then rises":
        return f"Under {curve.lm} the loss falls {between}, then rises again"
    if mean[found.last] < EMERGENCE_NATS:
        return f"{curve.lm} learns {'it' if len(members) == 1 else 'them'} {between}"
    return f"Under {curve.lm} the loss falls most {between}"


def _member_curves(xs: Sequence[float], losses: np.ndarray, members: Members) -> list[dict[str, Any]]:
    if not 2 <= len(members) <= MANY:
        return []
    first = 1 if xs[0] == 0 else 0  # a lone point before the break of a log axis says nothing
    return [
        _line(xs[first:], row[first:], css="faint", name=f"token {token}") | {"token": token}
        for token, row in zip(members.tokens, losses, strict=True)
        if token != members.selected
    ]


def _mean_curves(xs: Sequence[float], losses: np.ndarray, label: str, members: Members) -> list[dict[str, Any]]:
    """The mean with its bands under it, and the selected member on top."""
    curves: list[dict[str, Any]] = []
    if len(members) > MANY:
        outer_low, low, high, outer_high = quantile_curves(losses).values()
        for name, lower, upper in (("10–90%", outer_low, outer_high), ("25–75%", low, high)):
            band = [list(row) for row in zip(xs, lower.tolist(), upper.tolist(), strict=True)]
            curves.append({"points": [], "css": "mean", "name": name, "marker": "", "band": band})
    curves.append(
        _line(xs, mean_curve(losses), name=label, label=label, css="mean")
        | {"marker": "dot" if len(xs) <= MOST_DOTS else ""}
    )
    if members.selected is not None and len(members) > 1:
        row = losses[list(members.tokens).index(members.selected)]
        curves.append(_line(xs, row, name="selected", label="selected", css="ink") | {"token": members.selected})
    return curves


def _line(xs: Sequence[float], ys: np.ndarray, *, css: str, name: str = "", label: str = "") -> dict[str, Any]:
    points = [[x, y if math.isfinite(y) else None] for x, y in zip(xs, ys.tolist(), strict=True)]
    return {"points": points, "css": css, "name": name, "label": label, "marker": ""}


def _table(what: str, xs: Sequence[float], losses: np.ndarray, members: Members, unit: Unit) -> Table:
    """One row a place on a line: the mean, the quantiles, and each member where each is drawn."""
    shown = losses.astype(np.float64) / (math.log(2) if unit == "bits" else 1.0)
    lines: list[tuple[str, int | None, np.ndarray]] = [("mean", None, mean_curve(shown))]
    lines += [(name, None, line) for name, line in quantile_curves(shown).items()]
    if len(members) <= MANY:
        lines += [("token", token, row) for token, row in zip(members.tokens, shown, strict=True)]
    rows = [
        [name, token, x, value if math.isfinite(value) else None]
        for name, token, line in lines
        for x, value in zip(xs, line.tolist(), strict=True)
    ]
    return {"head": ["line", "index", what, f"loss, {unit}"], "rows": rows}


def quantile_curves(losses: np.ndarray) -> dict[str, np.ndarray]:
    """The losses under which so many of the members lie, by name; NaN where nothing is known."""
    ordered = np.sort(losses, axis=0)  # NaN last
    last = np.maximum(np.count_nonzero(~np.isnan(losses), axis=0) - 1, 0)
    columns = np.arange(losses.shape[1])
    lines = {}
    for level in QUANTILES:
        at = level * last
        low = np.floor(at).astype(int)
        lower, upper = ordered[low, columns], ordered[np.minimum(low + 1, last), columns]
        lines[f"{level:.0%}"] = lower + (at - low) * (upper - lower)
    return lines


def _members_note(members: Members) -> str:
    n = len(members)
    if n == 1:
        return "One member."
    if n <= MANY:
        return f"{n} members, one faint line each."
    return f"The bands hold 80% and 50% of all {counted(n, 'member')}."


def _loss(nats: float, unit: Unit) -> str:
    value = _shown(nats, unit)
    return f"{value:.1f} {unit}" if value >= 0.1 else f"{value:.3f} {unit}"


def _shown(nats: float, unit: Unit) -> float:
    return nats / math.log(2) if unit == "bits" else nats
