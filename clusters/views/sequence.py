"""The Q Sequence: are frequent quanta learned first?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.urls import URLPattern, reverse

from clusters.charts import sequence as figures
from clusters.charts.chart import LN2, Chart
from clusters.charts.numbers import count, fixed
from clusters.htmx import render_page
from clusters.models import Clustering, Run
from clusters.parameters import changed, chosen, page_number, real_number, unit_of, whole_number
from clusters.queries import runs as run_queries
from clusters.queries import sequence as queries
from clusters.queries.clusters import ladder, visible_run
from clusters.values.facts import EMERGENCE_NATS, Emergence, Scale, scaling_fit
from clusters.values.readings import Unit
from clusters.views import twins
from clusters.views.runs import clustering_choice
from compute.errors import FitError
from compute.numerics.correlation import RankCorrelation
from compute.numerics.emergence import BELOW_FROM_START, CROSSED, NEVER, STATE_NAMES

PAGE_SIZE = 25
MOST_NATS = 20.0
FEW_TOKENS, LEXICAL = (5, 20), 0.5  # of the choices that the figure of filters compares
SORTS = {"rank": "rank, most frequent first", "learned": "scale, earliest first"}
ALPHAS = {"scaling": "mean losses", "envelope": "envelope"}


@dataclass(frozen=True)
class Asked:
    """What the form says."""

    unit: Unit
    threshold: float  # in that unit
    least_tokens: int
    most_share: float  # of a cluster's commonest answer
    alpha: str
    sort: str
    page: int

    @property
    def threshold_nats(self) -> float:
        return self.threshold * (LN2 if self.unit == "bits" else 1.0)

    @property
    def most_percent(self) -> int:
        return round(100 * self.most_share)


@dataclass(frozen=True)
class Found:
    """What one request works out: the clusters that remain, their order, and the theory's line."""

    all: Emergence
    shown: Emergence
    rho: RankCorrelation | None
    why_none: str
    theory: figures.Theory | None


def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """Scale of learning against rank, with the correlation of the two."""
    run = visible_run(request.user, slug)
    affinity, k = clustering_choice(run, request.GET)
    asked, scales = _asked(request.GET), queries.scales(run)
    if k is None or not scales:
        return render_page(request, "runs/not_ready.html", _missing(run, has_clusters=k is not None))
    scale = _scale(request.GET, run, scales)
    clustering = run.clusterings.get(affinity=affinity, k=k)
    try:
        found = _found(run, clustering, scale, asked)
    except FitError as error:
        return render_page(request, "runs/not_ready.html", _unreadable(run, error))
    if twin:
        figure = request.GET.get("figure", "")
        return twins.answer(
            twin, name=f"{run.slug}-sequence-k{k}", figure=figure,
            payload=_payload(run, clustering, asked, found) if twin == "json" else None,
            head=figures.TABLE_HEAD, rows=map(figures.table_row, found.shown.clusters),
            charts=_figures(run, clustering, found, figure),
        )  # fmt: skip
    charts = {chart["slug"]: chart for chart in _figures(run, clustering, found, "sequence", "shares")}
    rows, has_more = _page_of(found.shown, asked)
    ctx = {
        "run": run,
        "here": "sequence",
        "k": k,
        "affinity": affinity,
        "ladder": ladder(run),
        "scale": scale,
        "scales": [{"value": _scale_value(one), "text": _scale_text(one), "is_on": one == scale} for one in scales],
        "asked": asked,
        "units": _units(request, asked),
        "alphas": ALPHAS,
        "sorts": SORTS,
        "charts": charts,
        "found": found,
        "facts": _facts(found),
        "rows": rows,
        "has_more": has_more,
        "previous_page": asked.page - 1,
        "next_page": asked.page + 1,
        "cluster_stem": reverse("clusters:clusters", args=[run.slug, k]),
        "tail": _tail(affinity),
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "runs/sequence.html", ctx)


# ── what is asked ──


def _asked(query: QueryDict) -> Asked:
    unit = unit_of(query)
    return Asked(
        unit=unit,
        threshold=_threshold(query, unit),
        least_tokens=_number(query, "least", 1, 1, 10**6),
        most_share=_number(query, "share", 100, 1, 100) / 100,
        alpha=chosen(query, "alpha", list(ALPHAS), "scaling"),
        sort=chosen(query, "sort", list(SORTS), "rank"),
        page=page_number(query),
    )


