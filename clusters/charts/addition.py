"""Grokking: what a network gets right of what it was shown and of the rest, and how much later."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from clusters.charts.chart import (
    Axis,
    Chart,
    Help,
    Rule,
    Series,
    linear_axis,
    log_axis,
    make_chart,
    make_series,
    share_axis,
    vertical,
)
from clusters.charts.losses import shade
from clusters.charts.numbers import compact, count, fixed, percent
from clusters.values.addition import Cell, Curves, Network, Sweep, Times, half_way, share_text
from compute.labs.addition import LATE
from compute.numerics.addition import A_DECADE, ACCURATE, LEARNED_BITS

STEP = "training step"
Side = Literal["start", "end"]
HARDLY = 0.05  # of periodicity
SHRUNK = 0.95  # of its largest: a smaller norm has clearly fallen
SIDES: tuple[Side, Side] = ("start", "end")  # of the two times' names
ROOM = (0.25, 0.7)  # how far along the axis a name must stand to have room before it, and after it
STEADY = 1.15  # delays within this factor are about the same
TIMES = {"loss": f"a mean loss under {LEARNED_BITS:g} bits", "accuracy": f"{ACCURATE:.0%} of the sums right"}
LOSS_HELP = Help(
    what="The network sees some of all p² sums again and again, and is asked about the others now and then. It fits "
    "what it is shown by heart first. Weight decay goes on pulling at weights that fit already, and favours the "
    "solution that needs the least of them: the rule. What the test loss does until then looks like overfitting.",
    formula=f"fitted: training loss < {LEARNED_BITS:g} bits;  generalised: test loss < {LEARNED_BITS:g} bits;  "
    "gap = t_test / t_train",
    source="Power et al., arXiv:2201.02177; the network: Gromov, arXiv:2301.02679",
)
ACCURACY_HELP = Help(
    what="The share of pairs whose likeliest sum is the right one. A guess is right once in p times.",
    formula="accuracy = pairs with argmax = (a + b) mod p, of all pairs of the set",
    source="Power et al., Figure 1",
)
PERIODICITY_HELP = Help(
    what="Networks that add modulo p turn residues into angles: each neuron’s weights become a wave of one frequency. "
    "This is the share of the weights’ power at each neuron’s strongest frequency: 1 for pure waves. It moves while "
    "the test loss does not yet, so it tells of progress that no loss shows.",
    formula="Σ over neurons of max_k |û(k)|² / Σ over neurons and k ≥ 1 of |û(k)|²",
    source="Nanda et al., arXiv:2301.05217 (progress measures)",
)
NORM_HELP = Help(
    what="The root of the sum of all squared weights. Learning by heart needs large weights; once everything shown is "
    "fitted, weight decay shrinks them until only the rule is left that still fits.",
    formula="‖θ‖₂",
    source="Power et al.; Liu et al., arXiv:2210.01117",
)
GAP_HELP = Help(
    what="How many times as many steps it takes to get the unseen sums right as to fit those that are seen. A line is "
    "the median over seeds, dots are single networks. Where a line has no point, no seed generalised in time.",
    formula="gap = t_test / t_train",
    source="grokking: Power et al., Figures 1 and 2",
)


# ── one network ──


def loss_chart(
    network: Network, curves: Curves, by: Times, *, modulus: int, factor: float, unit: str, number: int
) -> Chart:
    """Training and test loss over steps, with the two times marked."""
    series = [
        make_series("line", curves.points(f"loss/{which}", factor), name=name, css=css, label=name, is_strong=True,
                    label_at=_label_at(curves, f"loss/{which}", factor))
        for which, name, css in (("train", "pairs shown", "c1"), ("test", "all others", "c2"))
    ]  # fmt: skip
    guess = math.log2(modulus) * factor
    ends = [[curves.steps[1] if len(curves.steps) > 1 else 0, guess], [curves.steps[-1], guess]]
    series.insert(0, make_series("line", ends, name="a guess", css="refl"))
    return make_chart(
        slug="loss", number=number, size="wide", title=times_title(network, by), help=LOSS_HELP, series=series,
        description=f"Loss in {unit} over training steps, on the pairs trained on and on all others",
        reading=_loss_reading(network, by, guess=guess, factor=factor, unit=unit), rules=_rules(network, by),
        x=_steps_axis(curves.steps),
        y=linear_axis([0, guess, *_heights(series)], f"mean loss, {unit}", from_zero=True),
        table={
            "head": ["step", f"training loss, {unit}", f"test loss, {unit}"],
            "rows": [[step, train * factor, test * factor] for step, train, test in
                     zip(curves.steps, curves.values["loss/train"], curves.values["loss/test"], strict=True)],
        },
    )  # fmt: skip


def _heights(series: Sequence[Series]) -> list[float]:
    return [point[1] for one in series for point in one["points"]]


def times_title(network: Network, by: Times) -> str:
    """When a network fitted and generalised, whichever way it went."""
    t_train, t_test = network.times(by)
    if t_train is None and t_test is None:
        return f"Not even the pairs shown are fitted within {count(network.n_steps)} steps"
    if t_test is None:
        return f"Fitted by step {count(t_train)}, not generalised by step {count(network.n_steps)}"
    gap = network.gap(by)
    if t_train is None or gap is None or gap <= 1:
        return f"Generalised by step {count(t_test)}, no later than fitted"
    times = _times(gap)
    if gap < LATE:
        return f"Fitted by step {count(t_train)}, generalised by step {count(t_test)}: hardly later"
    return f"Fitted by step {count(t_train)}, generalised by step {count(t_test)}: {times} times as late"


def _loss_reading(network: Network, by: Times, *, guess: float, factor: float, unit: str) -> str:
    sentences = [f"{network.name[:1].upper()}{network.name[1:]}: fitted and generalised mean {TIMES[by]}."]
    peak = network.peak
    if peak and peak["bits"] * factor > guess and peak["height_bits"] > LEARNED_BITS:
        sentences.append(
            f"Before it falls, the test loss rises to {fixed(peak['bits'] * factor, 1)} {unit} at step "
            f"{count(peak['step'])}, above the {fixed(guess, 1)} of a guess (dotted): whoever stopped there would have "
            "called it overfitting."
        )
    sentences.append(f"Looked at {A_DECADE} times a decade, so that each time is known to 6%.")
    return " ".join(sentences)


def accuracy_chart(network: Network, curves: Curves, by: Times, *, modulus: int, number: int) -> Chart:
    """Share of right sums over steps, of the pairs shown and of the others."""
    series = [
        make_series("line", curves.points(f"accuracy/{which}"), name=name, css=css, label=name,
                    label_at=_label_at(curves, f"accuracy/{which}", 1.0))
        for which, name, css in (("train", "shown", "c1"), ("test", "others", "c2"))
    ]  # fmt: skip
    train, test = (curves.values[f"accuracy/{which}"][-1] for which in ("train", "test"))
    lowest = min(zip(curves.values["accuracy/test"], curves.values["accuracy/train"], strict=True), key=_behind)
    return make_chart(
        slug="accuracy", number=number, size="third",
        title=f"In the end {percent(train)} of the sums shown and {percent(test)} of the others are right",
        description="Accuracy over training steps, on the pairs trained on and on all others",
        reading=f"At most apart: {percent(lowest[1])} of those shown, {percent(lowest[0])} of the others. A guess is "
                f"right in {percent(1 / modulus)}.",
        series=series, rules=_rules(network, by, named=False), x=_steps_axis(curves.steps, n=4),
        y=share_axis([0, 1], "sums that are right", exact=True), help=ACCURACY_HELP,
    )  # fmt: skip


def _behind(pair: tuple[float, float]) -> float:
    test, train = pair
    return test - train


def periodicity_chart(network: Network, curves: Curves, by: Times, *, number: int) -> Chart:
    """How far each neuron's weights are one wave, over steps."""
    values = curves.values["periodicity"]
    return make_chart(
        slug="periodicity", number=number, size="third", title=_periodicity_title(network, curves, by),
        description="Share of the weights’ power at each neuron’s strongest frequency, over training steps",
        reading=f"From {percent(values[0])} of random weights to {percent(values[-1])}.",
        series=[make_series("line", curves.points("periodicity"), name="periodicity", css="c3")],
        rules=_rules(network, by, named=False), x=_steps_axis(curves.steps, n=4),
        y=share_axis([0, 1], "power in each neuron’s one wave", exact=True), help=PERIODICITY_HELP,
    )  # fmt: skip


