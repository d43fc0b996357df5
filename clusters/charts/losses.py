"""How losses are spread: p(L), L·p(L) and their mean, by size and by step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clusters.charts.chart import (
    Axis,
    Chart,
    Help,
    Rows,
    Series,
    Table,
    linear_axis,
    log_axis,
    make_chart,
    make_series,
)
from clusters.charts.numbers import compact, count, fixed, percent
from clusters.values.distributions import DECADE, LN2, Distribution, Histogram
from clusters.values.families import within_family
from clusters.values.readings import Unit
from compute.errors import FitError
from compute.numerics.scaling import PowerLawFit, fit_power_law

N_SHADES = 8
MERGED = f"{DECADE} a decade"  # how finely bins are drawn beyond the first ones
FLOOR = 1e-5  # of the largest density: where a logarithmic axis ends
DENSITY_HELP = Help(
    what="Each line is a histogram of the losses of single predictions, so its area between two losses is the share "
    "of predictions between them. A network that knows a token surely has a loss near zero.",
    formula="p(L) = count in a bin / (predictions within all bins × width of the bin)",
    source="§5, Figures 3 and 11",
)
INTEGRAND_HELP = Help(
    what="The area under a line is the mean loss, so its height says which losses the mean is made of. Sure "
    "predictions are many and add next to nothing.",
    formula="⟨L⟩ = ∫ L p(L) dL",
    source="§5, Figures 3 and 11",
)


@dataclass(frozen=True)
class Look:
    """How losses are drawn."""

    unit: Unit = "nats"
    is_log: bool = False  # the axis of p(L)
    threshold_nats: float = 0.1

    @property
    def factor(self) -> float:
        """From nats to the unit."""
        return 1 / LN2 if self.unit == "bits" else 1.0

    def loss(self, nats: float, digits: int = 2) -> str:
        return f"{fixed(nats * self.factor, digits)} {self.unit}"

    def small(self, nats: float) -> str:
        """A loss of few digits, as the first bin's width."""
        return f"{nats * self.factor:.2g} {self.unit}"

    @property
    def threshold(self) -> str:
        return f"{self.threshold_nats * self.factor:.3g} {self.unit}"


# ── by size ──


def density_by_size(finals: Sequence[Distribution], look: Look, *, number: int) -> Chart | None:
    """p(L) of every network at the end of its training; None without histograms."""
    shown = [one for one in finals if one.has_counts]
    if not shown:
        return None
    series = [density_line(one.by_size, one.name, look, shade(i, len(shown))) for i, one in enumerate(shown)]
    for i, one in enumerate(shown):
        series[i]["label"] = _size_label(one, i, shown)
        series[i]["label_at"] = _density_label_at(series[i])
    y = density_y(top_of(series), look)
    return make_chart(
        slug="density-sizes", number=number, size="third", title=_density_title(shown),
        description=f"Density of losses per {look.unit[:-1]}, one line a network",
        reading=_density_reading(shown, look), series=above_floor(series, y), x=density_x(shown[0].by_size, look),
        y=y, help=DENSITY_HELP, table=density_table({one.name: one.by_size for one in shown}, look),
    )  # fmt: skip


def integrand_by_size(finals: Sequence[Distribution], look: Look, *, number: int) -> Chart | None:
    """L·p(L) of every network at the end of its training; None without histograms."""
    shown = [one for one in finals if one.has_counts]
    if not shown:
        return None
    series = []
    for i, one in enumerate(shown):
        line = integrand_line(one, look, shade(i, len(shown)))
        top = max(line["points"], key=lambda point: point[1])
        series.append(line | {"label": _size_label(one, i, shown), "label_at": top})
    largest = shown[-1]
    return make_chart(
        slug="integrand-sizes", number=number, size="third",
        title=f"Half of {'the' if len(shown) == 1 else 'the largest network’s'} mean loss comes from losses above "
              f"{look.loss(largest.integrand.half_mass, 1)}",
        description=f"Loss times its density against loss in {look.unit}, one line a network",
        reading=_integrand_reading(shown, look), series=series, x=integrand_x(largest.integrand, look),
        y=linear_axis([0, top_of(series)], "L · p(L)", from_zero=True, n=4), help=INTEGRAND_HELP,
        table=integrand_table(shown, look),
    )  # fmt: skip


