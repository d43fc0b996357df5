"""The list of runs, and one run's overview."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponseBase, QueryDict

from clusters.charts import overview as figures
from clusters.charts.chart import Chart
from clusters.htmx import render_page
from clusters.models import Affinity, Run
from clusters.parameters import chosen, whole_number
from clusters.queries import runs as queries
from clusters.queries.access import may_manage, may_see
from clusters.queries.labels import names_of
from clusters.values.facts import FinalCheckpoint, RankCurves
from clusters.views import twins
from clusters.views.errors import NotFound
from clusters.views.overview_facts import citation, finished, lede, mean_loss_fact, provenance
from clusters.views.shown_settings import shown_manifest

LIST_HEAD = ("run", "name", "network", "revision", "clustered tokens", "ks", "mean loss, nats", "corpus", "created",
             "private", "archived")  # fmt: skip
CLUSTER_HEAD = ("rank", "cluster", "tokens", "documents", "answers", "commonest answer", "its share",
                "similarity within", "similarity across", "mean monogenicity")  # fmt: skip


def get_run(request: HttpRequest, slug: str) -> Run:
    """The run if this person may see it; otherwise a page that says so."""
    run = Run.objects.select_related("corpus", "checkpoint", "job", "owner").filter(slug=slug).first()
    if run is None or not may_see(request.user, run):
        raise NotFound(
            f"There is no run “{slug}”",
            advice="It may have been renamed, deleted, or made private. The list of runs shows those that you can see.",
        )
    return run


def clustering_choice(run: Run, query: QueryDict) -> tuple[str, int | None]:
    """The affinity and k that an address names, or the run's own; NotFound where the run has no such clustering."""
    affinity = chosen(query, "affinity", Affinity.values, queries.default_affinity(run))
    ks, text = queries.ks_of(run, affinity), query.get("k", "")
    if not text:
        return affinity, queries.default_k(run, affinity)
    k = whole_number(text)
    if k not in ks:
        raise NotFound(
            f"“{run.name}” has no {affinity} clustering at k = {text[:20]}",
            advice=f"It has k = {', '.join(map(str, ks)) or 'none'}.",
            href=run.get_absolute_url(),
            text=f"Overview of {run.name}",
        )
    return affinity, k


# ── the list ──


def index(request: HttpRequest, twin: str | None = None) -> HttpResponseBase:
    """Every visible run, newest first; what is being computed stands on top."""
    archived = chosen(request.GET, "show", ("current", "archived"), "current") == "archived"
    runs = list(queries.runs_for_list(request.user, archived=archived))
    ladders = queries.ladders(runs)
    rows = [_entry(run, ladders.get(run.pk)) for run in runs]
    if twin:
        records = [dict(zip(LIST_HEAD, _list_row(row), strict=True)) for row in rows]
        return twins.answer(
            twin, name="runs", payload={"runs": records}, head=LIST_HEAD, rows=(_list_row(row) for row in rows)
        )
    ctx = {
        "rows": rows,
        "is_archived": archived,
        "has_archived": archived or queries.has_archived(request.user),
        "jobs": [] if archived else queries.open_jobs(request.user),
        "here": "runs",
        **twins.links_context(request, "json", "csv", base="/runs"),
    }
    return render_page(request, "runs/list.html", ctx)


def _entry(run: Run, ladder: queries.Ladder | None) -> dict[str, Any]:
    if ladder is None:
        return {"run": run, "ks": [], "spark": None}
    return {"run": run, "ks": ladder.ks, "spark": figures.size_sparkline(ladder.sizes)}


def _list_row(row: dict[str, Any]) -> list[Any]:
    run, ks = row["run"], row["ks"]
    return [
        run.slug, run.name, run.checkpoint.lm, run.checkpoint.revision, run.n_tokens, " ".join(map(str, ks)),
        run.mean_loss_nats, run.corpus.name, run.created_at.isoformat(), run.is_private, bool(run.archived_at),
    ]  # fmt: skip


# ── one run ──


