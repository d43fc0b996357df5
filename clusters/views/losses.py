"""How losses are distributed, by network and by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.urls import URLPattern, path, reverse
from django.utils.cache import patch_cache_control

from clusters.charts import losses as figures
from clusters.charts import losses_by_step as training
from clusters.charts import near_zero
from clusters.charts.chart import Chart
from clusters.charts.losses import Look
from clusters.charts.numbers import compact, count, fixed, percent
from clusters.htmx import render_page
from clusters.models import Run
from clusters.parameters import changed, chosen, unit_of, whole_number
from clusters.queries import losses as queries
from clusters.queries.clusters import visible_run
from clusters.queries.missing import Missing
from clusters.stored.recent import Recent
from clusters.values.distributions import Distribution
from clusters.views import twins

HEAD = ("network", "revision", "step", "non-embedding parameters", "final", "mean loss, nats", "median, nats",
        "share under threshold", "share in first bin", "out of range", "peak of L p(L), nats", "peak from, nats",
        "peak to, nats")  # fmt: skip
STEPS_NAMED = 12  # in a sentence about a step that was not measured
FRAMES_KEPT_S = 3600
LATER = ("near-zero-sizes", "near-zero-steps", "persistence")  # below the first screens: fetched when they are seen
Networks = dict[str, list[Distribution]]
Maker = Callable[[], Chart | None]


@dataclass(frozen=True)
class Asked:
    """The checkpoint under the slider and how losses are drawn."""

    look: Look
    lm: str = ""
    place: int = 0  # of the step among the network's


def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """p(L) and L·p(L) by size and by step, what lies near zero, and what stays learned."""
    run = visible_run(request.user, slug)
    found = queries.distributions(run)
    networks = queries.by_network(found)
    if networks:
        queries.remember_heights(run, found)
    asked = _asked(request.GET, run, networks)
    figure = request.GET.get("figure")
    makers = _makers(run, found, networks, asked)
    if twin:
        drawn = twins.drawn(makers, figure)
        return twins.answer(
            twin, name=f"{run.slug}-losses", head=HEAD, rows=map(_row, found), charts=drawn, figure=figure,
            payload=_payload(run, found, asked, drawn) if twin == "json" else None,
        )  # fmt: skip
    ctx = {
        "run": run,
        "here": "losses",
        "asked": asked.look,
        "charts": {slug.replace("-", "_"): make() for slug, make in makers.items() if slug not in LATER},
        "later": {slug.replace("-", "_") for slug in LATER if slug in makers},
        "counted": _counted(found, asked.look),
        "finals": [_final(one, asked.look) for one in queries.finals(found)],
        "training": _training(request, run, networks, asked) if networks else None,
        "scales": [
            {"text": text, "href": changed(request.path, request.GET, y=y), "is_on": asked.look.is_log == bool(y)}
            for text, y in (("even", None), ("logarithmic", "log"))
        ],
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "runs/losses.html", ctx)


def frames(request: HttpRequest, slug: str) -> HttpResponse:
    """What the slider changes, for every step of a network: marks as paths, numbers as texts."""
    run = visible_run(request.user, slug)
    networks = queries.by_network(queries.distributions(run))
    if not networks:
        raise Missing(f"“{run.name}” measured no network at two steps or more", "There is nothing to play.")
    asked = _asked(request.GET, run, networks)
    steps, place, query = networks[asked.lm], reverse("clusters:losses", args=[run.slug]), request.GET
    drawn = _frames.get((run.bundle_sha256, asked.lm, asked.look), lambda: _drawn(networks, asked))
    entries = [
        {"step": count(one.step), "href": changed(place, query, lm=asked.lm, step=one.step)} | own
        for one, own in zip(steps, drawn, strict=True)
    ]
    response = twins.json_response({"lm": asked.lm, "frames": entries})
    patch_cache_control(response, private=True, max_age=FRAMES_KEPT_S)
    return response


_frames: Recent[list[dict[str, Any]]] = Recent(8)  # some hundred kilobytes each


def _drawn(networks: Networks, asked: Asked) -> list[dict[str, Any]]:
    """Marks and numbers at every step of a network."""
    marks = training.frames(networks, asked.lm, asked.look)
    readouts = (_readout(one, asked.look) for one in networks[asked.lm])
    return [{"values": values, "marks": own} for values, own in zip(readouts, marks, strict=True)]


def _asked(query: QueryDict, run: Run, networks: Networks) -> Asked:
    threshold = float(run.manifest.get("selection", {}).get("threshold_nats", 0.1))
    look = Look(unit_of(query), chosen(query, "y", ("even", "log"), "even") == "log", threshold)
    if not networks:
        return Asked(look)
    usual = run.checkpoint.lm if run.checkpoint.lm in networks else list(networks)[-1]
    lm = chosen(query, "lm", list(networks), usual)
    return Asked(look, lm, _place(query.get("step", ""), lm, [one.step for one in networks[lm]]))


def _place(text: str, lm: str, steps: list[int | None]) -> int:
    """Where the step stands among those measured; the last where none is named."""
    if not text:
        return len(steps) - 1
    step = whole_number(text)
    if step is None or step not in steps:
        named = ", ".join(map(str, steps[:STEPS_NAMED]))
        more = f" and {len(steps) - STEPS_NAMED} more up to {steps[-1]}" if len(steps) > STEPS_NAMED else ""
        raise BadRequest(f"step is {text[:20]!r}; {lm} was measured at {named}{more}.")
    return steps.index(step)


def _makers(run: Run, found: list[Distribution], networks: Networks, asked: Asked) -> dict[str, Maker]:
    """What makes each figure, by slug and numbered as it is read; None comes of one that has nothing to draw."""
    look, finals = asked.look, queries.finals(found)
    has_sizes = len({one.n_non_embedding for one in finals}) > 1
    makers: dict[str, Callable[..., Chart | None]] = {}
    if has_sizes:
        makers["mean-sizes"] = partial(figures.mean_by_size, finals, look)
    if any(one.has_counts for one in finals):
        makers["density-sizes"] = partial(figures.density_by_size, finals, look)
        makers["integrand-sizes"] = partial(figures.integrand_by_size, finals, look)
    if networks:
        steps = networks[asked.lm]
        makers["mean-steps"] = partial(training.mean_by_step, networks, steps[asked.place], look)
    if networks and all(one.has_counts for one in networks[asked.lm]):
        makers["density-step"] = partial(training.density_by_step, steps, asked.place, look)
        makers["integrand-step"] = partial(training.integrand_by_step, steps, asked.place, look)
    if has_sizes:
        makers["near-zero-sizes"] = partial(near_zero.near_zero_by_size, finals, look)
    if networks:
        makers["near-zero-steps"] = partial(near_zero.near_zero_by_step, networks, look)
    if queries.can_persist(run):
        makers["persistence"] = lambda number: near_zero.persistence_chart(
            queries.learned(run), queries.LEARNED_NATS, number=number
        )
    return {slug: partial(make, number=i) for i, (slug, make) in enumerate(makers.items(), 1)}


def _training(request: HttpRequest, run: Run, networks: Networks, asked: Asked) -> dict[str, Any]:
    """The slider: networks to choose from, steps, and the numbers of the chosen checkpoint."""
    steps = networks[asked.lm]
    own = steps[asked.place].step
    query = request.GET.copy()
    query.pop("step", None)
    frames_at = reverse("clusters:losses-frames", args=[run.slug])
    return {
        "lm": asked.lm,
        "networks": [
            {
                "lm": lm,
                "size": compact(there[0].n_non_embedding),
                "is_on": lm == asked.lm,
                "href": changed(request.path, request.GET, lm=lm,
                                step=own if any(one.step == own for one in there) else None),
            }
            for lm, there in networks.items()
        ],
        "steps": [one.step for one in steps],
        "step": own,
        "place": asked.place,
        "last": len(steps) - 1,
        "readout": _readout(steps[asked.place], asked.look),
        "frames": changed(frames_at, query, lm=asked.lm),
    }  # fmt: skip


def _readout(one: Distribution, look: Look) -> dict[str, str]:
    """The numbers of one checkpoint as the page shows them."""
    values = {"step": count(one.step), "mean": look.loss(one.mean_nats), "below": percent(one.fraction_below)}
    if one.has_counts:
        peak = one.integrand.peak
        values |= {
            "first": percent(one.first_share),
            "peak": look.loss(peak.at),
            "between": f"{fixed(peak.low * look.factor, 1)} to {fixed(peak.high * look.factor, 1)}",
            "outside": count(one.n_outside),
        }
    return values


def _counted(found: list[Distribution], look: Look) -> dict[str, str] | None:
    """How far the first bin of p(L) and all of them reach; None where the bundle holds no histogram."""
    one = next((one for one in found if one.has_counts), None)
    if one is None:
        return None
    return {"first": figures.width_of(one.by_size, look), "end": figures.end_of(one.by_size, look)}


def _final(one: Distribution, look: Look) -> dict[str, Any]:
    """A row of the table of networks."""
    median = one.quantiles_nats.get("0.5")
    return {
        "one": one,
        "values": _readout(one, look),
        "median": look.loss(median) if median is not None else "–",
    }


def _row(one: Distribution) -> list[object]:
    has = one.has_counts
    return [
        one.lm, one.revision, one.step, one.n_non_embedding, one.is_final, one.mean_nats,
        one.quantiles_nats.get("0.5"), one.fraction_below, one.first_share if has else None,
        one.n_outside if has else None, *(astuple(one.integrand.peak)[:3] if has else (None, None, None)),
    ]  # fmt: skip


def _bins(found: list[Distribution]) -> dict[str, dict[str, float]] | None:
    """What each kind of figure counts losses in; None where the bundle holds no histogram."""
    binning = next((one.binning for one in found if one.has_counts), None)
    if binning is None:
        return None
    kinds = {"p(L) by size": binning.by_size, "p(L) by step": binning.by_step, "L p(L)": binning.integrand}
    return {
        kind: {"n": len(bins), "first_nats": float(bins.edges[1]), "last_nats": float(bins.edges[-1])}
        for kind, bins in kinds.items()
    }


def _payload(run: Run, found: list[Distribution], asked: Asked, charts: list[Chart]) -> dict[str, Any]:
    rows: Iterator[list[object]] = map(_row, found)
    return {
        "run": run.slug,
        "unit": asked.look.unit,
        "threshold_nats": asked.look.threshold_nats,
        "bins": _bins(found),
        "checkpoints": [dict(zip(HEAD, row, strict=True)) for row in rows],
        "chosen": {"lm": asked.lm} if asked.lm else None,
        "figures": charts,
    }


losses_urls: list[URLPattern] = [
    *twins.page("runs/<slug:slug>/losses", show, "losses"),
    path("runs/<slug:slug>/losses/frames.json", frames, name="losses-frames"),
]
