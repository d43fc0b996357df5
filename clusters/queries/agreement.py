"""Reads of how far labelers agree: what each person first submitted of each cluster, and measures over it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import mean
from typing import Any, Literal

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from clusters.models import Assignment, Cluster, Clustering, Label, LabelRevision, Queue, Tag
from clusters.queries.access import User, may_adjudicate, may_label
from clusters.queries.labels import visible_labels
from clusters.queries.missing import Missing
from clusters.queries.queues import OPEN
from compute.numerics import label_agreement as numbers

Which = Literal["first", "now"]
SUBMITTED, PERSON = Label.State.SUBMITTED, Label.Origin.PERSON
_CONTENT = ("name", "description", "kind", "confidence", "misfits")


@dataclass(frozen=True)
class Said:
    """What one person says of one cluster."""

    cluster: int
    person: str
    name: str
    description: str
    kind: str
    confidence: int | None
    tags: frozenset[str]
    misfits: frozenset[int]
    words: frozenset[str] = field(repr=False, default=frozenset())


@dataclass(frozen=True)
class Scope:
    """Which labels are compared: those a queue asked for, or all of a clustering."""

    clustering: Clustering
    queue: Queue | None = None

    @property
    def clusters(self) -> QuerySet[Cluster]:
        clusters = Cluster.objects.filter(clustering=self.clustering)
        return clusters.filter(queue_items__queue=self.queue) if self.queue else clusters


def must_be_open(user: User, scope: Scope) -> None:
    """Agreement is for adjudicators, and for labelers once all that is asked of them there is in; Missing otherwise."""
    if may_adjudicate(user):
        return
    if not may_label(user):
        raise Missing("Agreement is for labelers", "Sign in as one, or ask an administrator for the role.")
    place = {"item__queue": scope.queue} if scope.queue else {"item__queue__clustering": scope.clustering}
    mine = Assignment.objects.filter(person_id=user.pk, **place)
    n = mine.filter(OPEN, done_at=None).count()
    if n:
        labels = "1 label that is asked of you is" if n == 1 else f"{n} labels that are asked of you are"
        raise Missing("How far people agree is not open to you yet", f"First, {labels} still to come in.")
    if scope.queue and not mine.exists():
        raise Missing("How far people agree in this queue is for its people", "An adjudicator can add you to it.")


def said_in(user: User, scope: Scope, which: Which = "first") -> list[Said]:
    """What people say of the scope's clusters, as far as this person may see it, by cluster and person.

    As first submitted, before anybody could see what others say, or as it stands now. Withdrawn labels are left out.
    """
    labels = visible_labels(user).filter(cluster__in=scope.clusters.values("pk"), origin=PERSON, state=SUBMITTED)
    if scope.queue:
        asked = Assignment.objects.filter(
            item__queue=scope.queue, item__cluster=OuterRef("cluster"), person=OuterRef("author")
        )
        labels = labels.filter(Exists(asked))
    return said_now(labels) if which == "now" else _said_first(labels)


def said_now(labels: QuerySet[Label]) -> list[Said]:
    """What these labels say as they stand, by cluster and person."""
    tags: dict[int, list[str]] = {}
    given = Label.tags.through.objects.filter(label__in=labels.order_by().values("pk"))
    for label, slug in given.values_list("label_id", "tag__slug"):
        tags.setdefault(label, []).append(slug)
    found = labels.order_by("cluster_id", "author_name", "pk").values_list("pk", "cluster_id", "author_name", *_CONTENT)
    return [
        _said(cluster, person, dict(zip(_CONTENT, content, strict=True)) | {"tags": tags.get(pk, ())})
        for pk, cluster, person, *content in found
    ]


def _said_first(labels: QuerySet[Label]) -> list[Said]:
    """What these labels said when they first came in: by a submit of their author's, or imported or accepted."""
    came_in = Q(action="submit") | Q(at__gte=F("label__submitted_at"))
    revisions = LabelRevision.objects.filter(came_in, label__in=labels.order_by().values("pk")).order_by("-version")
    first = dict(revisions.values_list("label_id", "content"))
    found = labels.order_by("cluster_id", "author_name", "pk").values_list("pk", "cluster_id", "author_name")
    return [_said(cluster, person, first[pk]) for pk, cluster, person in found if pk in first]


def _said(cluster: int, person: str, content: dict[str, Any]) -> Said:
    return Said(
        cluster=cluster, person=person, name=content["name"], description=content["description"],
        kind=content["kind"], confidence=content["confidence"], tags=frozenset(content["tags"]),
        misfits=frozenset(content["misfits"]),
        words=numbers.words_of(f"{content['name']} {content['description']}"),
    )  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """One row of the table: an α, or an overlap."""

    key: str
    name: str
    how: str  # in words: level and distance
    found: numbers.Alpha | numbers.Overlap


@dataclass(frozen=True)
class PairOf:
    """Two people, over the clusters that both labelled. A mean comes with the ends of its interval."""

    a: str
    b: str
    n: int
    kind: tuple[float, float | None, float | None] | None
    n_kinds: int
    tags: tuple[float, float | None, float | None]
    words: tuple[float, float | None, float | None]