def _periodicity_title(network: Network, curves: Curves, by: Times) -> str:
    values, (_, t_test) = curves.values["periodicity"], network.times(by)
    half = half_way(curves.steps, values)
    if half is None or values[-1] - values[0] < HARDLY:
        return "The weights hardly become waves"
    if t_test is None:
        return "The weights become waves in part; the sums do not come right"
    if half < t_test:
        return f"Half-way to waves by step {count(half)}, before the sums come right"
    return f"Half-way to waves by step {count(half)}, not before the sums come right"


def norm_chart(network: Network, curves: Curves, by: Times, *, number: int) -> Chart:
    """How large the weights are, over steps."""
    values = curves.values["norm"]
    return make_chart(
        slug="norm", number=number, size="third", title=_norm_title(values),
        description="Norm of all weights over training steps",
        reading=f"Weight decay {network.weight_decay:g} pulls at it in every step.",
        series=[make_series("line", curves.points("norm"), name="norm", css="c4")],
        rules=_rules(network, by, named=False), x=_steps_axis(curves.steps, n=4),
        y=linear_axis([0, *values], "norm of the weights", from_zero=True), help=NORM_HELP,
    )  # fmt: skip


def _norm_title(values: Sequence[float]) -> str:
    first, most, last = values[0], max(values), values[-1]
    if last < SHRUNK * most and most > first:
        return f"The weights grow to a norm of {compact(most)}, then shrink to {compact(last)}"
    if last < SHRUNK * most:
        return f"The weights shrink from a norm of {compact(first)} to {compact(last)}"
    return f"The weights grow from a norm of {compact(first)} to {compact(last)}"