def mean_by_size(finals: Sequence[Distribution], look: Look, *, number: int) -> Chart | None:
    """Mean loss against size with the power law of one family; None for one size."""
    if len({one.n_non_embedding for one in finals}) < 2:
        return None
    fitted = within_family(finals)
    fit = _power_law(fitted)
    others = [one for one in finals if one not in fitted]
    series = [
        make_series("points", [_mean_point(one, look) for one in there], name=name, css=css)
        for there, name, css in ((fitted, "mean loss", "c1"), (others, "other families", "ink3"))
        if there
    ]
    if fit:
        ends = [fitted[0].n_non_embedding, fitted[-1].n_non_embedding]
        line = [[x, float(fit.predict(x)) * look.factor] for x in ends]
        middle = [math.sqrt(line[0][0] * line[1][0]), math.sqrt(line[0][1] * line[1][1])]
        series.insert(0, make_series("line", line, name="power law", css="fitl dash", label_at=middle,
                                     label=f"N^{fixed(-fit.alpha, 3)}"))  # fmt: skip
    return make_chart(
        slug="mean-sizes", number=number, size="third", title=_mean_title(finals, fit, look),
        description=f"Mean loss in {look.unit} against non-embedding parameters, {len(finals)} networks",
        reading=_mean_reading(fitted, others, fit), series=series,
        x=log_axis([one.n_non_embedding for one in finals], "non-embedding parameters", pad=1.4, n=5),
        y=log_axis([one.mean_nats * look.factor for one in finals], f"mean loss, {look.unit}", pad=1.06),
        help=Help(what="The mean over all predictions of each network at the end of its training. A straight line on "
                  "these axes is a power law; the page on scaling compares it with others.",
                  formula="⟨L⟩ ∝ N^(−α_N), ln⟨L⟩ fitted by least squares", source="§5, Figure 3"),
    )  # fmt: skip


def _power_law(finals: Sequence[Distribution]) -> PowerLawFit | None:
    try:
        return fit_power_law([one.n_non_embedding for one in finals], [one.mean_nats for one in finals])
    except FitError:
        return None


def _mean_point(one: Distribution, look: Look) -> list[Any]:
    return [one.n_non_embedding, one.mean_nats * look.factor, f"{one.lm}: {look.loss(one.mean_nats, 3)}"]


def _mean_title(finals: Sequence[Distribution], fit: PowerLawFit | None, look: Look) -> str:
    if fit and fit.alpha > 0:
        return f"Ten times the parameters, {percent(1 - 10**-fit.alpha)} less loss"
    first, last = (look.loss(one.mean_nats) for one in (finals[0], finals[-1]))
    if first == last:
        return f"Mean loss is {first} at both ends" if len(finals) > 1 else f"Mean loss is {first}"
    change = "falls" if finals[-1].mean_nats < finals[0].mean_nats else "rises"
    return f"Mean loss {change} from {first} to {last}"


def _mean_reading(fitted: Sequence[Distribution], others: Sequence[Distribution], fit: PowerLawFit | None) -> str:
    if fit is None:
        return "No power law can be fitted to these losses."
    interval = "two networks give it no interval"
    if math.isfinite(fit.low):
        interval = f"95% interval {fixed(fit.low, 3)} to {fixed(fit.high, 3)}"
    left = f"; {count(len(others))} networks of other families are not fitted" if others else ""
    return f"Exponent {fixed(fit.alpha, 3)}, {interval}, over {count(len(fitted))} networks; no floor{left}."


# ── parts ──


