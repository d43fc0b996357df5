"""How the sizes of clusters fall with rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponseBase, QueryDict

from clusters.charts import rank_frequency as figures
from clusters.charts.numbers import count, fixed
from clusters.facts import CAVEAT, RankCurves, scaling_fit, spread_ks
from clusters.htmx import render_page
from clusters.models import Affinity, Run
from clusters.parameters import chosen, whole_number
from clusters.queries import runs as queries
from clusters.views import twins
from clusters.views.runs import get_run
from compute.errors import FitError
from compute.numerics.ranks import EnvelopeFit

HEAD = ("affinity", "k", "rank", "tokens")


@dataclass(frozen=True)
class Asked:
    """What the form says; `complaint` is a sentence about ranks that cannot be fitted."""

    affinity: str
    ks: list[int]
    with_envelope: bool
    with_reference: bool
    first: str
    last: str


def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """All curves, their envelope, and its slope over the ranks asked for."""
    run = get_run(request, slug)
    by_affinity = queries.rank_curves(run)
    asked = _asked(request.GET, run, by_affinity)
    curves = by_affinity.get(asked.affinity)
    if curves is None:
        return render_page(request, "runs/not_ready.html", _missing(run, asked.affinity))
    fit, complaint = _fit(curves, asked)
    alpha = scaling_fit(queries.final_checkpoints(run))
    reference = -(1 + alpha.alpha) if alpha and alpha.alpha > 0 else None
    shown = [one for one in curves.clusterings if one.k in asked.ks]
    choices = figures.other_choices(by_affinity, fit.first_rank, fit.last_rank) if fit else []
    large = figures.rank_frequency_chart(
        curves, shown, fit, reference if asked.with_reference else None, with_envelope=asked.with_envelope
    )
    charts = [chart for chart in (large, figures.choices_chart(choices, reference)) if chart]
    if twin:
        return twins.answer(
            twin, name=f"{run.slug}-rank-frequency", payload=_payload(run, curves, fit, reference, choices, complaint),
            head=HEAD, rows=_rows(curves), charts=charts, figure=request.GET.get("figure"),
        )  # fmt: skip
    ctx = {
        "run": run,
        "here": "rank-frequency",
        "asked": asked,
        "affinities": list(by_affinity),
        "chips": _chips(curves, asked.ks),
        "complaint": complaint,
        "window": _shown_window(curves, asked, fit),
        "chart": large,
        "choices": charts[1] if len(charts) > 1 else None,
        "readout": _readout(fit),
        "clusterings": curves.clusterings,
        "shown": shown,
        "curves": curves,
        "notes": _notes(curves, fit, alpha.alpha if alpha else None),
        "longest": len(curves.envelope),
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "runs/rank_frequency.html", ctx)


def _asked(query: QueryDict, run: Run, by_affinity: dict[str, RankCurves]) -> Asked:
    affinity = chosen(query, "affinity", Affinity.values, queries.default_affinity(run))
    there = by_affinity[affinity].ks if affinity in by_affinity else []
    ks = [k for k in map(whole_number, query.getlist("k")) if k in there]
    is_sent = query.get("set") == "1"  # an unticked box sends nothing, and neither does a bare address
    return Asked(
        affinity=affinity,
        ks=ks or ([] if is_sent else spread_ks(there)),
        with_envelope="envelope" in query or not is_sent,
        with_reference="reference" in query or not is_sent,
        first=query.get("first", "")[:20],
        last=query.get("last", "")[:20],
    )


def _fit(curves: RankCurves, asked: Asked) -> tuple[EnvelopeFit | None, str]:
    """The fit over the ranks asked for; where they don't suit, the usual window's and a sentence."""
    usual = curves.try_fit(*curves.window)
    if not (asked.first or asked.last):
        return usual, ""
    first = whole_number(asked.first) if asked.first else curves.window[0]
    last = whole_number(asked.last) if asked.last else curves.window[1]
    instead = f" Ranks {count(curves.window[0])} to {count(curves.window[1])} are shown instead."
    if first is None or last is None:
        wrong = asked.first if first is None else asked.last
        return usual, f"“{wrong}” is no rank: give whole numbers from 1 to {count(len(curves.envelope))}.{instead}"
    if first > last:
        return usual, f"The first rank, {count(first)}, lies after the last, {count(last)}.{instead}"
    try:
        return curves.fit(first, last), ""
    except FitError as error:
        sentence = str(error)
        return usual, f"{sentence[:1].upper()}{sentence[1:]}.{instead}"


def _shown_window(curves: RankCurves, asked: Asked, fit: EnvelopeFit | None) -> dict[str, object]:
    """What stands in the two fields: the text that was typed, or the ranks that were fitted."""
    usual = (fit.first_rank, fit.last_rank) if fit else curves.window
    return {"first": asked.first or usual[0], "last": asked.last or usual[1]}


def _chips(curves: RankCurves, shown: list[int]) -> list[dict[str, Any]]:
    there = [k for k in curves.ks if k in shown]
    return [
        {"k": k, "is_on": k in shown, "css": f"f{figures.shade_of(k, there)}" if k in shown else ""} for k in curves.ks
    ]


def _readout(fit: EnvelopeFit | None) -> dict[str, str] | None:
    if fit is None:
        return None
    return {
        "slope": fixed(fit.slope), "caveat": f"±{CAVEAT}", "r_squared": fixed(fit.r_squared, 3),
        "window": f"over ranks {count(fit.first_rank)}–{count(fit.last_rank)}", "constant": count(fit.intercept),
        "exponent": fixed(fit.slope, 3), "interval": f"±{fixed((fit.high - fit.low) / 2, 3)}",
    }  # fmt: skip


def _notes(curves: RankCurves, fit: EnvelopeFit | None, alpha: float | None) -> list[str]:
    """What a reader should keep in mind, each a sentence of this run's own numbers."""
    notes = []
    largest = curves.clusterings[-1]
    if largest.n_tied:
        notes.append(
            f"Ranks count from 1. At k = {count(largest.k)}, {count(largest.n_tied)} clusters share their size with "
            "another, so links name a cluster’s label and never its rank."
        )
    if fit and len(curves.clusterings) > 1:
        without = curves.without_largest_k().try_fit(fit.first_rank, fit.last_rank)
        slope = f" Without k = {count(largest.k)} the slope is {fixed(without.slope)}." if without else ""
        notes.append(f"The envelope takes, at each rank, the largest cluster over all k.{slope}")
    if alpha is not None:
        notes.append(
            f"The reference line falls as r to the power −(1 + α), with α = {fixed(alpha, 3)} from this run’s own mean "
            "losses over parameters: what the theory expects if quanta are learned in the order of their use."
        )
    return notes


def _missing(run: Run, affinity: str) -> dict[str, Any]:
    return {
        "run": run,
        "here": "rank-frequency",
        "title": "No sizes to rank",
        "sentence": f"“{run.name}” holds no clustering with {affinity} affinity, so there is no curve to draw.",
    }


def _rows(curves: RankCurves) -> Iterator[list[object]]:
    for one in curves.clusterings:
        for rank, size in enumerate(one.sizes, 1):
            yield [curves.affinity, one.k, rank, size]
    for rank, size in enumerate(curves.envelope, 1):
        yield [curves.affinity, "envelope", rank, size]


def _payload(
    run: Run, curves: RankCurves, fit: EnvelopeFit | None, reference: float | None, choices: list[figures.Choice],
    complaint: str,
) -> dict[str, Any]:  # fmt: skip
    return {
        "run": run.slug,
        "affinity": curves.affinity,
        "fit": vars(fit) | {"caveat": CAVEAT} if fit else None,
        "complaint": complaint or None,
        "reference_slope": reference,
        "other_choices": [vars(choice) for choice in choices],
        "clusterings": [
            {"k": one.k, "sizes": one.sizes, "n_singletons": one.n_singletons} for one in curves.clusterings
        ],
        "envelope": curves.envelope,
    }
