"""How the sizes of clusters fall with rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.urls import URLPattern, path

from clusters.charts import rank_choices
from clusters.charts import rank_frequency as figures
from clusters.charts.chart import Chart
from clusters.charts.numbers import count, fixed
from clusters.htmx import render_page
from clusters.models import Affinity, Run
from clusters.parameters import chosen, whole_number
from clusters.queries import qdg_bias
from clusters.queries import rank_frequency as reads
from clusters.queries import runs as queries
from clusters.values.facts import CAVEAT, RankCurves, ToySlopes, scaling_fit, spread_ks
from clusters.views import twins
from clusters.views.rank_window import Fitted, drag_data, fit_window, fitted, shown_window
from clusters.views.runs import get_run

HEAD = ("affinity", "k", "rank", "tokens")
BOTH = "both"
REFERENCES = ("theory", "paper")
PAPER_TOKENS = 10_000  # the paper's line counts tokens among so many
PAPER_REFERENCE = figures.Reference(-1.083, "the paper’s 4,800 ·", 4800.0)


@dataclass(frozen=True)
class Asked:
    """What the form says; `complaint` is a sentence about ranks that cannot be fitted."""

    affinity: str
    ks: list[int]
    with_envelope: bool
    references: list[str]
    first: str
    last: str

    @property
    def affinities(self) -> list[str]:
        return list(Affinity.values) if self.affinity == BOTH else [self.affinity]


@dataclass(frozen=True)
class Found:
    """What one request works out before it draws."""

    by_affinity: dict[str, RankCurves]
    shown: list[RankCurves]
    window: tuple[int, int]
    fits: list[Fitted]
    alpha: float | None  # from the run's mean losses; only a positive one has a meaning
    agreements: dict[int, float]
    toy: ToySlopes

    @property
    def theory(self) -> float | None:
        return -(1 + self.alpha) if self.alpha is not None else None

    @property
    def slope_error(self) -> float:
        interval = self.fits[0].interval
        return interval.standard_error if interval else 0.0

    @cached_property
    def choices(self) -> list[rank_choices.Choice]:
        return rank_choices.other_choices(self.by_affinity, *self.window) if self.fits else []


def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """All curves, their envelope, and its slope over the ranks asked for."""
    run = get_run(request, slug)
    by_affinity = queries.rank_curves(run)
    asked = _asked(request.GET, run, by_affinity)
    shown = [by_affinity[affinity] for affinity in asked.affinities if affinity in by_affinity]
    if len(shown) < len(asked.affinities):
        return render_page(request, "runs/not_ready.html", _missing(run, asked.affinities, by_affinity))
    window, complaint = fit_window(shown[0], asked.first, asked.last)
    toy = _toy(request)
    found = Found(by_affinity, shown, window, fitted(run, shown, *window), _alpha(run), reads.agreements(run), toy)
    if twin:
        figure = request.GET.get("figure", "")
        return twins.answer(
            twin, name=f"{run.slug}-rank-frequency", figure=figure, head=HEAD, rows=_rows(shown),
            payload=_payload(run, asked, found, complaint) if twin == "json" else None,
            charts=list(_figures(run, asked, found, figure).values()),
        )  # fmt: skip
    charts = _figures(run, asked, found, "rank-frequency", "other-choices")
    ctx = {
        "run": run,
        "here": "rank-frequency",
        "asked": asked,
        "affinities": [*by_affinity, *([BOTH] if len(by_affinity) > 1 else [])],
        "has_theory": found.theory is not None,
        "has_paper": run.n_tokens == PAPER_TOKENS,
        "chips": _chips(shown[0], asked.ks),
        "complaint": complaint and f"{complaint} Ranks {count(window[0])} to {count(window[1])} are shown instead.",
        "window": shown_window(asked.first, asked.last, window),
        "chart": charts["rank-frequency"],
        "choices": charts.get("other-choices"),
        "has_agreement": len(found.agreements) > 1,
        "fits": found.fits,
        "drag": drag_data(run, asked.affinity, shown, charts["rank-frequency"], window) if found.fits else "",
        "clusterings": [_clustering_row(shown, k, found.agreements) for k in _listed(shown, asked)],
        "n_clusterings": len(shown[0].clusterings),
        "notes": _notes(shown[0], found.fits, found.alpha),
        "longest": max(len(one.envelope) for one in shown),
        "newest_toy": qdg_bias.calibrating(request.user) if found.fits else None,
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "runs/rank_frequency.html", ctx)


def fit(request: HttpRequest, slug: str) -> HttpResponse:
    """The slopes over one window and the lines to draw, as JSON: what the page shows while its edges are dragged."""
    run = get_run(request, slug)
    affinity = chosen(request.GET, "affinity", [*Affinity.values, BOTH], queries.default_affinity(run))
    wanted = list(Affinity.values) if affinity == BOTH else [affinity]
    by_affinity = queries.rank_curves(run)
    shown = [by_affinity[one] for one in wanted if one in by_affinity]
    if len(shown) < len(wanted):
        raise BadRequest(f"affinity is {affinity!r}; “{run.name}” has {' and '.join(by_affinity) or 'no clusterings'}.")
    window, complaint = fit_window(shown[0], request.GET.get("first", "")[:20], request.GET.get("last", "")[:20])
    if complaint:
        raise BadRequest(complaint)
    fits = fitted(run, shown, *window)
    answer = {
        "run": run.slug,
        "first": window[0],
        "last": window[1],
        "fits": [one.as_json() for one in fits],
        "texts": {f"{one.affinity}-{name}": text for one in fits for name, text in one.texts().items()},
        "lines": figures.fit_series(shown, {one.affinity: one.fit for one in fits}),
    }
    return twins.json_response(answer)


def _asked(query: QueryDict, run: Run, by_affinity: dict[str, RankCurves]) -> Asked:
    affinity = chosen(query, "affinity", [*Affinity.values, BOTH], queries.default_affinity(run))
    there = by_affinity[affinity].ks if affinity in by_affinity else []
    known = {k for curves in by_affinity.values() for k in curves.ks}
    ks = [_known_k(text, known) for text in query.getlist("k")]
    is_sent = query.get("set") == "1"  # an unticked box sends nothing, and neither does a bare address
    references = query.getlist("reference") if is_sent or "reference" in query else [REFERENCES[0]]
    for name in references:
        if name not in REFERENCES:
            raise BadRequest(f"reference is {name[:40]!r}; choose of {', '.join(REFERENCES)}.")
    return Asked(
        affinity=affinity,
        ks=ks or ([] if is_sent else spread_ks(there)),
        with_envelope="envelope" in query or not is_sent,
        references=references,
        first=query.get("first", "")[:20],
        last=query.get("last", "")[:20],
    )


def _known_k(text: str, known: set[int]) -> int:
    k = whole_number(text)
    if k not in known:
        raise BadRequest(f"k is {text[:20]!r}; choose of {', '.join(map(str, sorted(known))) or 'none'}.")
    return k


def _large_chart(run: Run, asked: Asked, found: Found) -> Chart:
    shown, fits, theory = found.shown, found.fits, found.theory
    references = []
    if theory is not None and "theory" in asked.references:
        references.append(figures.Reference(theory, "theory"))
    if "paper" in asked.references and run.n_tokens == PAPER_TOKENS:
        references.append(PAPER_REFERENCE)
    by_affinity = {one.affinity: one.fit for one in fits}
    if len(shown) > 1:
        return figures.both_affinities_chart(shown, by_affinity, references)
    drawn = [one for one in shown[0].clusterings if one.k in asked.ks]
    only = by_affinity.get(shown[0].affinity)
    return figures.rank_frequency_chart(
        shown[0], drawn, only, references, with_envelope=asked.with_envelope, doubt=_doubt(found)
    )


def _doubt(found: Found) -> str:
    """What the toy model has against the slope as it stands."""
    if not found.fits:
        return ""
    slope = found.fits[0].fit.slope
    return rank_choices.doubt(found.toy, slope, found.toy.compatible(slope, found.slope_error))


def _toy(request: HttpRequest) -> ToySlopes:
    """What the slope is corrected by: the experiment that the address names, or the table that comes with the site."""
    slug = request.GET.get("toy", "")
    return qdg_bias.slopes_of(request.user, slug) if slug else reads.toy_slopes()


def _figures(run: Run, asked: Asked, found: Found, *slugs: str) -> dict[str, Chart]:
    """The figures named, or all where no name is known, as far as there are numbers for them."""
    makers: dict[str, Callable[[], Chart | None]] = {
        "rank-frequency": lambda: _large_chart(run, asked, found),
        "other-choices": lambda: rank_choices.choices_chart(found.choices, found.theory),
        "toy-slopes": lambda: _toy_chart(found),
        "agreement": lambda: rank_choices.agreement_chart(found.agreements),
    }
    wanted = [slug for slug in makers if slug in slugs] or list(makers)
    return {slug: chart for slug in wanted if (chart := makers[slug]())}


def _toy_chart(found: Found) -> Chart | None:
    if not found.fits:
        return None
    return rank_choices.toy_chart(found.toy, found.fits[0].fit.slope, found.slope_error)


def _alpha(run: Run) -> float | None:
    fit = scaling_fit(queries.final_checkpoints(run))
    return fit.alpha if fit and fit.alpha > 0 else None


def _chips(curves: RankCurves, shown: list[int]) -> list[dict[str, Any]]:
    there = [k for k in curves.ks if k in shown]
    return [
        {"k": k, "is_on": k in shown, "css": f"f{figures.shade_of(k, there)}" if k in shown else ""} for k in curves.ks
    ]


def _listed(shown: list[RankCurves], asked: Asked) -> list[int]:
    """The ks of the table: those drawn; of two envelopes, all."""
    return shown[0].ks if len(shown) > 1 else [k for k in shown[0].ks if k in asked.ks]


def _clustering_row(shown: list[RankCurves], k: int, agreements: dict[int, float]) -> dict[str, Any]:
    sizes = [(curves.affinity, one) for curves in shown if (one := curves.at(k))]
    return {"k": k, "sizes": sizes, "agreement": agreements.get(k)}


def _notes(curves: RankCurves, fits: list[Fitted], alpha: float | None) -> list[str]:
    """What a reader should keep in mind, each a sentence of this run's own numbers."""
    notes = []
    largest = curves.clusterings[-1]
    if largest.n_tied:
        notes.append(
            f"Ranks count from 1. At k = {count(largest.k)}, {count(largest.n_tied)} clusters share their size with "
            "another, so links name a cluster’s label and never its rank."
        )
    if fits and len(curves.clusterings) > 1:
        fit = fits[0].fit
        rest = curves.without_largest_k()
        without = rest.try_fit(fit.first_rank, min(fit.last_rank, len(rest.envelope)))
        slope = f" Without k = {count(largest.k)} the slope is {fixed(without.slope)}." if without else ""
        notes.append(f"The envelope takes, at each rank, the largest cluster over all k.{slope}")
    if alpha is not None:
        notes.append(
            f"The theory’s line falls as r to the power −(1 + α), with α = {fixed(alpha, 3)} from this run’s own mean "
            "losses over parameters: what it expects if quanta are learned in the order of their use."
        )
    return notes