def spectrum_chart(shares: Sequence[float], *, number: int) -> Chart | None:
    """Which frequencies the weights hold in the end; None for weights without any power."""
    known = [(k, share) for k, share in enumerate(shares, 1) if math.isfinite(share)]
    if not known:
        return None
    n_half = _n_half([share for _, share in known])
    return make_chart(
        slug="spectrum", number=number, size="third",
        title=f"Half of the weights’ power lies at {count(n_half)} of {count(len(known))} frequencies",
        description="Share of the weights’ power by frequency at the end of training",
        reading=f"If all frequencies had the same, half would take {count(math.ceil(len(known) / 2))}.",
        series=[make_series("bars", [[k - 0.4, k + 0.4, share] for k, share in known], name="power", css="c3")],
        x=linear_axis([0.5, len(known) + 0.5], "waves around the circle of residues", n=6, exact=True),
        y=share_axis([0, 1.1 * max(share for _, share in known)], "share of the power", from_zero=True),
        table={"head": ["frequency", "share of the power"], "rows": [list(pair) for pair in known]},
        help=Help(what="Neurons share out the frequencies; any sum of a few waves of different frequencies peaks at "
                       "the right answer.", formula="|û(k)|² summed over neurons and both inputs",
                  source="Nanda et al., arXiv:2301.05217; Gromov, arXiv:2301.02679"),
    )  # fmt: skip


