"""What the matrix's canvas asks for while one moves: tiles of pixels, and the pair under the pointer.

Addresses of pixels hold the bundle's hash, so what they answer never changes and is kept by browsers for good; by
nobody between, since a run may be private.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.cache import get_conditional_response

from clusters.charts.numbers import count
from clusters.charts.raster import coloured_png, grey_png
from clusters.charts.similarity import positions, ramp_of
from clusters.contexts import Reader
from clusters.models import Run
from clusters.parameters import chosen, whole_number
from clusters.queries import similarity as reads
from clusters.queries.clusters import visible_run
from clusters.queries.missing import Missing
from clusters.queries.similarity import LIMITS, Matrix, Pair
from clusters.views.addresses import cluster_address
from clusters.views.twins import json_response
from compute.errors import BundleError

CODES = 1  # goes up when bytes of the same bundle come to mean something else
CONTEXT_TOKENS = 8
MOST_ALIKE, NEAR_TOKENS = 5, 5
FOREVER = "private, max-age=31536000, immutable"
A_WHILE = "private, max-age=600"
THEMES = ("light", "dark")


def version_of(run: Run) -> str:
    """What makes the addresses of a bundle's pixels its own."""
    return f"{run.bundle_sha256[:16]}-{CODES}"


def tiles_address(matrix: Matrix) -> str:
    """What stands before level/column/row.png of every tile."""
    first = reverse("clusters:similarity-tile", args=[matrix.run.slug, version_of(matrix.run), matrix.affinity,
                                                      matrix.show, matrix.k, 0, 0, 0])  # fmt: skip
    return first.removesuffix("0/0/0.png")


def picture_address(matrix: Matrix, limits: str, first: int, last: int, theme: str) -> str:
    """A block of the matrix as a picture in the colours of one theme."""
    base = reverse("clusters:similarity-picture", args=[matrix.run.slug, version_of(matrix.run), matrix.affinity,
                                                        matrix.show, matrix.k])  # fmt: skip
    return f"{base}?first={first}&last={last}&limits={limits}&theme={theme}"


def tile(
    request: HttpRequest, slug: str, version: str, affinity: str, show: str, k: int, level: int, column: int, row: int
) -> HttpResponseBase:  # fmt: skip
    """256 × 256 pixels of one level; a byte is a value's code."""
    matrix = _matrix(request, slug, version, affinity, show, k)
    if not reads.is_tile(matrix.ordering.n, level, column, row):
        raise Missing(f"The matrix has no tile {level}/{column}/{row}", "Open the similarity page again.")
    return _kept(request, lambda: grey_png(reads.tile(matrix, level, column, row)))


def picture(request: HttpRequest, slug: str, version: str, affinity: str, show: str, k: int) -> HttpResponseBase:
    """A block of the matrix in the stylesheet's colours, for pages without a canvas."""
    matrix = _matrix(request, slug, version, affinity, show, k)
    n = matrix.ordering.n
    first, last = place(request, "first", n, 0), place(request, "last", n + 1, n)
    if first >= last:
        raise BadRequest(f"last is {last}; it must lie after first, {first}.")
    limits = reads.colour_limits(matrix, chosen(request.GET, "limits", list(LIMITS), "99"))
    theme = chosen(request.GET, "theme", THEMES, "light")

    def make() -> bytes:
        where = positions(matrix.decoded(), limits)
        return coloured_png(reads.picture(matrix, first, last), where, ramp_of(is_signed=matrix.is_signed), theme)

    return _kept(request, make)


def pair(request: HttpRequest, slug: str, affinity: str, show: str, k: int, twin: str = "html") -> HttpResponseBase:
    """Two tokens: their contexts, how alike their gradients are, and how alike their clusters."""
    run = visible_run(request.user, slug)
    matrix = _checked(run, affinity, show, k)
    n = matrix.ordering.n
    found = reads.pair(matrix, place(request, "row", n, 0), place(request, "column", n, 0))
    if twin == "json":
        response: HttpResponseBase = json_response(vars(found))
    else:
        is_kept = chosen(request.GET, "near", ("on", "off"), "off") == "on"
        ctx = {"run": run, "pair": pair_context(matrix, found, with_near=is_kept)}
        response = render(request, "similarity/_pair.html", ctx)
    response["Cache-Control"] = A_WHILE
    return response