def _missing(run: Run, affinities: list[str], there: dict[str, RankCurves]) -> dict[str, Any]:
    missing = " and ".join(affinity for affinity in affinities if affinity not in there)
    return {
        "run": run,
        "here": "rank-frequency",
        "title": "No sizes to rank",
        "sentence": f"“{run.name}” holds no clustering with {missing} affinity, so there is no curve to draw.",
    }


def _rows(shown: list[RankCurves]) -> Iterator[list[object]]:
    for curves in shown:
        for one in curves.clusterings:
            for rank, size in enumerate(one.sizes, 1):
                yield [curves.affinity, one.k, rank, size]
        for rank, size in enumerate(curves.envelope, 1):
            yield [curves.affinity, "envelope", rank, size]


def _payload(run: Run, asked: Asked, found: Found, complaint: str) -> dict[str, Any]:
    toy, fits = found.toy, found.fits
    return {
        "run": run.slug,
        "affinity": asked.affinity,
        "fit": fits[0].as_json() if fits else None,
        "fits": [one.as_json() for one in fits],
        "caveat": CAVEAT,
        "complaint": complaint or None,
        "reference_slope": found.theory,
        "other_choices": [vars(choice) for choice in found.choices],
        "toy": {
            "setting": toy.setting,
            "exponents": toy.exponents,
            "mean_slopes": toy.means,
            "compatible_exponents": toy.compatible(fits[0].fit.slope, found.slope_error) if fits else None,
        },
        "agreement": [{"k": k, "adjusted_rand_index": value} for k, value in found.agreements.items()],
        "curves": [
            {
                "affinity": curves.affinity,
                "envelope": curves.envelope,
                "clusterings": [
                    {"k": one.k, "sizes": one.sizes, "n_singletons": one.n_singletons} for one in curves.clusterings
                ],
            }
            for curves in found.shown
        ],
        "envelope": found.shown[0].envelope,
    }


rank_frequency_urls: list[URLPattern] = [
    *twins.page("runs/<slug:slug>/rank-frequency", show, "rank-frequency"),
    path("runs/<slug:slug>/rank-frequency/fit", fit, name="rank-frequency-fit"),
]
