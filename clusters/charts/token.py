"""What a token's page draws: its loss over network size and over training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from clusters.charts.chart import (
    MARKERS,
    Chart,
    Help,
    Sparkline,
    curve_chart,
    linear_axis,
    log_axis,
    make_chart,
    make_series,
    sparkline,
    vertical,
)
from clusters.charts.numbers import compact, count, fixed, percent
from clusters.values.facts import EMERGENCE_NATS
from clusters.values.readings import Scores, StepCurve, Unit

SPARK_TOP_BITS = 13.0
MARKED_STEPS = 16  # longer curves are marked at their end alone
# the thresholds of the classes, as `compute.numerics.curves.classify` has them
LEAST_BITS, MONOGENIC_ABOVE, MONOGENIC_STEPS, POLYGENIC_BELOW, POLYGENIC_STEPS = 1, 0.5, 2, -0.5, 3.5
CLASS_SHAPES = {"monogenic": "on", "polygenic": "square", "mixed": "half", "flat": "", "unknown": ""}
CLASS_MEANINGS = {
    "monogenic": "one step explains the curve, as if the token needed a single quantum",
    "polygenic": "the loss falls bit by bit, as if the token needed many quanta",
    "mixed": "neither a clean step nor a clean line",
    "flat": "the loss falls by less than one bit, so its shape says little",
    "unknown": "the curve was not scored",
}

SIZES_HELP = Help(
    what="The cross-entropy of this one answer under every network of the suite, smallest to largest. A token that "
    "needs one skill should fall in one step where networks become large enough for it; a token that needs many falls "
    "bit by bit.",
    formula="loss = −ln p(answer | text before it), in nats; divided by ln 2 in bits",
    source="§4 and Figure 4",
)
STEPS_HELP = Help(
    what="The same loss while each network is trained. Networks without checkpoints on the way appear with their last "
    "one. Long curves are thinned evenly over the logarithm of the step, first and last kept.",
    formula="loss = −ln p(answer | text before it), at the checkpoints of each network",
    source="§4 and Appendix, Figure 11",
)
LADDER_HELP = Help(
    what="The run was clustered at several numbers of clusters k. This shows how many tokens share this token’s "
    "cluster at each: a broad one at small k, a narrow one at large k. Where the line is level, the same cluster "
    "survives as k grows.",
    source="§4 uses k = 400 and looks at others for the envelope",
)


def token_sizes_chart(
    sizes: Sequence[int], losses: np.ndarray, at_step: Sequence[tuple[int, float]], step: int | None,
    scores: Scores, unit: Unit,
) -> Chart:  # fmt: skip
    """One token's loss (n_sizes,) under the final checkpoints, and at an earlier step of training."""
    final = {"points": _points(sizes, losses), "name": "last step", "css": "mean", "marker": "dot"}
    curves = [final]
    reading = f"{scores.curve_class.capitalize()}: {CLASS_MEANINGS[scores.curve_class]}."
    if step is not None:
        final |= {"label": "last step", "css": "c6", "marker": "diamond"}
        name = f"step {step:,}"
        points = [[size, loss if math.isfinite(loss) else None] for size, loss in at_step]
        curves = [{"points": points, "name": name, "label": name, "css": "mean", "marker": "dot"}, final]
        reading = f"{len(at_step)} of {len(sizes)} networks have a checkpoint at step {step:,}. {reading}"
    return curve_chart(
        curves, over="parameters", slug="loss-over-parameters", number=1, title=_sizes_title(sizes, losses), unit=unit,
        reading=reading, size="third", help=SIZES_HELP,
    )  # fmt: skip