def _n_half(shares: Iterable[float]) -> int:
    """How many of the largest it takes to have half."""
    found = 0.0
    for n, share in enumerate(sorted(shares, reverse=True), 1):
        found += share
        if found >= 0.5:
            return n
    return 0


def _rules(network: Network, by: Times, *, named: bool = True) -> list[Rule]:
    """Where it fitted and where it generalised; names stand where there is room."""
    rules = []
    for step, word, usual in zip(network.times(by), ("fitted", "generalised"), SIDES, strict=True):
        if step:
            share = math.log(step) / math.log(max(network.n_steps, 2))
            side = "end" if share < ROOM[0] else "start" if share > ROOM[1] else usual
            rules.append(vertical("thr", step, f"{word} {count(step)}" if named else "", side=side))
    return rules


def _label_at(curves: Curves, name: str, factor: float) -> list[float] | None:
    """Beside the highest loss or the middle of the way of an accuracy, where lines lie apart."""
    values = curves.values[name]
    if not name.startswith("loss") or len(values) < 3:
        return None
    at = max(range(1, len(values)), key=lambda i: values[i])
    return [curves.steps[at], values[at] * factor]


def _steps_axis(steps: Sequence[int], n: int = 6) -> Axis:
    return log_axis([step for step in steps if step], STEP, n=n, with_zero=True)


# ── all networks ──


def gap_by_fraction(known: Sweep, by: Times, *, number: int) -> Chart | None:
    """How much later networks generalise than fit, against the share of pairs shown; None where none did."""
    return _gap_chart(
        known, by, slug="gap-fraction", number=number, x_of=lambda cell: cell.fraction,
        x_axis=share_axis([0, *known.fractions, 1], "pairs shown", exact=True),
        lines=[(f"decay {decay:g}", [known.cell(fraction, decay) for fraction in known.fractions])
               for decay in known.weight_decays],
        words=("Fewer pairs", "More pairs"), name_of=lambda cell: share_text(cell.fraction),
    )  # fmt: skip


def gap_by_decay(known: Sweep, by: Times, *, number: int) -> Chart | None:
    """The same against the weight decay."""
    return _gap_chart(
        known, by, slug="gap-decay", number=number, x_of=lambda cell: cell.weight_decay,
        x_axis=log_axis([decay for decay in known.weight_decays if decay], "weight decay", pad=2.0,
                        with_zero=0 in known.weight_decays,
                        ticks=[(decay, f"{decay:g}") for decay in known.weight_decays]),
        lines=[(f"{share_text(fraction)} shown", [known.cell(fraction, decay) for decay in known.weight_decays])
               for fraction in known.fractions],
        words=("Less decay", "More decay"), name_of=lambda cell: f"decay {cell.weight_decay:g}",
    )  # fmt: skip


def _gap_chart(
    known: Sweep, by: Times, *, slug: str, number: int, x_of: Callable[[Cell], float], x_axis: Axis,
    lines: Sequence[tuple[str, Sequence[Cell]]], words: tuple[str, str], name_of: Callable[[Cell], str],
) -> Chart | None:  # fmt: skip
    series, gaps = [], known.gaps(by)
    if not gaps:
        return None
    for i, (name, cells) in enumerate(lines):
        medians = [[x_of(cell), gap] for cell in cells if (gap := cell.middle(lambda one: one.gap(by))) is not None]
        if not medians:
            continue
        css = shade(i, len(lines))
        own = [[x_of(cell), one.gap(by), f"{one.name}: {_times(one.gap(by) or 0)} times"]
               for cell in cells for one in cell.networks if one.gap(by) is not None]  # fmt: skip
        series.append(make_series("line", medians, name=name, css=css, label=name))
        series.append(make_series("points", own, name=f"{name}, each network", css=css))
    n_without = sum(one.gap(by) is None for one in known.networks)
    without = (
        f" {count(n_without)} of {count(len(known.networks))} networks have none: they did not generalise in time."
    )
    return make_chart(
        slug=slug, number=number, size="third", title=_gap_title(lines, by, words, name_of), help=GAP_HELP,
        description="How many times later networks generalise than fit", series=series,
        reading=f"Steps until {TIMES[by]}, of the unseen over the seen pairs." + (without if n_without else ""),
        x=x_axis, y=log_axis([1, *gaps], "times as late", pad=1.15, n=4),
        table={
            "head": ["share of pairs", "weight decay", "seed", "fitted at", "generalised at", "gap"],
            "rows": [[one.fraction, one.weight_decay, one.seed, *one.times(by), one.gap(by)] for one in known.networks],
        },
    )  # fmt: skip


