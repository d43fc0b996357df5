"""Beside the rank-frequency figure: other choices' slopes, the toy model's, and how far the affinities agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from clusters.charts.chart import (
    Chart,
    Help,
    category_axis,
    linear_axis,
    log_axis,
    make_chart,
    make_series,
    vertical,
)
from clusters.charts.geometry import minus
from clusters.charts.numbers import count, fixed
from clusters.values.facts import CAVEAT, RankCurves, ToySlopes

CHOICES_HELP = Help(
    what="The slope of the envelope again, for neighbouring windows, without the largest number of clusters, and for "
    "both affinities. The whiskers are the ±0.2 that the paper grants at least. Where the slopes differ by more than "
    "that, no single one should be quoted.",
    formula="s = slope of ln E(r) on ln r over the ranks named",
    source="§5 and appendix D",
)
TOY_HELP = Help(
    what="Points are drawn around random means, as many in each as a power law of known exponent says, and are "
    "clustered as gradients are. What the envelope then measures is plotted against the truth. A perfect method would "
    "follow the dotted line; this one is too steep where frequencies fall slowly and too flat where they fall fast. "
    "Read backwards, it says which true exponents could lie behind a measured slope.",
    formula="n_i = ⌊A / i^x⌋,  m_i ~ N(0, I),  points m_i + σ N(0, I),  affinity 1 + cos;  in the theory x = 1 + α",
    source="appendix D.2, Figure 19",
)
AGREEMENT_HELP = Help(
    what="Both affinities cluster the same tokens. The adjusted Rand index counts the pairs of tokens that they put "
    "together or apart alike, less what chance would give: 1 for equal clusterings, about 0 for unrelated ones.",
    formula="ARI = (agreeing pairs − expected) / (all pairs − expected)",
    source="none: the paper uses the signed affinity alone; for its published labels at k = 400 the index is 0.118",
)


@dataclass(frozen=True)
class Choice:
    """A slope that another choice would have given."""

    name: str
    affinity: str
    slope: float
    first_rank: int
    last_rank: int


def other_choices(by_affinity: dict[str, RankCurves], first: int, last: int) -> list[Choice]:
    """The slope for neighbouring windows, without the largest k, and for every affinity."""
    windows = _windows(first, last)
    found = []
    for affinity, curves in by_affinity.items():
        for name, (start, end) in windows.items():
            found.append((name, affinity, curves.try_fit(start, end)))
        without = curves.without_largest_k()
        if without.clusterings:
            end = min(last, len(without.envelope))
            found.append((f"{first}–{end}, without k = {count(curves.ks[-1])}", affinity, without.try_fit(first, end)))
    return [Choice(name, affinity, fit.slope, fit.first_rank, fit.last_rank) for name, affinity, fit in found if fit]


def _windows(first: int, last: int) -> dict[str, tuple[int, int]]:
    earlier = max(1, first // 10) if first >= 20 else max(1, first // 3)
    tried = [(first, last), (first, round(0.9 * last)), (first, last // 2), (earlier, last), (2 * first, last)]
    named: dict[str, tuple[int, int]] = {}
    for start, end in tried:
        named.setdefault(f"{start}–{end}" + (", as above" if (start, end) == (first, last) else ""), (start, end))
    return named


def choices_chart(choices: Sequence[Choice], reference: float | None, *, number: int = 2) -> Chart | None:
    """Slopes beside each other with the paper's caveat; None where there is nothing to compare."""
    if len(choices) < 2:
        return None
    names = list(dict.fromkeys(choice.name for choice in choices))
    affinities = list(dict.fromkeys(choice.affinity for choice in choices))
    styles = [("dot", "c1"), ("diamond", "c2")]
    spread = 0.11 if len(affinities) > 1 else 0.0
    series = []
    for place, affinity in enumerate(affinities):
        shape, css = styles[place % 2]
        shift = spread * (2 * place - 1) if len(affinities) > 1 else 0.0
        points = [
            [c.slope, names.index(c.name) + shift, c.slope - CAVEAT, c.slope + CAVEAT]
            for c in choices if c.affinity == affinity
        ]  # fmt: skip
        series.append(make_series("intervals", points, name=affinity, css=css, marker=shape))
    slopes = [c.slope for c in choices]
    values = [min(slopes) - CAVEAT, max(slopes) + CAVEAT, *([reference] if reference is not None else [])]
    return make_chart(
        slug="other-choices", number=number,
        title=f"Other choices move the slope by {fixed(max(slopes) - min(slopes))}",
        description="Slope of the envelope for other windows, without the largest k, and for both affinities",
        reading=_choices_reading(slopes, reference), series=series, size="side", help=CHOICES_HELP,
        rules=[vertical("refl", reference, fixed(reference))] if reference is not None else [],
        legend=[(styles[i % 2][0], styles[i % 2][1], affinity) for i, affinity in enumerate(affinities)],
        x=linear_axis(values, f"slope, with ±{CAVEAT}", n=6, exact=True), y=category_axis(names),
        table={
            "head": ["choice", "affinity", "first rank", "last rank", "slope"],
            "rows": [[c.name, c.affinity, c.first_rank, c.last_rank, c.slope] for c in choices],
        },
    )  # fmt: skip


