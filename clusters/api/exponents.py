"""Scaling exponents: of studies, of runs and experiments here, and those that people enter."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Number, Whole
from clusters.api.idempotency import idempotent
from clusters.api.permissions import LABEL
from clusters.api.resource import Page, Resource, read_cursor, write_cursor
from clusters.models import Study
from clusters.queries import exponents as reads
from clusters.services import exponents as services
from clusters.values.exponents import ORIGINS, Measurement


class ExponentSerializer(serializers.Serializer):
    id = serializers.IntegerField(read_only=True, allow_null=True, help_text="Of your own entries.")
    origin = serializers.ChoiceField(list(ORIGINS), read_only=True)
    source = serializers.CharField(read_only=True)
    task = serializers.CharField(read_only=True)
    year = serializers.IntegerField(read_only=True, allow_null=True)
    domain = serializers.CharField(read_only=True)
    alpha_n = serializers.FloatField(read_only=True, allow_null=True, help_text="Of loss in parameters.")
    alpha_d = serializers.FloatField(read_only=True, allow_null=True, help_text="In data.")
    alpha_s = serializers.FloatField(read_only=True, allow_null=True, help_text="In training steps.")
    interval_n = serializers.ListField(
        child=serializers.FloatField(), read_only=True, allow_null=True, help_text="95%, of what was fitted here."
    )
    interval_d = serializers.ListField(child=serializers.FloatField(), read_only=True, allow_null=True)
    interval_s = serializers.ListField(child=serializers.FloatField(), read_only=True, allow_null=True)
    predicted_alpha_d = serializers.FloatField(read_only=True, allow_null=True, help_text="alpha_n / (1 + alpha_n).")
    is_below_diagonal = serializers.BooleanField(read_only=True, allow_null=True, help_text="alpha_d < alpha_n.")
    dimension = serializers.ListField(
        child=serializers.FloatField(allow_null=True), read_only=True, allow_null=True,
        help_text="4 / alpha_n with the ends of its interval: manifold theory’s reading.",
    )  # fmt: skip
    note = serializers.CharField(read_only=True)
    link = serializers.CharField(read_only=True)

    def to_representation(self, row: Measurement) -> dict[str, Any]:
        said = row.as_json()
        return {"id": said.pop("pk"), **said}


class ExponentChangeSerializer(serializers.Serializer):
    name = serializers.CharField(required=False, max_length=services.LENGTHS["name"])
    year = Whole(required=False, allow_null=True)
    domain = serializers.CharField(required=False, allow_blank=True, max_length=services.LENGTHS["domain"])
    alpha_n = Number(required=False, allow_null=True)
    alpha_d = Number(required=False, allow_null=True)
    alpha_s = Number(required=False, allow_null=True)
    note = serializers.CharField(required=False, allow_blank=True, max_length=services.LENGTHS["note"])
    link = serializers.CharField(required=False, allow_blank=True, max_length=services.LENGTHS["link"])
    is_shared = serializers.BooleanField(required=False, help_text="Whether everybody may see it.")


class NewExponentSerializer(ExponentChangeSerializer):
    """An entry: a name, and one exponent at least."""

    name = serializers.CharField(max_length=services.LENGTHS["name"])


class ExponentParameters(Page):
    origin = serializers.ChoiceField(list(ORIGINS), required=False)
    domain = serializers.CharField(required=False, max_length=services.LENGTHS["domain"])


class Exponents(Resource):
    """Exponents that you may see: published ones first, then entries, runs and experiments. POST adds an entry."""

    parameters, accepts, answers = ExponentParameters, NewExponentSerializer, ExponentSerializer
    is_list, scope = True, LABEL

    def get(self, request: Request) -> Response:
        rows = [
            row for row in reads.measurements(request.user)
            if self.asked.get("origin") in (None, row.origin) and self.asked.get("domain") in (None, row.domain)
        ]  # fmt: skip
        place = read_cursor(self.asked.get("cursor"), int)
        first = max(place[0], 0) if place else 0
        last = first + self.asked["limit"]
        return self.many(rows[first:last], next_cursor=write_cursor([last]) if last < len(rows) else None)

    @idempotent
    def post(self, request: Request) -> Response:
        study = services.add_study(request.user, **self.sent())
        location = request.build_absolute_uri(f"{request.path}{study.pk}/")
        return self.one(_own(request, study), status=201, headers={"Location": location})


class ExponentDetail(Resource):
    """One entry. PATCH changes yours, DELETE removes it."""

    accepts, answers, scope = ExponentChangeSerializer, ExponentSerializer, LABEL

    def get(self, request: Request, pk: int) -> Response:
        return self.one(_own(request, reads.visible_study(request.user, pk)))

    def patch(self, request: Request, pk: int) -> Response:
        study = reads.visible_study(request.user, pk)
        return self.one(_own(request, services.change_study(request.user, study, **self.sent())))

    def delete(self, request: Request, pk: int) -> Response:
        services.delete_study(request.user, reads.visible_study(request.user, pk))
        return Response(status=204)


def _own(request: Request, study: Study) -> Measurement:
    return reads.as_measurement(request.user, study)


urls = [
    path("exponents/", Exponents.as_view(), name="exponents"),
    path("exponents/<int:pk>/", ExponentDetail.as_view(), name="exponent"),
]