def pair_context(matrix: Matrix, found: Pair, *, with_near: bool) -> dict[str, Any]:
    """What the panel beside the matrix says of a pair, and of what else is like its row's token."""
    contexts = _contexts(matrix.run, found.indices, CONTEXT_TOKENS)
    return {
        "near": _near(matrix, found) if with_near else [],
        "cosine": found.cosine,
        "affinity": found.affinity,
        "is_signed": matrix.is_signed,
        "show": matrix.show,
        "mean": found.mean,
        "n_pairs": found.n_pairs,
        "is_one_token": found.places[0] == found.places[1],
        "is_one_cluster": found.ranks[0] == found.ranks[1],
        "tokens": [
            {
                "side": side,
                "place": found.places[i],
                "index": found.indices[i],
                "rank": found.ranks[i],
                "size": found.sizes[i],
                "href": cluster_address(matrix.run.slug, matrix.k, found.labels[i], matrix.affinity),
                "context": context,
            }
            for i, (side, context) in enumerate(zip(("row", "column"), contexts, strict=True))
        ],
    }


def _near(matrix: Matrix, found: Pair) -> list[dict[str, Any]]:
    """The tokens most like the row's, with the way to each pair."""
    alike = reads.most_alike(matrix, found.places[0], MOST_ALIKE)
    contexts = _contexts(matrix.run, [index for _, index, _ in alike], NEAR_TOKENS)
    query = {"affinity": matrix.affinity, "show": matrix.show, "k": matrix.k, "token": found.indices[0]}
    page = reverse("clusters:similarity", args=[matrix.run.slug])
    return [
        {
            "cosine": cosine,
            "index": index,
            "place": at,
            "rank": matrix.ordering.rank_at(at),
            "context": context,
            "href": f"{page}?{urlencode(query | {'with': index})}",
        }
        for (at, index, cosine), context in zip(alike, contexts, strict=True)
    ]


def place(request: HttpRequest, name: str, end: int, default: int) -> int:
    """A place along the matrix that the address names."""
    text = request.GET.get(name) or str(default)
    value = whole_number(text)
    if value is None or value >= end:
        raise BadRequest(f"{name} is {text[:40]!r}; places along the matrix count from 0 to {count(end - 1)}.")
    return value


def _contexts(run: Run, indices: Sequence[int], n_tokens: int) -> list[Any]:
    """Every token's context; None where the bundle holds no text."""
    try:
        reader = Reader(run)
        return [reader.context(place, n_tokens) for place in reader.places(indices)]
    except (BundleError, KeyError, StopIteration):
        return [None] * len(indices)


def _matrix(request: HttpRequest, slug: str, version: str, affinity: str, show: str, k: int) -> Matrix:
    run = visible_run(request.user, slug)
    if version != version_of(run):
        raise Missing(f"“{run.name}” has other pixels now", "Open the similarity page again.")
    return _checked(run, affinity, show, k)


def _checked(run: Run, affinity: str, show: str, k: int) -> Matrix:
    ks = reads.affinities_with_matrix(run)
    is_shown = show == reads.SIMILARITY or (show == reads.AFFINITY and affinity == "signed")
    if k not in ks.get(affinity, []) or not is_shown:
        raise Missing(f"“{run.name}” has no such matrix", "Open the similarity page to see which there are.")
    return Matrix(run, affinity, k, show)


def _kept(request: HttpRequest, make: Callable[[], bytes]) -> HttpResponseBase:
    """A picture that never changes: made only where the browser doesn't hold it."""
    etag = f'"{request.get_full_path().removesuffix("/")}"'.replace(" ", "")
    response = get_conditional_response(request, etag=etag)
    if response is None:
        response = HttpResponse(make(), content_type="image/png")
    response["ETag"], response["Cache-Control"] = etag, FOREVER
    return response


_PIXELS = "runs/<slug:slug>/similarity/<str:version>/<str:affinity>/<str:show>/k<int:k>"
pixel_urls = [
    path(f"{_PIXELS}/<int:level>/<int:column>/<int:row>.png", tile, name="similarity-tile"),
    path(f"{_PIXELS}/picture.png", picture, name="similarity-picture"),
    path("runs/<slug:slug>/similarity/pair/<str:affinity>/<str:show>/k<int:k>/", pair, name="similarity-pair"),
    path("runs/<slug:slug>/similarity/pair/<str:affinity>/<str:show>/k<int:k>.<twin:twin>", pair,
         name="similarity-pair-twin"),
]  # fmt: skip