def _choices_reading(slopes: Sequence[float], reference: float | None) -> str:
    if reference is None:
        return "The paper allows ±0.2 at least for the choice of window and clustering."
    steeper = sum(slope < reference for slope in slopes)
    line = f"{fixed(reference)}, the dotted slope that this run’s mean losses predict"
    if steeper == len(slopes):
        return f"Every choice is steeper than {line}."
    if steeper == 0:
        return f"Every choice is less steep than {line}."
    return f"{steeper} of {len(slopes)} choices are steeper than {line}."


def toy_chart(toy: ToySlopes, slope: float, standard_error: float, *, number: int = 3) -> Chart:
    """What QDG measures where the truth is known, with this run's slope across."""
    found = toy.compatible(slope, standard_error)
    seeds = [[exponent, one] for exponent, row in zip(toy.exponents, toy.slopes, strict=True) for one in row]
    ends = [toy.exponents[0], toy.exponents[-1]]
    means = list(zip(toy.exponents, toy.means, strict=True))
    series = [
        make_series("line", [[x, -x] for x in ends], name="a perfect measurement", css="refl",
                    label="a perfect measurement", label_at=[ends[0] + 0.08, -ends[0] - 0.08]),
        make_series("points", seeds, name="one draw", css="line2", marker="dot"),
        make_series("line", means, name="mean of the draws", css="c1", label="toy", label_at=means[-1], is_strong=True),
        make_series("line", [[x, slope] for x in ends], name="this run", css="act", label=f"this run {fixed(slope)}",
                    label_at=[ends[1] - 0.02, slope + 0.04, "e"]),
    ]  # fmt: skip
    rows = [[x, mean, spread, *row] for x, mean, spread, row in
            zip(toy.exponents, toy.means, toy.spreads, toy.slopes, strict=True)]  # fmt: skip
    lows = [one for row in toy.slopes for one in row]
    return make_chart(
        slug="toy-slopes", number=number, title=_toy_title(toy, slope, found), size="half", help=TOY_HELP,
        description="Slope of the envelope that QDG measures on toy data, against the true exponent of frequency",
        reading=toy_reading(toy, slope, found), series=series, window=list(found) if found else None,
        x=linear_axis(ends, "true exponent of frequency in rank", n=6, exact=True),
        y=linear_axis([*lows, slope, -ends[0], -ends[-1]], "measured slope", n=5),
        table={
            "head": ["true exponent", "mean slope", "standard deviation",
                     *(f"draw {i}" for i in range(1, len(toy.slopes[0]) + 1))],
            "rows": rows,
        },
    )  # fmt: skip


def exponents_text(toy: ToySlopes, found: tuple[float, float], *, less: float = 0.0) -> str:
    """A range of true exponents, each `less` so much, open where the toy's grid ends."""
    low, high = found
    if side := beyond(toy, low, high, less=less):
        return side
    is_open = (low <= toy.exponents[0], high >= toy.exponents[-1])
    if all(is_open):
        return "any that was tried"
    if is_open[0]:
        return f"{fixed(high - less)} or less"
    return f"{fixed(low - less)} or more" if is_open[1] else f"{fixed(low - less)} to {fixed(high - less)}"


def beyond(toy: ToySlopes, low: float, high: float, *, less: float = 0.0) -> str:
    """On which side of the toy's grid a whole range lies; nothing where they meet."""
    first, last = toy.exponents[0], toy.exponents[-1]
    if high < first:
        return minus(f"below {round(first - less, 6):g}")
    return minus(f"above {round(last - less, 6):g}") if low > last else ""


