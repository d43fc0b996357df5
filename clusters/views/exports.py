"""Files of a run: tables streamed at once, files that a worker writes, and the links that lead to them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from clusters.forms.exports import ExportForm
from clusters.htmx import render_page
from clusters.models import Cluster, Export, Run
from clusters.parameters import changed, whole_number
from clusters.queries.clusters import ladder, visible_run
from clusters.queries.exports import has_tokens
from clusters.queries.labels import visible_labels
from clusters.queries.missing import Missing
from clusters.services import exports as services
from clusters.values.tables import TYPES, Table
from clusters.views.job_story import STATUS
from clusters.views.ranges import ranged
from clusters.views.twins import answer, links_context, page, stream

Kind = Export.Kind
TITLES = {
    Kind.CLUSTERS: ("Clusters", "One row a cluster: rank, size, answers, similarity, mean curve."),
    Kind.MEMBERSHIPS: ("Memberships", "One row a token and clustering: its cluster’s label and rank."),
    Kind.CLUSTERED: ("Clustered tokens", "One row a clustered token: scores, losses, its label at every k."),
    Kind.TOKENS: ("Tokens", "One row a prediction of the corpus: where it stands, scores, loss of every size."),
    Kind.LABELS: ("Labels", "What people say of clusters, as far as you may see it: names, tags, authors, history."),
}
EXPORT_HEAD = ("id", "kind", "format", "state", "n_rows", "n_bytes", "sha256", "created_at", "expires_at", "href")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest, slug: str, twin: str | None = None) -> HttpResponseBase:
    """What can be had of a run, and what this person had made of it; a POST asks for a file."""
    run = visible_run(request.user, slug)
    if request.method == "POST":
        return _start(request, run)
    return _page(request, run, twin)


@require_safe
@gzip_page
def table(request: HttpRequest, slug: str, name: str) -> HttpResponseBase:
    """One table of the run, whole, as it is read."""
    run = visible_run(request.user, slug)
    kind, _, form = name.partition(".")
    if form not in TYPES or kind not in TITLES:
        raise Missing(f"There is no “{name[:60]}” here", f"There are {', '.join(TITLES)}, each as .csv and .jsonl.")
    return stream(request, services.table_of(request.user, run, kind, request.GET.urlencode()), form)


@require_POST
def delete(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    address = reverse("clusters:exports", args=[slug])
    if not request.user.is_authenticated:
        return redirect_to_login(address)
    run = visible_run(request.user, slug)
    export = services.own_exports(request.user).filter(run=run, pk=whole_number(number) or 0).first()
    if export is None:
        raise Missing("There is no such export", "It has expired, was deleted, or is someone else’s.")
    services.delete_export(request.user, export)
    messages.success(request, "The export is deleted. Links to it lead nowhere from now on.")
    return HttpResponseRedirect(address)


@never_cache
@require_safe
def download(request: HttpRequest, signed: str) -> HttpResponseBase:
    """The file that a signed link leads to, for whoever has the link; parts of it where they are asked for."""
    try:
        export = services.opened(signed)
    except services.LinkExpired as error:
        return render(request, "exports/gone.html", {"reason": str(error)}, status=410)
    return ranged(request, services.file_of(export), tag=export.sha256)


def _start(request: HttpRequest, run: Run) -> HttpResponseBase:
    address = reverse("clusters:exports", args=[run.slug])
    if not request.user.is_authenticated:
        return redirect_to_login(address)
    form = ExportForm(request.POST)
    problem = ""
    if not form.is_valid():
        problem = " ".join(str(message) for found in form.errors.values() for message in found)
    else:
        kind, suffix = form.cleaned_data["what"]
        try:
            services.start_export(request.user, run, kind, suffix, form.cleaned_data["query"])
        except (ValidationError, BadRequest) as error:
            problem = " ".join(map(str, error.messages)) if isinstance(error, ValidationError) else str(error)
    if problem:
        return _page(request, run, None, problem=problem, status=422)
    messages.success(request, "A worker writes the file; it appears below when it is whole.")
    return HttpResponseRedirect(f"{changed(address, request.GET)}#made")


def _page(
    request: HttpRequest, run: Run, twin: str | None, *, problem: str = "", status: int = 200
) -> HttpResponseBase:
    own = list(services.own_exports(request.user).filter(run=run))
    rows = [_row(request, export) for export in own]
    tables = _tables(request, run)
    if twin:
        payload = {"run": run.slug, "tables": tables, "exports": [_facts(row) for row in rows]}
        listed = [list(_facts(row).values()) for row in rows]
        return answer(twin, name=f"{run.slug}-exports", payload=payload, head=EXPORT_HEAD, rows=listed)
    ks = ladder(run)
    ctx = {
        "run": run, "here": "exports", "tables": tables, "rows": rows, "problem": problem,
        "is_open": any(export.job.is_open for export in own), "days": settings.EXPORT_DAYS, "most": services.MOST_LIVE,
        "n_live": services.live_exports(request.user).count() if request.user.is_authenticated else 0,
        "affinities": list(ks), "ks": sorted({k for own_ks in ks.values() for k in own_ks}),
        "affinity": request.GET.get("affinity", ""), "k": request.GET.get("k", ""),
        "kept": [(name, value) for name, values in _finder_query(request).lists() for value in values],
        "finder_query": _finder_query(request).urlencode(), "bundle_bytes": run.n_bytes,
        "chosen": request.POST.get("what", ""), **links_context(request, "json"),
    }  # fmt: skip
    return render_page(request, "exports/show.html", ctx, fragment="exports/_list.html", status=status)


def _tables(request: HttpRequest, run: Run) -> list[dict[str, Any]]:
    """Every table with its columns, its number of rows, and where it is."""
    found = []
    for kind, (title, what) in TITLES.items():
        query = _query_of(request, kind)
        entry: dict[str, Any] = {"kind": kind, "title": title, "what": what, "query": query, "why_not": ""}
        if kind in (Kind.TOKENS, Kind.CLUSTERED) and not has_tokens(run):
            found.append(entry | {"why_not": "This run came without its corpus; compute it here to have its tokens."})
            continue
        whole = services.table_of(request.user, run, kind, query)
        address = f"{reverse('clusters:exports', args=[run.slug])}{kind}"
        found.append(entry | {
            "n_rows": whole.n_rows if whole.n_rows is not None else _count(request, run, kind),
            "columns": [vars(column) for column in whole.columns], "n_columns": len(whole.columns),
            "csv": _with(f"{address}.csv", query), "jsonl": _with(f"{address}.jsonl", query),
            "is_narrowed": bool(query), "is_long": _is_long(whole),
        })  # fmt: skip
    return found


def _is_long(whole: Table) -> bool:
    return (whole.n_rows or 0) > 1_000_000


def _with(address: str, query: str) -> str:
    return f"{address}?{query}" if query else address


def _query_of(request: HttpRequest, kind: str) -> str:
    """The part of the page's query that narrows this table."""
    if kind == Kind.LABELS:
        return ""
    if kind == Kind.TOKENS:
        return _finder_query(request).urlencode()
    query = QueryDict(mutable=True)
    for name in ("affinity", "k"):
        if value := request.GET.get(name):
            query[name] = value
    return query.urlencode()


