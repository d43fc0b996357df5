"""A run's clusterings, and how the sizes of their clusters fall with rank."""

from __future__ import annotations

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Numbers
from clusters.api.places import clustering_of
from clusters.api.rank_frequency import RankFrequency
from clusters.api.resource import Page, Resource
from clusters.models import Affinity
from clusters.queries.clusters import visible_run


class ClusteringSerializer(serializers.Serializer):
    affinity = serializers.ChoiceField(Affinity.values, read_only=True)
    k = serializers.IntegerField(read_only=True)
    n_singletons = serializers.IntegerField(read_only=True, help_text="Clusters of one token.")
    sizes = Numbers(is_integer=True, help_text="By rank, largest first; alone as .npy.")


class Clusterings(Resource):
    """Every clustering of the run: signed first, then by k."""

    operation = "clusterings"
    parameters = Page
    answers = ClusteringSerializer
    is_list = True

    def get(self, request: Request, slug: str) -> Response:
        run = visible_run(request.user, slug)
        return self.paged(run.clusterings.all(), order=("-affinity", "k"))


class ClusteringDetail(Resource):
    """One clustering. As `.npy`: the sizes by rank."""

    answers = ClusteringSerializer
    npy = "sizes"

    def get(self, request: Request, slug: str, affinity: str, k: str) -> Response:
        clustering, _ = clustering_of(request.user, slug, affinity, k)
        return self.unchanged(clustering.run) or self.one(clustering)


urls = [
    path("runs/<slug:slug>/clusterings/", Clusterings.as_view(), name="clusterings"),
    path("runs/<slug:slug>/clusterings/<str:affinity>/<str:k>/", ClusteringDetail.as_view(), name="clustering"),
    path("runs/<slug:slug>/rank-frequency/", RankFrequency.as_view(), name="rank-frequency"),
]
