"""A page's machine-readable twins: its address without the last slash, plus `.json`, `.csv` or `.svg`.

`/runs/demo/rank-frequency/?affinity=absolute` has `/runs/demo/rank-frequency.json?affinity=absolute`. In urls.py:

    *page("runs/<slug:slug>/rank-frequency", rank_frequency.show, "rank-frequency")

calls `show(request, slug, twin=None)` for the page and with twin="json" | "csv" | "svg" for a twin (route name
"rank-frequency-twin"). The view makes one payload and ends with

    if twin:
        return answer(twin, name="demo-rank-frequency", payload=payload, head=[…], rows=…, charts=charts,
                      figure=request.GET.get("figure"))

`?figure=<slug>` narrows `.csv` and `.svg` to one chart, and `.html` is that chart as a fragment, for loading it later.
Templates get their links from `links_context(request, "json", "csv")`: `ctx["twins"]`, and `ctx["twin_path"]` for the
downloads under each chart.

The page's own address with `?embed=true&figure=<slug>` shows one chart alone, for frames on other sites: it knows
nobody, so it shows what everybody may see, reads no cookie and sets none. `panels={"contexts": (template, ctx)}`
makes more than charts embeddable.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.response import SimpleTemplateResponse
from django.urls import URLPattern, path, register_converter

from clusters.charts.chart import Chart
from clusters.charts.standalone import standalone_svg
from clusters.values.tables import TYPES, Table, chunks, csv_end, finite, safe_cell

THEMES = ("light", "dark")


class TwinConverter:
    regex = "json|csv|svg|html"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(TwinConverter, "twin")


def page(route: str, view: Callable[..., HttpResponseBase], name: str, *, twin_route: str = "") -> list[URLPattern]:
    """The routes of a page and of its twins."""
    return [
        path(f"{route}/" if route else "", _embeddable(view), name=name),
        path(f"{twin_route or route}.<twin:twin>", _placed(view), name=f"{name}-twin"),
    ]


def _placed(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The view; a figure that it answers alone learns where its page is."""

    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        if isinstance(response, SimpleTemplateResponse):
            ctx = links_context(request, base=request.path.rstrip("/").removesuffix(".html"))
            page_path = f"{ctx['twin_path']}/" + (f"?{ctx['twin_query']}" if ctx["twin_query"] else "")
            theme = request.GET.get("theme", "")
            ctx |= {"request": request, "theme": theme if theme in THEMES else "auto"}
            own = response.context_data or {}
            response.context_data = own | ctx | {"page_href": request.build_absolute_uri(page_path)}
        return response

    return shown


