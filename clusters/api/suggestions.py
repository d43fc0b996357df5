"""Suggested labels: of other clusterings by shared tokens, and a language model's."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.urls import path, reverse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.errors import Unprocessable
from clusters.api.fields import Whole
from clusters.api.idempotency import idempotent
from clusters.api.permissions import LABEL
from clusters.api.places import cluster_of, clustering_of
from clusters.api.resource import Page, Resource, etag, read_cursor, write_cursor
from clusters.api.throttling import JobsPerPerson, PerKey
from clusters.models import Affinity, Cluster, Clustering, Label, LabelSuggestion
from clusters.queries import suggestions as reads
from clusters.queries.access import may_label
from clusters.queries.cluster_labels import labels_of_cluster
from clusters.queries.labels import own_label
from clusters.services import machine_job
from clusters.services import suggestions as services
from clusters.values.suggestions import Suggestion

MAX_INT, MAX_KEY = 2**31 - 1, 2**63 - 1
BEFORE_ALL = (-2.0, 0, 0)  # no Jaccard index is as large


class PlaceSerializer(serializers.Serializer):
    run = serializers.CharField(read_only=True)
    affinity = serializers.ChoiceField(choices=Affinity.values, read_only=True)
    k = serializers.IntegerField(read_only=True)
    cluster = serializers.IntegerField(read_only=True)
    size = serializers.IntegerField(read_only=True)


class MachineScoreSerializer(serializers.Serializer):
    lm = serializers.CharField(read_only=True, help_text="The endpoint's own name for its model.")
    n_right = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="Held-out contexts that it told right by its rule; null: not scored."
    )
    n_asked = serializers.IntegerField(read_only=True, allow_null=True)
    low = serializers.FloatField(read_only=True, allow_null=True, help_text="Of Wilson's 95% interval.")
    high = serializers.FloatField(read_only=True, allow_null=True)


class SuggestionSerializer(serializers.Serializer):
    cluster = serializers.IntegerField(read_only=True, help_text="For which cluster, by its label.")
    source = serializers.IntegerField(read_only=True, help_text="The label that is suggested; send it to take it.")
    version = serializers.IntegerField(read_only=True, help_text="Of that label.")
    origin = serializers.ChoiceField(choices=Label.Origin.values, read_only=True)
    author = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True)
    description = serializers.CharField(read_only=True)
    jaccard = serializers.FloatField(
        read_only=True, allow_null=True, help_text="Shared tokens over tokens in either cluster; null: a machine's."
    )
    n_shared = serializers.IntegerField(read_only=True, allow_null=True)
    written_for = PlaceSerializer(read_only=True, allow_null=True)
    machine = MachineScoreSerializer(read_only=True, allow_null=True)


class SuggestionParameters(Page):
    run = serializers.CharField(max_length=80)
    affinity = serializers.ChoiceField(choices=Affinity.values, required=False, default=Affinity.SIGNED)
    k = Whole(min_value=0, max_value=MAX_INT)
    cluster = Whole(
        required=False, min_value=0, max_value=MAX_INT, help_text="One cluster alone, with a language model's label."
    )


class DecisionSerializer(serializers.Serializer):
    run = serializers.CharField(max_length=80)
    affinity = serializers.ChoiceField(choices=Affinity.values, default=Affinity.SIGNED)
    k = Whole(min_value=0, max_value=MAX_INT)
    cluster = Whole(min_value=0, max_value=MAX_INT)
    source = Whole(min_value=0, max_value=MAX_KEY, help_text="The label that is suggested.")
    version = Whole(
        required=False, min_value=0, max_value=MAX_INT, help_text="As you saw it; refused where it changed since."
    )


class DecidedSerializer(serializers.Serializer):
    decision = serializers.ChoiceField(choices=LabelSuggestion.Decision.values, read_only=True)
    source = serializers.IntegerField(source="source_id", read_only=True)
    version = serializers.IntegerField(source="source_version", read_only=True)
    jaccard = serializers.FloatField(read_only=True, allow_null=True)
    n_shared = serializers.IntegerField(read_only=True, allow_null=True)
    label = serializers.IntegerField(read_only=True, allow_null=True, help_text="Your draft that was made of it.")


class MachineQuestionSerializer(serializers.Serializer):
    run = serializers.CharField(max_length=80)
    affinity = serializers.ChoiceField(choices=Affinity.values, default=Affinity.SIGNED)
    k = Whole(min_value=0, max_value=MAX_INT)
    clusters = serializers.ListField(
        child=Whole(min_value=0, max_value=MAX_INT), min_length=1,
        max_length=machine_job.MOST_CLUSTERS, help_text="Labels of clusters; more than one is for adjudicators.",
    )  # fmt: skip


class MachineJobSerializer(serializers.Serializer):
    job = serializers.IntegerField(source="pk", read_only=True)
    lm = serializers.CharField(source="config.model", read_only=True)
    endpoint = serializers.CharField(
        source="config.endpoint", read_only=True, help_text="The host that contexts of these clusters are sent to."
    )


class Suggestions(Resource):
    """What could be carried over to clusters that you have not labeled, the likest first. For labelers."""

    operation = "suggestions"
    parameters = SuggestionParameters
    answers = SuggestionSerializer
    is_list, is_personal = True, True

    def get(self, request: Request) -> Response:
        asked = self.asked
        clustering, _ = clustering_of(request.user, asked["run"], asked["affinity"], str(asked["k"]))
        cursor = read_cursor(asked.get("cursor"), float, int, int)
        found, machine = self._found(clustering, cursor), self._machine(clustering, cursor)
        shown = found[: asked["limit"] - len(machine)]
        last = reads.order_of(shown[-1]) if shown else BEFORE_ALL
        following = write_cursor(last) if len(found) > len(shown) else None
        labels = dict(clustering.clusters.filter(pk__in={one.cluster for one in shown}).values_list("pk", "label"))
        rows = [_shown(one, labels[one.cluster]) for one in shown]
        return self.many([*machine, *rows], next_cursor=following)

    def _found(self, clustering: Clustering, cursor: list[Any] | None) -> list[Suggestion]:
        """Those after the cursor."""
        user = self.request.user
        if not may_label(user):
            return []
        if "cluster" not in self.asked:
            found = reads.suggestions_of(user, clustering)
        else:
            cluster = self._cluster(clustering)
            found = [] if own_label(user, cluster) else reads.suggestions_for(user, cluster)
        found.sort(key=reads.order_of)
        return [one for one in found if cursor is None or reads.order_of(one) > tuple(cursor)]

    def _machine(self, clustering: Clustering, cursor: list[Any] | None) -> list[dict[str, Any]]:
        """The language model's label of the one cluster that is asked about, at the beginning."""
        if "cluster" not in self.asked or cursor is not None:
            return []
        cluster = self._cluster(clustering)
        label = reads.latest_of_machine(
            self.request.user, cluster, labels_of_cluster(self.request.user, cluster).machine
        )  # fmt: skip
        return [_machine_shown(label, self.asked["cluster"])] if label else []

    def _cluster(self, clustering: Clustering) -> Cluster:
        place = (clustering.run.slug, clustering.affinity, str(clustering.k), str(self.asked["cluster"]))
        return cluster_of(self.request.user, *place)[0]


