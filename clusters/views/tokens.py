"""The page of any token of the corpus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase, QueryDict

from clusters.charts import token as charts
from clusters.contexts import Place, Reader, has_text
from clusters.htmx import render_page
from clusters.models import Affinity, Membership, Run
from clusters.parameters import changed, context_view, reach_choices, unit_of, whole_number
from clusters.queries import tokens as reads
from clusters.queries.clusters import visible_run
from clusters.queries.labels import names_of
from clusters.values.readings import StepCurve, Unit
from clusters.views.addresses import cluster_address
from clusters.views.collections import add_panel
from clusters.views.notes import note_panel
from clusters.views.twins import answer, links_context, page

ALL_STEPS = 100_000
CONTEXT_TOKENS = 40  # of the small panel beside a document


def show(request: HttpRequest, slug: str, index: str, twin: str | None = None) -> HttpResponseBase:
    """One token: its context, how networks learn it, its scores and its clusters."""
    run = visible_run(request.user, slug)
    number = reads.token_index(run, index)
    steps = reads.shared_steps(run)
    step, unit = _step(request.GET, steps), unit_of(request.GET)
    if twin == "html" and request.GET.get("figure") in ("panel", "ladder"):
        return _part(request, run, number, request.GET["figure"])
    learning = _learning(run, number, step, unit)
    row = reads.clustered_token(run, number)
    clusters = _rungs(run, reads.memberships_of(row) if row else [])
    place, text = _text(request, run, number)
    ctx = {"run": run, "here": "tokens", "index": number, "place": place, "unit": unit, "token": row} | learning | text
    if twin:
        ladder = charts.ladder_chart([_rung(rung) for rung in clusters])
        figures = [figure for figure in (*learning["figures"], ladder) if figure]
        return answer(
            twin, name=f"{slug}-token-{number}", payload=_facts(ctx, clusters), figure=request.GET.get("figure"),
            head=["lm", "n_non_embedding", "step", "loss_nats"], rows=learning["curve_rows"], charts=figures,
            panels={"context": ("tokens/_one.html", ctx), "panel": ("tokens/_panel.html", ctx)},
        )  # fmt: skip
    names = names_of(request.user, [rung["cluster"].pk for rung in clusters], are_seen=True) if clusters else {}
    for rung in clusters:
        rung["name"] = names[rung["cluster"].pk].name if rung["cluster"].pk in names else ""
    affinities, table = _ladder(clusters)
    ctx |= {
        "steps": steps, "step": step, "last_step": steps[-1] if steps else None,
        "kept": [(name, value) for name, value in request.GET.items() if name not in ("step", "figure")],
        "keep": changed("", request.GET, token=None, page=None), "affinities": affinities, "clusters": table,
        "threshold": run.manifest["selection"]["threshold_nats"],
    } | links_context(request, "json", "csv")  # fmt: skip
    ctx |= note_panel(request, run, number) | add_panel(request, run, token=number)
    return render_page(request, "tokens/show.html", ctx, fragment="tokens/_curves.html")


def _part(request: HttpRequest, run: Run, number: int, name: str) -> HttpResponseBase:
    """What pages bring later, without the rest of the token's facts."""
    if name == "panel":
        panels = {"panel": ("tokens/_panel.html", token_panel(request, run, number))}
        return answer("html", name=name, payload=None, figure=name, panels=panels)
    row = reads.clustered_token(run, number)
    ladder = charts.ladder_chart([_rung(rung) for rung in _rungs(run, reads.memberships_of(row) if row else [])])
    return answer("html", name=name, payload=None, figure=name, charts=[ladder] if ladder else [])


def token_panel(request: HttpRequest, run: Run, number: int) -> dict[str, Any]:
    """What a document's page shows beside its text of one token."""
    place, text = _text(request, run, number)
    ctx = {"run": run, "index": number, "place": place, "token": reads.clustered_token(run, number)}
    return ctx | text | _learning(run, number, None, unit_of(request.GET))


