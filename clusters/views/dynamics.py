"""Training dynamics of a run: how fast losses fall with steps, and which clusters are learned when."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

import numpy as np
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.urls import URLPattern, reverse

from clusters.charts import dynamics as figures
from clusters.charts.chart import Chart
from clusters.charts.dynamics_heat import heat_chart, heat_title
from clusters.charts.numbers import count, fixed, percent
from clusters.charts.sequence import Theory
from clusters.forms.dynamics import Asked, asked_of
from clusters.htmx import render_page
from clusters.models import Clustering, Run
from clusters.parameters import changed, chosen
from clusters.queries import dynamics as queries
from clusters.queries import losses, scaling
from clusters.queries import sequence as learning
from clusters.queries.clusters import visible_run
from clusters.values.distributions import Distribution
from clusters.values.dynamics import PUBLISHED, Expected, Heat, above_law, expected_of, last_of, lowest_of
from clusters.values.facts import Emergence, LearnedCluster, Scale
from clusters.values.families import families, family_of
from clusters.values.laws import PAPER_STEPS, NetworkLaw, Window, default_steps
from clusters.views import twins
from clusters.views.runs import clustering_choice
from compute.errors import BundleError, FitError
from compute.numerics.correlation import RankCorrelation
from compute.numerics.emergence import BELOW_FROM_START, CROSSED, NEVER

N_ENDS = 7  # listed
LEAST_FITTED = 3  # checkpoints in a window
LATER = ("density", "peak", "heat")  # below the first screens: fetched when they are seen
HEAD = ("network", "non-embedding parameters", "alpha_S", "low", "high", "R squared", "first step", "last step",
        "points", "published alpha_S", "last mean loss, nats", "at step", "above the law, share",
        "lowest mean loss, nats", "at step")  # fmt: skip
Networks = dict[str, list[Distribution]]
Maker = Callable[[], Chart | None]


@dataclass(frozen=True)
class Learned:
    """Clusters of one clustering over the steps of one network."""

    clustering: Clustering
    heat: Heat
    shown: Emergence
    rho: RankCorrelation | None
    why_none: str
    theory: Theory | None


@dataclass(frozen=True)
class Read:
    """All that the page speaks of; networks are of one release, the smallest first."""

    run: Run
    asked: Asked
    found: list[Distribution]
    family: str
    names: list[str]  # of families with steps
    networks: Networks
    usual: Window
    laws: list[NetworkLaw]
    expected: Expected | None
    learned: Learned | None

    @property
    def window(self) -> Window:
        return self.asked.window or self.usual

    @property
    def is_paper(self) -> bool:
        return (self.window.first, self.window.last) == PAPER_STEPS


def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """Exponents over steps beside the theory's, losses near zero, and clusters by rank and step."""
    run = visible_run(request.user, slug)
    found = losses.distributions(run)
    networks = {lm: own for lm, own in losses.by_network(found).items() if len(scaling.step_points(own)) > 1}
    if not networks:
        return render_page(request, "runs/not_ready.html", _missing(run))
    read = _read(request.GET, run, found, networks)
    makers = _makers(read)
    if twin:
        figure = request.GET.get("figure")
        drawn = twins.drawn(makers, figure)
        return twins.answer(
            twin, name=f"{run.slug}-dynamics", head=HEAD, rows=map(_row, read.laws), charts=drawn, figure=figure,
            payload=_payload(read, drawn) if twin == "json" else None,
        )  # fmt: skip
    ctx = {
        "run": run,
        "here": "dynamics",
        "read": read,
        "asked": read.asked,
        "charts": {slug: make() for slug, make in makers.items() if slug not in LATER},
        "later": [slug for slug in LATER if slug in makers],
        "facts": _facts(read),
        "rows": [_law_row(law, read) for law in read.laws],
        "has_published": any(law.lm in PUBLISHED for law in read.laws),
        "presets": _presets(request, read),
        "window": _shown_window(read),
        **_cluster_context(run, read),
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "runs/dynamics.html", ctx)


# ── what is read ──


