"""Two-dimensional maps of tokens: by gradient, and by the shape of their loss curves."""

from __future__ import annotations

import gzip
from functools import partial
from typing import Any

import numpy as np
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.cache import patch_vary_headers

from clusters.charts import maps as charts
from clusters.charts.chart import Chart
from clusters.charts.map_picture import map_picture
from clusters.charts.maps import Colouring
from clusters.charts.numbers import count
from clusters.charts.token import CLASS_SHAPES, token_spark
from clusters.contexts import Reader, has_text
from clusters.forms.maps import COLOURS, LAYOUTS, SIDES, MapQuery, area_of_sides, map_query
from clusters.htmx import render_page, wants_fragment
from clusters.models import Run
from clusters.parameters import changed
from clusters.queries import maps as reads
from clusters.queries.clusters import ladder, visible_run
from clusters.queries.missing import Missing
from clusters.queries.runs import default_k
from clusters.queries.tokens import clustered_token, size_curve, size_curves, token_index
from clusters.queries.tokens import scores_of as scores_of_token
from clusters.stored.derived import derived
from clusters.views.addresses import cluster_address
from clusters.views.map_colours import colouring_of
from clusters.views.map_table import map_table
from clusters.views.twins import answer, links_context, page

TOKENS_A_PAGE, ROW_TOKENS, NEAR_TOKENS = 25, 16, 24
N_ANSWERS, N_CLUSTERS = 8, 5
A_YEAR = 365 * 24 * 3600
CODES = 1  # goes up when bytes of the same bundle come to mean something else
ALIKE = {"gradient": "gradients", "curve": "loss curves, in level and shape"}


def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """One map, and the tokens of the area that was chosen on it."""
    run = visible_run(request.user, slug)
    layouts = reads.layouts_of(run)
    if not layouts:
        return _no_map(request, run, twin)
    sides = area_of_sides(request.GET)
    if sides is not None and not twin:
        bare: dict[str, object] = dict.fromkeys((*SIDES, "page"))
        return HttpResponseRedirect(changed(request.path, request.GET, **bare, area=sides) + "#chosen")
    asked = _asked(request, run, layouts)
    figure = request.GET.get("figure")
    if twin == "html" and figure == "near":
        panels = {"near": ("runs/_map_near.html", _near(run, asked, request.GET.get("token", "")))}
        return answer(twin, name="near", payload=None, figure=figure, panels=panels)
    chosen = _chosen(request, run, asked)
    if not twin and wants_fragment(request):
        return render_page(request, "runs/map.html", chosen | links_context(request), fragment="runs/_map_chosen.html")
    colouring = colouring_of(run, asked)
    chart = _picture(run, asked, colouring)
    if twin:
        head, rows = map_table(run, asked, chosen["places"])
        payload = _payload(asked, colouring, chosen)
        return answer(twin, name=f"{slug}-map-{asked.by}", payload=payload, head=head, rows=rows, charts=[chart],
                      figure=figure, panels={"chosen": ("runs/_map_chosen.html", chosen)})  # fmt: skip
    ctx = chosen | _page(run, asked, layouts, colouring) | _rectangle(request, run, asked) | {"figure": chart}
    return render_page(request, "runs/map.html", ctx | links_context(request, "json", "csv"))


def version_of(run: Run) -> str:
    """What makes the addresses of a bundle's points its own."""
    return f"{run.bundle_sha256[:16]}-{CODES}"


def positions(request: HttpRequest, slug: str, version: str) -> HttpResponse:
    """All points of a map in binary: x, then y (both float32), then steps between flat indices (uint32)."""
    run, asked = _drawn(request, slug, version)
    packed = derived(run, f"map/{asked.by}/payload", lambda: _packed_positions(run, asked.by))
    return _binary(request, packed.tobytes())


def colours(request: HttpRequest, slug: str, version: str) -> HttpResponse:
    """The code of every point's colour in binary: uint8, in the order of the positions."""
    run, asked = _drawn(request, slug, version)
    return _binary(request, gzip.compress(colouring_of(run, asked).codes.tobytes(), 1, mtime=0))


def _drawn(request: HttpRequest, slug: str, version: str) -> tuple[Run, MapQuery]:
    """The run and what is asked of its map; 404 where it has none, or is another by now."""
    run = visible_run(request.user, slug)
    if version != version_of(run):
        raise Missing(f"“{run.name}” has another map now", "Open the map's page again.")
    layouts = reads.layouts_of(run)
    if not layouts:
        raise Missing(f"“{run.name}” has no map", "Its bundle holds no positions of tokens.")
    return run, _asked(request, run, layouts)


def _asked(request: HttpRequest, run: Run, layouts: list[str]) -> MapQuery:
    lms = [size["lm"] for size in run.manifest["sizes"]]
    return map_query(
        request.GET, layouts=layouts, ks=ladder(run), default_k=default_k(run), lms=lms,
        largest_lm=lms[-1] if lms else "", has_classes=reads.has_classes(run),
    )  # fmt: skip