def _step(query: QueryDict, steps: list[int]) -> int | None:
    """The training step at which the networks are compared; None for the end of training."""
    text = query.get("step", "")
    step = whole_number(text)
    if text and step not in steps:
        there = ", ".join(map(str, steps[:12])) + (" …" if len(steps) > 12 else "") or "none"
        raise BadRequest(f"step is {text[:40]!r}; several networks have a checkpoint at {there}.")
    return step if steps and step != steps[-1] else None


def _text(request: HttpRequest, run: Run, number: int) -> tuple[Place | None, dict[str, Any]]:
    """The token in its document, as far as the bundle holds the text."""
    if not has_text(run):
        return None, {"answer": f"token {number}", "links": [], "n_document_tokens": None}
    view = context_view(request.GET, "200")
    reader = Reader(run)
    [place] = reader.places([number])
    near = reads.neighbours_of(run, number, place.document)
    kinds = (
        ("token", near.previous, "ArrowLeft", "←", near.next, "ArrowRight", "→"),
        ("clustered", near.previous_clustered, "[", "[", near.next_clustered, "]", "]"),
        ("of its class here", near.previous_alike, ",", ",", near.next_alike, ".", "."),
    )
    names = ("text", "previous", "previous_key", "previous_cap", "next", "next_key", "next_cap")
    return place, {
        "answer": reader.answer(place), "view": view, "reaches": reach_choices(view.reach, "200"),
        "one": reader.context(place, view.n_tokens),
        "n_document_tokens": int(reader.corpus.lengths[place.document]),
        "short": reader.context(place, CONTEXT_TOKENS),
        "links": [dict(zip(names, kind, strict=True)) for kind in kinds],
    }  # fmt: skip


def _learning(run: Run, number: int, step: int | None, unit: Unit) -> dict[str, Any]:
    """Curves over sizes and steps, and what scores and rules say of them."""
    sizes = [size["n_non_embedding"] for size in run.manifest["sizes"]]
    losses = reads.size_curve(run, number)
    scores = reads.scores_of(run, number)
    said = {"scores": scores, "class_shape": charts.CLASS_SHAPES[scores.curve_class],
            "class_meaning": charts.CLASS_MEANINGS[scores.curve_class],
            "class_rule": charts.class_sentence(scores)}  # fmt: skip
    if losses is None:
        return said | {"figures": [], "score_rows": charts.score_rows(scores), "curve_rows": [], "paper_rule": ""}
    full = reads.step_curves(run, [number], most_steps=ALL_STEPS)
    thinned = reads.step_curves(run, [number])
    finals = _finals(run, losses, full)
    paper = reads.paper_class(run, losses)
    figures = [
        charts.token_sizes_chart(sizes, losses, _at(run, full, finals, step), step, scores, unit),
        charts.token_steps_chart(thinned, unit, step=step, finals=finals),
    ]
    return said | {
        "figures": [figure for figure in figures if figure],
        "score_rows": charts.score_rows(
            scores, n_sizes=len(sizes), percentiles=reads.percentiles_of(run, number),
            slope=paper.slope if paper else None, r_squared=paper.r_squared if paper else None,
        ),
        "paper_rule": "" if paper is None else charts.paper_sentence(
            paper.monogenic_at, paper.is_polygenic, paper.slope, paper.r_squared, sizes
        ),
        "paper": paper, "losses": losses, "curve_rows": list(_curve_rows(full, finals)),
    }  # fmt: skip


def _finals(run: Run, losses: np.ndarray, curves: list[StepCurve]) -> list[tuple[str, int, int, float]]:
    """Name, size, last step and loss of the networks that have no curve over steps."""
    last = {c["lm"]: c["step"] for c in run.manifest["checkpoints"] if c["is_final"] and c["step"] is not None}
    drawn = {curve.lm for curve in curves}
    sizes = [(size["lm"], size["n_non_embedding"]) for size in run.manifest["sizes"]]
    return [
        (lm, size, last[lm], float(loss))
        for (lm, size), loss in zip(sizes, losses, strict=True)
        if lm in last and lm not in drawn and np.isfinite(loss)
    ]