def token_steps_chart(
    curves: Sequence[StepCurve], unit: Unit, *, step: int | None = None,
    finals: Sequence[tuple[str, int, int, float]] = (),
) -> Chart | None:  # fmt: skip
    """One token's loss over training steps, one line a network; `finals` are (lm, size, last step, loss) of others."""
    if not curves:
        return None
    factor = 1 / math.log(2) if unit == "bits" else 1.0
    lines = [(curve.n_non_embedding, curve.lm, _points(curve.steps, curve.losses[0])) for curve in curves]
    lines += [(size, lm, [[at, loss]]) for lm, size, at, loss in finals]
    series, xs, ys = [], [], [0.0]
    for place, (_, lm, points) in enumerate(sorted(lines)):
        known = [[x, y * factor] for x, y in points if y is not None]
        series.append(
            make_series(
                "line", known, name=lm, label=lm if len(points) > 1 else "", width=1.75,
                css=f"v{round(7 * place / max(len(lines) - 1, 1))}", marker=MARKERS[place % len(MARKERS)],
                marker_at="all" if len(known) <= MARKED_STEPS else "end",
            )
        )  # fmt: skip
        xs += [x for x, _ in known]
        ys += [y for _, y in known]
    title = _steps_title(sorted(lines))
    reading = f"The darker, the smaller the network. Learned: below {EMERGENCE_NATS} nats at its last step."
    if finals:
        reading += f" Marks without a line: {', '.join(lm for lm, *_ in finals)}, whose last checkpoint alone is here."
    return make_chart(
        slug="loss-over-steps", number=2, title=title, size="third", series=series, reading=reading,
        rules=[vertical("thr", step, f"step {step:,}")] if step else [],
        description=f"{title}: loss in {unit} against training step, one line a network",
        x=log_axis(xs, "training step", with_zero=any(x == 0 for x in xs)),
        y=linear_axis(ys, f"loss, {unit}", from_zero=True, n=4), help=STEPS_HELP,
    )  # fmt: skip


def ladder_chart(rungs: Sequence[tuple[str, int, int, int, str, str]]) -> Chart | None:
    """How large the token's cluster is at every k: rungs are (affinity, k, size, rank, answer, href)."""
    if not rungs:
        return None
    series = []
    affinities = list(dict.fromkeys(rung[0] for rung in rungs))
    for affinity, css, shape in zip(affinities, ("c1", "c2"), ("dot", "square"), strict=False):
        own = [rung for rung in rungs if rung[0] == affinity]
        series.append(
            make_series("line", [[k, size] for _, k, size, *_ in own], name=affinity, css=css, label=affinity)
        )
        points = [
            [k, size, f"k = {k}: rank {rank}, {size:,} tokens" + (f", mostly {answer}" if answer else ""), href]
            for _, k, size, rank, answer, href in own
        ]
        series.append(make_series("points", points, name=f"{affinity} affinity", css=css, marker=shape))
    rows = [[affinity, k, rank, size, answer] for affinity, k, size, rank, answer, _ in rungs]
    sizes = [rung[2] for rung in rungs]
    return make_chart(
        slug="ladder", number=3, title=_ladder_title(rungs, affinities), size="half", series=series,
        description="Size of the token’s cluster against the number of clusters",
        reading="Each mark is one cluster and leads to its page. Fewer tokens at larger k: the cluster is cut finer.",
        x=log_axis([rung[1] for rung in rungs], "number of clusters k", pad=1.1),
        y=log_axis([1, *sizes], "tokens in its cluster", pad=1.1),
        table={"head": ["affinity", "k", "rank", "size", "commonest answer"], "rows": rows}, help=LADDER_HELP,
    )  # fmt: skip


class ScoreRow(TypedDict):
    name: str
    value: str
    range: str
    meaning: str
    said: str
    standing: str