def _read(query: QueryDict, run: Run, found: list[Distribution], networks: Networks) -> Read:
    asked = asked_of(query)
    names = list(dict.fromkeys(family_of(lm) for lm in networks))
    family = chosen(query, "family", names, _usual_family(run, names))
    own = {lm: steps for lm, steps in networks.items() if family_of(lm) == family}
    steps = sorted({float(one.step) for every in own.values() for one in every if one.step})
    usual = Window(*map(float, PAPER_STEPS)) if scaling.has_paper_steps(steps) else default_steps(steps)
    window = asked.window or usual
    laws = [_fitted(law) for law in scaling.network_laws(own, lambda _: window)]
    sizes = families(losses.finals(found)).get(family, [])
    expected = expected_of(scaling.power_law(scaling.size_points(sizes)))
    learned = _learned(query, run, asked, own, expected)
    return Read(run, asked, found, family, names, own, usual, laws, expected, learned)


def _usual_family(run: Run, names: list[str]) -> str:
    """That of the clustered network, if it has steps."""
    own = family_of(run.checkpoint.lm)
    return own if own in names else names[0]


def _fitted(law: NetworkLaw) -> NetworkLaw:
    """Without a fit where fewer checkpoints lie in the window than give an interval."""
    n = sum(law.window.holds(point.x) for point in law.points)
    return law if n >= LEAST_FITTED else NetworkLaw(law.lm, law.n_non_embedding, law.points, law.window, None)


def _learned(query: QueryDict, run: Run, asked: Asked, networks: Networks, expected: Expected | None) -> Learned | None:
    affinity, k = clustering_choice(run, query)
    scales = [one for one in learning.scales(run) if one.over == "steps" and one.lm in networks]
    if k is None or not scales:
        return None
    clustering, scale = run.clusterings.get(affinity=affinity, k=k), _scale(query, run, scales)
    try:
        heat = queries.heat(run, clustering, scale)
        shown = learning.emergence(run, clustering, scale, asked.threshold_nats)
    except (BundleError, FitError):
        return None
    if heat is None:
        return None
    try:
        rho, why = learning.correlation(shown), ""
    except FitError as error:
        rho, why = None, str(error)
    return Learned(clustering, heat, shown, rho, why, _theory(shown, expected))


def _scale(query: QueryDict, run: Run, scales: list[Scale]) -> Scale:
    names = [one.lm for one in scales]
    lm = chosen(query, "lm", names, run.checkpoint.lm if run.checkpoint.lm in names else names[-1])
    return scales[names.index(lm)]


def _theory(shown: Emergence, expected: Expected | None) -> Theory | None:
    """T·k^(1 + α) with α of the mean losses over sizes; None without it or without clusters learned on the way."""
    if expected is None:
        return None
    exponent = 1 + expected.alpha_n.alpha
    constant = shown.theory_constant(exponent)
    if constant is None:
        return None
    return Theory(exponent, constant, expected.alpha_n.alpha, "from the mean losses over sizes")


def _makers(read: Read) -> dict[str, Maker]:
    """What makes each figure, by slug and numbered as it is read; None comes of one that has nothing to draw."""
    asked, unit, factor = read.asked, read.asked.unit, read.asked.factor
    makers: dict[str, Callable[..., Chart | None]] = {
        "laws": partial(figures.laws_chart, read.laws, unit=unit, factor=factor, window=read.window),
        "exponents": partial(figures.exponents_chart, read.laws, read.expected, with_published=read.is_paper),
        "local": lambda number: figures.local_chart(
            {law.lm: queries.local_exponents(law) for law in read.laws}, read.expected, number=number
        ),
    }
    if any(one.has_counts for own in read.networks.values() for one in own):
        makers["density"] = lambda number: figures.density_chart(
            read.networks, _near(read), unit=unit, factor=factor, number=number
        )
        makers["peak"] = lambda number: figures.peak_chart(
            read.networks, _near(read), unit=unit, factor=factor, number=number
        )
    if (one := read.learned) is not None:
        makers["heat"] = partial(heat_chart, one.heat, one.shown, one.rho, one.theory, unit=asked.unit, factor=factor)
    return {slug: partial(make, number=i) for i, (slug, make) in enumerate(makers.items(), 1)}


def _near(read: Read) -> Mapping[str, np.ndarray]:
    """What lies near zero, by network and step."""
    rows = queries.near_zero(read.run, read.found)
    places = {(one.lm, one.revision): i for i, one in enumerate(read.found)}
    return {lm: rows[[places[one.lm, one.revision] for one in own]] for lm, own in read.networks.items()}


# ── what is shown ──


