"""One experiment on toy worlds: slopes against the truth, and what lies behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from clusters.charts import qdg_bias as figures
from clusters.charts.chart import Chart
from clusters.charts.numbers import count, fixed
from clusters.charts.rank_choices import beyond, draws_text, exponents_text, none_known
from clusters.forms.qdg_bias import draw_number, measured_slope
from clusters.htmx import render_page
from clusters.models import Experiment
from clusters.parameters import changed
from clusters.queries import qdg_bias as queries
from clusters.values.facts import ToySlopes
from clusters.values.qdg_bias import Draw, Readout, Toy, World, calibration_of, read_backwards
from clusters.views import twins
from clusters.views.labs import experiment_context

HEAD = ("world", "dimensions", "noise", "exponent", "points", "subtasks", "draw", "slope")
Maker = Callable[[], Chart | None]


@dataclass(frozen=True)
class Read:
    """All that the page speaks of."""

    experiment: Experiment
    known: Toy
    draw: int
    readout: Readout | None


def show(request: HttpRequest, experiment: Experiment, twin: str | None) -> HttpResponseBase:
    known = queries.toy(experiment)
    slope = measured_slope(request.GET)
    readout = read_backwards(known.slopes, slope) if slope is not None and known.slopes else None
    read = Read(experiment, known, draw_number(request.GET, known.config.n_seeds), readout)
    making = _makers(read)
    if twin:
        figure = request.GET.get("figure")
        drawn = twins.drawn(making, figure)
        return twins.answer(
            twin, name=experiment.slug, head=HEAD, rows=_rows(known), charts=drawn, figure=figure,
            payload=_payload(read, drawn) if twin == "json" else None,
        )  # fmt: skip
    ctx = {
        **experiment_context(request, experiment),
        **(readout_context(known.slopes, readout) if known.slopes else {}),
        "known": known,
        "rows": [(one, known.true_slope(one)) for one in known.worlds],
        "finding": _finding(known),
        "facts": _facts(known),
        "charts": {name: making[name]() for name in ("slopes", "grid", "agreement") if name in making},
        "grid": [making[_slug(world)]() for world in known.grid],
        "later": [(_slug(world), _title(world)) for world in _beyond(known)],
        "draws": [
            {"number": i, "is_on": i == read.draw, "href": changed(request.path, request.GET, draw=i)}
            for i in range(1, known.config.n_seeds + 1)
        ],
        "n_draws": known.config.n_seeds,
        "ks": known.config.ks,
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "labs/qdg_bias_toy.html", ctx)


def readout_context(toy: ToySlopes, readout: Readout | None) -> dict[str, Any]:
    """What "labs/_qdg_bias_readout.html" shows: a slope, and the truths that could lie behind it."""
    found: dict[str, Any] = {"readout": readout, "complaint": readout.complaint if readout else ""}
    if readout is None or readout.inverse is None:
        return found
    inverse = readout.inverse
    interval = (inverse.low, inverse.high)
    return found | {
        "truth": beyond(toy, inverse.truth, inverse.truth) or fixed(inverse.truth),
        "interval": exponents_text(toy, interval),
        "alpha": f"{exponents_text(toy, interval, less=1)}{none_known(inverse.high)}",
        "is_outside": not inverse.is_inside,
        "tried": f"{toy.exponents[0]:g} to {toy.exponents[-1]:g}",
        "by_draws": draws_text(toy, readout.by_draws),
    }


def readout_payload(readout: Readout | None) -> dict[str, Any] | None:
    return asdict(readout) if readout else None


def _makers(read: Read) -> dict[str, Maker]:
    """What makes each figure, by slug and numbered as it is read."""
    known = read.known
    draw = partial(queries.draw, read.experiment, known)
    makers: dict[str, Callable[..., Chart | None]] = {}
    if known.slopes:
        makers["slopes"] = partial(figures.slopes_chart, known.slopes, read.readout)
    makers |= {_slug(one): partial(_world_chart, draw, one, read.draw) for one in known.grid}
    makers["grid"] = partial(figures.grid_chart, known.grid)
    makers["agreement"] = partial(figures.agreement_chart, known.grid, known.config.ks)
    makers |= {_slug(one): partial(_world_chart, draw, one, read.draw) for one in _beyond(known)}
    return {slug: partial(make, number=i) for i, (slug, make) in enumerate(makers.items(), 1)}


def _world_chart(draw: Callable[[World, int], Draw], world: World, place: int, *, number: int) -> Chart:
    return figures.world_chart(draw(world, place), number=number, slug=_slug(world))


def _slug(world: World) -> str:
    return f"world-{world.index}"


def _beyond(known: Toy) -> list[World]:
    """Worlds of the sweep that are not of the grid."""
    return [world for world in known.sweep if world not in known.grid]


def _title(world: World) -> str:
    return f"{world.place}, exponent {world.exponent:g}"


def _finding(known: Toy) -> str:
    """What QDG measures at the exponent nearest to 1 of the sweep's worlds."""
    one = min(known.sweep, key=lambda world: abs(world.exponent - 1.0))
    truth = fixed(-one.exponent)
    if fixed(one.mean) == truth:
        return f"QDG measures the truth, {truth}, at {one.place}"
    return f"QDG measures {fixed(one.mean)} where the truth is {truth}"


def _facts(known: Toy) -> list[dict[str, str]]:
    """The numbers above the figures: name, value, and how sure."""
    biases = [one.bias for one in known.sweep]
    most = max(known.worlds, key=lambda one: max(one.agreement))
    facts = [
        {"name": "bias over the sweep", "value": f"{fixed(min(biases))} to {fixed(max(biases))}",
         "sub": "measured slope less the true one; below 0 is too steep"},
        {"name": "order kept", "value": fixed(known.spearman) if known.spearman is not None else "–",
         "sub": "Spearman’s ρ of truth and steepness, over draws"},
        {"name": "best agreement", "value": fixed(max(most.agreement)),
         "sub": f"with the subtasks, {most.place}, exponent {most.exponent:g}"},
        {"name": "worlds", "value": count(len(known.worlds)), "sub": f"{count(known.config.n_seeds)} draws of each"},
    ]  # fmt: skip
    if known.slopes:
        line = calibration_of(known.slopes)
        facts.insert(1, {
            "name": "steeper a unit of truth", "value": fixed(-line.slope),
            "sub": f"95% {fixed(-line.high)} to {fixed(-line.low)}; 1 would be perfect",
        })  # fmt: skip
    return facts


def _rows(known: Toy) -> Iterator[list[object]]:
    for one in known.worlds:
        for place, slope in enumerate(one.slopes, 1):
            yield [one.index, one.n_dimensions, one.noise, one.exponent, one.n_points, one.n_subtasks, place, slope]


def _payload(read: Read, charts: list[Chart]) -> dict[str, Any]:
    return {
        "experiment": read.experiment.slug,
        "kind": read.experiment.kind,
        "config": read.experiment.config,
        "found": read.experiment.found,
        "draw": read.draw,
        "readout": readout_payload(read.readout),
        "figures": charts,
    }
