"""Grokking: experiments on addition modulo p, how they are started, and what one of them found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern
from django.views.decorators.http import require_http_methods, require_safe

from clusters.charts import addition as figures
from clusters.charts.chart import Chart
from clusters.charts.numbers import compact, count, fixed, percent
from clusters.forms.addition import AdditionForm, Asked, asked_of
from clusters.htmx import render_page
from clusters.models import Experiment
from clusters.parameters import changed
from clusters.queries import addition as queries
from clusters.queries.experiments import get_experiment, visible_experiments
from clusters.values.addition import Cell, Sweep, share_text
from clusters.views import twins
from clusters.views.lab_forms import filled, start_own
from clusters.views.labs import MOST, answer_list, experiment_context, lab_context, start_preset
from compute.labs.addition import KIND, LAB, LATE

HEAD = ("network", "share of pairs", "weight decay", "seed", "pairs trained on", "steps", "fitted at", "generalised at",
        "gap", "fitted at, by accuracy", "generalised at, by accuracy", "last training loss, bits",
        "last test loss, bits", "last training accuracy", "last test accuracy", "last periodicity", "last norm",
        "peak of the test loss at", "peak, bits")  # fmt: skip
BY = (("loss", "loss"), ("accuracy", "accuracy"))
Maker = Callable[[], Chart | None]


@dataclass(frozen=True)
class Read:
    """All that an experiment's page speaks of."""

    experiment: Experiment
    known: Sweep
    asked: Asked


# ── the lab ──


