"""The matrix of similarities, ordered by cluster, zoomable to single pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from clusters.charts import similarity as figures
from clusters.charts.chart import Chart
from clusters.charts.numbers import count, fixed
from clusters.charts.raster import Ramp
from clusters.htmx import render_page
from clusters.models import Cluster, Run
from clusters.parameters import changed
from clusters.queries import similarity as reads
from clusters.queries.clusters import flat_indices, visible_run
from clusters.queries.similarity import AFFINITY, SIMILARITY, Matrix
from clusters.views import twins
from clusters.views.addresses import cluster_address
from clusters.views.similarity_address import MOST_ZOOM, Asked, Span, asked_of, block_of, matrix_of
from clusters.views.similarity_pixels import pair_context, picture_address, pixel_urls, tiles_address
from compute.numerics import mosaic

MOST_CLUSTERS = 24  # whose means are shown in figure and table
PAPER_K, PAPER_RANKS = 400, (47, 57)  # which the paper, counting from 0, calls 46 to 56
LIMIT_WORDS = {"99": "about 99% of pairs", "99.9": "about 99.9% of pairs", "all": "all pairs, as in the paper"}
WORDS = {SIMILARITY: "cosine", AFFINITY: "affinity"}


def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """The whole matrix, the pair selected, and the means between some clusters."""
    run = visible_run(request.user, slug)
    ks = reads.affinities_with_matrix(run)
    if not ks:
        return _missing(request, run, twin)
    matrix = matrix_of(request.GET, run, ks)
    asked = asked_of(request.GET, matrix)
    shown = _clusters(matrix, asked)
    chart = _means_chart(matrix, asked, shown)
    if twin:
        return _twin(request, twin, matrix, asked, shown, chart)
    limits = reads.colour_limits(matrix, asked.limits)
    ctx = {
        "run": run, "here": "similarity", "matrix": matrix, "asked": asked, "affinities": list(ks),
        "ks": ks[matrix.affinity], "limits": LIMIT_WORDS, "words": WORDS[matrix.show], "chart": chart,
        "title": _title(matrix), "legend": figures.legend(limits, _ramp(matrix)), "ramp": _ramp(matrix),
        "config": _config(matrix, asked, limits), "clusters": shown, "n": matrix.ordering.n,
        "n_clusters": len(matrix.ordering.labels), "notes": _notes(matrix, asked, limits),
        "pictures": _pictures(matrix, asked), "pair": _selected(matrix, asked),
        "token": request.GET.get("token", ""), "named": _named(request), "kept": _kept(request),
        "paper": _paper_address(request, ks),
        "n_left_out": max(asked.last - asked.first + 1 - MOST_CLUSTERS, 0),
        **twins.links_context(request, "json", "csv"),
    }  # fmt: skip
    return render_page(request, "runs/similarity.html", ctx)


def _named(request: HttpRequest) -> dict[str, str]:
    """The tokens of the address, as far as a field for numbers takes them."""
    return {name: text if (text := request.GET.get(name, "")).isdecimal() else "" for name in ("token", "with")}


def _kept(request: HttpRequest) -> list[tuple[str, str]]:
    """What the form of a pair sends on."""
    return [(name, str(value)) for name, value in request.GET.items() if value and name not in ("token", "with")]


def _ramp(matrix: Matrix) -> Ramp:
    return figures.ramp_of(is_signed=matrix.is_signed)


def _clusters(matrix: Matrix, asked: Asked) -> list[dict[str, Any]]:
    """The clusters whose means are shown, by rank."""
    last = min(asked.last, asked.first + MOST_CLUSTERS - 1)
    rows = Cluster.objects.filter(
        clustering__run=matrix.run, clustering__affinity=matrix.affinity, clustering__k=matrix.k,
        rank__range=(asked.first, last),
    ).defer("top_last", "mean_curve", "nearest")  # fmt: skip
    return [
        {
            "rank": row.rank, "label": row.label, "size": row.size, "within": row.similarity_within,
            "across": row.similarity_across, "answers": [text for text, _ in row.top_answers[:3]],
            "href": cluster_address(matrix.run.slug, matrix.k, row.label, matrix.affinity),
        }
        for row in rows.order_by("rank")
    ]  # fmt: skip


def _means(matrix: Matrix, shown: list[dict[str, Any]]) -> np.ndarray:
    at = np.array([one["rank"] for one in shown]) - 1
    return np.asarray(reads.cluster_means(matrix)[np.ix_(at, at)], np.float64)


def _means_chart(matrix: Matrix, asked: Asked, shown: list[dict[str, Any]]) -> Chart:
    return figures.means_chart(
        _means(matrix, shown), [one["rank"] for one in shown], [one["size"] for one in shown],
        reads.colour_limits(matrix, asked.limits), is_signed=matrix.is_signed, words=WORDS[matrix.show], number=2,
    )  # fmt: skip


def _title(matrix: Matrix) -> str:
    """What clusters have in common, in this run's numbers."""
    found = reads.contrast(matrix)
    within, between = found.within, found.between
    word = WORDS[matrix.show]
    if within is None or between is None:
        return f"Mean {word} of pairs: {fixed(between if within is None else within)}"
    texts = fixed(within, 3), fixed(between, 3)
    how = "more alike than" if within > between else "less alike than"
    how = "as alike as" if texts[0] == texts[1] else how
    return f"Tokens of one cluster are {how} tokens of two: a mean {word} of {texts[0]} against {texts[1]}"