def _threshold(query: QueryDict, unit: Unit) -> float:
    factor = 1 / LN2 if unit == "bits" else 1.0
    text = query.get("threshold", "")
    if not text:
        return round(EMERGENCE_NATS * factor, 3)
    value = real_number(text)
    if value is None or not 0 < value <= MOST_NATS * factor:
        raise BadRequest(f"threshold is {text[:20]!r}; give a loss above 0 and up to {MOST_NATS * factor:.4g} {unit}.")
    return value


def _number(query: QueryDict, name: str, usual: int, lowest: int, highest: int) -> int:
    text = query.get(name, "")
    value = whole_number(text) if text else usual
    if value is None or not lowest <= value <= highest:
        raise BadRequest(f"{name} is {text[:20]!r}; give a whole number from {lowest} to {highest:,}.")
    return value


def _scale(query: QueryDict, run: Run, scales: list[Scale]) -> Scale:
    """The scale asked for; by itself the steps of the clustered network, or what there is."""
    values = [_scale_value(one) for one in scales]
    own = f"steps:{run.checkpoint.lm}"
    text = chosen(query, "over", values, own if own in values else values[0])
    return scales[values.index(text)]


def _scale_value(scale: Scale) -> str:
    return f"steps:{scale.lm}" if scale.over == "steps" else "parameters"


def _scale_text(scale: Scale) -> str:
    return f"training steps of {scale.lm}" if scale.over == "steps" else "network size"


def _units(request: HttpRequest, asked: Asked) -> list[dict[str, Any]]:
    """Links to the same page in nats and bits, a threshold that was typed converted."""
    factors = {"nats": 1.0, "bits": 1 / LN2}
    typed = "threshold" in request.GET
    return [
        {
            "text": unit,
            "is_on": unit == asked.unit,
            "href": changed(
                request.path, request.GET, unit=None if unit == asked.unit == "nats" else unit,
                threshold=f"{asked.threshold_nats * factor:.4g}" if typed else None,
            ),
        }
        for unit, factor in factors.items()
    ]  # fmt: skip


# ── what is found ──


def _found(run: Run, clustering: Clustering, scale: Scale, asked: Asked) -> Found:
    everything = queries.emergence(run, clustering, scale, asked.threshold_nats)
    shown = everything.keep(asked.least_tokens, asked.most_share)
    rho, why_none = _correlation(shown)
    return Found(everything, shown, rho, why_none, _theory(run, clustering, shown, asked))


def _correlation(shown: Emergence, *, permutations: bool = True) -> tuple[RankCorrelation | None, str]:
    states = {one.state for one in shown.clusters}
    if len(states) == 1 and CROSSED not in states:
        return None, "all clusters stand at one edge, so none is known to come before another"
    try:
        return queries.correlation(shown, permutations=permutations), ""
    except FitError as error:
        return None, str(error)


def _theory(run: Run, clustering: Clustering, shown: Emergence, asked: Asked) -> figures.Theory | None:
    """The theory's line through the clusters that are learned within the scale; None without α or without them."""
    if shown.scale.over == "parameters":
        exponent, alpha, source = 1.0, None, ""
    else:
        alpha, source = _alpha(run, clustering.affinity, asked.alpha)
        if alpha is None:
            return None
        exponent = 1 + alpha
    constant = shown.theory_constant(exponent)
    return None if constant is None else figures.Theory(exponent, constant, alpha, source)


def _alpha(run: Run, affinity: str, source: str) -> tuple[float | None, str]:
    """The theory's α from this run's own numbers; only a positive one has a meaning."""
    if source == "scaling":
        fit = scaling_fit(run_queries.final_checkpoints(run))
        return (fit.alpha, "from the mean losses over parameters") if fit and fit.alpha > 0 else (None, "")
    curves = run_queries.rank_curves(run).get(affinity)
    envelope = curves.try_fit(*curves.window) if curves else None
    if envelope is None or envelope.slope >= -1:
        return None, ""
    return -envelope.slope - 1, "from the slope of the envelope"


def _figures(run: Run, clustering: Clustering, found: Found, *slugs: str) -> list[Chart]:
    """The figures named, or all where a name is unknown."""
    path = reverse("clusters:clusters", args=[run.slug, clustering.k])
    makers = {
        "sequence": lambda: figures.sequence_chart(
            found.shown, found.rho, found.why_none, found.theory, path, _tail(clustering.affinity)
        ),
        "shares": lambda: figures.shares_chart(found.shown),
        "filters": lambda: figures.filters_chart(
            _filters(found.all), number=3 if figures.has_shares(found.shown) else 2
        ),
    }
    wanted = [slug for slug in makers if slug in slugs] or list(makers)
    return [chart for chart in (makers[slug]() for slug in wanted) if chart]


