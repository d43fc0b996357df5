"""Queues of clusters to label."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import QueryDict
from django.urls import path, reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Whole
from clusters.api.idempotency import idempotent
from clusters.api.permissions import LABEL
from clusters.api.places import clustering_of
from clusters.api.resource import Page, Resource, keyset_page
from clusters.forms.clusters import SORTS, cluster_list_query
from clusters.forms.queues import MOST_CLUSTERS, MOST_EACH, USUAL_CLUSTERS, filter_of
from clusters.models import Affinity, Assignment
from clusters.parameters import MAX_TEXT
from clusters.queries import queues as reads
from clusters.queries.missing import Missing
from clusters.services import queues as services
from clusters.views.labeling import assigned_address
from clusters.views.queue_changes import matches_of
from clusters.views.queues import get_queue

MAX_INT = 2**31 - 1


class QueueSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="queue.pk", read_only=True)
    name = serializers.CharField(source="queue.name", read_only=True)
    run = serializers.CharField(source="queue.clustering.run.slug", read_only=True)
    affinity = serializers.ChoiceField(Affinity.values, source="queue.clustering.affinity", read_only=True)
    k = serializers.IntegerField(source="queue.clustering.k", read_only=True)
    filter = serializers.CharField(
        source="queue.query", read_only=True, help_text="The query of the cluster list that its clusters came from."
    )
    guidelines = serializers.CharField(source="queue.guidelines", read_only=True)
    labels_each = serializers.IntegerField(source="queue.labels_each", read_only=True, help_text="People a cluster.")
    is_blind = serializers.BooleanField(source="queue.is_blind", read_only=True)
    n_clusters = serializers.IntegerField(read_only=True)
    n_labels = serializers.IntegerField(source="all.n", read_only=True, help_text="Asked for.")
    n_labels_in = serializers.IntegerField(source="all.n_done", read_only=True)
    n_mine = serializers.IntegerField(source="mine.n", read_only=True, help_text="Asked of you.")
    n_mine_in = serializers.IntegerField(source="mine.n_done", read_only=True)
    n_ready = serializers.IntegerField(read_only=True, help_text="Clusters with every label in.")
    n_agreed = serializers.IntegerField(read_only=True)
    n_to_adjudicate = serializers.IntegerField(read_only=True)
    created_at = serializers.DateTimeField(source="queue.created_at", read_only=True)
    closed_at = serializers.DateTimeField(source="queue.closed_at", read_only=True, allow_null=True)


class PersonSerializer(serializers.Serializer):
    name = serializers.CharField(read_only=True)
    n_labels = serializers.IntegerField(source="n", read_only=True)
    n_labels_in = serializers.IntegerField(source="n_done", read_only=True)


class QueueDetailSerializer(QueueSerializer):
    people = serializers.SerializerMethodField(help_text="Everybody who has a part in it, by name.")

    @extend_schema_field(PersonSerializer(many=True))
    def get_people(self, one: reads.QueueProgress) -> list[dict[str, Any]]:
        return list(PersonSerializer(reads.people_of(one.queue), many=True).data)


class ChangeSerializer(serializers.Serializer):
    """What of a queue can be changed; what is left out stays."""

    name = serializers.CharField(required=False, max_length=120)
    guidelines = serializers.CharField(required=False, allow_blank=True, max_length=10_000)
    people = serializers.ListField(
        child=serializers.CharField(max_length=150), required=False, max_length=1000,
        help_text="User names of those who do what is not done yet, and no others.",
    )  # fmt: skip
    is_closed = serializers.BooleanField(required=False)


class NewQueueSerializer(serializers.Serializer):
    """Which clusters, by the cluster list's filter, and who labels them."""

    run = serializers.CharField(max_length=80)
    affinity = serializers.ChoiceField(Affinity.values, default=Affinity.SIGNED)
    k = Whole(min_value=1, max_value=MAX_INT)
    name = serializers.CharField(max_length=120)
    people = serializers.ListField(
        child=serializers.CharField(max_length=150), max_length=1000, help_text="User names."
    )
    labels_each = Whole(min_value=1, max_value=MOST_EACH, default=2)
    is_blind = serializers.BooleanField(default=True)
    guidelines = serializers.CharField(allow_blank=True, default="", max_length=10_000)
    at_most = Whole(min_value=1, max_value=MOST_CLUSTERS, default=USUAL_CLUSTERS)
    answer = serializers.CharField(required=False, max_length=MAX_TEXT)
    text = serializers.CharField(required=False, max_length=MAX_TEXT, help_text="In a context.")
    least = Whole(required=False, min_value=1, max_value=MAX_INT, help_text="Tokens, at least.")
    most = Whole(required=False, min_value=1, max_value=MAX_INT, help_text="Tokens, at most.")
    sort = serializers.ChoiceField(list(SORTS), required=False)
    order = serializers.ChoiceField(["usual", "reversed"], required=False)


