"""Text that somebody pastes: its losses, and the clusters that its tokens' gradients fall nearest to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from clusters.charts import probe as charts
from clusters.contexts import Reader, has_text, loss_shade
from clusters.display import display_tokens, token_label
from clusters.forms.probe import EXAMPLES, ProbeForm, ProbeQuery, probe_query
from clusters.htmx import render_page
from clusters.models import Affinity, Run
from clusters.parameters import changed, selected_token
from clusters.queries import probe as reads
from clusters.queries.clusters import ladder, visible_run
from clusters.queries.probe import Answer, NearCluster
from clusters.queries.runs import default_k
from clusters.services import probe as services
from clusters.stored.arrays import vocabulary_of
from clusters.views.addresses import cluster_address
from clusters.views.shown_settings import text_filter
from clusters.views.twins import answer, links_context, page
from compute.jobs.probes import MAX_CHARACTERS
from compute.jobs.progress import progress_of
from compute.models import Job
from compute.steps.probe import MAX_CHOSEN

N_CLUSTERS, N_CONTEXTS, CONTEXT_TOKENS = 8, 5, 24


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """The form; with `?job=`, what was found, or how far the worker is."""
    run = visible_run(request.user, slug)
    if request.method == "POST":
        return _ask(request, run)
    ks = ladder(run)
    asked = probe_query(request.GET, ks, [size["lm"] for size in run.manifest["sizes"]])
    job = reads.probe_job(request.user, run, asked.job) if asked.job else None
    found = _found(request, run, job, asked, ks) if job is not None else {}
    if twin:
        payload = _payload(run, job, asked, found)
        return answer(
            twin, name=f"{slug}-probe", payload=payload, head=_head(found), rows=_rows(run, found),
            charts=[chart for chart in [found.get("chart")] if chart], figure=request.GET.get("figure"),
        )  # fmt: skip
    text = job.probe.text if job is not None else EXAMPLES[asked.example][1] if asked.example else ""
    shared = {"is_shared": job is not None and not job.is_private}
    ctx = _page(request, run, ProbeForm(initial={"text": text} | shared)) | {"asked": asked, "job": job} | found
    return render_page(request, "runs/probe.html", ctx, fragment="runs/_probe_answer.html")


def _ask(request: HttpRequest, run: Run) -> HttpResponse:
    """Queue a text, and go where its answer will be."""
    here = reverse("clusters:probe", args=[run.slug])
    if not request.user.is_authenticated:
        return redirect_to_login(here)
    form = ProbeForm(request.POST)
    if form.is_valid():
        values = form.cleaned_data
        try:
            job = services.start_probe(
                request.user, run, values["text"], values["chosen"], is_shared=values["is_shared"]
            )
        except ValidationError as error:
            form.add_error(None, error)
        else:
            at = request.POST.get("at", "")
            return redirect(changed(here, QueryDict(f"job={job.pk}"), at=at if at.isdecimal() else None))
    asked = probe_query(QueryDict(), {}, [])
    return render_page(request, "runs/probe.html", _page(request, run, form) | {"asked": asked}, status=422)


@require_POST
def delete(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Remove one's text and its answer."""
    run = visible_run(request.user, slug)
    here = reverse("clusters:probe", args=[run.slug])
    if not request.user.is_authenticated:
        return redirect_to_login(here)
    services.delete_probe(request.user, reads.probe_job(request.user, run, number))
    messages.success(request, "The text and its answer are deleted.")
    return redirect(here)


def _page(request: HttpRequest, run: Run, form: ProbeForm) -> dict[str, Any]:
    """What the page shows with any answer or none."""
    may, reason = services.may_probe(request.user), reads.why_not(run)
    return {
        "run": run, "here": "probe", "form": form, "why_not": reason, "may_probe": may,
        "not_allowed": services.NOT_ALLOWED, "may_ask": may and not reason,
        "examples": [{"key": key, "text": name} for key, (name, _) in EXAMPLES.items()],
        "most_characters": MAX_CHARACTERS, "max_length": run.corpus.max_length, "most_chosen": MAX_CHOSEN,
        "earlier": reads.own_probes(request.user, run),
    } | links_context(request, "json", "csv")  # fmt: skip


