"""Sizes of clusters against rank: every k, their envelope, the fit in its window, and reference lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clusters.charts.chart import Chart, Help, Rule, Series, Table, log_axis, make_chart, make_series, vertical
from clusters.charts.numbers import count, fixed
from clusters.values.facts import CAVEAT, RankCurves, Sizes
from compute.numerics.ranks import EnvelopeFit

N_SHADES = 8
CLOSE = 0.05  # slopes nearer than this are called the same
DRAG = "Drag the edges of the window, or type the ranks."
FIT_STYLES = ("fitl", "fitl dash")
HELP = Help(
    what="Each thin line is one clustering: its clusters from the largest to the smallest, tokens against rank. No "
    "single number of clusters resolves both common and rare quanta, so the envelope takes at each rank the largest "
    "cluster over all of them. If quanta are used with Zipfian frequencies, it falls as a power of rank; a line is "
    "fitted to it inside the shaded window.",
    formula="E(r) = max over k of size_k(r);   ln E(r) = ln C + s ln r;   the theory expects s = −(1 + α)",
    source="§5, Figure 15; appendix D for how far the slope can be trusted",
)


@dataclass(frozen=True)
class Reference:
    """A slope to compare with; with a constant the whole law constant · rank^slope."""

    slope: float
    name: str
    constant: float | None = None


def shade_of(k: int, shown: Sequence[int]) -> str:
    """The viridis step of a k among those shown, dark to light."""
    return f"v{round(shown.index(k) * (N_SHADES - 1) / max(len(shown) - 1, 1))}"


def curve_series(curves: RankCurves, shown: Sequence[Sizes], *, with_envelope: bool = True) -> list[Series]:
    """A line a k, the first and last named, and the envelope on top."""
    ks = [one.k for one in shown]
    series = [
        make_series(
            "line", corners(one.sizes), name=f"k = {one.k}",
            css=shade_of(one.k, ks), label=_k_label(one.k, ks), marker="dot", marker_at="end",
        )
        for one in shown
    ]  # fmt: skip
    if with_envelope and curves.envelope:
        series.append(_envelope_series(curves, "envelope", "env"))
    return series


def _envelope_series(curves: RankCurves, name: str, css: str) -> Series:
    rank = min(len(curves.envelope), 1 + max(1, round(len(curves.envelope) ** 0.35)))
    at = [rank, curves.envelope[rank - 1]]
    return make_series("line", corners(curves.envelope), name=name, css=css, label=name, label_at=at)


def corners(sizes: Sequence[int]) -> list[list[int]]:
    """[rank, size] without the ranks inside a run of equal sizes: the line through them is the same."""
    last = len(sizes) - 1
    return [
        [i + 1, size] for i, size in enumerate(sizes) if i in (0, last) or size != sizes[i - 1] or size != sizes[i + 1]
    ]


def size_table(shown: Sequence[Sizes]) -> Table:
    """Every rank of the clusterings shown."""
    rows = [[one.k, rank, size] for one in shown for rank, size in enumerate(one.sizes, 1)]
    return {"head": ["k", "rank", "tokens"], "rows": rows}


def _k_label(k: int, ks: Sequence[int]) -> str:
    return f"k = {count(k)}" if k == ks[0] else count(k)


def rank_frequency_chart(
    curves: RankCurves, shown: Sequence[Sizes], fit: EnvelopeFit | None, references: Sequence[Reference], *,
    with_envelope: bool = True, number: int = 1, doubt: str = "",
) -> Chart:  # fmt: skip
    """The page's large figure for one affinity; `doubt` is a sentence on what the slope may mean."""
    own = references[0].slope if references and references[0].constant is None else None
    return _chart(
        [curves], {curves.affinity: fit} if fit else {}, references, number=number,
        lines=curve_series(curves, shown, with_envelope=with_envelope), table=size_table(shown),
        title=_title(fit, own), reading=f"{doubt} {_reading(curves, fit)}".strip(),
        description=f"Tokens per cluster against rank, {len(shown)} numbers of clusters, {curves.affinity} affinity",
    )  # fmt: skip


def both_affinities_chart(
    both: Sequence[RankCurves], fits: Mapping[str, EnvelopeFit], references: Sequence[Reference], *, number: int = 1
) -> Chart:
    """The envelopes of two affinities and their fits over the same ranks."""
    styles = ("env", "c2")
    lines = [_envelope_series(curves, curves.affinity, css) for curves, css in zip(both, styles, strict=False)]
    rows = [[one.affinity, rank, size] for one in both for rank, size in enumerate(one.envelope, 1)]
    return _chart(
        both, fits, references, number=number, lines=lines, title=_both_title(fits),
        table={"head": ["affinity", "rank", "tokens"], "rows": rows},
        reading=f"Envelopes over every k that the run has, both fitted over the same ranks. {DRAG}",
        description="Envelopes of cluster sizes against rank, signed and absolute affinity",
    )  # fmt: skip


