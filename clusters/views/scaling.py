"""Mean loss over parameters and steps, and the laws fitted to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.urls import URLPattern

from clusters.charts import scaling as figures
from clusters.charts.chart import Chart
from clusters.charts.dimensions import dimensions_chart
from clusters.charts.numbers import compact, count
from clusters.forms.curve_paste import lab_href
from clusters.htmx import render_page
from clusters.models import Clustering, Run
from clusters.parameters import changed, chosen, ungrouped, unit_of, whole_number
from clusters.queries import losses
from clusters.queries import scaling as queries
from clusters.queries.clusters import visible_run
from clusters.queries.dimensions import dimensions, has_points
from clusters.values.distributions import Distribution
from clusters.values.families import families, within_family
from clusters.values.laws import PAPER_STEPS, ClusterLaws, Fitted, NetworkLaw, Point, QuantileLaw, Window, default_steps
from clusters.values.readings import Unit
from clusters.views import twins
from clusters.views.law_tables import cluster_rows, law_rows, laws_payload, network_rows, summary
from clusters.views.runs import clustering_choice
from compute.numerics.theories import Over

ALL = "all"
SORTS = {"rank": "rank", "steep": "steepest first", "flat": "least steep first"}
N_CLUSTERS = 24
PANELS = {"N": "size-laws", "S": "step-laws"}  # by the letter of what the laws are over
SHOWN = {"N": ("sizes", "size-residuals", PANELS["N"]), "S": ("steps", "step-residuals", PANELS["S"])}
LATER = ("quantiles", "clusters", "dimensions")  # below the first screens: fetched when they are seen
Maker = Callable[[], Chart | None]
HEAD = ("over", "network", "x", "mean loss, nats")


@dataclass(frozen=True)
class Range:
    """A window as the form shows it."""

    window: Window
    usual: Window
    complaint: str = ""

    @property
    def is_usual(self) -> bool:
        return self.window == self.usual


@dataclass(frozen=True)
class Read:
    """All that the page speaks of."""

    run: Run
    unit: Unit
    family: str
    names: list[str]  # of families
    sizes: list[Distribution]  # of the family, at the end of training
    by_size: Fitted | None
    size_range: Range | None
    networks: dict[str, list[Distribution]]
    lm: str
    by_step: Fitted | None
    step_range: Range | None
    network_laws: list[NetworkLaw]
    quantiles: list[QuantileLaw]
    clustering: Clustering | None
    clusters: ClusterLaws | None


def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """The laws of mean loss over parameters and over steps, and those of quantiles and clusters."""
    run = visible_run(request.user, slug)
    sort = chosen(request.GET, "sort", list(SORTS), "rank")
    figure = request.GET.get("figure")
    read = _read(request.GET, run, whole=_whole_axes(request.GET, twin))
    makers = _makers(read)
    if twin:
        drawn = twins.drawn(makers, figure, *PANELS.values())
        return twins.answer(
            twin, name=f"{run.slug}-scaling", head=HEAD, rows=_rows(read),
            payload=_payload(read, drawn) if twin == "json" else None,
            charts=drawn, figure=figure, panels=_panels(request, read, makers),
        )  # fmt: skip
    ctx = {
        "run": run,
        "here": "scaling",
        "asked": read,
        "charts": {slug.replace("-", "_"): make() for slug, make in makers.items() if slug not in LATER},
        "later": [slug for slug in LATER if slug in makers],
        "families": [(name, "all networks" if name == ALL else name) for name in read.names],
        "size_laws": _laws(request, read.by_size, read.unit, "N"),
        "step_laws": _laws(request, read.by_step, read.unit, "S"),
        "size_presets": _size_presets(request, read),
        "step_presets": _step_presets(request, read),
        "choices": [
            {"lm": lm, "is_on": lm == read.lm, "href": changed(request.path, request.GET, lm=lm, first=None, last=None)}
            for lm in read.networks
        ],
        "network_rows": network_rows(read.network_laws),
        "cluster_rows": cluster_rows(run, read.clustering, read.clusters, sort, N_CLUSTERS),
        "sort": sort,
        "sorts": SORTS,
        "ladder": _ladder(run, read.clustering),
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "runs/scaling.html", ctx)


def _whole_axes(query: QueryDict, twin: str | None) -> frozenset[str]:
    """Over what all laws are fitted now, which takes its time; the page itself shows the quick ones first."""
    figure = query.get("figure", "")
    if query.get("breaks") == "true" or twin == "json":
        return frozenset(PANELS)
    return frozenset(axis for axis, slugs in SHOWN.items() if twin and figure in slugs)


def _read(query: QueryDict, run: Run, *, whole: frozenset[str]) -> Read:
    found = losses.distributions(run)
    by_family = families(losses.finals(found))
    names = [*by_family, ALL] if len(by_family) > 1 else list(by_family)
    usual = next((name for name, there in by_family.items() if within_family(there) == there and len(there) > 1), ALL)
    family = chosen(query, "family", names, usual if usual in names else names[0]) if names else ""
    sizes = losses.finals(found) if family == ALL else by_family.get(family, [])
    by_size, size_range = _fit(query, run, queries.size_points(sizes), ("smallest", "largest"), is_whole="N" in whole)
    networks = {lm: steps for lm, steps in losses.by_network(found).items() if len(queries.step_points(steps)) > 1}
    own = run.checkpoint.lm if run.checkpoint.lm in networks else next(reversed(networks), "")
    lm = chosen(query, "lm", list(networks), own) if networks else ""
    points = queries.step_points(networks[lm]) if lm else ()
    by_step, step_range = _fit(query, run, points, ("first", "last"), is_steps=True, is_whole="S" in whole)
    typed = step_range.window if step_range and not step_range.is_usual else None
    clustering = _clustering(query, run)
    window = size_range.window if size_range else None
    return Read(
        run=run, unit=unit_of(query), family=family, names=names, sizes=sizes, by_size=by_size, size_range=size_range,
        networks=networks, lm=lm, by_step=by_step, step_range=step_range,
        network_laws=queries.network_laws(networks, lambda steps: typed or default_steps(steps)),
        quantiles=queries.quantile_laws(sizes, window) if window else [],
        clustering=clustering,
        clusters=queries.cluster_laws(run, clustering, sizes, window) if clustering and window else None,
    )  # fmt: skip


def _fit(
    query: QueryDict,
    run: Run,
    points: tuple[Point, ...],
    names: tuple[str, str],
    *,
    is_whole: bool,
    is_steps: bool = False,
) -> tuple[Fitted | None, Range | None]:
    """The laws over the window asked for; over the usual one, with a sentence, where it does not suit."""
    if not points:
        return None, None
    usual = default_steps([point.x for point in points]) if is_steps else queries.whole(points)
    asked, complaint = _window(query, names, usual)
    found = queries.fitted(run, points, asked, is_kept=_is_named(asked, usual, points), is_whole=is_whole)
    if found is None and asked != usual and not complaint:
        inside = sum(asked.holds(point.x) for point in points)
        complaint = (
            f"From {count(asked.first)} to {count(asked.last)} lie {count(inside)} points; a law needs "
            f"{queries.LEAST_POINTS}. {_instead(usual)}"
        )
    if complaint:
        asked, found = usual, queries.fitted(run, points, usual, is_kept=True, is_whole=is_whole)
    return found, Range(asked, usual, complaint)


def _window(query: QueryDict, names: tuple[str, str], usual: Window) -> tuple[Window, str]:
    """What the two fields say, and a sentence where that is no window."""
    texts = [query.get(name, "").strip() for name in names]
    if not any(texts):
        return usual, ""
    values = [whole_number(ungrouped(text)) for text in texts]
    for text, value in zip(texts, values, strict=True):
        if text and value is None:
            return usual, f"“{text[:20]}” is no whole number: give such as 1500. {_instead(usual)}"
    first = usual.first if values[0] is None else float(values[0])
    last = usual.last if values[1] is None else float(values[1])
    if first > last:
        return usual, f"The window’s start, {count(first)}, lies after its end, {count(last)}. {_instead(usual)}"
    return Window(first, last), ""


def _instead(usual: Window) -> str:
    return f"{count(usual.first)} to {count(usual.last)} is shown instead."


def _is_named(window: Window, usual: Window, points: Sequence[Point]) -> bool:
    """Whether the page itself links to this window, so that its laws are worth keeping."""
    named = [usual, queries.whole(points), Window(*map(float, PAPER_STEPS))]
    if len(points) > 1:
        named.append(Window(points[0].x, points[-2].x))
    return window in named


def _clustering(query: QueryDict, run: Run) -> Clustering | None:
    affinity, k = clustering_choice(run, query)
    return run.clusterings.get(affinity=affinity, k=k) if k else None


def _ladder(run: Run, clustering: Clustering | None) -> dict[str, list[Any]]:
    """Every affinity and k to choose from."""
    entries = run.manifest.get("clusterings", ())
    affinities = list(dict.fromkeys(entry["affinity"] for entry in entries))
    own = clustering.affinity if clustering else ""
    return {"affinities": affinities, "ks": sorted(entry["k"] for entry in entries if entry["affinity"] == own)}


def _makers(read: Read) -> dict[str, Maker]:
    """What makes each figure, by slug and numbered as it is read."""
    makers: dict[str, Callable[..., Chart | None]] = {}
    by_size, by_step, unit, clusters = read.by_size, read.by_step, read.unit, read.clusters
    if by_size:
        who = f"{len(read.sizes)} networks"
        makers["sizes"] = partial(figures.laws_chart, by_size, over="parameters", slug="sizes", unit=unit, who=who)
        makers["size-residuals"] = partial(figures.residual_chart, by_size, over="parameters", slug="size-residuals")
    if read.network_laws:
        makers["networks"] = partial(figures.networks_chart, read.network_laws, unit=unit)
    if by_step:
        makers["steps"] = partial(figures.laws_chart, by_step, over="steps", slug="steps", unit=unit, who=read.lm)
        makers["step-residuals"] = partial(figures.residual_chart, by_step, over="steps", slug="step-residuals")
    if read.quantiles:
        makers["quantiles"] = partial(figures.quantiles_chart, read.quantiles, unit=unit)
    if clusters and len(clusters.known):
        whole = queries.power_law(by_size.inside) if by_size else None
        makers["clusters"] = partial(figures.clusters_chart, clusters, whole, lm=read.run.checkpoint.lm)
    if has_points(read.run):
        makers["dimensions"] = lambda number: dimensions_chart(dimensions(read.run), number=number)
    return {slug: partial(make, number=i) for i, (slug, make) in enumerate(makers.items(), 1)}


def _laws(request: HttpRequest, found: Fitted | None, unit: Unit, letter: str) -> dict[str, Any] | None:
    if found is None:
        return None
    over: Over = "parameters" if letter == "N" else "steps"
    points = [(point.x, point.mean_nats) for point in found.inside]
    laws = {"summary": summary(found, unit, letter), "rows": law_rows(found, unit), "next": compact(found.next_x),
            "lab": lab_href(points, over=over, name=f"mean loss over {over}")}  # fmt: skip
    if found.is_whole:
        return laws
    twin = f"{request.path.rstrip('/')}.html"
    return laws | {
        "later": changed(twin, request.GET, figure=PANELS[letter], embed=None),
        "now": changed(request.path, request.GET, breaks="true"),
    }


def _panels(request: HttpRequest, read: Read, makers: dict[str, Maker]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Each axis' figures and table with all laws, for pages that showed the quick ones first."""
    found = {"N": read.by_size, "S": read.by_step}
    return {
        PANELS[letter]: ("runs/_laws.html", {
            "run": read.run, "unit": read.unit, "laws": _laws(request, one, read.unit, letter),
            "large": makers[SHOWN[letter][0]](), "residuals": makers[SHOWN[letter][1]](),
        })
        for letter, one in found.items() if one and request.GET.get("figure") == PANELS[letter]
    }  # fmt: skip