def overview(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """What a run is, its four first figures, and its largest clusters."""
    run = get_run(request, slug)
    affinity, k = clustering_choice(run, request.GET)
    finals = queries.final_checkpoints(run)
    curves = queries.rank_curves(run)
    charts = _charts(run, affinity, k, finals, curves)
    largest = queries.largest_clusters(run, affinity, k) if k else []
    if twin:
        head, rows = CLUSTER_HEAD, (_cluster_row(cluster) for cluster in largest)
        payload = _payload(request, run, affinity, k, [chart for chart in charts.values() if chart], largest)
        return twins.answer(
            twin, name=f"{run.slug}-overview", payload=payload, head=head, rows=rows,
            charts=[chart for chart in charts.values() if chart], figure=request.GET.get("figure"),
        )  # fmt: skip
    clustering = curves[affinity].at(k) if affinity in curves else None
    names = names_of(request.user, [cluster.pk for cluster in largest], are_seen=True) if largest else {}
    ctx = {
        "run": run,
        "here": "overview",
        "affinity": affinity,
        "affinities": queries.affinities_of(run),
        "k": k,
        "ks": queries.ks_of(run, affinity),
        "n_ladder": len(queries.ks_of(run, affinity)),
        "charts": charts,
        "clustering": clustering,
        "agreement": queries.agreement(run, k) if k else None,
        "largest": [{"cluster": cluster, "answers": cluster.top_answers[:4], "n_more": max(cluster.n_answers - 4, 0),
                     "name": names[cluster.pk].name if cluster.pk in names else f"cluster {cluster.label}"}
                    for cluster in largest],
        "is_scored": any(cluster.mean_monogenicity is not None for cluster in largest),
        "most": largest[0].size if largest else 0,
        "smallest": finals[0] if finals else None,
        "loss": mean_loss_fact(run, finals),
        "selection": run.manifest.get("selection", {}),
        "lede": lede(run),
        "finished": finished(run),
        "may_manage": may_manage(request.user, run),
        "provenance": provenance(run),
        "citation": citation(run, request.build_absolute_uri(run.get_absolute_url())),
        **twins.links_context(request, "json", "csv"),
    }  # fmt: skip
    return render_page(request, "runs/overview.html", ctx)


def _charts(
    run: Run, affinity: str, k: int | None, finals: list[FinalCheckpoint], curves: dict[str, RankCurves]
) -> dict[str, Chart | None]:
    """The four figures by name; None where the run has no numbers for one."""
    threshold = float(run.manifest.get("selection", {}).get("threshold_nats", 0.1))
    return {
        "scaling": figures.scaling_chart(finals, number=1),
        "losses": figures.distribution_chart(queries.with_histograms(run, finals), threshold, number=2),
        "ranks": figures.rank_chart(curves[affinity], k, number=3) if k and affinity in curves else None,
        "density": figures.density_chart(run.score_density, len(run.manifest.get("sizes", [])), number=4),
    }


def _payload(
    request: HttpRequest, run: Run, affinity: str, k: int | None, charts: list[Chart], largest: list[Any]
) -> dict[str, Any]:
    rows: Iterator[list[Any]] = (_cluster_row(cluster) for cluster in largest)
    return {
        "run": {"slug": run.slug, "name": run.name, "bundle_sha256": run.bundle_sha256, "n_tokens": run.n_tokens},
        "affinity": affinity,
        "k": k,
        "provenance": [{"name": fact["name"], "value": fact["value"]} for fact in provenance(run)],
        "manifest": shown_manifest(request.user, run),
        "figures": charts,
        "largest_clusters": [dict(zip(CLUSTER_HEAD, row, strict=True)) for row in rows],
    }


def _cluster_row(cluster: Any) -> list[Any]:
    answer = cluster.top_answers[0][0] if cluster.top_answers else ""
    return [
        cluster.rank, cluster.label, cluster.size, cluster.n_documents, cluster.n_answers, answer,
        cluster.dominant_share, cluster.similarity_within, cluster.similarity_across, cluster.mean_monogenicity,
    ]  # fmt: skip