def _chart(
    shown: Sequence[RankCurves], fits: Mapping[str, EnvelopeFit], references: Sequence[Reference], *,
    lines: list[Series], title: str, reading: str, description: str, table: Table, number: int,
) -> Chart:  # fmt: skip
    fit = next(iter(fits.values()), None)
    first = shown[0]
    series = [_reference_series(first, one, fit) for one in references if first.envelope] + lines
    series += fit_series(shown, fits)
    rules: list[Rule] = []
    if fit:
        ranks = (fit.first_rank, fit.last_rank)
        rules = [vertical("edge", rank, count(rank), side="start") for rank in ranks]
    sizes = [size for one in shown for size in one.envelope[:1]]
    top = max([*sizes, *(one.size_at(1) for one in fits.values() if one.first_rank == 1), 1])
    return make_chart(
        slug="rank-frequency", number=number, title=title, size="wide", description=description, reading=reading,
        series=series, rules=rules, window=[fit.first_rank, fit.last_rank] if fit else None, table=table, help=HELP,
        x=log_axis([1, max([k for one in shown for k in one.ks] + [2])], "rank of cluster"),
        y=log_axis([1, top], "tokens in cluster"),
    )  # fmt: skip


def fit_series(shown: Sequence[RankCurves], fits: Mapping[str, EnvelopeFit]) -> list[Series]:
    """The fitted laws: one whole inside its window and dashed before it, or one whole and one dashed."""
    if len(fits) == 1:
        return _one_fit(next(one for one in shown if one.affinity in fits), next(iter(fits.values())))
    return [
        make_series(
            "line", [_at(fit, fit.first_rank), _at(fit, fit.last_rank)], name=f"{affinity} fit", css=css,
            label=f"{affinity} r^{fixed(fit.slope)}", label_at=_at(fit, math.sqrt(fit.first_rank * fit.last_rank)),
        )
        for (affinity, fit), css in zip(fits.items(), FIT_STYLES, strict=False)
    ]  # fmt: skip


def _at(fit: EnvelopeFit, rank: float) -> list[float]:
    return [rank, fit.size_at(rank)]


def _one_fit(curves: RankCurves, fit: EnvelopeFit) -> list[Series]:
    top_rank = math.exp((math.log(max(curves.envelope)) - fit.log_intercept) / fit.slope) if fit.slope < 0 else 1.0
    before = min(max(1.0, fit.first_rank / 4, top_rank), float(fit.first_rank))
    label_at = _at(fit, math.sqrt(before * fit.first_rank) if before < fit.first_rank else fit.first_rank)
    whole = [_at(fit, fit.first_rank), _at(fit, fit.last_rank)]
    series = [make_series("line", whole, name="fit", css="fitl", label=f"fit r^{fixed(fit.slope)}", label_at=label_at)]
    if before < fit.first_rank:
        dashed = [_at(fit, before), _at(fit, fit.first_rank)]
        series.append(make_series("line", dashed, name="fit", css="fitl dash"))
    return series


def _reference_series(curves: RankCurves, reference: Reference, fit: EnvelopeFit | None) -> Series:
    """A law as it stands, or a slope through the envelope's middle; cut where it leaves the paper."""
    slope, constant = reference.slope, reference.constant
    if constant is None:
        ends = (fit.first_rank, fit.last_rank) if fit else (1, len(curves.envelope))
        middle = max(1, round(math.sqrt(ends[0] * ends[1])))
        height = fit.size_at(middle) if fit else curves.envelope[middle - 1]
        constant = height / middle**slope
    top, last = max(curves.envelope), max(curves.ks)
    first = max(1.0, (top / constant) ** (1 / slope))
    last = min(float(last), (1 / constant) ** (1 / slope))
    points = [[first, constant * first**slope], [last, constant * last**slope]]
    at = first * (last / first) ** (0.14 if reference.constant is None else 0.3)
    return make_series("line", points, name=reference.name, css="refl", label=f"{reference.name} r^{fixed(slope, 3)}",
                       label_at=[at, constant * at**slope])  # fmt: skip


def _title(fit: EnvelopeFit | None, reference: float | None) -> str:
    if fit is None:
        return "Sizes of clusters fall with rank at every k"
    measured = f"The slope measured over ranks {count(fit.first_rank)}–{count(fit.last_rank)} is {fixed(fit.slope)}"
    if reference is None:
        return measured
    difference = fit.slope - reference
    if abs(difference) < CLOSE:
        return f"{measured}, close to the theory’s {fixed(reference)}"
    how = "less steep" if difference > 0 else "steeper"
    within = ", within the caveat" if abs(difference) <= CAVEAT else ""
    return f"{measured}, {how} than the theory’s {fixed(reference)}{within}"


def _both_title(fits: Mapping[str, EnvelopeFit]) -> str:
    if len(fits) < 2:
        return "Envelopes of two affinities"
    (a, first), (b, second) = fits.items()
    difference = abs(first.slope - second.slope)
    if difference < CLOSE:
        return f"Both affinities give the same slope: {fixed(first.slope)} {a}, {fixed(second.slope)} {b}"
    within = "within" if difference <= CAVEAT else "beyond"
    return f"The slopes, {fixed(first.slope)} {a} and {fixed(second.slope)} {b}, differ {within} the caveat"


def _reading(curves: RankCurves, fit: EnvelopeFit | None) -> str:
    small = curves.first_small_rank
    if not fit:
        return "The envelope takes, at each rank, the largest cluster over all k."
    if small is None:
        return f"The envelope takes, at each rank, the largest cluster over all k. {DRAG}"
    if fit.last_rank > small:
        return (
            f"From rank {count(small)} on the clusters hold at most three tokens, so the slope leans on the largest k. "
            f"{DRAG}"
        )
    return f"The window ends before rank {count(small)}, from which on clusters hold at most three tokens. {DRAG}"