@dataclass(frozen=True)
class Disagreement:
    """A cluster and how far its labels differ, from 0 to 1."""

    cluster: Cluster
    n: int
    kinds: list[str]
    kind: float
    tags: float
    words: float

    @property
    def score(self) -> float:
        return mean((self.kind, self.tags, self.words))


def by_cluster(said: Iterable[Said]) -> dict[int, list[Said]]:
    found: dict[int, list[Said]] = {}
    for one in said:
        found.setdefault(one.cluster, []).append(one)
    return found


def measures(said: Sequence[Said], sizes: dict[int, int], tags: Sequence[Tag]) -> list[Measure]:
    """Every measure of agreement, the verdicts first. `sizes` are members by cluster, for misfits."""
    units = list(by_cluster(said).values())

    def over(values: Any, domain: Sequence[Any], level: numbers.Level = "nominal") -> numbers.Alpha:
        return numbers.alpha(numbers.counts_of([[values(one) for one in unit] for unit in units], domain), level=level)

    rows = [
        Measure("kind", "kind", "nominal α: skill, one word, not coherent", over(lambda s: s.kind, Label.Kind.values)),
        Measure("coherence", "coherent or not", "nominal α: skill or one word, against not coherent",
                over(lambda s: s.kind and s.kind != Label.Kind.MIXTURE, [True, False])),
        Measure("confidence", "confidence", "ordinal α: a guess, likely, sure",
                over(lambda s: s.confidence, Label.Confidence.values, "ordinal")),
        Measure("tags", "tags, as sets", "α with MASI distance between sets",
                numbers.alpha_of_sets([[one.tags for one in unit] for unit in units])),
        Measure("misfits", "misfits", "nominal α over members: marked or not; clusters resampled",
                _misfits(units, sizes)),
        Measure("words", "words of name and rule", "mean Jaccard index of the words, pairs of people",
                numbers.overlap([[one.words for one in unit] for unit in units])),
    ]  # fmt: skip
    used = {slug for one in said for slug in one.tags}
    rows += [
        Measure(f"tag-{tag.slug}", f"tag: {tag.name}", "nominal α: given or not",
                over(lambda s, slug=tag.slug: slug in s.tags, [True, False]))
        for tag in tags if tag.slug in used
    ]  # fmt: skip
    return rows


def _misfits(units: Sequence[Sequence[Said]], sizes: dict[int, int]) -> numbers.Alpha:
    """α over members of clusters; of members that nobody marked only the number matters."""
    counts: list[list[int]] = []
    groups: list[int] = []
    for i, unit in enumerate(units):
        marked = sorted({token for one in unit for token in one.misfits})
        n_of = [sum(token in one.misfits for one in unit) for token in marked]
        rows = [[n, len(unit) - n] for n in n_of] + [[0, len(unit)]] * max(sizes[unit[0].cluster] - len(marked), 0)
        counts += rows
        groups += [i] * len(rows)
    return numbers.alpha(counts or [[0, 0]], groups=groups or [0])


def pairs(said: Sequence[Said]) -> list[PairOf]:
    """Every two people who labelled a cluster both, by name."""
    shared: dict[tuple[str, str], list[tuple[Said, Said]]] = {}
    for unit in by_cluster(said).values():
        for a, b in combinations(sorted(unit, key=lambda one: one.person), 2):
            shared.setdefault((a.person, b.person), []).append((a, b))
    return [_pair(a, b, met) for (a, b), met in sorted(shared.items())]


def _pair(a: str, b: str, met: list[tuple[Said, Said]]) -> PairOf:
    kinds = [float(x.kind == y.kind) for x, y in met if x.kind and y.kind]
    return PairOf(
        a, b, len(met), _with_interval(kinds) if kinds else None, len(kinds),
        _with_interval([1 - numbers.masi_distance(x.tags, y.tags) for x, y in met]),
        _with_interval([numbers.jaccard(x.words, y.words) for x, y in met]),
    )  # fmt: skip


def _with_interval(values: list[float]) -> tuple[float, float | None, float | None]:
    return (mean(values), *numbers.interval_of_mean(values))


def disagreements(said: Sequence[Said], clusters: dict[int, Cluster]) -> list[Disagreement]:
    """Clusters that several people labelled, those they disagree on most first; ties by rank.

    The score is the mean of three shares over pairs of people: different kinds, MASI distance of the tags, words of
    name and rule that only one of them uses.
    """
    found = [
        Disagreement(
            clusters[key], len(unit), [one.kind for one in unit],
            _apart(unit, lambda a, b: float(a.kind != b.kind)),
            _apart(unit, lambda a, b: numbers.masi_distance(a.tags, b.tags)),
            _apart(unit, lambda a, b: 1 - numbers.jaccard(a.words, b.words)),
        )
        for key, unit in by_cluster(said).items() if len(unit) > 1 and key in clusters
    ]  # fmt: skip
    return sorted(found, key=lambda one: (-one.score, one.cluster.clustering_id, one.cluster.rank))


def _apart(unit: Sequence[Said], distance: Any) -> float:
    return numbers.mean_over_pairs(unit, distance) or 0.0