def share_title(first: Distribution, last: Distribution, look: Look, *, by: str = "training") -> str:
    a, b = first.fraction_below, last.fraction_below
    how = "rises" if b > a else "falls" if b < a else "stays"
    ends = f"from {percent(a)} to {percent(b)}" if a != b else f"at {percent(a)}"
    return f"The share under {look.threshold} {how} {ends} over {by}"


def shade(place: int, n: int) -> str:
    """The viridis step of the place among n, dark to light."""
    return f"v{round(place * (N_SHADES - 1) / max(n - 1, 1))}"


def _density_label_at(line: Series) -> list[Any]:
    """Beside the steep part near zero where there is one, otherwise over the bulk."""
    points = line["points"]
    top = max(points, key=lambda point: point[1])
    return points[min(2, len(points) - 1)] if top is points[0] else top


def density_line(found: Histogram, name: str, look: Look, css: str) -> Series:
    drawn = found.by_decade
    points = np.stack([drawn.bins.middles * look.factor, drawn.density / look.factor], 1).tolist()
    return make_series("line", points, name=name, css=css, is_strong=False)


def integrand_line(one: Distribution, look: Look, css: str) -> Series:
    drawn = one.integrand.evenly
    points = np.stack([drawn.bins.middles * look.factor, drawn.integrand], 1).tolist()
    return make_series("line", points, name=one.name, css=css)


def above_floor(series: list[Series], y: Axis) -> list[Series]:
    """On a logarithmic axis, only what its foot lies under."""
    if y["scale"] != "log":
        return series
    return [one | {"points": [point for point in one["points"] if point[1] >= y["lo"]]} for one in series]


def density_x(found: Histogram, look: Look) -> Axis:
    edges = found.bins.edges
    ends = [float(edges[1]) / 2 * look.factor, float(edges[-1]) * look.factor]
    return log_axis(ends, f"loss, {look.unit}", n=5)


def density_y(top: float, look: Look) -> Axis:
    label = f"p(L), per {look.unit[:-1]}"
    if look.is_log:
        return log_axis([FLOOR * top, top], label, n=6)
    return linear_axis([0, top], label, from_zero=True, n=4)


def integrand_x(found: Histogram, look: Look) -> Axis:
    return linear_axis([0, float(found.bins.edges[-1]) * look.factor], f"loss, {look.unit}", n=6, exact=True)


def top_of(series: Iterable[Series]) -> float:
    """The highest point of all lines."""
    return max((point[1] for one in series for point in one["points"]), default=1.0)


def width_of(found: Histogram, look: Look) -> str:
    """Of the first bin."""
    return look.small(float(found.bins.widths[0]))


def end_of(found: Histogram, look: Look) -> str:
    """Of the last bin, as it truly is."""
    return f"{float(found.bins.edges[-1]) * look.factor:.5g} {look.unit}"


def older_bins(one: Distribution, papers: str) -> str:
    """What to say of a bundle whose bins are not the paper's for this figure."""
    if one.is_fine:
        return ""
    return f" This bundle is of an older kind: these are not the {papers} of the paper’s figure."


def _size_label(one: Distribution, place: int, shown: Sequence[Distribution]) -> str:
    """The ends of the range are named."""
    if place == 0:
        return f"{compact(one.n_non_embedding)} parameters"
    return compact(one.n_non_embedding) if place == len(shown) - 1 else ""


def _density_title(shown: Sequence[Distribution]) -> str:
    n = sum(one.first_is_densest for one in shown)
    if len(shown) == 1:
        return "No loss is as common as one near zero" if n else "The commonest loss is not near zero"
    if n == len(shown):
        return f"For all {count(n)} networks no loss is as common as one near zero"
    if n == 0:
        return "For no network is a loss near zero the commonest"
    return f"For {count(n)} of {count(len(shown))} networks no loss is as common as one near zero"


