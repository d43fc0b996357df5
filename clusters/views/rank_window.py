"""The window of ranks over which an envelope is fitted: what was typed or dragged, the fit, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.urls import reverse

from clusters.charts.chart import SIZES, Chart
from clusters.charts.draw import plot_area
from clusters.charts.numbers import compact, count, fixed
from clusters.models import Run
from clusters.parameters import whole_number
from clusters.queries.rank_frequency import resampled
from clusters.values.facts import CAVEAT, RankCurves
from compute.errors import FitError
from compute.numerics.ranks import MIN_RANKS, EnvelopeFit
from compute.numerics.resampling import SlopeInterval, slope_interval

LEAST_SHIFT = 0.02  # slopes that differ by less read the same
LONGEST_COUNT = 1e9  # tokens written digit by digit


@dataclass(frozen=True)
class Fitted:
    """One affinity's envelope over the window; no interval where the labels cannot be read."""

    affinity: str
    fit: EnvelopeFit
    interval: SlopeInterval | None

    def as_json(self) -> dict[str, Any]:
        """Every number, the interval being that of resampled tokens."""
        own = {key: value for key, value in asdict(self.fit).items() if key not in ("standard_error", "low", "high")}
        return {
            "affinity": self.affinity, **own, "intercept": self.fit.intercept, "caveat": CAVEAT,
            "interval": asdict(self.interval) if self.interval else None,
        }  # fmt: skip

    def texts(self) -> dict[str, str]:
        """What the page says of it."""
        fit, one = self.fit, self.interval
        return {
            "slope": fixed(fit.slope),
            "window": f"over ranks {count(fit.first_rank)}–{count(fit.last_rank)}",
            "interval": f"{fixed(one.low)} to {fixed(one.high)}" if one else "–",
            "draws": f"95%, {count(one.n_resamples)} draws of the tokens" if one else "the labels cannot be read",
            "r_squared": fixed(fit.r_squared, 3),
            "constant": _tokens(fit.intercept),
            "exponent": fixed(fit.slope, 3),
            "shift": self._shift(),
        }

    def _shift(self) -> str:
        """A sentence about a window whose slope depends on clusters of few tokens; empty where it does not."""
        one = self.interval
        if one is None or abs(one.shift) <= max(one.standard_error, LEAST_SHIFT):
            return ""
        how = "steeper" if one.shift < 0 else "flatter"
        return (
            f"Tokens drawn anew fall {how}, {fixed(one.mean)} on average, because small clusters vanish from a draw: "
            "this window leans on clusters of a few tokens."
        )


def fitted(run: Run, shown: Sequence[RankCurves], first: int, last: int) -> list[Fitted]:
    """The fit of every affinity shown, as far as the window suits it."""
    found = []
    for curves in shown:
        fit = curves.try_fit(first, last)
        if fit:
            found.append(Fitted(curves.affinity, fit, _interval(run, curves.affinity, fit)))
    return found


def _interval(run: Run, affinity: str, fit: EnvelopeFit) -> SlopeInterval | None:
    envelopes = resampled(run, affinity)
    if envelopes is None:
        return None
    try:
        return slope_interval(fit.slope, envelopes, fit.first_rank, fit.last_rank)
    except FitError:  # no draw keeps three clusters so far down
        return None


def fit_window(curves: RankCurves, first_text: str, last_text: str) -> tuple[tuple[int, int], str]:
    """The ranks asked for; where they don't suit, the usual ones and a sentence that says why."""
    usual = curves.window
    if not (first_text or last_text):
        return usual, ""
    first = whole_number(first_text) if first_text else usual[0]
    last = whole_number(last_text) if last_text else usual[1]
    if first is None or last is None:
        wrong = first_text if first is None else last_text
        return usual, f"“{wrong}” is no rank: give whole numbers from 1 to {count(len(curves.envelope))}."
    if first > last:
        return usual, f"The first rank, {count(first)}, lies after the last, {count(last)}."
    try:
        curves.fit(first, last)
    except FitError as error:
        sentence = str(error)
        return usual, f"{sentence[:1].upper()}{sentence[1:]}."
    return (first, last), ""


def shown_window(first_text: str, last_text: str, window: tuple[int, int]) -> dict[str, object]:
    """What stands in the two fields: the text that was typed, or the ranks that were fitted."""
    return {"first": first_text or window[0], "last": last_text or window[1]}


def drag_data(
    run: Run, affinity: str, shown: Sequence[RankCurves], chart: Chart, window: tuple[int, int]
) -> str:  # fmt: skip
    """What static/js/rank_frequency.js needs to let the window's edges be dragged, as JSON."""
    wide, narrow = SIZES[chart["size"]]
    areas = {"wideonly": wide, "narrow": narrow or wide}
    return json.dumps(
        {
            "url": reverse("clusters:rank-frequency-fit", args=[run.slug]),
            "affinity": affinity,
            "window": window,
            "ranks": [1, min(len(one.envelope) for one in shown)],
            "least": MIN_RANKS,
            "x": [chart["x"]["lo"], chart["x"]["hi"]],
            "y": [chart["y"]["lo"], chart["y"]["hi"]],
            "areas": {name: asdict(plot_area(chart, size)) for name, size in areas.items()},
        }
    )


def _tokens(n: float | None) -> str:
    """Digit by digit where that can be read."""
    return compact(n) if n is None or n > LONGEST_COUNT else count(n)
