"""Exports: tables at once, files that a worker writes, and the links that lead to them."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from django.urls import path, reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.idempotency import idempotent
from clusters.api.renderers import FiniteJSONRenderer
from clusters.api.resource import Page, Parameters, Resource
from clusters.api.schema import ERROR, MEANINGS
from clusters.models import Export
from clusters.queries.clusters import visible_run
from clusters.queries.missing import Missing
from clusters.services import exports as services
from clusters.values.tables import TYPES
from clusters.views.twins import stream
from compute.models import Job

QUERY_HELP = "Narrows the table as its page's own query does: the finder's conditions for tokens, affinity and k else."
REFUSALS = ("400", "401", "403", "404", "406", "429", "503")


class ExportSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk", read_only=True)
    run = serializers.CharField(source="run.slug", read_only=True)
    kind = serializers.ChoiceField(choices=Export.Kind.values, read_only=True)
    format = serializers.ChoiceField(choices=Export.Format.values, read_only=True)
    query = serializers.CharField(read_only=True)
    job = serializers.IntegerField(source="job_id", read_only=True)
    state = serializers.ChoiceField(choices=Job.State.values, source="job.state", read_only=True)
    error = serializers.CharField(source="job.error", read_only=True)
    n_rows = serializers.IntegerField(read_only=True, allow_null=True)
    n_bytes = serializers.IntegerField(read_only=True, allow_null=True)
    sha256 = serializers.CharField(read_only=True, help_text="Of the file; empty until it is whole.")
    href = serializers.SerializerMethodField(
        help_text="Whoever has this link gets the file, without a key, until it expires; null until it is whole."
    )
    created_at = serializers.DateTimeField(read_only=True)
    expires_at = serializers.DateTimeField(read_only=True, allow_null=True)

    def get_href(self, export: Export) -> str | None:
        if not export.path:
            return None
        address = reverse("clusters:export-download", args=[services.signed(export)])
        return str(self.context["request"].build_absolute_uri(address))


class NewExportSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(choices=Export.Kind.values)
    format = serializers.ChoiceField(choices=Export.Format.values, help_text="“tar” of the archive; else the others.")
    query = serializers.CharField(max_length=2000, required=False, allow_blank=True, help_text=QUERY_HELP)


class Exports(Resource):
    """What you had written of a run, the latest first; a POST has another file written, at most five at a time."""

    parameters = Page
    answers = ExportSerializer
    accepts = NewExportSerializer
    is_list = True
    is_personal = True
    statuses = {"POST": (202,)}

    def get(self, request: Request, slug: str) -> Response:
        return self.paged(services.own_exports(request.user).filter(run=visible_run(request.user, slug)))

    @idempotent
    def post(self, request: Request, slug: str) -> Response:
        sent = self.sent()
        run = visible_run(request.user, slug)
        made = services.start_export(request.user, run, sent["kind"], sent["format"], sent.get("query", ""))
        export = _own(request, slug, made.pk)
        place = reverse("api:export", args=[slug, made.pk])
        return self.one(export, status=202, headers={"Location": request.build_absolute_uri(place)})


class ExportDetail(Resource):
    """One export: how far it is, and the link to its file once that is whole."""

    answers = ExportSerializer
    is_personal = True

    def get(self, request: Request, slug: str, number: int) -> Response:
        return self.one(_own(request, slug, number))

    def delete(self, request: Request, slug: str, number: int) -> Response:
        """Delete the file, or stop it being written; links to it lead nowhere from now on."""
        services.delete_export(request.user, _own(request, slug, number))
        return Response(status=204)


class _Text(BaseRenderer):
    """Says what kinds of text are answered; the texts themselves are streamed."""

    charset = None

    def __init__(self, media_type: str) -> None:
        self.media_type, self.format = media_type, media_type.rpartition("/")[2]

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        if renderer_context:
            renderer_context["response"]["Content-Type"] = "application/json"
        return FiniteJSONRenderer().render(data)


class TableParameters(Parameters):
    query = serializers.CharField(required=False, max_length=2000, help_text=QUERY_HELP)


def _answers_text(kind: str) -> Any:
    """A method's answers for the schema: text of this kind, or an error in JSON."""
    errors = {code: OpenApiResponse(ERROR, description=MEANINGS[code]) for code in REFUSALS}
    return extend_schema(responses={("200", kind): OpenApiTypes.STR, **errors})


class _ExportTable(Resource):
    """A whole table of the run, streamed. Its last line says how many rows there are: a cut download lacks it."""

    parameters = TableParameters
    kind_of_text = ""

    def get_renderers(self) -> list[Any]:
        return [FiniteJSONRenderer(), _Text(TYPES[self.kind_of_text].partition(";")[0])]

    def streamed(self, request: Request, slug: str, table: str) -> HttpResponseBase:
        if table not in services.table_kinds():
            raise Missing(f"There is no table “{table[:40]}”", f"There are {', '.join(services.table_kinds())}.")
        run = visible_run(request.user, slug)
        whole = services.table_of(request.user, run, table, self.asked.get("query", ""))
        return stream(request._request, whole, self.kind_of_text)


class ExportCsv(_ExportTable):
    """A whole table as CSV, streamed: clusters, memberships, clustered, tokens or labels. It ends “# end, n rows”."""

    kind_of_text = "csv"

    @_answers_text("text/csv")
    def get(self, request: Request, slug: str, table: str) -> HttpResponseBase:
        return self.streamed(request, slug, table)


class ExportJsonl(_ExportTable):
    """A whole table as JSON lines, streamed. Its last line is {"end": true, "rows": n}."""

    kind_of_text = "jsonl"

    @_answers_text("application/jsonl")
    def get(self, request: Request, slug: str, table: str) -> HttpResponseBase:
        return self.streamed(request, slug, table)


def _own(request: Request, slug: str, number: int) -> Export:
    found = None
    if number < 2**63:
        run = visible_run(request.user, slug)
        found = services.own_exports(request.user).filter(run=run, pk=number).first()
    if found is None:
        raise Missing(f"There is no export {str(number)[:20]}", "It has expired, was deleted, or is someone else’s.")
    return found


urls = [
    path("runs/<slug:slug>/exports/", Exports.as_view(), name="exports"),
    path("runs/<slug:slug>/exports/<int:number>/", ExportDetail.as_view(), name="export"),
    path("runs/<slug:slug>/exports/<str:table>.csv", ExportCsv.as_view(), name="export-csv"),
    path("runs/<slug:slug>/exports/<str:table>.jsonl", ExportJsonl.as_view(), name="export-jsonl"),
]