def score_rows(
    scores: Scores, *, n_sizes: int = 0, percentiles: Mapping[str, float] | None = None, slope: float | None = None,
    r_squared: float | None = None,
) -> list[ScoreRow]:  # fmt: skip
    """Each score: what it is, what it says of this token, and where the token stands among all predictions."""
    m, n_eff, bits = scores.monogenicity, scores.n_eff, scores.amplitude_bits
    rows: list[tuple[str, str, float | None, int, str, str, str]] = [
        ("M", "monogenicity", m, 2, "1 a step, −1 a line",
         "Near 1 a single step explains the loss over size; near −1 a straight line in log size does.",
         _m_said(m, bits)),
        ("effective steps", "n_eff", n_eff, 1, "1 for a single drop",
         "Over how many sizes the gain is spread: 1 for a single drop.", _n_eff_said(n_eff, n_sizes)),
        ("bits lost", "amplitude_bits", bits, 1, "before the best step, less after it",
         "Mean loss before the best step minus mean loss after it.", _bits_said(bits)),
        ("linearity", "linearity", scores.linearity, 1, "",
         "How evenly the loss falls: the whole gain over the root mean square of its steps.",
         _even_said(scores.linearity, n_sizes)),
        ("breakthroughness", "breakthroughness", scores.breakthroughness, 1, "",
         "How sudden the gain is: the whole gain over the median step, within ±100.",
         _sudden_said(scores.breakthroughness, scores.linearity)),
    ]  # fmt: skip
    if slope is not None:
        rows.append(("slope", "slope", slope, 2, "", "Of the least-squares line, in nats for e times the parameters.",
                     _slope_said(slope)))  # fmt: skip
    if r_squared is not None:
        rows.append(("R²", "r_squared", r_squared, 3, "", "Share of the curve’s variance that this line explains.",
                     f"The line explains {percent(r_squared)} of it."))  # fmt: skip
    standing = percentiles or {}
    return [
        {"name": name, "value": _number(value, digits), "range": span, "meaning": meaning,
         "said": said if value is not None else "", "standing": _standing(standing.get(key))}
        for name, key, value, digits, span, meaning, said in rows
    ]  # fmt: skip


def class_sentence(scores: Scores) -> str:
    """The class with the thresholds that decide it."""
    m, n_eff, lost = _number(scores.monogenicity, 2), _number(scores.n_eff, 1), scores.amplitude_bits
    bits = _number(lost, 2 if lost is None or round(lost, 2) < LEAST_BITS else 4)  # 0.998 is less than 1
    return {
        "monogenic": f"M {m} lies above {MONOGENIC_ABOVE}, and {n_eff} effective steps below {MONOGENIC_STEPS}.",
        "polygenic": f"M {m} lies below −{-POLYGENIC_BELOW}, and {n_eff} effective steps above {POLYGENIC_STEPS}.",
        "flat": f"The best step loses {bits} bits, less than {LEAST_BITS}.",
        "mixed": f"M {m} with {n_eff} effective steps meets neither rule: monogenic asks for M above {MONOGENIC_ABOVE} "
        f"and fewer than {MONOGENIC_STEPS} steps, polygenic for M below −{-POLYGENIC_BELOW} and more than "
        f"{POLYGENIC_STEPS}.",
    }.get(scores.curve_class, "The bundle holds no scores of curves.")


def paper_sentence(monogenic_at: int, is_polygenic: bool, slope: float, r_squared: float, sizes: Sequence[int]) -> str:
    """What the paper's own rules call the curve."""
    line = f"slope {_number(slope, 2)} nats per e-fold, R² {_number(r_squared, 3)}"
    if monogenic_at:
        names = f"{compact(sizes[monogenic_at - 1])} and {compact(sizes[monogenic_at])}"
        return (
            f"By the paper’s rule it is monogenic at size {monogenic_at}: above 5 nats up to the first, below 0.3 from "
            f"the second of {names} parameters on."
        )
    if is_polygenic:
        return f"By the paper’s rule it is polygenic: {line} (below −0.3, above 0.98)."
    return (
        "By the paper’s rules it is neither: monogenic asks for losses above 5 nats and then below 0.3, polygenic for "
        f"a slope below −0.3 nats with R² above 0.98 (here {line})."
    )


def token_spark(losses_nats: np.ndarray) -> Sparkline:
    """A token's loss over sizes in bits, on the scale that every row of a list shares."""
    bits = (losses_nats / math.log(2)).tolist()
    told = ", ".join(f"{value:.1f}" for value in bits)
    return sparkline(bits, hi=SPARK_TOP_BITS, description=f"Loss in bits at {len(bits)} sizes: {told}")


def _points(xs: Sequence[float], ys: np.ndarray) -> list[list[Any]]:
    return [[x, y if math.isfinite(y) else None] for x, y in zip(xs, ys.tolist(), strict=True)]