def _no_map(request: HttpRequest, run: Run, twin: str | None) -> HttpResponseBase:
    if twin:
        return answer(twin, name=f"{run.slug}-map", payload={"layouts": []}, head=["index", "x", "y"], rows=[])
    known = reads.how_made(run)
    reasons = {part["reason"] for part in known.values() if isinstance(part, dict) and part.get("reason")}
    ctx = {"run": run, "here": "map", "reasons": sorted(reasons)}
    return render(request, "runs/map_empty.html", ctx | links_context(request, "json"))


# ── what the page shows ──


def _box(run: Run, asked: MapQuery) -> tuple[float, float, float, float]:
    """What is shown at first: the part that the address names, else everything."""
    if asked.view:
        return asked.view
    box = reads.box_of(run, asked.by)
    return charts.framed((box.left, box.bottom, box.right, box.top))


def _picture(run: Run, asked: MapQuery, colouring: Colouring) -> Chart:
    return map_picture(
        reads.points_of(run, asked.by), _box(run, asked), colouring, area=asked.area, made=_made(run, asked.by),
        what=ALIKE[asked.by],
    )  # fmt: skip


def _made(run: Run, by: str) -> str:
    """How the map was computed, as far as the bundle says."""
    known = reads.how_made(run)
    words = {"n_neighbors": "neighbours", "min_dist": "least distance", "seed": "seed"}
    parts = [f"{text} {known[name]}" for name, text in words.items() if name in known]
    over = _curves_words(run, known.get("curves") or {}) if by == "curve" else ""
    settings = f" ({', '.join(parts)})" if parts else ""
    return f"Computed by UMAP{over}{settings}."


def _curves_words(run: Run, known: dict[str, Any]) -> str:
    """At how many sizes and steps the curves were measured; a network's last step is its size as well."""
    if not known.get("n_checkpoints"):
        return ""
    n_all = len(run.manifest["sizes"])
    n_sizes = known.get("n_sizes", n_all if n_all > 1 else 0)  # older bundles state the sum alone
    n_steps = known["n_checkpoints"] - n_sizes
    parts = [f"{count(n)} {word}{'s' * (n > 1)}" for n, word in ((n_sizes, "size"), (n_steps, "step")) if n]
    return f" over the losses at {' and '.join(parts)}"


def _page(run: Run, asked: MapQuery, layouts: list[str], colouring: Colouring) -> dict[str, Any]:
    slug, version = run.slug, version_of(run)
    n = len(reads.points_of(run, asked.by))
    coloured = {"by": asked.by, "colour": asked.colour, "affinity": asked.affinity, "k": asked.k, "lm": asked.lm,
                "cluster": asked.cluster}  # fmt: skip
    query = "&".join(f"{name}={value}" for name, value in coloured.items() if value not in (None, ""))
    ks = ladder(run)
    return {
        "run": run, "here": "map", "colours": COLOURS, "layouts": [(name, LAYOUTS[name]) for name in layouts],
        "colouring": colouring, "alike": ALIKE[asked.by], "made": _made(run, asked.by), "n_points": n,
        "ks": ks.get(asked.affinity, []), "affinities": list(ks), "sizes": run.manifest["sizes"],
        "positions_href": f"{reverse('clusters:map-positions', args=[slug, version])}?by={asked.by}",
        "colours_href": f"{reverse('clusters:map-colours', args=[slug, version])}?{query}",
        "near_href": reverse("clusters:map-twin", args=[slug, "html"]),
        "box": _numbers(asked.view or _sides(run, asked)), "whole": _numbers(_sides(run, asked)),
        "needs_k": asked.colour in ("cluster", "rank"), "is_part": n < run.corpus.n_predictions,
    }  # fmt: skip


def _rectangle(request: HttpRequest, run: Run, asked: MapQuery) -> dict[str, Any]:
    """The form that names an area by its sides, for those who don't draw."""
    box = reads.box_of(run, asked.by)
    filled = charts.sides(asked.area) if asked.area else {}
    leave = (*SIDES, "area", "page")
    return {
        "rectangle_sides": [(side, filled.get(side, "")) for side in SIDES],
        "kept": [(name, value) for name, value in request.GET.items() if name not in leave],
        "carried": [(name, request.GET[name]) for name in ("area", "view", "token") if request.GET.get(name)],
        "reach": {side: f"{getattr(box, side):.3g}".replace("-", "−") for side in SIDES},
    }


def _sides(run: Run, asked: MapQuery) -> tuple[float, float, float, float]:
    box = reads.box_of(run, asked.by)
    return box.left, box.bottom, box.right, box.top


def _numbers(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.6g}" for value in values)


# ── the chosen area ──


