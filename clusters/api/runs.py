"""Runs, as the list and the overview show them."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.resource import Page, Resource
from clusters.models import Run
from clusters.queries.access import visible_runs
from clusters.queries.clusters import visible_run


class RunSerializer(serializers.Serializer):
    run = serializers.CharField(source="slug", read_only=True, help_text="Names the run in every address.")
    name = serializers.CharField(read_only=True)
    bundle_sha256 = serializers.CharField(read_only=True)
    corpus = serializers.CharField(source="corpus.name", read_only=True)
    lm = serializers.CharField(source="checkpoint.lm", read_only=True, help_text="Whose gradients were clustered.")
    revision = serializers.CharField(source="checkpoint.revision", read_only=True)
    n_clustered = serializers.IntegerField(source="n_tokens", read_only=True)
    n_predictions = serializers.IntegerField(source="corpus.n_predictions", read_only=True)
    ks = serializers.SerializerMethodField(help_text="Numbers of clusters, ascending, by affinity.")
    is_private = serializers.BooleanField(read_only=True)
    is_archived = serializers.SerializerMethodField()
    is_verifying = serializers.BooleanField(read_only=True)
    damage = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)

    def get_ks(self, run: Run) -> dict[str, list[int]]:
        ks: dict[str, list[int]] = {}
        for entry in run.manifest.get("clusterings", ()):
            ks.setdefault(entry["affinity"], []).append(entry["k"])
        return {affinity: sorted(found) for affinity, found in ks.items()}

    def get_is_archived(self, run: Run) -> bool:
        return run.archived_at is not None


class RunDetailSerializer(RunSerializer):
    manifest = serializers.SerializerMethodField(help_text="The bundle's own account of itself.")

    def get_manifest(self, run: Run) -> dict[str, Any]:
        return dict(run.manifest)


class RunParameters(Page):
    archived = serializers.BooleanField(required=False, default=False)


class Runs(Resource):
    """Runs that you may see, newest first."""

    parameters = RunParameters
    answers = RunSerializer
    is_list = True

    def get(self, request: Request) -> Response:
        runs = visible_runs(request.user).select_related("corpus", "checkpoint").defer("score_density", "provenance")
        runs = runs.filter(archived_at__isnull=not self.asked["archived"])
        return self.paged(runs)


class RunDetail(Resource):
    """One run."""

    answers = RunDetailSerializer

    def get(self, request: Request, slug: str) -> Response:
        return self.one(visible_run(request.user, slug))


urls = [
    path("runs/", Runs.as_view(), name="runs"),
    path("runs/<slug:slug>/", RunDetail.as_view(), name="run"),
]
