"""Runs, as the list and the overview show them, and what each measured of its checkpoints."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.resource import Page, Resource
from clusters.models import Clustering, Run
from clusters.queries.clusters import visible_run
from clusters.queries.runs import affinities_of, clustered_mean_loss, runs_for_list
from clusters.views.overview_facts import citation, finished, provenance
from clusters.views.shown_settings import shown_manifest

KS = Prefetch("clusterings", Clustering.objects.only("run", "affinity", "k").order_by("-affinity", "k"))


class RunSerializer(serializers.Serializer):
    run = serializers.CharField(source="slug", read_only=True, help_text="Names the run in every address.")
    name = serializers.CharField(read_only=True)
    bundle_sha256 = serializers.CharField(read_only=True)
    corpus = serializers.CharField(source="corpus.name", read_only=True)
    suite = serializers.CharField(source="checkpoint.suite", read_only=True)
    lm = serializers.CharField(source="checkpoint.lm", read_only=True, help_text="Whose gradients were clustered.")
    revision = serializers.CharField(source="checkpoint.revision", read_only=True)
    mean_loss_nats = serializers.FloatField(read_only=True, allow_null=True, help_text="Of the clustered checkpoint.")
    n_clustered = serializers.IntegerField(source="n_tokens", read_only=True, help_text="Clustered tokens.")
    n_predictions = serializers.IntegerField(source="corpus.n_predictions", read_only=True)
    ks = serializers.SerializerMethodField(help_text="Numbers of clusters, ascending, by affinity.")
    is_private = serializers.BooleanField(read_only=True)
    is_archived = serializers.SerializerMethodField()
    is_verifying = serializers.BooleanField(read_only=True, help_text="Whether its files are still being checked.")
    damage = serializers.CharField(read_only=True, help_text="What is wrong with its files; empty where nothing is.")
    created_at = serializers.DateTimeField(read_only=True)

    def get_ks(self, run: Run) -> dict[str, list[int]]:
        ks: dict[str, list[int]] = {}
        for one in run.clusterings.all():
            ks.setdefault(one.affinity, []).append(one.k)
        return ks

    def get_is_archived(self, run: Run) -> bool:
        return run.archived_at is not None


class ProvenanceSerializer(serializers.Serializer):
    name = serializers.CharField(read_only=True)
    value = serializers.CharField(read_only=True)
    more = serializers.CharField(read_only=True)


class RunDetailSerializer(RunSerializer):
    affinities = serializers.ListField(child=serializers.CharField(), read_only=True)
    finished = serializers.CharField(read_only=True, help_text="When the computing ended; empty where nobody knows.")
    provenance = ProvenanceSerializer(source="facts", many=True, read_only=True)
    citation = serializers.CharField(read_only=True, help_text="A line that a paper can take over.")
    manifest = serializers.DictField(
        source="shown_manifest", read_only=True, help_text="The bundle’s own account of itself, without its arrays."
    )


class RunParameters(Page):
    archived = serializers.BooleanField(required=False, default=False, help_text="The archived ones, and only they.")


class Runs(Resource):
    """Runs that you may see, newest first."""

    operation = "runs"
    parameters = RunParameters
    answers = RunSerializer
    is_list = True

    def get(self, request: Request) -> Response:
        runs = runs_for_list(request.user, archived=self.asked["archived"]).defer(
            "manifest", "score_density", "provenance"
        )
        return self.paged(runs.prefetch_related(KS))


class RunDetail(Resource):
    """One run, with what it was made of and how."""

    answers = RunDetailSerializer

    def get(self, request: Request, slug: str) -> Response:
        run: Any = visible_run(request.user, slug)
        run.mean_loss_nats = clustered_mean_loss(run)
        run.affinities, run.finished, run.facts = affinities_of(run), finished(run), provenance(run)
        run.citation = citation(run, request.build_absolute_uri(run.get_absolute_url()))
        run.shown_manifest = shown_manifest(request.user, run)
        return self.one(run)


class RunCheckpointSerializer(serializers.Serializer):
    lm = serializers.CharField(source="checkpoint.lm", read_only=True)
    revision = serializers.CharField(source="checkpoint.revision", read_only=True)
    step = serializers.IntegerField(source="checkpoint.step", read_only=True, allow_null=True)
    n_non_embedding = serializers.IntegerField(source="checkpoint.n_non_embedding", read_only=True)
    n_parameters = serializers.IntegerField(source="checkpoint.n_parameters", read_only=True)
    is_final = serializers.BooleanField(read_only=True, help_text="Whether its training ends here.")
    mean_loss_nats = serializers.FloatField(read_only=True, allow_null=True)
    fraction_below = serializers.FloatField(
        read_only=True, allow_null=True, help_text="Share of predictions under the run’s threshold."
    )
    weights_sha256 = serializers.CharField(source="checkpoint.weights_sha256", read_only=True)


class RunCheckpoints(Resource):
    """What the run measured of every checkpoint, by size, then step."""

    operation = "run_checkpoints"
    parameters = Page
    answers = RunCheckpointSerializer
    is_list = True

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        return self.paged(run.run_checkpoints.select_related("checkpoint"), order=("ordinal",))


urls = [
    path("runs/", Runs.as_view(), name="runs"),
    path("runs/<slug:slug>/", RunDetail.as_view(), name="run"),
    path("runs/<slug:slug>/checkpoints/", RunCheckpoints.as_view(), name="run-checkpoints"),
]