def _tail(affinity: str) -> str:
    return "/?affinity=absolute" if affinity == "absolute" else "/"


def _filters(everything: Emergence) -> list[tuple[str, int, RankCorrelation | None]]:
    few, more = FEW_TOKENS
    choices = (
        ("all", 1, 1.0), (f"{few} tokens or more", few, 1.0), (f"{more} tokens or more", more, 1.0),
        ("commonest answer up to half", 1, LEXICAL), (f"both, {few} tokens", few, LEXICAL),
    )  # fmt: skip
    rows = []
    for name, least, share in choices:
        kept = everything.keep(least, share)
        rows.append((name, len(kept.clusters), _correlation(kept, permutations=False)[0]))
    return rows


def _facts(found: Found) -> list[dict[str, str]]:
    """The numbers above the figure: name, value, and how sure."""
    shown, rho = found.shown, found.rho
    why = f"{count(rho.n)} clusters are too few" if rho else "no order"
    rho = rho if rho and rho.n >= figures.FEW else None
    counts = {state: len(shown.by_state[state]) for state in (CROSSED, BELOW_FROM_START, NEVER)}
    first = "the first step" if shown.scale.over == "steps" else "the smallest network"
    last = "the last step" if shown.scale.over == "steps" else "the largest network"
    return [
        {
            "name": "Spearman’s ρ", "value": fixed(rho.rho) if rho else "–",
            "sub": f"95% {fixed(rho.low)} to {fixed(rho.high)}, p {figures.p_text(rho.p_value)}" if rho else why,
        },
        {"name": "learned in between", "value": count(counts[CROSSED]),
         "sub": f"of {count(len(shown.clusters))} clusters"},
        {"name": "below from the start", "value": count(counts[BELOW_FROM_START]), "sub": f"at {first} already"},
        {"name": "not below yet", "value": count(counts[NEVER]), "sub": f"at {last}"},
    ]  # fmt: skip


def _page_of(shown: Emergence, asked: Asked) -> tuple[list[dict[str, Any]], bool]:
    clusters = shown.clusters
    if asked.sort == "learned":
        clusters = sorted(clusters, key=lambda one: (one.place, one.rank))
    start = (asked.page - 1) * PAGE_SIZE
    factor = 1 / LN2 if asked.unit == "bits" else 1.0
    rows = [
        {"cluster": one, "when": _when(one.scale, one.state), "last": one.last_nats * factor}
        for one in clusters[start : start + PAGE_SIZE]
    ]
    return rows, len(clusters) > start + PAGE_SIZE


def _when(scale: float, state: int) -> str:
    return (
        count(float(f"{scale:.3g}"))
        if state == CROSSED
        else {BELOW_FROM_START: "from the start", NEVER: "not yet"}[state]
    )


def _missing(run: Run, *, has_clusters: bool) -> dict[str, Any]:
    sentence = (
        f"“{run.name}” came without losses of more than one size and without three checkpoints of one network, so "
        "nothing says when its clusters are learned. Compute the run here, or bring a bundle that holds the losses."
        if has_clusters
        else f"“{run.name}” holds no clustering, so there is no sequence to draw."
    )
    return {"run": run, "here": "sequence", "title": "No sequence to see", "sentence": sentence}


def _unreadable(run: Run, error: FitError) -> dict[str, Any]:
    sentence = f"The losses of “{run.name}” cannot be followed: {error}. Compute the run again, or mend its bundle."
    return {"run": run, "here": "sequence", "title": "No sequence to see", "sentence": sentence}


def _payload(run: Run, clustering: Clustering, asked: Asked, found: Found) -> dict[str, Any]:
    shown, theory = found.shown, found.theory
    names = ("rank", "label", "size", "answer", "dominant_share", "scale", "state", "last_nats")
    return {
        "run": run.slug,
        "affinity": clustering.affinity,
        "k": clustering.k,
        "over": shown.scale.over,
        "network": shown.scale.lm or None,
        "scales": shown.scale.values,
        "threshold_nats": shown.threshold_nats,
        "least_tokens": asked.least_tokens,
        "most_share": asked.most_share,
        "correlation": vars(found.rho) if found.rho else None,
        "why_no_correlation": found.why_none or None,
        "n_by_state": {name: len(shown.by_state[state]) for state, name in enumerate(STATE_NAMES)},
        "theory": vars(theory) if theory else None,
        "clusters": [dict(zip(names, figures.table_row(one), strict=True)) for one in shown.clusters],
    }


sequence_urls: list[URLPattern] = [*twins.page("runs/<slug:slug>/sequence", show, "sequence")]
