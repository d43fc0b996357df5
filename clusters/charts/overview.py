"""The four figures that a reader of a run wants first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from clusters.charts.chart import (
    Chart,
    Help,
    LateRows,
    Series,
    Sparkline,
    Table,
    linear_axis,
    log_axis,
    make_chart,
    make_series,
    share_axis,
    vertical,
)
from clusters.charts.geometry import Scale, line_path, thin
from clusters.charts.numbers import compact, count, fixed, percent
from clusters.charts.rank_frequency import corners, curve_series, size_table
from clusters.values.facts import CAVEAT, LOSS_EDGES, FinalCheckpoint, RankCurves, scaling_fit, spread_ks
from clusters.values.families import families, family_of, within_family
from compute.numerics.curves import classify
from compute.numerics.scaling import PowerLawFit

N_SHADES = 8
LOSS_TICKS = ((1e-4, "10⁻⁴"), (1e-3, ".001"), (0.01, ".01"), (0.1, "0.1"), (1.0, "1"), (10.0, "10"))
FAINT = 0.001
MOSTLY = 0.8  # where more of the falling curves are mixed, that is the finding
NEARLY = 1.1  # counts within this factor are called about equal
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


MEAN_HELP = Help(
    what="The mean loss of each network over all predictions, at the end of its training. On these axes a power law is "
    "a straight line; the page on scaling compares it with others.",
    formula="⟨L⟩ ∝ N^(−α_N), ln⟨L⟩ fitted by least squares",
    source="§5, Figure 3",
)
LOSSES_HELP = Help(
    what="How many predictions have a loss between two values, in tenths of a decade. What lies in the shaded part is "
    "predicted nearly surely; the clustered tokens are taken from there.",
    formula="share = predictions in a bin / all predictions",
    source="§4 for the selection, Figure 3 for the distribution",
)
RANKS_HELP = Help(
    what="Clusters in order of their size. If quanta are used with a Zipfian frequency, sizes fall as a power of rank; "
    "the envelope, the largest size at each rank over all k, comes nearest to it.",
    formula="frequency ∝ rank^−(α + 1)",
    source="§5, Figure 5",
)
CLASSES_HELP = Help(
    what="Every prediction’s loss over the sizes, summed up in two numbers: whether a step or a line describes it "
    "better, and over how many sizes the fall is spread. The paper’s monogenic tokens stand at the lower right, its "
    "polygenic ones at the upper left.",
    formula="M = (SSE_line − SSE_step) / (SSE_line + SSE_step + m s₀²), n_eff = 1 / Σ wᵢ²",
    source="§5, Figure 4, with scores of our own",
)


def in_words(n: int) -> str:
    return WORDS[n] if n < len(WORDS) else count(n)


def scaling_chart(finals: Sequence[FinalCheckpoint], *, number: int) -> Chart | None:
    """Mean loss against parameters with its power law; None where there is one size only."""
    if len({one.n_non_embedding for one in finals}) < 2:
        return None
    fitted = within_family(finals)
    fit = scaling_fit(fitted)
    xs = [one.n_non_embedding for one in finals]
    ys = [one.mean_loss_nats for one in finals]
    law = (
        [(one.n_non_embedding, float(fit.predict(one.n_non_embedding))) for one in (fitted[0], fitted[-1])]
        if fit
        else []
    )
    points = [
        [one.n_non_embedding, one.mean_loss_nats, f"{one.lm}: {fixed(one.mean_loss_nats)} nats"] for one in finals
    ]
    own = next((p for p, one in zip(points, finals, strict=True) if one.is_clustered), None)
    series = [make_series("points", points, name="mean loss", css="c1")]
    others = [point for point, one in zip(points, finals, strict=True) if one not in fitted]
    if others:
        series.append(make_series("points", others, name="other families, not fitted", css="ink3"))
    if fit:
        label = f"N^{fixed(-fit.alpha, 3)}"
        middle = [math.sqrt(law[0][0] * law[1][0]), math.sqrt(law[0][1] * law[1][1])]
        series.insert(0, make_series("line", law, name="power law", css="fitl dash", label=label, label_at=middle))
    if own:
        series.append(make_series("points", [own], name="clustered", css="ink", marker="square", label="clustered"))
    return make_chart(
        slug="mean-loss", number=number, title=_scaling_title([one.mean_loss_nats for one in fitted], fit),
        description=f"Mean loss in nats against non-embedding parameters, {in_words(len(xs))} networks",
        reading=_scaling_reading(fitted, finals, fit), series=series,
        x=log_axis(xs, "non-embedding parameters", pad=1.4, n=5),
        y=log_axis([*ys, *(y for _, y in law)], "mean loss, nats", pad=1.06), help=MEAN_HELP,
        table={
            "head": ["network", "revision", "non-embedding parameters", "mean loss, nats", "share under threshold"],
            "rows": [[o.lm, o.revision, o.n_non_embedding, o.mean_loss_nats, o.fraction_below] for o in finals],
        },
    )  # fmt: skip


def _scaling_title(ys: Sequence[float], fit: PowerLawFit | None) -> str:
    rises = sum(after >= before for before, after in pairwise(ys))
    if rises:
        return f"Mean loss does not fall at {in_words(rises)} of {in_words(len(ys) - 1)} steps of size"
    if fit is None:
        return "Mean loss falls with every step of size"
    return f"Ten times the parameters, {percent(1 - 10**-fit.alpha)} less loss"


def _scaling_reading(
    fitted: Sequence[FinalCheckpoint], finals: Sequence[FinalCheckpoint], fit: PowerLawFit | None
) -> str:
    if fit is None:
        return "No power law can be fitted to these losses."
    n_others, n_families = len(finals) - len(fitted), len(families(finals))
    family = ""
    if n_others:
        named, are = (
            in_words(n_others),
            "networks of other families are" if n_others > 1 else "network of another family is",
        )
        family = f" Fitted within {family_of(fitted[0].lm)}; {named} {are} left out."
    elif n_families > 1:
        family = f" The networks belong to {in_words(n_families)} families, which one law need not hold for."
    if math.isnan(fit.low):
        return f"Exponent {fixed(fit.alpha, 3)}; two networks give it no interval.{family}"
    return (
        f"Exponent {fixed(fit.alpha, 3)}, 95% interval {fixed(fit.low, 3)} to {fixed(fit.high, 3)}, over "
        f"{in_words(len(fitted))} networks; no floor subtracted.{family}"
    )


def distribution_chart(finals: Sequence[FinalCheckpoint], threshold: float, *, number: int) -> Chart | None:
    """How the losses of single predictions are spread; None where none could be counted."""
    shown = [one for one in finals if sum(one.histogram) > 0]
    if not shown:
        return None
    lo, hi = _span(shown)
    series = [_histogram(one, i, shown, threshold, lo) for i, one in enumerate(shown)]
    return make_chart(
        slug="losses", number=number, title=_distribution_title(shown, threshold),
        description="Share of predictions over tenths of a decade of loss, one line a network",
        reading=_distribution_reading(shown, threshold), series=series, window=[lo, threshold],
        rules=[vertical("edge", threshold, f"selected from\nhere, under {threshold:g}", side="start")],
        x=log_axis([lo, hi], "loss, nats", ticks=[tick for tick in LOSS_TICKS if lo <= tick[0] <= hi]),
        y=share_axis([0, max(share for one in series for _, share in one["points"])], "share of predictions",
                     from_zero=True),
        table=_histogram_table(shown), help=LOSSES_HELP,
    )  # fmt: skip


def _span(shown: Sequence[FinalCheckpoint]) -> tuple[float, float]:
    """The losses worth drawing: from the first bin that holds a thousandth of a network's predictions."""
    spread = [(one.histogram, sum(one.histogram)) for one in shown]
    shares = [max([counts[i] / total for counts, total in spread]) for i in range(len(LOSS_EDGES) - 1)]
    first = next((i for i, share in enumerate(shares) if i and share >= FAINT), 1)
    return LOSS_EDGES[min(first, len(LOSS_EDGES) // 2)], LOSS_EDGES[-1]


def _histogram(
    one: FinalCheckpoint, place: int, shown: Sequence[FinalCheckpoint], threshold: float, lo: float
) -> Series:
    """One network's line from the loss `lo` on."""
    total = sum(one.histogram)
    points = [[lo, 0.0]]
    for left, right, n in zip(LOSS_EDGES[1:-1], LOSS_EDGES[2:], one.histogram[1:], strict=True):
        if left >= lo:
            points.append([right, n / total])
    points[0][1] = points[1][1]
    label, label_at = "", None
    if one.is_clustered:
        low = [p for p in points if p[0] < threshold]
        label, label_at = compact(one.n_non_embedding), max(low, key=lambda p: p[1], default=points[0])
    elif one is shown[0]:
        label, label_at = f"{compact(one.n_non_embedding)} parameters", max(points, key=lambda p: p[1])
    shade = round(place * (N_SHADES - 1) / max(len(shown) - 1, 1))
    return make_series(
        "step", points, name=one.lm, css=f"v{shade}", label=label, label_at=label_at, is_strong=one.is_clustered
    )


def _histogram_table(shown: Sequence[FinalCheckpoint]) -> Table:
    spread = [(one.histogram, sum(one.histogram)) for one in shown]
    rows = [
        [LOSS_EDGES[i], LOSS_EDGES[i + 1], *(counts[i] / total for counts, total in spread)]
        for i in range(len(LOSS_EDGES) - 1)
        if any(counts[i] for counts, _ in spread)
    ]
    return {"head": ["from, nats", "to, nats", *(f"{one.lm}, share" for one in shown)], "rows": rows}


def _distribution_title(shown: Sequence[FinalCheckpoint], threshold: float) -> str:
    small, large = shown[0], shown[-1]
    if len(shown) == 1:
        return f"{percent(small.fraction_below)} of predictions lose less than {threshold:g} nats"
    if large.fraction_below > small.fraction_below > 0 and large.fraction_below / small.fraction_below >= 2:
        times = large.fraction_below / small.fraction_below
        return f"The largest network predicts {times:.0f} times as many tokens surely"
    if large.fraction_below > small.fraction_below:
        return "The larger the network, the more it predicts surely"
    return "Size does not raise the share of sure predictions"


def _distribution_reading(shown: Sequence[FinalCheckpoint], threshold: float) -> str:
    if len(shown) == 1:
        return f"One network, {shown[0].lm}."
    own = next((one for one in shown if one.is_clustered and one not in (shown[0], shown[-1])), None)
    middle = f", {percent(own.fraction_below)} for the clustered one" if own else ""
    return (
        f"Under {threshold:g} nats: {percent(shown[0].fraction_below)} of the smallest network’s predictions{middle}, "
        f"{percent(shown[-1].fraction_below)} for the largest."
    )


def rank_chart(curves: RankCurves, k: int, *, number: int) -> Chart | None:
    """Sizes against rank at some ks, with their envelope; None without clusterings."""
    own = curves.at(k)
    if own is None:
        return None
    shown = [one for one in curves.clusterings if one.k in spread_ks(curves.ks)]
    fit = curves.try_fit(*curves.window)
    reading = ""
    if fit:
        reading = (
            f"Slope {fixed(fit.slope)} over ranks {count(fit.first_rank)} to {count(fit.last_rank)}; "
            f"grant it ±{CAVEAT} at least."
        )
    return make_chart(
        slug="rank-frequency", number=number,
        title=f"At k = {count(k)} the largest tenth of clusters holds {percent(own.top_tenth_share)} of tokens",
        description="Tokens per cluster against rank, one line a k, and their envelope", reading=reading,
        x=log_axis([1, max(curves.ks)], "rank of cluster", n=5),
        y=log_axis([1, max(curves.envelope)], "tokens in cluster", n=4),
        series=curve_series(curves, shown), table=size_table(shown), help=RANKS_HELP,
    )  # fmt: skip


def size_sparkline(sizes: Sequence[int], *, width: int = 96, height: int = 28) -> Sparkline:
    """Sizes against rank, both logarithmic, for the list of runs."""
    points = corners(sizes)
    x = Scale("log", 1, max(len(sizes), 2), 1, width - 1)
    y = Scale("log", 1, max(*sizes, 2), height - 3, 2)
    return {
        "path": line_path(thin([(x(rank), y(size)) for rank, size in points])),
        "base": line_path([(0, height - 1), (width, height - 1)]), "width": width, "height": height,
        "description": f"{len(sizes)} clusters, the largest of {sizes[0]} tokens",
    }  # fmt: skip


def density_chart(density: dict[str, Any], n_sizes: int, *, number: int) -> Chart | None:
    """Monogenic against polygenic curves, as counts of predictions; None where none were scored."""
    counts, classes = density.get("counts"), density.get("classes")
    if not counts or not classes or not any(map(sum, counts)):
        return None
    (m_lo, m_hi), (n_lo, n_hi) = density["monogenicity"], density["n_eff"]
    cells = _cells(counts, (m_lo, m_hi), (n_lo, n_hi))
    limits = classify.__kwdefaults__ or {}
    mono = [limits["monogenic_above"], limits["monogenic_n_eff"]]
    poly = [limits["polygenic_below"], limits["polygenic_n_eff"]]
    total, margin = sum(classes.values()), 0.05 * (n_hi - n_lo)
    corners = _corner("monogenic", classes["monogenic"] / total, [[mono[0], n_lo], mono, [m_hi, mono[1]]],
                      [(mono[0] + m_hi) / 2, n_lo + margin, "m"])  # fmt: skip
    if poly[1] < n_hi:
        corners += _corner("polygenic", classes["polygenic"] / total, [[m_lo, poly[1]], poly, [poly[0], n_hi]],
                           [(m_lo + poly[0]) / 2, n_hi - margin, "m"])  # fmt: skip
    return make_chart(
        slug="curve-classes", number=number, title=_density_title(classes),
        description="Predictions over monogenicity and the number of sizes over which their loss falls",
        reading=_density_reading(classes, n_sizes), series=[make_series("cells", cells, css="h0"), *corners],
        legend=_shade_legend(max(map(max, counts))),
        x=linear_axis([m_lo, m_hi], "monogenicity: a line −1, one step 1", n=4, exact=True),
        y=linear_axis([n_lo, n_hi], "sizes that share the fall", n=4, exact=True),
        table={"head": ["monogenicity from", "to", "n_eff from", "to", "predictions"],
               "rows": _DensityRows(cells, counts)}, help=CLASSES_HELP,
    )  # fmt: skip


def _corner(name: str, share: float, points: list[list[float]], label_at: list[Any]) -> list[Series]:
    """The lines that cut a class off, legible on any shade, and its share."""
    return [
        make_series("line", points, name=name, css="under"),
        make_series("line", points, name=name, css="thr", label=f"{name} {percent(share)}", label_at=label_at,
                    is_strong=True),
    ]  # fmt: skip


def _cells(counts: Sequence[Sequence[int]], x: tuple[float, float], y: tuple[float, float]) -> list[list[Any]]:
    """[x0, x1, y0, y1, shade] of every bin that holds something, shaded by the logarithm of its count."""
    n_x, n_y, most = len(counts), len(counts[0]), max(map(max, counts))
    wide, high = (x[1] - x[0]) / n_x, (y[1] - y[0]) / n_y
    rows = [(y[0] + j * high, y[0] + (j + 1) * high) for j in range(n_y)]
    shades = {n: f"h{_shade(n, most)}" for column in counts for n in column if n}
    cells: list[list[Any]] = []
    for i, column in enumerate(counts):
        left, right = x[0] + i * wide, x[0] + (i + 1) * wide
        cells += [[left, right, *place, shades[n]] for place, n in zip(rows, column, strict=True) if n]
    return cells


def _shade(n: int, most: int) -> int:
    return min(N_SHADES - 1, int(N_SHADES * math.log(n) / math.log(most + 1))) if most > 1 else 0


class _DensityRows(LateRows):
    """A row a cell: its corners and its count."""

    def __init__(self, cells: Sequence[Sequence[Any]], counts: Sequence[Sequence[int]]) -> None:
        self.cells, self.counts = cells, [n for column in counts for n in column if n]

    def __len__(self) -> int:
        return len(self.cells)

    def row(self, place: int) -> list[Any]:
        return [*(round(corner, 4) for corner in self.cells[place][:4]), self.counts[place]]


def _shade_legend(most: int) -> list[tuple[str, str, str]]:
    """Every second shade with the counts that it stands for."""
    firsts = [next((n for n in _candidates(most) if _shade(n, most) == s), None) for s in range(N_SHADES)]
    rows = [(s, first) for s, first in enumerate(firsts) if first is not None]
    kept = rows[::-2][:4][::-1]
    return [("square", f"h{s}", f"{count(first)}+" + (" predictions" if s == kept[-1][0] else "")) for s, first in kept]


def _candidates(most: int) -> list[int]:
    """Where shades may begin, without trying every count."""
    guesses = {math.ceil((most + 1) ** (s / N_SHADES)) for s in range(N_SHADES)}
    return sorted({max(1, g + d) for g in guesses for d in (-1, 0, 1)})


def _density_title(classes: dict[str, int]) -> str:
    """What most curves do; a class that is rare is not made the finding."""
    mono, poly, mixed = classes["monogenic"], classes["polygenic"], classes["mixed"]
    moving = mono + poly + mixed
    if not moving:
        return "No loss falls by a bit or more"
    if mixed > MOSTLY * moving:
        return f"{percent(mixed / moving)} of the falls are neither one step nor gradual"
    if max(mono, poly) <= NEARLY * min(mono, poly):
        return "As many losses fall in one step as gradually"
    if not mono or not poly:
        n, kind = (poly, "gradually") if poly else (mono, "in one step")
        return f"{percent(n / moving)} of the falls go {kind}"
    times = max(mono, poly) / min(mono, poly)
    more = f"{times:.1f} times as many" if times < 9.95 else f"{times:.0f} times as many"
    return (
        f"{more} losses fall in one step as gradually"
        if mono > poly
        else f"{more} losses fall gradually as in one step"
    )


def _density_reading(classes: dict[str, int], n_sizes: int) -> str:
    total = sum(classes.values())
    return (
        f"{count(classes['monogenic'])} monogenic, {count(classes['polygenic'])} polygenic and "
        f"{count(classes['mixed'])} mixed of {count(total)} predictions, over {in_words(n_sizes)} sizes; "
        f"{count(classes['flat'])} flat ones are not drawn."
    )