def _density_reading(shown: Sequence[Distribution], look: Look) -> str:
    small, large = shown[0], shown[-1]
    edge = width_of(large.by_size, look)
    shares = (
        f"Share of the first bin, under {edge}: {percent(small.first_share)} for {compact(small.n_non_embedding)} "
        f"parameters, {percent(large.first_share)} for {compact(large.n_non_embedding)}. "
        if len(shown) > 1
        else f"Share of the first bin, under {edge}: {percent(large.first_share)}. "
    )
    outside = max(one.n_outside for one in shown)
    end = end_of(large.by_size, look)
    left = f"at most {count(outside)} of a network’s losses lie" if outside else "no loss lies"
    return f"{shares}Bins of {edge}, from there on merged to {MERGED}; {left} over {end}."


def _integrand_reading(shown: Sequence[Distribution], look: Look) -> str:
    large = shown[-1]
    below = percent(large.integrand.mass_below(look.threshold_nats))
    return (
        f"{_peaks(shown, look)}, {peak_width(large.integrand, look)}. Losses under {look.threshold}, "
        f"{percent(large.fraction_below)} of the largest network’s, add {below} of its mean."
        f"{_beyond(shown, look)}{older_bins(large, '3,000 bins on 0 to 30 bits')}"
    )


def _peaks(shown: Sequence[Distribution], look: Look) -> str:
    """Where L·p(L) is highest: at the ends of a path that only falls or rises, otherwise at its own extremes."""
    places = [one.integrand.peak.at for one in shown]
    if len(shown) == 1:
        return f"Peaks at {look.loss(places[0], 1)}"
    if places in (sorted(places), sorted(places, reverse=True)):
        start, end = look.loss(places[0], 1), look.loss(places[-1], 1)
        return f"Peaks at {start} to {end} from the smallest to the largest network"
    low, high = (end(shown, key=lambda one: one.integrand.peak.at) for end in (min, max))
    said = [f"{look.loss(one.integrand.peak.at, 1)} ({compact(one.n_non_embedding)})" for one in (low, high)]
    last = f"; the largest network’s at {look.loss(places[-1], 1)}" if shown[-1] not in (low, high) else ""
    return f"Peaks lie from {said[0]} to {said[1]}, in no order of size{last}"


def _beyond(shown: Sequence[Distribution], look: Look) -> str:
    """Where bins end, if losses lie beyond; of older bundles p(L), with the same bins, says it."""
    most = max(one.n_predictions - one.integrand.n_inside for one in shown)
    end = end_of(shown[-1].integrand, look)
    return f" At most {count(most)} of a network’s losses lie over {end}." if most > 0 and shown[-1].is_fine else ""


def peak_width(found: Histogram, look: Look) -> str:
    """In what a peak was looked for, and how far counting alone can tell where it is."""
    peak, low = found.peak, found.peak.low * look.factor
    return (
        f"in windows of {look.loss(peak.window)} ({count(found.bins.n_window)} bins of {width_of(found, look)}); by "
        f"counting alone the last may lie from {fixed(low, 1)} to {look.loss(peak.high, 1)}"
    )


def density_table(shown: Mapping[str, Histogram], look: Look) -> Table:
    """Every bin as counted, none merged."""
    head, ends = _bin_columns(next(iter(shown.values())), look)
    columns = [found.density / look.factor for found in shown.values()]
    return {"head": [*head, *(f"p(L), {name}" for name in shown)], "rows": Rows(*ends, *columns)}


def integrand_table(shown: Sequence[Distribution], look: Look) -> Table:
    """Every bin as counted, none merged."""
    head, ends = _bin_columns(shown[0].integrand, look)
    columns = [one.integrand.integrand for one in shown]
    return {"head": [*head, *(f"L·p(L), {one.name}" for one in shown)], "rows": Rows(*ends, *columns)}


def _bin_columns(found: Histogram, look: Look) -> tuple[list[str], list[np.ndarray]]:
    edges = np.round(found.bins.edges * look.factor, 9)
    return [f"from, {look.unit}", f"to, {look.unit}"], [edges[:-1], edges[1:]]
