"""What runs are made of: suites, their checkpoints, and corpora."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.resource import Page, Resource, read_cursor, write_cursor
from clusters.models import Checkpoint, Corpus, RunCheckpoint
from clusters.queries.access import User, visible_runs


class SuiteSerializer(serializers.Serializer):
    suite = serializers.CharField(read_only=True)
    n_lms = serializers.IntegerField(read_only=True, help_text="Networks.")
    n_checkpoints = serializers.IntegerField(read_only=True)
    n_runs = serializers.IntegerField(read_only=True, help_text="Runs that you may see.")


class Suites(Resource):
    """Suites of the runs that you may see: checkpoints that share tokenizer, data and recipe."""

    parameters = Page
    answers = SuiteSerializer
    is_list = True

    def get(self, request: Request) -> Response:
        measured = RunCheckpoint.objects.filter(run__in=visible_runs(request.user)).values("checkpoint__suite")
        place, limit = read_cursor(self.asked.get("cursor"), str), self.asked["limit"]
        if place:
            measured = measured.filter(checkpoint__suite__gt=place[0])
        counted = measured.annotate(
            n_lms=Count("checkpoint__lm", distinct=True),
            n_checkpoints=Count("checkpoint", distinct=True),
            n_runs=Count("run", distinct=True),
        )
        found = [
            row | {"suite": row["checkpoint__suite"]} for row in counted.order_by("checkpoint__suite")[: limit + 1]
        ]
        following = write_cursor([found[limit - 1]["suite"]]) if len(found) > limit else None
        return self.many(found[:limit], next_cursor=following)


class CheckpointSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk", read_only=True)
    suite = serializers.CharField(read_only=True)
    lm = serializers.CharField(read_only=True)
    revision = serializers.CharField(read_only=True)
    step = serializers.IntegerField(read_only=True, allow_null=True)
    n_non_embedding = serializers.IntegerField(read_only=True)
    n_parameters = serializers.IntegerField(read_only=True)
    weights_sha256 = serializers.CharField(read_only=True)


class CheckpointParameters(Page):
    suite = serializers.CharField(required=False, max_length=80)
    lm = serializers.CharField(required=False, max_length=80)
    revision = serializers.CharField(required=False, max_length=80)


class Checkpoints(Resource):
    """Checkpoints that the runs that you may see look at, smallest network first."""

    parameters = CheckpointParameters
    answers = CheckpointSerializer
    is_list = True

    def get(self, request: Request) -> Response:
        named = {name: self.asked[name] for name in ("suite", "lm", "revision") if name in self.asked}
        found = _measured(request.user).filter(**named)
        return self.paged(found, order=("n_non_embedding", "lm", "pk"))


class CorpusSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk", read_only=True)
    name = serializers.CharField(read_only=True)
    sha256 = serializers.CharField(read_only=True, help_text="Of its token ids.")
    n_documents = serializers.IntegerField(read_only=True)
    n_tokens = serializers.IntegerField(read_only=True)
    n_predictions = serializers.IntegerField(read_only=True)
    max_length = serializers.IntegerField(read_only=True, help_text="Tokens at which documents were cut.")
    tokenizer_sha256 = serializers.CharField(read_only=True)


class Corpora(Resource):
    """Texts that the runs that you may see predicted."""

    parameters = Page
    answers = CorpusSerializer
    is_list = True

    def get(self, request: Request) -> Response:
        return self.paged(Corpus.objects.filter(pk__in=visible_runs(request.user).values("corpus")))


def _measured(user: User) -> QuerySet[Checkpoint, Any]:
    rows = RunCheckpoint.objects.filter(run__in=visible_runs(user))
    return Checkpoint.objects.filter(pk__in=rows.values("checkpoint"))


urls = [
    path("suites/", Suites.as_view(), name="suites"),
    path("checkpoints/", Checkpoints.as_view(), name="checkpoints"),
    path("corpora/", Corpora.as_view(), name="corpora"),
]
