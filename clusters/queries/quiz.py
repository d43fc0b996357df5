"""Reads of the intruder test: which clusters can be asked about, questions, and how often the intruder was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Count, F, Q, QuerySet

from clusters.models import Cluster, Clustering, QuizQuestion, Run
from clusters.queries.access import User, may_adjudicate, visible_runs
from clusters.queries.missing import Missing
from clusters.values.quiz import N_MEMBERS, IntruderScore, Scored

_COUNTS = {
    "n_right": Count("pk", filter=Q(chosen=F("intruder"))),
    "n_asked": Count("pk", filter=Q(chosen__isnull=False)),
    "n_people": Count("person", distinct=True, filter=Q(chosen__isnull=False)),
    "n_open": Count("pk", filter=Q(chosen=None)),
}


def intruder_score(cluster: Cluster) -> IntruderScore | None:
    """How often the intruder among this cluster's members was found; None where nobody was asked."""
    return _score(QuizQuestion.objects.filter(cluster=cluster).aggregate(**_COUNTS))


def overall_score(clustering: Clustering, user: User | None = None) -> IntruderScore | None:
    """Over all clusters of a clustering; of one person, where one is given."""
    questions = QuizQuestion.objects.filter(cluster__clustering=clustering)
    if user is not None:
        questions = questions.filter(person_id=user.pk)
    return _score(questions.aggregate(**_COUNTS))


def cluster_scores(clustering: Clustering) -> list[Scored]:
    """Every cluster that was asked about and answered, by rank."""
    asked = QuizQuestion.objects.filter(cluster__clustering=clustering).order_by()
    counts = {row["cluster"]: row for row in asked.values("cluster").annotate(**_COUNTS)}
    rows = clustering.clusters.filter(pk__in=list(counts)).order_by("rank")
    found = ((row, _score(counts[row.pk])) for row in rows.defer("mean_curve", "nearest", "top_last"))
    return [Scored(row, score) for row, score in found if score is not None]


def people_scores(user: User, clustering: Clustering) -> list[Scored]:
    """Every person's score, for adjudicators; others learn their own alone. By name."""
    questions = QuizQuestion.objects.filter(cluster__clustering=clustering)
    if not may_adjudicate(user):
        questions = questions.filter(person_id=user.pk)
    rows = questions.order_by("person__username").values("person", "person__username").annotate(**_COUNTS)
    found = ((row["person__username"], _score(row)) for row in rows)
    return [Scored(name, score) for name, score in found if score is not None]


def open_question(user: User, clustering: Clustering, cluster: Cluster | None = None) -> QuizQuestion | None:
    """The person's oldest question that waits for an answer: about this cluster, or any of the clustering."""
    mine = QuizQuestion.objects.filter(person_id=user.pk, cluster__clustering=clustering, chosen=None)
    return (mine.filter(cluster=cluster) if cluster else mine).order_by("pk").first()


def own_question(user: User, number: int) -> QuizQuestion:
    """A question of this person's, of a run that they still see."""
    found = None
    if user.is_authenticated and number < 2**63:
        mine = QuizQuestion.objects.filter(person_id=user.pk, cluster__clustering__run__in=visible_runs(user))
        found = mine.select_related("cluster__clustering__run__corpus", "cluster__clustering__run__checkpoint",
                                    "other").filter(pk=number).first()  # fmt: skip
    if found is None:
        raise Missing(
            f"There is no question {number} of yours", "Questions are their person’s own; begin with a new one."
        )
    return found


def askable(clustering: Clustering) -> QuerySet[Cluster]:
    """Clusters with enough members to ask about, where there is another cluster to take the intruder from."""
    return clustering.clusters.filter(size__gte=N_MEMBERS, size__lt=clustering.run.n_tokens)


def runs_to_ask(user: User, most: int = 50) -> QuerySet[Run]:
    return visible_runs(user).filter(archived_at=None).only("slug", "name", "n_tokens", "manifest")[:most]


def _score(counts: Mapping[str, Any]) -> IntruderScore | None:
    known = IntruderScore(counts["n_right"], counts["n_asked"], counts["n_people"], counts["n_open"])
    return known if known.n_asked else None