def _notes(matrix: Matrix, asked: Asked, limits: tuple[float, float]) -> list[str]:
    """How sure, in which order, in which colours."""
    found = reads.contrast(matrix)
    low, high = (fixed(value, figures.digits_for(limits)) for value in limits)
    share = "every pair" if asked.limits == "all" else f"about {asked.limits}% of pairs"  # counted in a sample
    if matrix.is_signed and asked.limits != "all":
        share += " or more"  # the longer of both sides decides
    about = f", alike on both sides of {matrix.middle:g}, where gradients are orthogonal" if matrix.is_signed else ""
    return [
        f"{count(found.n_within)} pairs lie within a cluster, {count(found.n_between)} between two. Means leave out "
        "each token’s pair with itself.",
        "Clusters stand by rank, the largest first; the tokens of a cluster in the order in which the corpus has them.",
        f"Colours run from {low} to {high}, which holds {share}{about}. A pixel that covers several pairs shows their "
        "mean.",
        *_estimate(matrix),
    ]


def _estimate(matrix: Matrix) -> list[str]:
    """In sketch mode: that the values are estimates, and how far off they may be."""
    facts = matrix.run.manifest.get("similarity") or {}
    if facts.get("mode") != "sketch":
        return []
    refined = (
        f" The cosines of every token’s {count(facts['refine'])} nearest were computed exactly."
        if facts.get("refine")
        else ""
    )
    said = f"Cosines are estimates from sketches of {count(facts.get('sketch_size'))} numbers"
    if facts.get("rms") is not None and facts.get("largest") is not None:
        said += (
            f": off by {fixed(facts['rms'], 4)} at most in the root mean square, and by about "
            f"{fixed(facts['largest'], 3)} at the worst of all pairs"
        )
    return [f"{said}.{refined}"]


def _config(matrix: Matrix, asked: Asked, limits: tuple[float, float]) -> dict[str, Any]:
    """What the canvas needs to know."""
    ordering = matrix.ordering
    where = figures.positions(matrix.decoded(), limits)
    pair_base = reverse(
        "clusters:similarity-pair", args=[matrix.run.slug, matrix.affinity, matrix.show, matrix.k]
    )  # fmt: skip
    return {
        "n": ordering.n,
        "levels": mosaic.n_levels(ordering.n),
        "tile": mosaic.TILE,
        "tiles": tiles_address(matrix),
        "pair": pair_base,
        "starts": ordering.starts.tolist(),
        "positions": [None if math.isnan(value) else round(float(value), 4) for value in where],
        "focus": asked.focus,
        "view": asked.view,
        "cursor": asked.cursor,
        "mostZoom": MOST_ZOOM,
        "name": f"{matrix.run.slug}-{matrix.show}-{matrix.affinity}-k{matrix.k}",
    }


def _pictures(matrix: Matrix, asked: Asked) -> dict[str, str]:
    return {theme: picture_address(matrix, asked.limits, *asked.focus, theme) for theme in ("light", "dark")}


