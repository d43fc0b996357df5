"""How far labelers agree."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import BadRequest
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Whole
from clusters.api.resource import One, Page, Resource, read_cursor, write_cursor
from clusters.forms.agreement import AgreementQuery
from clusters.forms.queues import Place
from clusters.models import Affinity
from clusters.views.agreement import HEAD, Found, disagreement_row, found_in, payload_of, scope_of

MAX_INT = 2**31 - 1
WHICH = ["first", "now"]


class MeasureSerializer(serializers.Serializer):
    measure = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True)
    how = serializers.CharField(read_only=True, help_text="Which coefficient, over which distance.")
    value = serializers.FloatField(read_only=True, allow_null=True, help_text="α, or a mean overlap.")
    low = serializers.FloatField(read_only=True, allow_null=True, help_text="95% bootstrap interval over clusters.")
    high = serializers.FloatField(read_only=True, allow_null=True)
    chance = serializers.FloatField(
        read_only=True, allow_null=True, help_text="Of an overlap: the same for labels of different clusters."
    )
    n = serializers.IntegerField(read_only=True, help_text="Clusters, or members, with two values or more.")
    undefined = serializers.CharField(read_only=True, help_text="Why there is no value; empty where there is one.")


class PairSerializer(serializers.Serializer):
    a = serializers.CharField(read_only=True)
    b = serializers.CharField(read_only=True)
    n = serializers.IntegerField(read_only=True, help_text="Clusters that both labeled.")
    n_kinds = serializers.IntegerField(read_only=True, help_text="Of these, where both say which kind it is.")
    same_kind = serializers.FloatField(read_only=True, allow_null=True)
    same_kind_low = serializers.FloatField(read_only=True, allow_null=True)
    same_kind_high = serializers.FloatField(read_only=True, allow_null=True)
    tags = serializers.FloatField(read_only=True, allow_null=True, help_text="Mean of 1 − MASI distance.")
    tags_low = serializers.FloatField(read_only=True, allow_null=True)
    tags_high = serializers.FloatField(read_only=True, allow_null=True)
    words = serializers.FloatField(read_only=True, allow_null=True, help_text="Mean Jaccard index of the words.")
    words_low = serializers.FloatField(read_only=True, allow_null=True)
    words_high = serializers.FloatField(read_only=True, allow_null=True)


class AgreementSerializer(serializers.Serializer):
    run = serializers.CharField(read_only=True)
    affinity = serializers.ChoiceField(Affinity.values, read_only=True)
    k = serializers.IntegerField(read_only=True)
    queue = serializers.IntegerField(read_only=True, allow_null=True)
    labels = serializers.ChoiceField(WHICH, read_only=True, help_text="As first submitted, or as they stand now.")
    n_labels = serializers.IntegerField(read_only=True)
    n_clusters = serializers.IntegerField(read_only=True)
    n_compared = serializers.IntegerField(read_only=True, help_text="Clusters that several people labeled.")
    people = serializers.ListField(child=serializers.CharField(), read_only=True)
    measures = MeasureSerializer(many=True, read_only=True)
    pairs = PairSerializer(many=True, read_only=True)


class ScopeParameters(One):
    queue = Whole(required=False, min_value=1, max_value=2**63 - 1)
    run = serializers.CharField(required=False, max_length=80, help_text="With k: every label of a clustering.")
    affinity = serializers.ChoiceField(Affinity.values, required=False, default=Affinity.SIGNED)
    k = Whole(required=False, min_value=1, max_value=MAX_INT)
    labels = serializers.ChoiceField(WHICH, required=False, default="first")


class Agreement(Resource):
    """Agreement over a queue or a clustering: for adjudicators, and for labelers once their part is in."""

    operation = "agreement"
    parameters, answers, is_personal = ScopeParameters, AgreementSerializer, True

    def get(self, request: Request) -> Response:
        found, asked = _found(request, self.asked)
        return self.one(payload_of(found, asked))


class DisagreementSerializer(serializers.Serializer):
    run = serializers.CharField(read_only=True)
    affinity = serializers.ChoiceField(Affinity.values, read_only=True)
    k = serializers.IntegerField(read_only=True)
    cluster = serializers.IntegerField(read_only=True)
    rank = serializers.IntegerField(read_only=True)
    size = serializers.IntegerField(read_only=True)
    labels = serializers.IntegerField(read_only=True)
    disagreement = serializers.FloatField(read_only=True, help_text="Mean of the three that follow, 0 to 1.")
    kind = serializers.FloatField(read_only=True)
    tags = serializers.FloatField(read_only=True)
    words = serializers.FloatField(read_only=True)
    kinds = serializers.CharField(read_only=True, help_text="What each person says, with spaces between.")


class DisagreementParameters(ScopeParameters, Page):
    """Which labels, page by page."""


class Disagreements(Resource):
    """Clusters that several people labeled, those they disagree on most first."""

    operation = "disagreements"
    parameters, answers, is_list, is_personal = DisagreementParameters, DisagreementSerializer, True, True

    def get(self, request: Request) -> Response:
        found, _ = _found(request, self.asked)
        [start] = read_cursor(self.asked.get("cursor"), _place) or [0]
        end = start + self.asked["limit"]
        rows = [dict(zip(HEAD, disagreement_row(one), strict=True)) for one in found.disagreements[start:end]]
        following = write_cursor([end]) if end < len(found.disagreements) else None
        return self.many(rows, next_cursor=following)


def _found(request: Request, sent: dict[str, Any]) -> tuple[Found, AgreementQuery]:
    queue, run, k = sent.get("queue"), sent.get("run"), sent.get("k")
    if queue is not None and (run or k is not None):
        raise BadRequest("Name a queue, or a run and its k; not both.")
    if queue is None and not (run and k is not None):
        raise BadRequest("Name a queue (queue=3), or a run and its k (run=demo&k=100).")
    place = Place(run, sent["affinity"], k) if run and k is not None else None
    asked = AgreementQuery(queue, place, sent["labels"])
    scope = scope_of(request.user, asked)
    if scope is None:
        raise BadRequest("Name a queue, or a run and its k.")
    return found_in(request.user, scope, asked), asked


def _place(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_INT:
        raise ValueError
    return value


urls = [
    path("agreement/", Agreement.as_view(), name="agreement"),
    path("agreement/disagreements/", Disagreements.as_view(), name="disagreements"),
]