def _embeddable(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The view; with `?embed=true` its answer for frames on other sites, which knows nobody."""

    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.GET.get("embed") != "true" or request.method not in ("GET", "HEAD"):
            return view(request, *args, **kwargs)
        request.user = AnonymousUser()
        request.COOKIES.clear()
        request.is_embedded = True  # type: ignore[attr-defined]
        response: Any = _placed(view)(request, *args, **kwargs, twin="embed")
        response.xframe_options_exempt = True
        response._csp_replace = {"frame-ancestors": ["*"]}
        return response

    return shown


def drawn(makers: Mapping[str, Callable[[], Chart | None]], figure: str | None, *panels: str) -> list[Chart]:
    """The figure that was asked for, by slug, or all that there are; 404 with their names where it is none of them."""
    if not figure:
        return [chart for make in makers.values() if (chart := make())]
    if figure in panels:
        return []
    if figure not in makers:
        raise _no_figure(figure, [*makers, *panels])
    chart = makers[figure]()
    if chart is None:
        raise Http404(f"There is nothing to draw here as “{figure}”.")
    return [chart]


def links_context(request: HttpRequest, *twins: str, base: str = "") -> dict[str, Any]:
    """What templates need to link to this page's twins: `twins`, `twin_path`, `twin_query`."""
    stem = base or request.path.rstrip("/")
    query = request.GET.copy()
    for name in ("figure", "embed", "tour"):
        query.pop(name, None)
    tail = f"?{query.urlencode()}" if query else ""
    return {
        "twins": [{"text": f".{twin}", "href": f"{stem}.{twin}{tail}"} for twin in twins],
        "twin_path": stem,
        "twin_query": query.urlencode(),
    }


def answer(
    twin: str,
    *,
    name: str,
    payload: object,
    head: Sequence[str] | None = None,
    rows: Iterable[Sequence[object]] | None = None,
    charts: Sequence[Chart] = (),
    figure: str | None = None,
    panels: Mapping[str, tuple[str, dict[str, Any]]] | None = None,
) -> HttpResponseBase:
    """Answer the twin asked for, or 404 where the page has none of that kind."""
    if twin == "json":
        return json_response(payload)
    if twin in ("html", "embed"):
        return _alone(twin, charts, figure or "", panels or {})
    if figure:
        chart = _chosen(charts, figure)
        name = name if name.endswith(figure) else f"{name}-{figure}"
        if twin == "svg":
            return _named(HttpResponse(standalone_svg(chart), content_type="image/svg+xml"), f"{name}.svg")
        return csv_response(f"{name}.csv", chart["table"]["head"], chart["table"]["rows"])
    if twin == "csv" and head is not None and rows is not None:
        return csv_response(f"{name}.csv", head, rows)
    raise Http404(f"This page has no .{twin}; name a figure (?figure=…) or ask for .json.")


def _alone(
    twin: str, charts: Sequence[Chart], figure: str, panels: Mapping[str, tuple[str, dict[str, Any]]]
) -> SimpleTemplateResponse:
    """One figure or panel: as a fragment of its page, or as a page of its own that other sites may frame."""
    template = "charts/embed.html" if twin == "embed" else "charts/alone.html"
    if figure in panels:
        name, ctx = panels[figure]
        return SimpleTemplateResponse(template, ctx | {"panel": name, "is_embedded": twin == "embed"})
    chart = _chosen(charts, figure, *panels)
    return SimpleTemplateResponse(template, {"chart": chart, "is_embedded": twin == "embed"})


def json_response(payload: object) -> HttpResponse:
    """JSON that every parser reads: numbers that are none become null."""
    text = json.dumps(finite(payload), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return HttpResponse(text, content_type="application/json; charset=utf-8")


def csv_response(
    filename: str, head: Sequence[str], rows: Iterable[Sequence[object]], *, end: str | None = None
) -> HttpResponseBase:
    """A table whose cells no spreadsheet takes for a formula: streamed as its rows are read, or whole if all are there.

    With `end`, the last line counts the rows and says this of them, so that a cut download is noticed; texts stand in
    quotes then, for "#" begins a comment.
    """
    lines, kind = _csv_lines(head, rows, end), TYPES["csv"]
    if isinstance(rows, Sequence):
        return _named(HttpResponse("".join(lines), content_type=kind), filename)
    return _named(StreamingHttpResponse(lines, content_type=kind), filename)


def stream(request: HttpRequest, table: Table, form: str) -> HttpResponseBase:
    """A whole table as it is read, in the memory of one block; `form` is "csv" or "jsonl"."""
    body = iter(()) if request.method == "HEAD" else chunks(table, form)
    return _named(StreamingHttpResponse(body, content_type=TYPES[form]), f"{table.name}.{form}")


class _Line:
    def write(self, text: str) -> str:
        return text


def _csv_lines(head: Sequence[str], rows: Iterable[Sequence[object]], end: str | None) -> Iterator[str]:
    writer = csv.writer(_Line(), quoting=csv.QUOTE_MINIMAL if end is None else csv.QUOTE_NONNUMERIC)
    yield writer.writerow([safe_cell(cell) for cell in head])
    n = 0
    for row in rows:
        n += 1
        yield writer.writerow([safe_cell(cell) for cell in row])
    if end is not None:
        yield csv_end(n, end)


def _chosen(charts: Sequence[Chart], slug: str, *others: str) -> Chart:
    for chart in charts:
        if chart["slug"] == slug:
            return chart
    raise _no_figure(slug, [*(chart["slug"] for chart in charts), *others])


def _no_figure(slug: str, known: Sequence[str]) -> Http404:
    return Http404(f"This page has no figure “{slug}”. Its figures: {', '.join(known) or 'none'}.")


def _named(response: Any, filename: str) -> Any:
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response