def _chosen(request: HttpRequest, run: Run, asked: MapQuery) -> dict[str, Any]:
    """The tokens inside the area: how many, what they answer, and a page of them."""
    ctx: dict[str, Any] = {"run": run, "asked": asked, "places": None, "area": asked.area}
    if not asked.area:
        return ctx
    here = partial(changed, "", request.GET, figure=None, embed=None)
    places = reads.inside(reads.points_of(run, asked.by), asked.area)
    start = (asked.page - 1) * TOKENS_A_PAGE
    indices = reads.indices_of(run, asked.by)[places[start : start + TOKENS_A_PAGE]].tolist()
    is_readable = has_text(run)
    answers, n_answers = reads.commonest_answers(run, asked.by, places, N_ANSWERS) if is_readable else ([], 0)
    return ctx | {
        "places": places, "n_inside": len(places), "hits": _hits(run, indices) if is_readable else [],
        "has_text": is_readable,
        "answers": charts.shares(answers, len(places)), "n_other_answers": n_answers - len(answers),
        "clusters": _clusters_inside(run, asked, places), "first_shown": start + 1,
        "last_shown": start + len(indices), "has_more": start + TOKENS_A_PAGE < len(places),
        "per_page": TOKENS_A_PAGE, "area_query": here(page=None), "without_area": here(page=None, area=None),
        "previous_query": here(page=asked.page - 1), "next_query": here(page=asked.page + 1),
    }  # fmt: skip


def _hits(run: Run, indices: list[int]) -> list[dict[str, Any]]:
    if not indices:
        return []
    reader = Reader(run)
    is_known = size_curve(run, indices[0]) is not None
    curves = size_curves(run, indices) if is_known else [None] * len(indices)
    scores = [scores_of_token(run, index) for index in indices]
    return [
        {
            "index": place.index, "place": place, "context": reader.context(place, ROW_TOKENS),
            "spark": None if curve is None else token_spark(curve),
            "scores": score, "shape": CLASS_SHAPES[score.curve_class],
        }
        for place, curve, score in zip(reader.places(indices), curves, scores, strict=True)
    ]  # fmt: skip


def _clusters_inside(run: Run, asked: MapQuery, places: np.ndarray) -> list[dict[str, Any]]:
    if asked.k is None:
        return []
    found = reads.commonest_clusters(run, asked.by, asked.affinity, asked.k, places, N_CLUSTERS)
    return [
        row | {"href": cluster_address(run.slug, asked.k, int(row["text"]), asked.affinity)}
        for row in charts.shares([(str(label), n) for label, n in found], len(places))
    ]


def _near(run: Run, asked: MapQuery, token: str) -> dict[str, Any]:
    """One token, shortly: for the point under the pointer."""
    index = token_index(run, token)
    if not has_text(run):
        raise Missing(f"“{run.name}” came without its corpus", "Compute the run here to read its tokens.")
    reader = Reader(run)
    [place] = reader.places([index])
    row = clustered_token(run, index) if asked.k else None
    label = None
    if row is not None and asked.k:
        label = int(reads.cluster_labels_of(run, "gradient", asked.affinity, asked.k)[row.row])
    scores, curve = scores_of_token(run, index), size_curve(run, index)
    return {
        "run": run, "asked": asked, "index": index, "place": place, "one": reader.context(place, NEAR_TOKENS),
        "scores": scores, "shape": CLASS_SHAPES[scores.curve_class],
        "spark": None if curve is None else token_spark(curve), "label": label,
        "cluster_href": "" if label is None or not asked.k
        else cluster_address(run.slug, asked.k, label, asked.affinity),
    }  # fmt: skip


def _payload(asked: MapQuery, colouring: Colouring, chosen: dict[str, Any]) -> dict[str, Any]:
    legend = [{"code": s.code, "text": s.text, "n_points": s.n} for s in colouring.swatches]
    payload: dict[str, Any] = {
        "by": asked.by, "colour": asked.colour, "k": asked.k, "affinity": asked.affinity,
        "n_points": len(colouring.codes), "legend": legend, "finding": colouring.reading, "area": asked.area,
    }  # fmt: skip
    if chosen["places"] is not None:
        payload["n_inside"] = chosen["n_inside"]
        payload["page"] = asked.page
        payload["answers"] = chosen["answers"]
        payload["clusters"] = chosen["clusters"]
        payload["tokens"] = [hit["index"] for hit in chosen["hits"]]
    return payload


# ── binary ──


def _packed_positions(run: Run, by: str) -> np.ndarray:
    points = np.asarray(reads.points_of(run, by), "<f4")
    steps = np.diff(np.asarray(reads.indices_of(run, by), np.int64), prepend=0).astype("<u4")
    raw = points[:, 0].tobytes() + points[:, 1].tobytes() + steps.tobytes()
    return np.frombuffer(gzip.compress(raw, 6, mtime=0), np.uint8)


def _binary(request: HttpRequest, packed: bytes) -> HttpResponse:
    """Bytes that never change under their address, which names the bundle; for browsers alone: a run may be hidden."""
    takes_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
    body = packed if takes_gzip else gzip.decompress(packed)
    response = HttpResponse(body, content_type="application/octet-stream")
    if takes_gzip:
        response["Content-Encoding"] = "gzip"
    response["Cache-Control"] = f"private, max-age={A_YEAR}, immutable"
    patch_vary_headers(response, ["Accept-Encoding"])
    return response


map_urls = [
    *page("runs/<slug:slug>/map", show, "map"),
    path("runs/<slug:slug>/map/<str:version>/positions", positions, name="map-positions"),
    path("runs/<slug:slug>/map/<str:version>/colours", colours, name="map-colours"),
]
