"""The intruder test: how often people found it."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clusters.api.fields import Whole
from clusters.api.places import clustering_of
from clusters.api.resource import One, Page, Resource, read_cursor, write_cursor
from clusters.models import Affinity
from clusters.queries import quiz as reads
from clusters.values.quiz import BY_GUESSING

MAX_INT = 2**31 - 1


class ScoreSerializer(serializers.Serializer):
    n_right = serializers.IntegerField(read_only=True, help_text="Questions whose intruder was found.")
    n_asked = serializers.IntegerField(read_only=True, help_text="Questions that were answered.")
    n_open = serializers.IntegerField(read_only=True, help_text="Questions that wait for an answer.")
    n_people = serializers.IntegerField(read_only=True)
    share = serializers.FloatField(read_only=True)
    low = serializers.FloatField(read_only=True, help_text="Of Wilson's 95% interval.")
    high = serializers.FloatField(read_only=True)
    is_told = serializers.BooleanField(
        read_only=True, help_text="Whether guessing would be right as often in fewer than 1 of 40 cases."
    )


class ClusterScoreSerializer(ScoreSerializer):
    cluster = serializers.IntegerField(read_only=True, help_text="The cluster's label within its clustering.")
    rank = serializers.IntegerField(read_only=True)
    size = serializers.IntegerField(read_only=True)
    dominant_share = serializers.FloatField(
        read_only=True, help_text="Share of the commonest answer: where it is high, the answers give the intruder away."
    )


class PersonScoreSerializer(ScoreSerializer):
    person = serializers.CharField(read_only=True)


class QuizSummarySerializer(serializers.Serializer):
    guessing = serializers.FloatField(read_only=True)
    overall = ScoreSerializer(read_only=True, allow_null=True, help_text="null where nobody has answered yet.")
    people = PersonScoreSerializer(
        many=True, read_only=True, help_text="Every person, for adjudicators; else you alone, once you have answered."
    )


class _Place(serializers.Serializer):
    run = serializers.CharField(max_length=80)
    affinity = serializers.ChoiceField(choices=Affinity.values, required=False, default=Affinity.SIGNED)
    k = Whole(min_value=0, max_value=MAX_INT)


class QuizParameters(_Place, Page):
    pass


class QuizSummaryParameters(_Place, One):
    pass


class QuizScores(Resource):
    """The clusters of a clustering that were asked about and answered, by rank."""

    operation = "quiz"
    parameters = QuizParameters
    answers = ClusterScoreSerializer
    is_list = True

    def get(self, request: Request) -> Response:
        asked = self.asked
        clustering, _ = clustering_of(request.user, asked["run"], asked["affinity"], str(asked["k"]))
        place = read_cursor(asked.get("cursor"), int)
        scores = [one for one in reads.cluster_scores(clustering) if place is None or one.thing.rank > place[0]]
        shown = scores[: asked["limit"]]
        following = write_cursor([shown[-1].thing.rank]) if len(scores) > len(shown) else None
        return self.many([_of_cluster(one) for one in shown], next_cursor=following)


class QuizSummary(Resource):
    """All of a clustering's answers together, and by person."""

    parameters = QuizSummaryParameters
    answers = QuizSummarySerializer

    def get(self, request: Request) -> Response:
        asked = self.asked
        clustering, _ = clustering_of(request.user, asked["run"], asked["affinity"], str(asked["k"]))
        people = reads.people_scores(request.user, clustering) if request.user.is_authenticated else []
        return self.one({
            "guessing": BY_GUESSING, "overall": reads.overall_score(clustering),
            "people": [_numbers(one.score) | {"person": one.thing} for one in people],
        })  # fmt: skip


def _of_cluster(one: reads.Scored) -> dict[str, Any]:
    cluster = one.thing
    return _numbers(one.score) | {
        "cluster": cluster.label, "rank": cluster.rank, "size": cluster.size, "dominant_share": cluster.dominant_share
    }  # fmt: skip


def _numbers(score: reads.IntruderScore) -> dict[str, Any]:
    return {name: getattr(score, name) for name in ScoreSerializer().fields}


urls = [
    path("quiz/", QuizScores.as_view(), name="quiz"),
    path("quiz/summary/", QuizSummary.as_view(), name="quiz-summary"),
]