def _size_presets(request: HttpRequest, read: Read) -> list[dict[str, Any]]:
    if not read.by_size or not read.size_range:
        return []
    points = read.by_size.points
    named: list[tuple[str, Window | None]] = [("all sizes", None)]
    if len(points) > queries.LEAST_POINTS:
        named.append(("without the largest", Window(points[0].x, points[-2].x)))
    return _presets(request, named, read.size_range, ("smallest", "largest"))


def _step_presets(request: HttpRequest, read: Read) -> list[dict[str, Any]]:
    if not read.by_step or not read.step_range:
        return []
    points = read.by_step.points
    named: list[tuple[str, Window | None]] = [("largest two thirds", None), ("all steps", queries.whole(points))]
    if queries.has_paper_steps([point.x for point in points]):
        named.append(("the paper’s", Window(*map(float, PAPER_STEPS))))
    return _presets(request, named, read.step_range, ("first", "last"))


def _presets(
    request: HttpRequest, named: list[tuple[str, Window | None]], asked: Range, names: tuple[str, str]
) -> list[dict[str, Any]]:
    return [
        {
            "text": text,
            "is_on": asked.window == (window or asked.usual),
            "href": changed(
                request.path, request.GET,
                **{names[0]: f"{window.first:.0f}" if window else None,
                   names[1]: f"{window.last:.0f}" if window else None},
            ),
        }
        for text, window in named
    ]  # fmt: skip