def _facts(read: Read) -> list[dict[str, str]]:
    """The numbers above the figures: name, value, and how sure."""
    fits = [law.fit for law in read.laws if law.fit]
    alphas = [fit.alpha for fit in fits]
    expected, learned = read.expected, read.learned
    between = f"{fixed(min(alphas), 3)} to {fixed(max(alphas), 3)}" if len(alphas) > 1 else ""
    facts = [
        {"name": "exponents over steps", "value": between or (fixed(alphas[0], 3) if alphas else "–"),
         "sub": f"of {count(len(fits))} network{'s' if len(fits) != 1 else ''}"},
        {"name": "the theory’s, α/(1 + α)", "value": fixed(expected.alpha, 3) if expected else "–",
         "sub": _interval(expected.low, expected.high) if expected else "losses do not fall over sizes"},
        {"name": "exponent over sizes, α", "value": fixed(expected.alpha_n.alpha, 3) if expected else "–",
         "sub": f"over {count(expected.alpha_n.n_points)} sizes" if expected else "none is known"},
    ]  # fmt: skip
    if learned:
        rho = learned.rho
        facts.append(
            {"name": "Spearman’s ρ of size and step", "value": fixed(rho.rho) if rho else "–",
             "sub": f"95% {fixed(rho.low)} to {fixed(rho.high)}" if rho else learned.why_none[:60]}
        )  # fmt: skip
    return facts


def _interval(low: float, high: float) -> str:
    return f"95% {fixed(low, 3)} to {fixed(high, 3)}" if math.isfinite(low) and math.isfinite(high) else "no interval"


def _law_row(law: NetworkLaw, read: Read) -> dict[str, Any]:
    fit, last, lowest, factor = law.fit, last_of(law), lowest_of(law), read.asked.factor
    n = sum(law.window.holds(point.x) for point in law.points)
    above, published = above_law(law), PUBLISHED.get(law.lm)
    return {
        "lm": law.lm,
        "size": law.n_non_embedding,
        "n": n,
        "alpha": fixed(fit.alpha, 3) if fit else "–",
        "interval": _interval(fit.low, fit.high).removeprefix("95% ") if fit else f"{n} of {LEAST_FITTED} points",
        "r_squared": fixed(fit.r_squared, 3) if fit else "–",
        "published": fixed(published.alpha, 4) if published else "",
        "source": published.source if published else "",
        "last": fixed(last.mean_nats * factor, 3),
        "last_step": count(last.x),
        "above": "–" if above is None else f"{'+' if above > 0 else ''}{percent(above)}",
        "lowest": "the last" if lowest.x == last.x else f"{fixed(lowest.mean_nats * factor, 3)} at {count(lowest.x)}",
    }


def _row(law: NetworkLaw) -> list[object]:
    fit, last, lowest = law.fit, last_of(law), lowest_of(law)
    inside = [point.x for point in law.points if law.window.holds(point.x)]
    published = PUBLISHED.get(law.lm)
    return [
        law.lm, law.n_non_embedding, *((fit.alpha, fit.low, fit.high, fit.r_squared) if fit else (None,) * 4),
        min(inside, default=None), max(inside, default=None), len(inside), published.alpha if published else None,
        last.mean_nats, last.x, above_law(law), lowest.mean_nats, lowest.x,
    ]  # fmt: skip


def _presets(request: HttpRequest, read: Read) -> list[dict[str, Any]]:
    steps = sorted({point.x for law in read.laws for point in law.points})
    named = [("all steps", Window(steps[0], steps[-1])), ("largest two thirds", default_steps(steps))]
    if scaling.has_paper_steps(steps):
        named.insert(0, ("the paper’s", Window(*map(float, PAPER_STEPS))))
    else:
        named.reverse()
    return [
        {
            "text": text,
            "is_on": window == read.window,
            "href": changed(
                request.path, request.GET, first=None if window == read.usual else f"{window.first:.0f}",
                last=None if window == read.usual else f"{window.last:.0f}",
            ),
        }
        for text, window in named
    ]  # fmt: skip


def _shown_window(read: Read) -> dict[str, str]:
    """What the two fields hold, and what they stand for when empty."""
    typed = read.asked.window
    return {
        "first": f"{typed.first:.0f}" if typed else "",
        "last": f"{typed.last:.0f}" if typed and math.isfinite(typed.last) else "",
        "usual_first": f"{read.usual.first:.0f}",
        "usual_last": f"{read.usual.last:.0f}",
    }