def _found(request: HttpRequest, run: Run, job: Job, asked: ProbeQuery, ks: dict[str, list[int]]) -> dict[str, Any]:
    """How the job stands; once it is done, everything about the text and about one token of it."""
    ctx: dict[str, Any] = {"may_delete": services.may_delete(request.user, job), "state": job.state}
    if job.state != Job.State.SUCCEEDED or job.probe.facts is None:
        progress = progress_of(job)
        done = progress.current
        return ctx | {
            "state": progress.state, "is_open": job.is_open, "n_ahead": progress.n_ahead,
            "share": round(100 * done.share) if done and done.n_total > 1 else 0,
            "error": text_filter(request.user, job)(job.error),
        }  # fmt: skip
    found = Answer(job.probe)
    at = asked.at or (found.chosen[0] if found.chosen else 1)
    if at > found.n_predicted:
        raise BadRequest(f"at is {at}; the text’s tokens are predicted at positions 1 to {found.n_predicted}.")
    own = [size["n_non_embedding"] for size in found.networks]
    label = token_label(vocabulary_of(run), found.token_ids[at])
    factor = 1 / math.log(2) if asked.unit == "bits" else 1.0
    return ctx | {
        "found": found, "at": at, "token": label, "boxes": list(_boxes(request, run, found, asked, at)),
        "chart": charts.curve(own, found.curve_at(at), found.scores_at(at), label, asked.unit),
        "loss": found.clustered_losses[at - 1] * factor,
        "mean_loss": sum(found.clustered_losses) / found.n_predicted * factor,
        "n_below": sum(loss < _threshold(run) for loss in found.clustered_losses), "threshold": _threshold(run),
        "shade_choices": [network["lm"] for network in found.networks],
        "again": _again(found, at),
        "sketch_error": 1 / math.sqrt(run.manifest["probe"]["size"]),
    } | _near(request, run, found, asked, at, ks)  # fmt: skip


def _near(
    request: HttpRequest, run: Run, found: Answer, asked: ProbeQuery, at: int, ks: dict[str, list[int]]
) -> dict[str, Any]:
    """Clusters and contexts nearest to one token's gradient, where it has one."""
    cosines = found.cosines_at(at)
    is_chosen = at in found.chosen
    if cosines is None:
        return {"is_chosen": is_chosen, "has_gradient": False}
    affinity = asked.affinity if asked.affinity in ks else next(iter(ks), asked.affinity)
    k = asked.k or default_k(run, affinity)
    clusters: list[NearCluster] = []
    if k is not None:
        clustering = run.clusterings.get(affinity=affinity, k=k)
        clusters = reads.nearest_clusters(run, clustering, cosines, N_CLUSTERS)
    return {
        "is_chosen": is_chosen, "has_gradient": True, "k": k, "affinity": affinity, "ks": ks.get(affinity, []),
        "affinities": list(ks), "n_compared": len(cosines),
        "near_clusters": [
            {"near": near, "href": cluster_address(run.slug, k or 0, near.cluster.label, affinity)}
            for near in clusters
        ],
        "finding": _finding(clusters, affinity),
        "near_contexts": _contexts(request, run, reads.nearest_tokens(run, cosines, N_CONTEXTS)),
    }  # fmt: skip


def _finding(clusters: Sequence[NearCluster], affinity: str) -> str:
    if not clusters:
        return ""
    best = clusters[0]
    within = best.cluster.similarity_within if affinity == Affinity.SIGNED else None
    return charts.finding(best.cluster.label, best.cosine, within)


def _contexts(request: HttpRequest, run: Run, near: Sequence[tuple[int, float]]) -> list[dict[str, Any]]:
    if not has_text(run):
        return []
    reader, selected = Reader(run), selected_token(request.GET)
    places = reader.places([index for index, _ in near])
    return [
        {"one": reader.context(place, CONTEXT_TOKENS), "place": place, "cosine": cosine, "is_on": index == selected}
        for place, (index, cosine) in zip(places, near, strict=True)
    ]