def _sizes_title(sizes: Sequence[int], losses: np.ndarray) -> str:
    falls = -np.diff(losses)
    whole = float(losses[0] - losses[-1])
    if not len(falls) or not math.isfinite(whole) or whole < math.log(2):
        return "The loss hardly falls with size"
    at = int(falls.argmax())
    before, after = compact(sizes[at]), compact(sizes[at + 1])
    if falls[at] >= 0.6 * whole:
        return f"Learned between {before} and {after} parameters"
    return f"The loss falls gradually, most between {before} and {after} parameters"


def _steps_title(lines: Sequence[tuple[int, str, list[list[Any]]]]) -> str:
    """Which networks learn the token; lines are (size, lm, points), smallest first."""
    last = [(lm, points[-1][1]) for _, lm, points in lines if points and points[-1][1] is not None]
    learned = [lm for lm, loss in last if loss < EMERGENCE_NATS]
    if not learned:
        return "No network learns it"
    return "Every network learns it" if len(learned) == len(last) else f"{learned[0]} is the smallest to learn it"


def _ladder_title(rungs: Sequence[tuple[str, int, int, int, str, str]], affinities: Sequence[str]) -> str:
    own = [rung for rung in rungs if rung[0] == affinities[0]]
    (_, first_k, first, *_), (_, last_k, last, *_) = own[0], own[-1]
    if first_k == last_k:
        return f"Its cluster holds {count(first)} tokens at k = {first_k}"
    return f"Its cluster holds {count(first)} tokens at k = {first_k} and {count(last)} at k = {last_k}"


def _m_said(m: float | None, bits: float | None) -> str:
    if m is None:
        return ""
    if m < 0 and bits is not None and bits <= 0:
        return "No split of the sizes has a lower loss after it, so M is −1."
    if abs(m) <= 0.2:
        return "A step and a line fit it about equally well."
    better, worse = ("a step", "a line") if m > 0 else ("a line", "a step")
    return f"{better.capitalize()} fits {'far ' if abs(m) > MONOGENIC_ABOVE else 'somewhat '}better than {worse}."


def _n_eff_said(n_eff: float | None, n_sizes: int) -> str:
    if n_eff is None:
        return ""
    if n_eff == 0:
        return "The loss never falls."
    return f"The gain is spread as if over {n_eff:.1f} of {n_sizes - 1} equal drops." if n_sizes > 1 else ""


def _bits_said(bits: float | None) -> str:
    if bits is None:
        return ""
    if bits <= 0:
        return "No split of the sizes has a lower loss after it."
    if bits < 0.1:
        return "Larger networks gain next to nothing."
    return f"The answer becomes about {compact(2.0**bits)} times as likely." if bits < 40 else ""


def _even_said(linearity: float | None, n_sizes: int) -> str:
    if linearity is None or n_sizes < 2:
        return ""
    if linearity < 0:
        return "The loss rises over the whole."
    return f"An even fall has {n_sizes - 1}, a single step {math.sqrt(n_sizes - 1):.1f}."


def _sudden_said(breakthroughness: float | None, linearity: float | None) -> str:
    if breakthroughness is None or linearity is None:
        return ""
    if breakthroughness < 0:
        return "The loss rises over the whole."
    if breakthroughness >= 100:
        return "At least half of the steps change next to nothing."
    return "Most of the gain comes at once." if breakthroughness > 2 * max(linearity, 1e-9) else "No step stands out."


def _slope_said(slope: float) -> str:
    if abs(slope) < 0.005:
        return "Ten times the parameters change nothing."
    return f"Ten times the parameters {'save' if slope < 0 else 'cost'} {abs(slope) * math.log(10):.2f} nats."


def _standing(share: float | None) -> str:
    """Where a value stands among all: the middle of its ties."""
    if share is None:
        return ""
    return "below all others" if share <= 0 else "above all others" if share >= 1 else f"above {percent(share)}"


def _number(value: float | None, digits: int) -> str:
    return "unknown" if value is None else fixed(value, digits)