def _cluster_context(run: Run, read: Read) -> dict[str, Any]:
    learned = read.learned
    if learned is None:
        return {"k": None, "clusters_missing": _no_clusters(run)}
    entries = run.manifest.get("clusterings", ())
    own = learned.clustering
    query = {"k": own.k, "affinity": own.affinity, "over": f"steps:{learned.shown.scale.lm}"}
    query |= {"threshold": f"{read.asked.threshold:.4g}", "unit": read.asked.unit}
    return {
        "k": own.k,
        "heat_title": heat_title(learned.shown, learned.rho),
        "affinity": own.affinity,
        "ks": sorted(one["k"] for one in entries if one["affinity"] == own.affinity),
        "affinities": list(dict.fromkeys(one["affinity"] for one in entries)),
        "lms": [one.lm for one in learning.scales(run) if one.over == "steps" and one.lm in read.networks],
        "ends": _ends(learned),
        "cluster_stem": reverse("clusters:clusters", args=[run.slug, own.k]),
        "tail": "?affinity=absolute" if own.affinity == "absolute" else "",
        "sequence_href": f"{reverse('clusters:sequence', args=[run.slug])}?{urlencode(query)}",
    }


def _ends(learned: Learned) -> list[dict[str, Any]]:
    """The clusters learned first and last; of those never learned, the most frequent."""
    by_step = sorted(learned.shown.clusters, key=lambda one: (one.place, one.rank))
    never = [one for one in by_step if one.state == NEVER]
    last = [one for one in by_step if one.state != NEVER][: -N_ENDS - 1 : -1] if not never else never[:N_ENDS]
    return [
        {"title": "Learned first", "rows": [(one, _when(one)) for one in by_step[:N_ENDS] if one.state != NEVER]},
        {"title": "Not learned" if never else "Learned last", "rows": [(one, _when(one)) for one in last]},
    ]


def _when(one: LearnedCluster) -> str:
    if one.state == CROSSED:
        return count(float(f"{one.scale:.3g}"))
    return "from the start" if one.state == BELOW_FROM_START else "not yet"


def _no_clusters(run: Run) -> str:
    if not run.manifest.get("clusterings"):
        return "This run holds no clustering, so nothing says when its clusters are learned."
    return (
        f"Losses of clustered tokens are stored for no network at {learning.LEAST_STEPS} steps or more, so nothing "
        "says when clusters are learned."
    )


def _missing(run: Run) -> dict[str, Any]:
    sentence = (
        f"“{run.name}” holds mean losses of no network at two training steps or more. Name earlier checkpoints when "
        "you start a run, and this page shows how fast losses fall and when clusters are learned."
    )
    return {"run": run, "here": "dynamics", "title": "No dynamics to see", "sentence": sentence}


def _payload(read: Read, charts: list[Chart]) -> dict[str, Any]:
    learned, expected = read.learned, read.expected
    return {
        "run": read.run.slug,
        "unit": read.asked.unit,
        "family": read.family,
        "window": [read.window.first, read.window.last],
        "networks": [dict(zip(_KEYS, _row(law), strict=True)) for law in read.laws],
        "theory": {"alpha_n": vars(expected.alpha_n), "alpha_s": expected.alpha, "low": expected.low,
                   "high": expected.high} if expected else None,
        "clusters": {
            "affinity": learned.clustering.affinity, "k": learned.clustering.k, "network": learned.shown.scale.lm,
            "threshold_nats": learned.shown.threshold_nats, "correlation": learned.rho and vars(learned.rho),
            "why_no_correlation": learned.why_none or None, "theory": learned.theory and vars(learned.theory),
            "ranks": learned.heat.ranks, "labels": learned.heat.labels, "steps": learned.heat.steps,
            "means_nats": learned.heat.means,
        } if learned else None,
        "figures": charts,
    }  # fmt: skip


_KEYS = ("lm", "n_non_embedding", "alpha_s", "low", "high", "r_squared", "first_step", "last_step", "n_points",
         "published_alpha_s", "last_mean_loss_nats", "at_step", "above_the_law", "lowest_mean_loss_nats",
         "lowest_at_step")  # fmt: skip
dynamics_urls: list[URLPattern] = [*twins.page("runs/<slug:slug>/dynamics", show, "dynamics")]