def draws_text(toy: ToySlopes, found: tuple[float, float] | None) -> str:
    """Which true exponents' own draws measure a slope."""
    if found is None:
        return "no exponent that was tried gives draws like it"
    if found[0] <= toy.exponents[0] and found[1] >= toy.exponents[-1]:
        return "every exponent that was tried may give draws like it"
    return f"draws like it come of exponents of {exponents_text(toy, found)}"


def none_known(high: float) -> str:
    """That the theory has no exponent of at most this; nothing where it has."""
    return ", below all that the theory knows: its α is above 0" if high <= 1 else ""


def _toy_title(toy: ToySlopes, slope: float, found: tuple[float, float] | None) -> str:
    if found is None:
        how = "flatter" if slope > max(toy.means) else "steeper" if slope < min(toy.means) else "other"
        return f"A slope of {fixed(slope)} is {how} than any that the toy model gives"
    return f"In the toy model a slope of {fixed(slope)} comes of true exponents of {exponents_text(toy, found)}"


def toy_reading(toy: ToySlopes, slope: float, found: tuple[float, float] | None) -> str:
    """How to take it, and what the toy is not."""
    size = toy.setting
    warning = (
        f"The toy is small: {count(size['n_subtasks'])} subtasks in {count(size['n_dimensions'])} dimensions, at most "
        f"{count(size['largest'])} points each, ranks {size['first_rank']}–{size['last_rank']}, "
        f"{len(toy.slopes[0])} draws an exponent. A run of other size and window may be biased otherwise."
    )
    if found is None:
        return f"{doubt(toy, slope, found)} {warning}"
    theory = f"The theory’s exponent is 1 + α, so α would be {_alpha_text(toy, *found)}{none_known(found[1])}."
    return f"{theory} {doubt(toy, slope, found)} {warning}".replace("  ", " ")


def doubt(toy: ToySlopes, slope: float, found: tuple[float, float] | None) -> str:
    """That the slope as it stands is not what the toy model reads from it; nothing where it is."""
    if found is not None and found[0] <= -slope <= found[1]:
        return ""
    size = toy.setting
    where = f"over its own ranks ({size['first_rank']}–{size['last_rank']} of {count(size['n_subtasks'])})"
    face = f"Taken at face value the exponent is {fixed(-slope)}"
    if found is None:
        return f"{face}; the toy model, {where}, measures such a slope for no exponent that was tried."
    return f"{face}; the toy model, {where}, would measure this slope if the truth were {exponents_text(toy, found)}."


def _alpha_text(toy: ToySlopes, low: float, high: float) -> str:
    if low <= toy.exponents[0]:
        return f"at most {fixed(high - 1)}"
    return f"at least {fixed(low - 1)}" if high >= toy.exponents[-1] else f"{fixed(low - 1)} to {fixed(high - 1)}"


def agreement_chart(agreements: Mapping[int, float], *, number: int = 4) -> Chart | None:
    """Agreement of the two affinities at every k; None where the run has not both."""
    if len(agreements) < 2:
        return None
    values = list(agreements.values())
    largest = max(agreements, key=lambda k: agreements[k])
    return make_chart(
        slug="agreement", number=number, title=_agreement_title(values), size="half", help=AGREEMENT_HELP,
        description="Adjusted Rand index of the signed against the absolute clustering, by number of clusters",
        reading=f"Highest at k = {count(largest)}: {fixed(agreements[largest])}; median {fixed(median(values))} over "
        f"{len(values)} numbers of clusters.",
        series=[make_series("line", list(agreements.items()), name="agreement", css="c1", marker="dot")],
        x=log_axis(agreements, "number of clusters k", pad=1.1),
        y=linear_axis([0, 1, *values], "adjusted Rand index", exact=True),
        table={"head": ["k", "adjusted Rand index"], "rows": [list(pair) for pair in agreements.items()]},
    )  # fmt: skip


def _agreement_title(values: Sequence[float]) -> str:
    middle = median(values)
    how = "mostly agree" if middle >= 0.7 else "agree in part" if middle >= 0.3 else "agree little"
    return f"The two affinities {how}: {fixed(min(values))} to {fixed(max(values))}"