class SuggestionAccept(Resource):
    """Make a suggestion your draft. 409 where you have a label of the cluster already: nothing is overwritten."""

    operation, scope = "suggestion_accept", LABEL
    accepts, answers = DecisionSerializer, DecidedSerializer

    @idempotent
    def post(self, request: Request) -> Response:
        cluster, sent = _sent(self)
        kept: Any = services.accept(request.user, cluster, sent["source"], version=sent.get("version"))
        label = own_label(request.user, cluster)
        kept.label = label.pk if label else None
        headers = {"ETag": etag(label.version), "Location": _absolute(request, "label", label.pk)} if label else {}
        return self.one(kept, status=201, headers=headers)


class SuggestionDismiss(Resource):
    """Be shown a suggestion no more."""

    operation, scope = "suggestion_dismiss", LABEL
    accepts, answers = DecisionSerializer, DecidedSerializer

    @idempotent
    def post(self, request: Request) -> Response:
        cluster, sent = _sent(self)
        kept: Any = services.dismiss(request.user, cluster, sent["source"])
        kept.label = None
        return self.one(kept, status=201)


class MachineSuggestion(Resource):
    """Ask the language model for labels: a job, whose worker sends text of these clusters to another server."""

    operation, scope = "suggestion_ask", LABEL
    accepts, answers = MachineQuestionSerializer, MachineJobSerializer
    throttle_classes = (PerKey, JobsPerPerson)

    @idempotent
    def post(self, request: Request) -> Response:
        sent = self.sent()
        clustering, _ = clustering_of(request.user, sent["run"], sent["affinity"], str(sent["k"]))
        labels = list(dict.fromkeys(sent["clusters"]))
        clusters = list(clustering.clusters.filter(label__in=labels).order_by("rank"))
        if missing := sorted(set(labels) - {cluster.label for cluster in clusters}):
            raise Unprocessable(f"No such cluster: {', '.join(map(str, missing[:10]))}.")
        try:
            job = machine_job.start(request.user, clustering, clusters)
        except ValidationError as error:
            raise Unprocessable(" ".join(error.messages)) from None
        return self.one(job, status=201, headers={"Location": _absolute(request, "job", job.pk)})


def _sent(resource: Resource) -> tuple[Cluster, dict[str, Any]]:
    sent = resource.sent()
    place = (sent["run"], sent["affinity"], str(sent["k"]), str(sent["cluster"]))
    return cluster_of(resource.request.user, *place)[0], sent


def _shown(one: Suggestion, cluster: int) -> dict[str, Any]:
    return {
        "cluster": cluster, "source": one.label, "version": one.version,
        "origin": Label.Origin.AGREED if one.is_agreed else Label.Origin.PERSON, "author": one.author,
        "name": one.name, "description": one.description, "jaccard": one.jaccard, "n_shared": one.n_shared,
        "written_for": one.place, "machine": None,
    }  # fmt: skip


def _machine_shown(label: Label, cluster: int) -> dict[str, Any]:
    told = label.machine_answer
    score = {name: told.score.get(name) for name in ("n_right", "n_asked", "low", "high")}
    return {
        "cluster": cluster, "source": label.pk, "version": label.version, "origin": label.origin,
        "author": label.author_name, "name": label.name, "description": label.description, "jaccard": None,
        "n_shared": None, "written_for": None, "machine": {"lm": told.lm} | score,
    }  # fmt: skip


def _absolute(request: Request, name: str, key: int) -> str:
    return request.build_absolute_uri(reverse(f"api:{name}", args=[key]))


urls = [
    path("suggestions/", Suggestions.as_view(), name="suggestions"),
    path("suggestions/accept/", SuggestionAccept.as_view(), name="suggestion-accept"),
    path("suggestions/dismiss/", SuggestionDismiss.as_view(), name="suggestion-dismiss"),
    path("suggestions/machine/", MachineSuggestion.as_view(), name="suggestion-machine"),
]