def _selected(matrix: Matrix, asked: Asked) -> dict[str, Any] | None:
    if not asked.cursor:
        return None
    return pair_context(matrix, reads.pair(matrix, *asked.cursor), with_near=True)


def _paper_address(request: HttpRequest, ks: dict[str, list[int]]) -> str:
    """The paper's figure: its crop, its values, its limits; "" where the run has no k = 400."""
    if PAPER_K not in ks.get("signed", []):
        return ""
    first, last = PAPER_RANKS
    wanted = {"affinity": None, "k": PAPER_K, "show": AFFINITY, "limits": "all", "first": first, "last": last,
              "go": "block"}  # fmt: skip
    dropped = dict.fromkeys(("x", "y", "z", "cluster"))
    return changed(request.path, request.GET, **wanted, **dropped)


def _twin(
    request: HttpRequest, twin: str, matrix: Matrix, asked: Asked, shown: list[dict[str, Any]], chart: Chart
) -> HttpResponseBase:  # fmt: skip
    name = f"{matrix.run.slug}-similarity-{matrix.affinity}-k{matrix.k}"
    notes = _notes(matrix, asked, reads.colour_limits(matrix, asked.limits))
    picture = {"pictures": _pictures(matrix, asked), "title": _title(matrix), "notes": notes}
    figure = request.GET.get("figure")
    block = block_of(request.GET, matrix.ordering.n)
    if block:
        head, rows = ["row", "token", "column", "token of the column", WORDS[matrix.show]], _numbers(matrix, block)
    else:
        head, rows = chart["table"]["head"], iter(chart["table"]["rows"])
    payload = None if twin != "json" else _payload(matrix, asked, shown, block)
    return twins.answer(
        twin, name=name, payload=payload, head=head, rows=rows, charts=[chart], figure=figure,
        panels={"matrix": ("similarity/_picture.html", picture)},
    )  # fmt: skip


def _numbers(matrix: Matrix, block: tuple[Span, Span]) -> Iterator[list[Any]]:
    values = reads.numbers(matrix, *block)
    flat = flat_indices(matrix.run)[matrix.ordering.rows]
    for i, row in enumerate(range(*block[0])):
        for j, column in enumerate(range(*block[1])):
            yield [row, int(flat[row]), column, int(flat[column]), float(values[i, j])]


def _payload(
    matrix: Matrix, asked: Asked, shown: list[dict[str, Any]], block: tuple[Span, Span] | None
) -> dict[str, Any]:  # fmt: skip
    ordering = matrix.ordering
    found = reads.contrast(matrix)
    payload: dict[str, Any] = {
        "run": matrix.run.slug, "affinity": matrix.affinity, "show": matrix.show, "k": matrix.k, "n_tokens": ordering.n,
        "order": "clusters by rank, within a cluster by first appearance; places count from 0, `end` is not included",
        "colour_limits": reads.colour_limits(matrix, asked.limits),
        "similarity": matrix.run.manifest.get("similarity"),
        "mean_within": found.within, "n_pairs_within": found.n_within,
        "mean_between": found.between, "n_pairs_between": found.n_between,
        "clusters": [
            {"rank": one["rank"], "label": one["label"], "size": one["size"],
             "start": int(ordering.starts[one["rank"] - 1]), "end": int(ordering.starts[one["rank"]])}
            for one in shown
        ],
        "means": _means(matrix, shown),
    }  # fmt: skip
    if block:
        flat = flat_indices(matrix.run)[ordering.rows]
        payload["block"] = {
            "rows": flat[slice(*block[0])], "columns": flat[slice(*block[1])], "values": reads.numbers(matrix, *block),
        }  # fmt: skip
    return payload


def _missing(request: HttpRequest, run: Run, twin: str | None) -> HttpResponseBase:
    if twin:
        return twins.answer(twin, name=f"{run.slug}-similarity", payload={"run": run.slug, "clusters": [], "means": []})
    ctx = {"run": run, "here": "similarity", "is_missing": True, **twins.links_context(request, "json")}
    return render_page(request, "runs/similarity.html", ctx)


similarity_urls = [*twins.page("runs/<slug:slug>/similarity", show, "similarity"), *pixel_urls]