def _finder_query(request: HttpRequest) -> QueryDict:
    query = request.GET.copy()
    for name in ("affinity", "k"):
        query.pop(name, None)
    return query


def _count(request: HttpRequest, run: Run, kind: str) -> int:
    if kind == Kind.LABELS:
        return visible_labels(request.user).filter(cluster__clustering__run=run).count()
    clusters = Cluster.objects.filter(clustering__run=run)
    if affinity := request.GET.get("affinity"):
        clusters = clusters.filter(clustering__affinity=affinity)
    if k := whole_number(request.GET.get("k", "")):
        clusters = clusters.filter(clustering__k=k)
    return clusters.count()


def _row(request: HttpRequest, export: Export) -> dict[str, Any]:
    job = export.job
    href = reverse("clusters:export-download", args=[services.signed(export)]) if export.path else ""
    return {
        "export": export, "job": job, "status": STATUS[job.state], "state": job.state,
        "link": request.build_absolute_uri(href) if href else "", "error": job.error,
        "left": export.expires_at - timezone.now() if export.expires_at else None,
    }  # fmt: skip


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    export: Export = row["export"]
    times = [moment.isoformat() if moment else None for moment in (export.created_at, export.expires_at)]
    values = (export.pk, export.kind, export.format, row["state"], export.n_rows, export.n_bytes, export.sha256,
              *times, row["link"] or None)  # fmt: skip
    return dict(zip(EXPORT_HEAD, values, strict=True))


export_urls: list[URLPattern] = [
    *page("runs/<slug:slug>/exports", show, "exports"),
    path("runs/<slug:slug>/exports/<str:number>/delete/", delete, name="export-delete"),
    path("runs/<slug:slug>/exports/<str:name>", table, name="export-table"),
    path("exports/<str:signed>/", download, name="export-download"),
]