def _boxes(request: HttpRequest, run: Run, found: Answer, asked: ProbeQuery, at: int) -> Iterator[dict[str, Any]]:
    """Every token of the text as a link to itself, shaded by its loss under one network."""
    vocabulary = vocabulary_of(run)
    names = [network["lm"] for network in found.networks]
    column = found.losses[names.index(asked.under)] if asked.under in names else found.clustered_losses
    shown = display_tokens(vocabulary, found.token_ids)
    for position, (token_id, text) in enumerate(zip(found.token_ids, shown, strict=True)):
        loss = column[position - 1] if position else None
        label = token_label(vocabulary, token_id, limit=40).replace(" ", "␣")
        said = "not predicted: nothing stands before it" if loss is None else f"{loss:.3f} nats"
        css = ["t", loss_shade(loss)] if loss is not None else ["t"]
        css += ["clustered"] if position in found.chosen else []
        css += ["picked"] if position == at else []
        yield {
            "css": " ".join(css), "lines": text.lines, "ends_line": bool(text.lines) and text.lines[-1].endswith("⏎"),
            "href": changed(request.path, request.GET, at=position) if position else "", "is_on": position == at,
            "tip": f"{label}   id {token_id}   position {position}\n{said}", "position": position,
            "spoken": "" if text.text.strip() else label,
        }  # fmt: skip


def _again(found: Answer, at: int) -> str:
    """The positions of a new probe that asks about this token, too."""
    kept = [position for position in found.chosen if position != at][-(MAX_CHOSEN - 1) :]
    return ",".join(map(str, sorted([*kept, at])))


def _threshold(run: Run) -> float:
    return float(run.manifest["selection"]["threshold_nats"])


def _head(found: dict[str, Any]) -> list[str]:
    networks = found["found"].networks if "found" in found else []
    return ["position", "token_id", "token", *(f"loss_nats {network['lm']}" for network in networks)]


def _rows(run: Run, found: dict[str, Any]) -> Iterator[list[Any]]:
    """One row a predicted token."""
    if "found" not in found:
        return
    told: Answer = found["found"]
    for position in range(1, len(told.token_ids)):
        token_id = told.token_ids[position]
        yield [position, token_id, token_label(vocabulary_of(run), token_id), *told.curve_at(position).tolist()]


def _payload(run: Run, job: Job | None, asked: ProbeQuery, found: dict[str, Any]) -> dict[str, Any]:
    if job is None:
        return {"job": None, "why_not": reads.why_not(run)}
    told: Answer | None = found.get("found")
    payload: dict[str, Any] = {"job": job.pk, "state": found["state"], "error": found.get("error", "")}
    if told is None:
        return payload
    head = _head(found)
    return payload | {
        "networks": told.networks,
        "skipped": told.skipped,
        "tokens": [dict(zip(head, row, strict=True)) for row in _rows(run, found)],
        "chosen": told.chosen,
        "at": found["at"],
        "k": found.get("k"),
        "affinity": found.get("affinity"),
        "nearest_clusters": [
            {"label": n.cluster.label, "rank": n.cluster.rank, "size": n.cluster.size, "mean_cosine": n.cosine,
             "centroid_cosine": n.centroid, "highest_cosine": n.highest}
            for n in (row["near"] for row in found.get("near_clusters", []))
        ],
        "nearest_tokens": [
            {"index": near["place"].index, "document": near["place"].document, "position": near["place"].position,
             "cosine": near["cosine"]}
            for near in found.get("near_contexts", [])
        ],
    }  # fmt: skip


probe_urls: list[URLPattern] = [
    *page("runs/<slug:slug>/probe", show, "probe"),
    path("runs/<slug:slug>/probe/<str:number>/delete/", delete, name="probe-delete"),
]
