"""One experiment on the gradients of a parity network: do its clusters find the tasks, and their frequencies?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from clusters.charts import qdg_bias_parity as figures
from clusters.charts.chart import Chart
from clusters.charts.draw import Mark, line, text
from clusters.charts.geometry import text_width
from clusters.charts.numbers import count, fixed, percent
from clusters.charts.raster import coloured_png
from clusters.charts.similarity import legend, positions
from clusters.forms.qdg_bias import ranks_asked
from clusters.htmx import render_page
from clusters.models import Experiment
from clusters.parameters import changed, chosen
from clusters.queries import qdg_bias as queries
from clusters.queries.experiments import get_experiment
from clusters.queries.missing import Missing
from clusters.values.qdg_bias import ABSOLUTE, SIGNED, ParityQdg
from clusters.views import twins
from clusters.views.labs import experiment_context
from compute.labs.parity_qdg import KIND
from compute.numerics import mosaic
from compute.numerics.ranks import EnvelopeFit

HEAD = ("task", "asked", "samples", "mean |cosine| within", "nearest other task", "mean |cosine| with it")
FOREVER = "private, max-age=31536000, immutable"
RULER = (500, 22)  # of the drawing above the matrix
MOST_TASKS = 12  # in the page's table; the CSV has all
Maker = Callable[[], Chart | None]


@dataclass(frozen=True)
class Read:
    """All that the page speaks of."""

    experiment: Experiment
    known: ParityQdg
    affinity: str
    window: tuple[int, int]
    complaint: str

    def fit(self, affinity: str) -> EnvelopeFit | None:
        return self.known.fit(self.known.envelope(affinity), self.window)

    @property
    def true_fit(self) -> EnvelopeFit | None:
        return self.known.fit(self.known.true_sizes, self.window)


def show(request: HttpRequest, experiment: Experiment, twin: str | None) -> HttpResponseBase:
    known = queries.parity(experiment)
    affinity = chosen(request.GET, "affinity", (SIGNED, ABSOLUTE), SIGNED)
    longest = min(len(known.true_sizes), known.ks[-1])
    window, complaint = ranks_asked(request.GET, known.found["last_rank"], longest)
    read = Read(experiment, known, affinity, window, complaint)
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
        "known": known,
        "finding": _finding(read),
        "facts": _facts(read),
        "slopes": _slopes(read),
        "is_steeper": (fit := read.true_fit) is not None and fit.slope < known.known_slope,
        "complaint": complaint,
        "window": window,
        "longest": longest,
        "affinity": affinity,
        "affinities": [
            {"text": one, "is_on": one == affinity, "href": changed(request.path, request.GET, affinity=one)}
            for one in (SIGNED, ABSOLUTE)
        ],
        "charts": {name.replace("-", "_"): make() for name, make in making.items()},
        **_matrix(read),
        "rows": list(_rows(known))[:MOST_TASKS],
        "most": MOST_TASKS,
        **twins.links_context(request, "json", "csv"),
    }
    return render_page(request, "labs/qdg_bias_parity.html", ctx)


@require_safe
def picture(request: HttpRequest, slug: str, theme: str) -> HttpResponseBase:
    """The matrix of cosines in the order of the tasks."""
    experiment = get_experiment(request.user, slug, [KIND])
    if theme not in ("light", "dark"):
        raise BadRequest(f"theme is {theme[:20]!r}; it is light or dark.")
    if not experiment.is_finished:
        raise Missing(f"“{experiment.name}” is not finished", "Its page shows how far it is.")
    etag = f'"{experiment.bundle_sha256[:32]}-{theme}"'
    response = get_conditional_response(request, etag=etag)
    if response is None:
        codes, limit = queries.picture(experiment)
        where = positions(mosaic.decode("signed"), (-limit, limit))
        response = HttpResponse(coloured_png(codes, where, "diverging", theme), content_type="image/png")
    response["ETag"], response["Cache-Control"] = etag, FOREVER
    return response


def _makers(read: Read) -> dict[str, Maker]:
    """What makes each figure, by slug and numbered as it is read; the matrix is the second."""
    known = read.known
    makers: dict[int, tuple[str, Callable[..., Chart | None]]] = {
        1: ("ranks", partial(figures.ranks_chart, known, read.affinity, read.fit(read.affinity), read.true_fit)),
        3: ("task-means", partial(figures.means_chart, known)),
        4: ("agreement", partial(figures.agreement_chart, known)),
        5: ("cosines", partial(figures.cosines_chart, known, *queries.cosine_histograms(read.experiment))),
    }
    return {slug: partial(make, number=i) for i, (slug, make) in makers.items()}


def _finding(read: Read) -> str:
    known, fit = read.known, read.fit(SIGNED)
    if fit is None:
        return f"{count(len(known.present))} tasks were learned well: too few ranks for a slope"
    return f"QDG measures {fixed(fit.slope)} where the tasks’ frequencies fall with {fixed(known.known_slope)}"


def _facts(read: Read) -> list[dict[str, str]]:
    known, found = read.known, read.known.found
    best = {affinity: known.best(affinity, truth) for affinity, truth in ((SIGNED, "answers"), (ABSOLUTE, "tasks"))}
    return [
        {"name": "tasks passed", "value": count(len(known.present)), "sub": f"of {count(known.config.n_tasks)}"},
        {"name": "samples passed", "value": percent(found["n_passed"] / found["n_drawn"]),
         "sub": f"of {count(found['n_drawn'])} drawn; {count(known.n_compared)} are compared"},
        {"name": "mean |cosine| within a task", "value": fixed(found["within"]),
         "sub": f"{fixed(found['between'])} between tasks"},
        {"name": "signed: agreement", "value": fixed(best[SIGNED][1]),
         "sub": f"with tasks × answers, k = {count(best[SIGNED][0])}"},
        {"name": "absolute: agreement", "value": fixed(best[ABSOLUTE][1]),
         "sub": f"with tasks, k = {count(best[ABSOLUTE][0])}"},
    ]  # fmt: skip


def _slopes(read: Read) -> list[dict[str, str]]:
    """The four slopes side by side."""
    rows = [{"name": "frequencies of the tasks", "slope": fixed(read.known.known_slope), "interval": "exact"}]
    fits = (("tasks among the samples", read.true_fit), ("envelope, signed", read.fit(SIGNED)),
            ("envelope, absolute", read.fit(ABSOLUTE)))  # fmt: skip
    for name, fit in fits:
        interval = f"{fixed(fit.low)} to {fixed(fit.high)}" if fit else "too few ranks"
        rows.append({"name": name, "slope": fixed(fit.slope if fit else None), "interval": interval})
    return rows


def _matrix(read: Read) -> dict[str, Any]:
    """The picture of the matrix, its scale, and the tasks along it."""
    experiment, (_, limit) = read.experiment, queries.picture(read.experiment)
    version = experiment.bundle_sha256[:12]
    addresses = {
        theme: f"{reverse('clusters:qdg-bias-picture', args=[experiment.slug, theme])}?v={version}"
        for theme in ("light", "dark")
    }
    return {
        "pictures": addresses,
        "title": _matrix_title(read.known),
        "legend": legend((-limit, limit), "diverging"),
        "ruler": _ruler(read.known),
        "factor": read.known.found["block"],
    }


def _matrix_title(known: ParityQdg) -> str:
    within, between = known.found["within"], known.found["between"]
    if within is None or between is None:
        return "All samples against all, in the order of their tasks"
    if within > between:
        return "Samples of one task stand out as blocks, each of two answers that oppose each other"
    return "Samples of one task do not stand out from others"


def _ruler(known: ParityQdg) -> list[Mark]:
    """Where each task begins along the matrix, with the number of those that have room for it."""
    width, height = RULER
    marks: list[Mark] = []
    for task, (start, end) in zip(known.present, figures.boundaries(known.counts), strict=True):
        left, right = start * width, end * width
        marks.append(line("axis", left, height - 8, left, height))
        name = count(task + 1)
        if right - left > text_width(name) + 6:
            marks.append(text("m", (left + right) / 2, height - 8, name))
    return marks


def _rows(known: ParityQdg) -> Iterator[list[object]]:
    """One row a task that passed."""
    off = np.where(np.eye(len(known.means), dtype=bool), np.nan, known.means)
    weights = np.arange(1, known.config.n_tasks + 1) ** known.known_slope
    asked = weights / weights.sum()
    for i, task in enumerate(known.present):
        row = off[i]
        nearest = int(np.nanargmax(row)) if np.isfinite(row).any() else None
        yield [
            task + 1,
            float(asked[task]),
            known.counts[i],
            _number(known.means[i, i]),
            None if nearest is None else known.present[nearest] + 1,
            None if nearest is None else _number(row[nearest]),
        ]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _payload(read: Read, charts: list[Chart]) -> dict[str, Any]:
    fits = {"tasks": read.true_fit, SIGNED: read.fit(SIGNED), ABSOLUTE: read.fit(ABSOLUTE)}
    return {
        "experiment": read.experiment.slug,
        "kind": read.experiment.kind,
        "config": read.experiment.config,
        "found": read.experiment.found,
        "affinity": read.affinity,
        "window": read.window,
        "complaint": read.complaint or None,
        "fits": {name: fit and asdict(fit) for name, fit in fits.items()},
        "tasks": [dict(zip(HEAD, row, strict=True)) for row in _rows(read.known)],
        "figures": charts,
    }