def _at(
    run: Run, curves: list[StepCurve], finals: list[tuple[str, int, int, float]], step: int | None
) -> list[tuple[int, float]]:
    """Size and loss of the networks that have a checkpoint at a step."""
    if step is None:
        return []
    found = {c.lm: float(c.losses[0, c.steps.index(step)]) for c in curves if step in c.steps}
    found |= {lm: loss for lm, _, at, loss in finals if at == step}
    return [(size["n_non_embedding"], found[size["lm"]]) for size in run.manifest["sizes"] if size["lm"] in found]


def _curve_rows(curves: list[StepCurve], finals: list[tuple[str, int, int, float]]) -> Iterator[list[Any]]:
    """Every known loss of the token: network, size, step, nats."""
    for curve in curves:
        for step, loss in zip(curve.steps, curve.losses[0].tolist(), strict=True):
            yield [curve.lm, curve.n_non_embedding, step, loss]
    yield from map(list, finals)


def _rungs(run: Run, memberships: list[Membership]) -> list[dict[str, Any]]:
    """The token's cluster at every k and affinity."""
    found = []
    for membership in memberships:
        cluster, clustering = membership.cluster, membership.cluster.clustering
        found.append({
            "cluster": cluster, "k": clustering.k, "affinity": clustering.affinity,
            "href": cluster_address(run.slug, clustering.k, cluster.label, clustering.affinity),
            "answer": cluster.top_answers[0][0] if cluster.top_answers else "",
        })  # fmt: skip
    return sorted(found, key=lambda rung: (Affinity.values.index(rung["affinity"]), rung["k"]))


def _rung(rung: dict[str, Any]) -> tuple[str, int, int, int, str, str]:
    cluster = rung["cluster"]
    return rung["affinity"], rung["k"], cluster.size, cluster.rank, rung["answer"], rung["href"]


def _ladder(rungs: list[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """The affinities that there are, and the token's cluster by k with one cell an affinity."""
    affinities = list(dict.fromkeys(rung["affinity"] for rung in rungs))
    cells = {(rung["k"], rung["affinity"]): rung for rung in rungs}
    ks = sorted({rung["k"] for rung in rungs})
    return affinities, [{"k": k, "cells": [cells.get((k, name)) for name in affinities]} for k in ks]


def _facts(ctx: dict[str, Any], rungs: list[dict[str, Any]]) -> dict[str, Any]:
    place, scores, paper = ctx["place"], ctx["scores"], ctx.get("paper")
    run: Run = ctx["run"]
    names = ("lm", "n_non_embedding", "step", "loss_nats")
    return {
        "index": ctx["index"],
        "document": place.document if place else None,
        "position": place.position if place else None,
        "answer": ctx["answer"] if place else None,
        "loss_nats": place.loss_nats if place else None,
        "scores": vars(scores),
        "paper": None if paper is None else vars(paper),
        "loss_over_parameters_nats": [
            {"lm": size["lm"], "n_non_embedding": size["n_non_embedding"], "loss_nats": float(loss)}
            for size, loss in zip(run.manifest["sizes"], ctx.get("losses", ()), strict=False)
        ],
        "curves": [dict(zip(names, row, strict=True)) for row in ctx["curve_rows"]],
        "clusters": [
            {"k": rung["k"], "affinity": rung["affinity"], "label": rung["cluster"].label,
             "rank": rung["cluster"].rank, "size": rung["cluster"].size}
            for rung in rungs
        ],
    }  # fmt: skip


token_urls = [
    *page("runs/<slug:slug>/tokens/<str:index>", show, "token"),
]