def _gap_title(
    lines: Sequence[tuple[str, Sequence[Cell]]], by: Times, words: tuple[str, str], name_of: Callable[[Cell], str]
) -> str:
    """What the line with the most points says of its ends."""
    told = [
        (name, [(cell, gap) for cell in cells if (gap := cell.middle(lambda one: one.gap(by))) is not None])
        for name, cells in lines
    ]
    name, points = max(told, key=lambda pair: len(pair[1]))
    (first, low), (last, high) = points[0], points[-1]
    if len(points) < 2:
        return f"{name[0].upper()}{name[1:]}: {_times(low)} times as late at {name_of(first)}"
    if 1 / STEADY < low / high < STEADY:
        return f"The delay hardly depends on it: {_times(low)} and {_times(high)} times at the ends ({name})"
    fewer, more = words
    longer = fewer if low > high else more
    return (
        f"{longer}, longer delay: {_times(low)} times at {name_of(first)}, {_times(high)} at {name_of(last)} ({name})"
    )


def fractions_chart(
    chosen: Network, known: Sweep, read: Callable[[Network], Curves], by: Times, *, number: int
) -> Chart | None:
    """Test accuracy over steps for every fraction, at the chosen network's weight decay and seed."""
    same = [one for one in known.networks if (one.weight_decay, one.seed) == (chosen.weight_decay, chosen.seed)]
    if len(same) < 2:
        return None
    series, steps = [], [1]
    for i, one in enumerate(same):
        curves = read(one)
        steps += curves.steps
        series.append(
            make_series("line", curves.points("accuracy/test"), css=shade(i, len(same)),
                        label=share_text(one.fraction), label_at=_middle_of(curves), is_strong=one == chosen)
        )  # fmt: skip
    done = [one for one in same if one.times(by)[1] is not None]
    return make_chart(
        slug="fractions", number=number, size="third", title=_fractions_title(same, done, by),
        description="Accuracy on unseen pairs over training steps, one line a share of pairs shown",
        reading=f"At weight decay {chosen.weight_decay:g}, seed {chosen.seed}; enough means {TIMES[by]}. A line ends "
                "with its training.",
        series=series, x=_steps_axis(steps, n=5), y=share_axis([0, 1], "unseen sums that are right", exact=True),
        help=ACCURACY_HELP,
    )  # fmt: skip


def _middle_of(curves: Curves) -> list[float]:
    """Where a rising accuracy passes half of its largest value."""
    values = curves.values["accuracy/test"]
    middle = max(values) / 2
    at = next(i for i, value in enumerate(values) if value >= middle)
    return [max(curves.steps[at], 1), values[at]]


def _fractions_title(same: Sequence[Network], done: Sequence[Network], by: Times) -> str:
    if not done:
        return f"With no share of the pairs the sums come right within {count(max(one.n_steps for one in same))} steps"
    times = [one.times(by)[1] or 0 for one in done]
    sooner = ", sooner the more pairs are shown" if len(times) > 1 and times == sorted(times, reverse=True) else ""
    if len(done) == len(same):
        return f"All {count(len(same))} shares of the pairs are enough{sooner}"
    return f"{count(len(done))} of {count(len(same))} shares of the pairs are enough{sooner}"


def _times(gap: float) -> str:
    return fixed(gap, 0 if gap >= 9.5 else 1)
