"""The clusters of a clustering: filtered and ordered, and one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import BadRequest
from django.urls import path
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.cluster_parts import part_urls
from clusters.api.fields import Numbers, Whole
from clusters.api.places import cluster_of, clustering_of
from clusters.api.resource import Page, Resource, read_cursor, write_cursor
from clusters.forms.clusters import SORTS
from clusters.models import Affinity, Cluster, Label
from clusters.parameters import MAX_TEXT
from clusters.queries import cluster_list as reads
from clusters.queries.labels import labels_of_seen, names_of
from clusters.views.cluster_list import coherence_of


class CountedTextSerializer(serializers.Serializer):
    text = serializers.CharField(read_only=True)
    count = serializers.IntegerField(read_only=True)


class ClusterSerializer(serializers.Serializer):
    label = serializers.IntegerField(read_only=True)
    rank = serializers.IntegerField(read_only=True, help_text="By size, from 1; ties by first appearance.")
    size = serializers.IntegerField(read_only=True, help_text="Its frequency: tokens in it.")
    name = serializers.SerializerMethodField(help_text="What people call it, as far as you may know; else null.")
    n_documents = serializers.IntegerField(read_only=True, allow_null=True)
    n_answers = serializers.IntegerField(read_only=True, help_text="Different answers.")
    top_answers = serializers.SerializerMethodField(help_text="At most ten, the commonest first.")
    dominant_share = serializers.FloatField(read_only=True, allow_null=True, help_text="Of the commonest answer.")
    similarity_within = serializers.FloatField(
        read_only=True, allow_null=True, help_text="Mean cosine over pairs; null for one token, or without cosines."
    )
    similarity_across = serializers.FloatField(read_only=True, allow_null=True, help_text="To all other tokens.")
    coherence = serializers.SerializerMethodField(help_text="within − across.")
    mean_monogenicity = serializers.FloatField(read_only=True, allow_null=True)
    emergence_parameters = serializers.FloatField(
        read_only=True, allow_null=True, help_text="The size of network at which its mean loss has fallen for good."
    )
    emergence_step = serializers.FloatField(read_only=True, allow_null=True, help_text="Likewise, the training step.")
    mean_curve_nats = Numbers(source="mean_curve", help_text="Mean loss over the run’s sizes, ascending.")

    def get_name(self, cluster: Cluster) -> str | None:
        named: Label | None = self.context["names"].get(cluster.pk)
        return named.name if named else None

    @extend_schema_field(CountedTextSerializer(many=True))
    def get_top_answers(self, cluster: Cluster) -> list[dict[str, Any]]:
        return _counted(cluster.top_answers)

    def get_coherence(self, cluster: Cluster) -> float | None:
        return coherence_of(cluster)


class NearestSerializer(serializers.Serializer):
    label = serializers.IntegerField(read_only=True)
    cosine = serializers.FloatField(read_only=True, help_text="Of the two mean gradients.")


class ClusterLabelSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk", read_only=True)
    origin = serializers.ChoiceField(Label.Origin.values, read_only=True)
    author = serializers.CharField(source="author_name", read_only=True)
    state = serializers.ChoiceField(Label.State.values, read_only=True)
    name = serializers.CharField(read_only=True)
    version = serializers.IntegerField(read_only=True)


class ClusterDetailSerializer(ClusterSerializer):
    run = serializers.CharField(source="clustering.run.slug", read_only=True)
    affinity = serializers.ChoiceField(Affinity.values, source="clustering.affinity", read_only=True)
    k = serializers.IntegerField(source="clustering.k", read_only=True)
    top_last = serializers.SerializerMethodField(help_text="The commonest last tokens before the answer.")
    nearest = serializers.SerializerMethodField(help_text="At most five clusters with the most similar gradients.")
    labels = ClusterLabelSerializer(source="seen_labels", many=True, read_only=True)

    @extend_schema_field(CountedTextSerializer(many=True))
    def get_top_last(self, cluster: Cluster) -> list[dict[str, Any]]:
        return _counted(cluster.top_last)

    @extend_schema_field(NearestSerializer(many=True))
    def get_nearest(self, cluster: Cluster) -> list[dict[str, Any]]:
        return [{"label": label, "cosine": cosine} for label, cosine in cluster.nearest]


class ClusterParameters(Page):
    sort = serializers.ChoiceField(list(SORTS.items()), required=False, default="size")
    order = serializers.ChoiceField(["usual", "reversed"], required=False, default="usual")
    answer = serializers.CharField(required=False, default="", max_length=MAX_TEXT, help_text="In a token’s answer.")
    text = serializers.CharField(required=False, default="", max_length=MAX_TEXT, help_text="In a token’s context.")
    least = Whole(required=False, min_value=0, help_text="Tokens, at least.")
    most = Whole(required=False, min_value=0, help_text="Tokens, at most.")


class Clusters(Resource):
    """The clusters of a clustering that match, in the order asked for."""

    operation = "clusters"
    parameters = ClusterParameters
    answers = ClusterSerializer
    is_list = True

    def get(self, request: Request, slug: str, affinity: str, k: str) -> Response:
        clustering, _ = clustering_of(request.user, slug, affinity, k)
        asked = self.asked
        sort, is_reversed, limit = asked["sort"], asked["order"] == "reversed", asked["limit"]
        matches = reads.matching_clusters(
            clustering, sort=sort, is_reversed=is_reversed, answer=asked["answer"], text=asked["text"],
            least=asked.get("least"), most=asked.get("most"),
        )  # fmt: skip
        order = f"{sort} {asked['order']}"
        start = _start(matches, read_cursor(asked.get("cursor"), str, int), order)
        found = reads.clusters_at(matches.pks[start : start + limit])
        more = start + limit < len(matches)
        self.names = names_of(request.user, [one.pk for one in found], are_seen=True)
        return self.many(found, next_cursor=write_cursor([order, found[-1].rank]) if more else None)

    def context(self) -> dict[str, Any]:
        return {"names": self.names}


class ClusterDetail(Resource):
    """One cluster: its facts, its mean curve, its neighbours, and what people say of it."""

    answers = ClusterDetailSerializer

    def get(self, request: Request, slug: str, affinity: str, k: str, label: str) -> Response:
        found, _ = cluster_of(request.user, slug, affinity, k, label)
        cluster: Any = found
        self.names = names_of(request.user, [cluster.pk], are_seen=True)
        cluster.seen_labels = list(labels_of_seen(request.user).filter(cluster=cluster).order_by("pk"))
        return self.one(cluster)

    def context(self) -> dict[str, Any]:
        return {"names": self.names}


def _start(matches: reads.Matches, place: list[Any] | None, order: str) -> int:
    """Where the list goes on; 400 where the cursor is of another list."""
    if place is None:
        return 0
    if place[0] != order or place[1] not in matches.ranks:
        raise BadRequest("This cursor is of another list; keep its filters and its order, or leave cursor out.")
    return matches.ranks.index(place[1]) + 1


def _counted(pairs: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"text": text, "count": count} for text, count in pairs]


_CLUSTERS = "runs/<slug:slug>/clusterings/<str:affinity>/<str:k>/clusters/"
urls = [
    path(_CLUSTERS, Clusters.as_view(), name="clusters"),
    path(f"{_CLUSTERS}<str:label>/", ClusterDetail.as_view(), name="cluster"),
    *part_urls,
]
