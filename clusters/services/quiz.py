"""The intruder test: ask, and answer. A question is drawn once, and stays until it is answered."""

from __future__ import annotations

import hashlib

import numpy as np
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from clusters.contexts import Reader, has_text
from clusters.models import Cluster, Clustering, QuizQuestion, Run
from clusters.queries.access import User
from clusters.queries.clusters import flat_indices, labels_of
from clusters.queries.quiz import askable, open_question
from clusters.stored.arrays import corpus_of
from clusters.values.quiz import N_MEMBERS, N_SHOWN

MOST_TRIED = 400  # members among which four unlike ones are looked for


def ask(user: User, clustering: Clustering, cluster: Cluster | None = None) -> QuizQuestion:
    """The question that waits for this person's answer, or a new one: about the cluster, or one drawn evenly."""
    _must_be_someone(user)
    if reason := why_not(clustering.run, clustering, cluster):
        raise ValidationError(reason)
    waiting = open_question(user, clustering, cluster)
    return waiting or _new(user, clustering, cluster)


def answer(user: User, question: QuizQuestion, chosen: int) -> bool:
    """Keep the person's choice, from 0; False where one was kept before, which stays."""
    _must_be_someone(user)
    if question.person_id != user.pk:
        raise PermissionDenied("A question is answered by whom it was put to.")
    if not 0 <= chosen < N_SHOWN:
        raise ValidationError(f"Choose one of the {N_SHOWN} contexts, 1 to {N_SHOWN}.")
    waiting = QuizQuestion.objects.filter(pk=question.pk, chosen=None)
    is_first = bool(waiting.update(chosen=chosen, answered_at=timezone.now()))
    question.refresh_from_db(fields=["chosen", "answered_at"])
    return is_first


def why_not(run: Run, clustering: Clustering, cluster: Cluster | None = None) -> str:
    """Why no question can be asked; empty where one can."""
    if not has_text(run):
        return (
            "This run came without its corpus, so there are no contexts to compare. A bundle that holds the corpus "
            "brings them."
        )
    if len(clustering.sizes) < 2:
        return "There is one cluster only, and no other to take an intruder from. Choose a larger k."
    if cluster is not None and cluster.size < N_MEMBERS:
        return (
            f"Cluster {cluster.label} has {cluster.size} token{'' if cluster.size == 1 else 's'}; a question shows "
            f"{N_MEMBERS} of a cluster. Choose a larger one."
        )
    if max(clustering.sizes) < N_MEMBERS:
        return f"No cluster has {N_MEMBERS} tokens, as many as a question shows. Choose a smaller k."
    return ""


def draw(run: Run, clustering: Clustering, label: int, seed: int) -> tuple[list[int], int]:
    """Five flat indices as they are shown, four of the cluster, and the place of the fifth, the intruder."""
    rng = np.random.default_rng(seed)
    labels = np.asarray(labels_of(run, clustering.affinity, clustering.k))
    flat = flat_indices(run)
    members = _spread(run, np.asarray(flat[labels == label]), rng)
    intruder = int(flat[rng.choice(np.flatnonzero(labels != label))])
    place = int(rng.integers(N_SHOWN))
    return [*members[:place], intruder, *members[place:]], place


def _new(user: User, clustering: Clustering, cluster: Cluster | None) -> QuizQuestion:
    n_before = QuizQuestion.objects.filter(person_id=user.pk, cluster__clustering=clustering).count()
    seed = _seed(clustering.run.bundle_sha256, clustering.affinity, clustering.k, user.pk, n_before)
    if cluster is None:
        keys = list(askable(clustering).order_by("label").values_list("pk", flat=True))
        cluster = Cluster.objects.get(pk=keys[int(np.random.default_rng(seed).integers(len(keys)))])
    tokens, place = draw(clustering.run, clustering, cluster.label, seed)
    row = int(np.searchsorted(flat_indices(clustering.run), tokens[place]))
    other = clustering.clusters.get(label=int(labels_of(clustering.run, clustering.affinity, clustering.k)[row]))
    try:
        with transaction.atomic():
            return QuizQuestion.objects.create(
                person_id=int(user.pk or 0), cluster=cluster, other=other, tokens=tokens, intruder=place, seed=seed
            )
    except IntegrityError:  # asked twice at once: the first one stands
        return QuizQuestion.objects.get(person_id=user.pk, cluster=cluster, chosen=None)


def _spread(run: Run, tokens: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Four of the tokens at random: of unlike contexts and different documents, as far as there are such."""
    order = rng.permutation(tokens)[:MOST_TRIED]
    documents = corpus_of(run).locate(order)[0].tolist()
    alike = {token: i for i, group in enumerate(Reader(run).fold(order.tolist())) for token in group}
    picked: dict[int, int] = {}  # token → document
    for is_strict in (True, False):  # first from different documents, then from any; repeats of a context come last
        for token, document in zip(order.tolist(), documents, strict=True):
            is_new = alike[token] not in {alike[other] for other in picked}
            if len(picked) < N_MEMBERS and is_new and not (is_strict and document in picked.values()):
                picked[token] = document
    rest = (token for token in order.tolist() if token not in picked)
    chosen = [*picked, *rest][:N_MEMBERS]
    return [int(token) for token in rng.permutation(chosen)]


def _seed(*parts: object) -> int:
    """The same number for the same question of the same person, and another one for any other."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # fits a signed column


def _must_be_someone(user: User) -> None:
    if not (user.is_authenticated and user.is_active):
        raise PermissionDenied("Sign in to take the test: answers are counted by person.")
