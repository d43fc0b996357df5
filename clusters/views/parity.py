"""Multitask sparse parity: one experiment, its figures once it is finished, how far it is until then."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import Http404, HttpRequest, HttpResponseBase, QueryDict
from django.urls import URLPattern
from django.views.decorators.http import require_safe

from clusters.forms.parity import Asked, asked_of
from clusters.htmx import render_page
from clusters.models import Experiment
from clusters.queries import parity as queries
from clusters.queries.experiments import get_experiment
from clusters.values.parity import Sweep
from clusters.views import twins
from clusters.views.errors import NotFound
from clusters.views.labs import experiment_context
from clusters.views.parity_figures import LATER, Read, makers, payload
from clusters.views.parity_parts import page_context

KIND = "parity"
HEAD = ("network", "alpha", "width", "parameters", "samples", "seed", "test loss, nats", "lowest test loss, nats",
        "at step", "tasks learned", "diverged at step")  # fmt: skip


@require_safe
def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """Curves, laws, tasks and exponents of one experiment."""
    experiment = get_experiment(request.user, slug, [KIND])
    if not experiment.is_finished:
        if twin:
            payload_of_none = {"experiment": experiment.slug, "found": None}
            return twins.answer(twin, name=experiment.slug, payload=payload_of_none, head=HEAD, rows=())
        return render_page(request, "labs/open.html", experiment_context(request, experiment))
    known = queries.sweep(experiment)
    read = Read(experiment, known, _asked(request.GET, experiment, known))
    making = makers(read)
    if twin:
        figure = request.GET.get("figure")
        drawn = twins.drawn(making, figure)
        return twins.answer(
            twin, name=experiment.slug, head=HEAD, rows=_rows(read), charts=drawn, figure=figure,
            payload=payload(read, drawn) if twin == "json" else None,
        )  # fmt: skip
    charts = {name: make() for name, make in making.items() if name not in LATER}
    ctx = {
        **experiment_context(request, experiment),
        **page_context(request, read, charts, [name for name in making if name in LATER]),
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "labs/parity_experiment.html", ctx)


def _asked(query: QueryDict, experiment: Experiment, known: Sweep) -> Asked:
    """What the address asks for; what is not there leads back to the experiment."""
    try:
        return asked_of(query, known)
    except Http404 as error:
        sentence, _, advice = str(error).partition(". ")
        raise NotFound(sentence, advice=advice, href=experiment.get_absolute_url(), text=experiment.name) from None


def _rows(read: Read) -> Iterator[list[object]]:
    for one in read.known.networks:
        yield [
            one.index, one.alpha, one.width, one.n_parameters, one.n_samples, one.seed, one.test_loss_nats,
            one.best_test_loss_nats, one.best_step, one.n_learned, one.diverged_at,
        ]  # fmt: skip


parity_urls: list[URLPattern] = [*twins.page("labs/parity/<slug:slug>", show, "parity-experiment")]