class Queues(Resource):
    """Queues of runs that you see, newest first. POST shares clusters out: for adjudicators."""

    parameters, accepts, answers = Page, NewQueueSerializer, QueueSerializer
    is_list, scope, is_personal = True, LABEL, True

    def get(self, request: Request) -> Response:
        queues = reads.visible_queues(request.user)
        rows, following = keyset_page(queues, ("-pk",), self.asked["limit"], self.asked.get("cursor"))
        return self.many(reads.progress_of(request.user, rows), next_cursor=following)

    @idempotent
    def post(self, request: Request) -> Response:
        sent = self.sent()
        clustering, _ = clustering_of(request.user, sent["run"], sent["affinity"], str(sent["k"]))
        query = _filter(sent)
        found = matches_of(clustering, cluster_list_query(query))
        plan = services.Plan(
            name=sent["name"], people=_people(sent["people"]), labels_each=sent["labels_each"],
            is_blind=sent["is_blind"], guidelines=sent["guidelines"], query=query.urlencode(),
        )  # fmt: skip
        queue = services.make_queue(request.user, clustering, found.pks[: sent["at_most"]], plan)
        address = request.build_absolute_uri(reverse("api:queue", args=[queue.pk]))
        [progress] = reads.progress_of(request.user, [queue])
        return self.one(progress, status=201, headers={"Location": address})


class QueueDetail(Resource):
    """One queue and its people. PATCH and DELETE are for adjudicators; a queue with labels in can only be closed."""

    accepts, answers = ChangeSerializer, QueueDetailSerializer
    scope, is_personal = LABEL, True

    def get(self, request: Request, pk: int) -> Response:
        [progress] = reads.progress_of(request.user, [get_queue(request.user, str(pk))])
        return self.one(progress)

    def patch(self, request: Request, pk: int) -> Response:
        queue, sent = get_queue(request.user, str(pk)), self.sent()
        with transaction.atomic():
            if "name" in sent or "guidelines" in sent:
                wording = {"name": queue.name, "guidelines": queue.guidelines} | sent
                services.describe_queue(request.user, queue, name=wording["name"], guidelines=wording["guidelines"])
            if "people" in sent:
                services.share_again(request.user, queue, _people(sent["people"]))
            if "is_closed" in sent:
                change = services.close_queue if sent["is_closed"] else services.reopen_queue
                change(request.user, queue)
        return self.get(request, pk)

    def delete(self, request: Request, pk: int) -> Response:
        services.delete_queue(request.user, get_queue(request.user, str(pk)))
        return Response(status=204)


class NextSerializer(serializers.Serializer):
    queue = serializers.IntegerField(source="item.queue_id", read_only=True)
    place = serializers.IntegerField(source="item.ordinal", read_only=True, help_text="In the queue, from 1.")
    run = serializers.CharField(source="item.cluster.clustering.run.slug", read_only=True)
    affinity = serializers.ChoiceField(Affinity.values, source="item.cluster.clustering.affinity", read_only=True)
    k = serializers.IntegerField(source="item.cluster.clustering.k", read_only=True)
    cluster = serializers.IntegerField(source="item.cluster.label", read_only=True)
    rank = serializers.IntegerField(source="item.cluster.rank", read_only=True)
    page = serializers.SerializerMethodField(help_text="Where it is labeled in a browser: a path of this site.")

    def get_page(self, assignment: Assignment) -> str:
        return assigned_address(assignment)


class QueueNext(Resource):
    """The next cluster of the queue that waits for your label; 404 where all of yours are in."""

    operation = "queue_next"
    answers, is_personal = NextSerializer, True

    def get(self, request: Request, pk: int) -> Response:
        queue = get_queue(request.user, str(pk))
        assignment = reads.next_assignment(request.user, queue)
        if assignment is None:
            raise Missing("Nothing of this queue waits for you", "Your labels are in, it is closed, or asks others.")
        return self.one(assignment)


class QueueClusterSerializer(serializers.Serializer):
    place = serializers.IntegerField(source="ordinal", read_only=True)
    cluster = serializers.IntegerField(source="cluster.label", read_only=True)
    rank = serializers.IntegerField(source="cluster.rank", read_only=True)
    size = serializers.IntegerField(source="cluster.size", read_only=True)
    n_labels = serializers.IntegerField(source="n_asked", read_only=True)
    n_labels_in = serializers.IntegerField(source="n_done", read_only=True)
    is_agreed = serializers.BooleanField(read_only=True)


class QueueClusters(Resource):
    """A queue's clusters in its order, with how many labels of each are in."""

    operation = "queue_clusters"
    parameters, answers, is_list, is_personal = Page, QueueClusterSerializer, True, True

    def get(self, request: Request, pk: int) -> Response:
        return self.paged(reads.items_of(get_queue(request.user, str(pk))), order=("ordinal", "pk"))


def _filter(sent: dict[str, Any]) -> QueryDict:
    query = QueryDict(mutable=True)
    query.update({name: str(value) for name, value in sent.items() if isinstance(value, (str, int))})
    return filter_of(query)


def _people(names: list[str]) -> tuple[int, ...]:
    """The people's keys; ValidationError naming who is unknown."""
    found = dict(User.objects.filter(username__in=names).values_list("username", "pk"))
    if unknown := sorted(set(names) - set(found)):
        raise ValidationError({"people": f"There is nobody called {', '.join(unknown)[:200]}."})
    return tuple(found.values())


urls = [
    path("queues/", Queues.as_view(), name="queues"),
    path("queues/<int:pk>/", QueueDetail.as_view(), name="queue"),
    path("queues/<int:pk>/next/", QueueNext.as_view(), name="queue-next"),
    path("queues/<int:pk>/clusters/", QueueClusters.as_view(), name="queue-clusters"),
]