def _rows(read: Read) -> list[list[object]]:
    rows: list[list[object]] = [["parameters", one.lm, one.n_non_embedding, one.mean_nats] for one in read.sizes]
    rows += [["steps", lm, one.step, one.mean_nats] for lm, steps in read.networks.items() for one in steps]
    return rows


def _payload(read: Read, charts: list[Chart]) -> dict[str, Any]:
    return {
        "run": read.run.slug,
        "unit": read.unit,
        "family": read.family or None,
        "over_parameters": laws_payload(read.by_size, "N"),
        "over_steps": laws_payload(read.by_step, "S", lm=read.lm),
        "networks": [
            {"lm": law.lm, "first": law.window.first, "last": law.window.last, "fit": law.fit and vars(law.fit)}
            for law in read.network_laws
        ],
        "quantiles": [{"share": float(law.share), "fit": law.fit and vars(law.fit)} for law in read.quantiles],
        "clusters": {
            "affinity": read.clusters.affinity, "k": read.clusters.k, "labels": read.clusters.labels,
            "alpha": read.clusters.alpha, "low": read.clusters.low, "high": read.clusters.high,
        } if read.clusters else None,
        "figures": charts,
    }  # fmt: skip


scaling_urls: list[URLPattern] = [*twins.page("runs/<slug:slug>/scaling", show, "scaling")]