@require_http_methods(["GET", "HEAD", "POST"])
def lab(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """Presets that one click starts, a form of all settings, and what was done."""
    if twin:
        return answer_list(twin, "grokking", visible_experiments(request.user, [KIND])[:MOST], [KIND])
    if request.method == "POST" and "preset" in request.POST:
        return start_preset(request, [KIND])
    if request.method == "POST":
        form = AdditionForm(request.POST)
        return start_own(request, KIND, form, lambda status: _lab_page(request, form, status))
    return _lab_page(request, AdditionForm(initial=filled(request, KIND, AdditionForm)))


def _lab_page(request: HttpRequest, form: AdditionForm, status: int = 200) -> HttpResponse:
    ctx = {
        **lab_context(request, [KIND]),
        "form": form,
        "is_asked": form.is_bound or bool(request.GET),
        "starts": [{"key": one.key, "title": one.title} for one in LAB.presets],
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "labs/addition.html", ctx, status=status)


# ── one experiment ──


@require_safe
def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """When networks fit and when they generalise, one of them closely, and what the delay depends on."""
    experiment = get_experiment(request.user, slug, [KIND])
    if not experiment.is_finished:
        if twin:
            payload = {"experiment": experiment.slug, "found": None}
            return twins.answer(twin, name=experiment.slug, payload=payload, head=HEAD, rows=())
        return render_page(request, "labs/open.html", experiment_context(request, experiment))
    known = queries.sweep(experiment)
    read = Read(experiment, known, asked_of(request.GET, known))
    making = _makers(read)
    if twin:
        figure = request.GET.get("figure")
        drawn = twins.drawn(making, figure)
        return twins.answer(
            twin, name=experiment.slug, head=HEAD, rows=_rows(read), charts=drawn, figure=figure,
            payload=_payload(read, drawn) if twin == "json" else None,
        )  # fmt: skip
    ctx = {
        **experiment_context(request, experiment),
        **_page_context(request, read),
        "charts": {name.replace("-", "_"): make() for name, make in making.items()},
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "labs/addition_experiment.html", ctx)


def _makers(read: Read) -> dict[str, Maker]:
    """What makes each figure, by slug and numbered as it is read; None comes of one that has nothing to draw."""
    experiment, known, asked = read.experiment, read.known, read.asked
    network, by = asked.network, asked.by
    curves = queries.curves(experiment, network)
    look = partial(queries.curves, experiment)
    makers: dict[str, Callable[..., Chart | None]] = {
        "loss": partial(figures.loss_chart, network, curves, by, modulus=known.modulus, factor=asked.factor,
                        unit=asked.unit),
        "accuracy": partial(figures.accuracy_chart, network, curves, by, modulus=known.modulus),
        "periodicity": partial(figures.periodicity_chart, network, curves, by),
        "norm": partial(figures.norm_chart, network, curves, by),
        "spectrum": partial(figures.spectrum_chart, queries.spectrum(experiment, network)),
        "gap-fraction": partial(figures.gap_by_fraction, known, by),
        "gap-decay": partial(figures.gap_by_decay, known, by),
        "fractions": partial(figures.fractions_chart, network, known, look, by),
    }  # fmt: skip
    if len(known.fractions) < 2:
        del makers["gap-fraction"], makers["fractions"]
    if len(known.weight_decays) < 2:
        del makers["gap-decay"]
    return {slug: partial(make, number=i) for i, (slug, make) in enumerate(makers.items(), 1)}


def _page_context(request: HttpRequest, read: Read) -> dict[str, Any]:
    known, asked = read.known, read.asked
    return {
        "asked": asked,
        "known": known,
        "finding": _finding(read),
        "meaning": _meaning(read),
        "facts": _facts(read),
        "networks": [(one.index, one.name) for one in known.networks],
        "bys": [
            {"text": text, "is_on": asked.by == by,
             "href": changed(request.path, request.GET, by=None if by == "loss" else by)}
            for by, text in BY
        ],
        "cells": [_cell(request, read, cell) for cell in known.cells],
        "has_gaps": bool(known.gaps(asked.by)),
    }  # fmt: skip


def _finding(read: Read) -> str:
    """The page's title: how many generalise, and how late."""
    known, by = read.known, read.asked.by
    n, done = len(known.networks), [one for one in known.networks if one.times(by)[1] is not None]
    if not done:
        return f"None of {count(n)} networks generalises" if n > 1 else "The network does not generalise"
    who = f"{count(len(done))} of {count(n)} networks generalise" if n > 1 else "The network generalises"
    late = max(known.gaps(by), default=0.0)
    they = "they fit" if n > 1 else "it fits"
    if late < LATE:
        return f"{who}, hardly later than {they}"
    return f"{who}, {'up to ' if n > 1 else ''}{fixed(late, 0 if late >= 9.5 else 1)} times as late as {they}"


def _meaning(read: Read) -> str:
    """What the experiment says of quanta, and what it does not."""
    known, by = read.known, read.asked.by
    if not known.gaps(by):
        return (
            "Nothing grokked here, so nothing is learned of delays: give more steps, more pairs, or another weight "
            "decay. That a rule is not found from the pairs given is itself what the theory calls a quantum that the "
            "data do not support yet."
        )
    if max(known.gaps(by)) < LATE:
        return (
            "Where so many pairs are shown, the rule pays at once: fitting and understanding are one step, as the "
            "theory of quanta assumes throughout."
        )
    heart = max(step for one in known.networks if (step := one.times(by)[0]) is not None)
    pulls = " and weight decay still pulls" if any(known.weight_decays) else ""
    return (
        f"The pairs shown are learned by heart within {count(heart)} steps. The rule behind them comes later, when the "
        f"training loss has next to nothing left to gain{pulls}. The theory of quanta has every quantum paid for by "
        "the loss that is trained on; with finite data the test loss may lag behind its order by the gap measured here."
    )


def _facts(read: Read) -> list[dict[str, str]]:
    """The numbers above the figures: name, value, and how sure."""
    known, asked = read.known, read.asked
    n, gaps = len(known.networks), sorted(known.gaps(asked.by))
    fitted = sum(one.times(asked.by)[0] is not None for one in known.networks)
    done = sum(one.times(asked.by)[1] is not None for one in known.networks)
    late = sum(gap >= LATE for gap in gaps)
    middle = gaps[len(gaps) // 2] if len(gaps) % 2 else (sum(gaps[len(gaps) // 2 - 1 :][:2]) / 2 if gaps else None)
    between = f"{fixed(gaps[0], 1)} to {fixed(gaps[-1], 1)}" if gaps else "none has one"
    return [
        {
            "name": "fit what they are shown",
            "value": count(fitted),
            "sub": f"of {count(n)} network{'s' if n > 1 else ''}",
        },
        {"name": "generalise", "value": count(done), "sub": f"within {count(known.n_steps)} steps"},
        {"name": "at least twice as late", "value": count(late), "sub": "which is called grokking"},
        {"name": "median gap", "value": fixed(middle, 1), "sub": between},
    ]


def _cell(request: HttpRequest, read: Read, cell: Cell) -> dict[str, Any]:
    """A row of the table: the seeds of one fraction and one weight decay."""
    by, n = read.asked.by, len(cell.networks)
    done = cell.n_with(lambda one: one.times(by)[1])
    return {
        "fraction": share_text(cell.fraction),
        "decay": f"{cell.weight_decay:g}",
        "n_train": cell.networks[0].n_train,
        "fitted": _step(cell.middle(lambda one: one.times(by)[0])),
        "generalised": _step(cell.middle(lambda one: one.times(by)[1])),
        "gap": fixed(cell.middle(lambda one: one.gap(by)), 1),
        "done": f"{done} of {n}",
        "loss": fixed((cell.middle(lambda one: one.final["test_bits"]) or 0.0) * read.asked.factor, 3),
        "accuracy": percent(cell.middle(lambda one: one.final["test_accuracy"])),
        "is_on": read.asked.network in cell.networks,
        "seeds": [
            {"seed": one.seed, "href": changed(request.path, request.GET, network=one.index),
             "is_on": one == read.asked.network}
            for one in cell.networks
        ],
    }  # fmt: skip


def _step(step: float | None) -> str:
    return "never" if step is None else (count(step) if step < 1e5 else compact(step))


def _rows(read: Read) -> Iterator[list[object]]:
    for one in read.known.networks:
        final, peak = one.final, one.peak or {}
        yield [
            one.index, one.fraction, one.weight_decay, one.seed, one.n_train, one.n_steps, one.t_train, one.t_test,
            one.gap("loss"), one.t_train_accuracy, one.t_test_accuracy, final["train_bits"], final["test_bits"],
            final["train_accuracy"], final["test_accuracy"], final["periodicity"], final["norm"], peak.get("step"),
            peak.get("bits"),
        ]  # fmt: skip


def _payload(read: Read, charts: list[Chart]) -> dict[str, Any]:
    curves = queries.curves(read.experiment, read.asked.network)
    return {
        "experiment": read.experiment.slug,
        "config": read.experiment.config,
        "found": read.experiment.found,
        "by": read.asked.by,
        "network": read.asked.network.index,
        "curves": {"steps": curves.steps, "losses_in": "bits", **curves.values},
        "meaning": _meaning(read),
        "figures": charts,
    }


addition_urls: list[URLPattern] = [
    *twins.page("labs/grokking", lab, "grokking-lab"),
    *twins.page("labs/grokking/<slug:slug>", show, "grokking-experiment"),
]
