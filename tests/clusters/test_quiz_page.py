"""The intruder test: how questions are drawn and kept, who may answer, what an answer shows, and the results."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter

import numpy as np
import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from clusters.models import Cluster, QuizQuestion
from clusters.queries.clusters import flat_indices, labels_of
from clusters.queries.quiz import intruder_score
from clusters.services import quiz as services
from clusters.stored.arrays import corpus_of
from clusters.values.quiz import IntruderScore
from tests.factories import N_SELECTED, UserFactory, make_run

pytestmark = pytest.mark.django_db
START, RESULTS = "/labeling/quiz/", "/labeling/quiz/results"
HERE = {"run": "synthetic", "k": "3", "affinity": "signed"}


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def clustering(run):
    return run.clusterings.get(affinity="signed", k=3)


@pytest.fixture
def ana():
    return UserFactory(username="ana")


def question_of(person, cluster, *, chosen=None, intruder=2):
    other = cluster.clustering.clusters.exclude(pk=cluster.pk).first()
    return QuizQuestion.objects.create(
        person=person, cluster=cluster, other=other, tokens=[0, 1, 2, 3, 4], intruder=intruder, chosen=chosen, seed=1
    )


def labels_by_token(clustering):
    labels = labels_of(clustering.run, clustering.affinity, clustering.k)
    return dict(zip(flat_indices(clustering.run).tolist(), labels.tolist(), strict=True))


# Drawing.


@pytest.mark.parametrize("seed", range(12))
def test_four_are_of_the_cluster_and_the_intruder_is_not(clustering, seed):
    cluster = clustering.clusters.order_by("label").first()
    tokens, place = services.draw(clustering.run, clustering, cluster.label, seed)
    own = [labels_by_token(clustering)[token] == cluster.label for token in tokens]
    assert own == [i != place for i in range(5)]
    assert len(set(tokens)) == 5


def test_the_same_seed_draws_the_same_question_and_others_draw_others(clustering):
    drawn = [services.draw(clustering.run, clustering, 0, seed) for seed in (1, 1, *range(2, 12))]
    assert drawn[0] == drawn[1]
    assert len({tuple(tokens) for tokens, _ in drawn}) > 8
    assert len({place for _, place in drawn}) > 2


def test_members_come_from_different_documents_where_there_are_enough(clustering):
    corpus = corpus_of(clustering.run)
    for cluster in clustering.clusters.filter(n_documents__gte=4):
        for seed in range(6):
            tokens, place = services.draw(clustering.run, clustering, cluster.label, seed)
            documents = corpus.locate(np.array([t for i, t in enumerate(tokens) if i != place]))[0]
            assert len(set(documents.tolist())) == 4


def test_a_cluster_in_one_document_can_be_asked_about_too(tmp_path):
    flat = make_run(tmp_path / "a").tokens.order_by("row").values_list("document", flat=True)
    labels = (np.array(flat) == Counter(flat).most_common(1)[0][0]).astype(np.int32)
    run = make_run(tmp_path / "b", name="other", arrays={"clustering/signed/k3": labels + (np.arange(40) == 39) * 1})
    clustering = run.clusterings.get(affinity="signed", k=3)
    label = max(clustering.clusters.values_list("label", "size"), key=lambda pair: pair[1])[0]
    assert len(set(services.draw(run, clustering, label, 3)[0])) == 5


def test_every_cluster_of_at_least_four_tokens_is_asked_about_evenly(clustering):
    people = [UserFactory() for _ in range(90)]
    asked = Counter(services.ask(person, clustering).cluster_id for person in people)
    big = clustering.clusters.filter(size__gte=4)
    assert set(asked) <= {cluster.pk for cluster in big}
    assert min(asked.values()) > 90 / len(big) / 2.5


# Keeping.


def test_a_question_waits_until_it_is_answered(client, run, ana):
    client.force_login(ana)
    first = client.post(f"{START}ask/", HERE)["Location"]
    assert client.post(f"{START}ask/", HERE)["Location"] == first
    assert "Go on with it" in client.get(START, HERE).content.decode()
    client.post(first, {"chosen": "1"})
    assert client.post(f"{START}ask/", HERE)["Location"] != first


def test_two_questions_about_one_cluster_cannot_wait_at_once(clustering, ana):
    cluster = clustering.clusters.first()
    question_of(ana, cluster)
    with pytest.raises(IntegrityError), transaction.atomic():
        question_of(ana, cluster)


def test_a_chosen_cluster_is_asked_about_alone_and_stays_chosen(client, clustering, ana):
    client.force_login(ana)
    label = clustering.clusters.filter(size__gte=4).first().label
    for _ in range(3):
        there = client.post(f"{START}ask/", HERE | {"cluster": label})["Location"]
        assert QuizQuestion.objects.first().cluster.label == label
        html = client.post(there, {"chosen": "2"}, follow=True).content.decode()
        assert f'name="cluster" value="{label}"' in html
    assert QuizQuestion.objects.count() == 3


def test_the_first_answer_stays(client, clustering, ana):
    client.force_login(ana)
    there = client.post(f"{START}ask/", HERE)["Location"]
    client.post(there, {"chosen": "4"})
    html = client.post(there, {"chosen": "1"}, follow=True).content.decode()
    assert "answered before" in html
    assert QuizQuestion.objects.get().chosen == 3


@pytest.mark.parametrize("chosen", ["0", "6", "x", "", "1" * 40, "-1", "１"])
def test_an_impossible_choice_is_refused(client, clustering, ana, chosen):
    client.force_login(ana)
    there = client.post(f"{START}ask/", HERE)["Location"]
    assert client.post(there, {"chosen": chosen}).status_code == 400
    assert QuizQuestion.objects.get().chosen is None


# What is shown.


def test_an_open_question_betrays_nothing(client, clustering, ana):
    client.force_login(ana)
    html = client.get(client.post(f"{START}ask/", HERE)["Location"]).content.decode()
    main = html.split("<main", 1)[1]
    assert "/tokens/" not in main
    assert "/clusters/" not in main
    assert "/documents/" not in main
    assert [int(n) for n in re.findall(r'name="chosen" value="(\d)" data-key="\1"', main)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("is_right", "said"), [(True, "Found."), (False, "Missed.")])
def test_an_answer_names_the_intruder_and_leads_to_both_clusters(client, clustering, ana, is_right, said):
    client.force_login(ana)
    there = client.post(f"{START}ask/", HERE)["Location"]
    question = QuizQuestion.objects.get()
    chosen = question.intruder if is_right else (question.intruder + 1) % 5
    html = client.post(there, {"chosen": chosen + 1}, follow=True).content.decode()
    assert said in html
    assert f"Number {question.intruder + 1}" in html or f"number {question.intruder + 1}" in html
    for cluster in (question.cluster, question.other):
        assert f'href="/runs/synthetic/k/3/clusters/{cluster.label}/"' in html


def test_a_question_is_its_person_s_own(client, clustering, ana):
    client.force_login(ana)
    there = client.post(f"{START}ask/", HERE)["Location"]
    client.force_login(UserFactory(username="ben"))
    assert client.get(there).status_code == 404
    assert client.post(there, {"chosen": "1"}).status_code == 404
    assert client.get(f"{START}{10**40}/").status_code == 404


def test_without_signing_in_nothing_is_asked(client, clustering):
    assert "/sign-in/" in client.post(f"{START}ask/", HERE)["Location"]
    assert "Sign in" in client.get(START, HERE).content.decode()
    assert not QuizQuestion.objects.exists()


def test_questions_of_a_run_that_was_hidden_are_gone(client, run, ana):
    client.force_login(ana)
    there = client.post(f"{START}ask/", HERE)["Location"]
    run.is_private = True
    run.save()
    for path in (there, f"{START}?run=synthetic", f"{RESULTS}/?run=synthetic", f"{RESULTS}.json?run=synthetic"):
        assert client.get(path).status_code == 404
    assert "synthetic" not in client.get(START).content.decode()


@pytest.mark.parametrize(
    ("query", "status"),
    [({"k": "4"}, 404), ({"k": "x"}, 404), ({"affinity": "both"}, 400), ({"cluster": "99"}, 404), ({"sort": "x"}, 400)],
)
def test_impossible_addresses_are_answered(client, run, query, status):
    assert client.get(START, HERE | query).status_code == status


def test_a_cluster_too_small_is_said_to_be(client, clustering, ana):
    client.force_login(ana)
    small = clustering.clusters.first()
    Cluster.objects.filter(pk=small.pk).update(size=2)
    html = client.post(f"{START}ask/", HERE | {"cluster": small.label}, follow=True).content.decode()
    assert f"Cluster {small.label} has 2 tokens" in html
    assert not QuizQuestion.objects.exists()


# Results.


def test_seventeen_of_twenty_by_five_people(clustering):
    cluster = clustering.clusters.first()
    people = [UserFactory() for _ in range(5)]
    for i in range(20):
        question_of(people[i % 5], cluster, chosen=2 if i < 17 else 0)
    question_of(people[0], cluster)
    score = intruder_score(cluster)
    assert (score.n_right, score.n_asked, score.n_people, score.n_open) == (17, 20, 5, 1)
    assert score.sub == "64–95%, 5 people"
    assert score.verdict == "more often than by guessing"


def test_a_cluster_that_nobody_answered_about_has_no_score(clustering, ana, django_assert_num_queries):
    cluster = clustering.clusters.first()
    question_of(ana, cluster)
    with django_assert_num_queries(1):
        assert intruder_score(cluster) is None


@pytest.mark.parametrize(
    ("n_right", "n", "verdict"),
    [(1, 1, "not told from guessing yet"), (2, 5, "not told from guessing yet"), (5, 5, "more often than by guessing"),
     (0, 40, "less often than by guessing")],
)  # fmt: skip
def test_the_verdict_is_against_one_in_five(n_right, n, verdict):
    assert IntruderScore(n_right, n, 1).verdict == verdict


def test_results_by_cluster_person_and_in_all(client, clustering, ana):
    ben = UserFactory(username="ben")
    first, second = clustering.clusters.order_by("rank")[:2]
    for person, cluster, chosen in ((ana, first, 2), (ana, first, 2), (ben, first, 1), (ben, second, 0)):
        question_of(person, cluster, chosen=chosen)
    client.force_login(ana)
    told = client.get(f"{RESULTS}.json", HERE).json()
    assert (told["overall"]["n_right"], told["overall"]["n_asked"], told["overall"]["n_people"]) == (2, 4, 2)
    assert [(c["cluster"], c["n_right"], c["n_asked"]) for c in told["clusters"]] == [
        (first.label, 2, 3), (second.label, 0, 1)
    ]  # fmt: skip
    assert [person["person"] for person in told["people"]] == ["ana"]
    ordered = client.get(f"{RESULTS}.json", HERE | {"sort": "found"}).json()["clusters"]
    assert [c["cluster"] for c in ordered] == [second.label, first.label]
    rows = list(csv.DictReader(io.StringIO(client.get(f"{RESULTS}.csv", HERE).getvalue().decode())))
    assert rows[0]["n_asked"] == "3"
    html = client.get(f"{RESULTS}/", HERE).content.decode()
    assert "found in 2 of 4 questions: not told from guessing yet" in html
    assert "ben" not in html


def test_adjudicators_see_everybody_and_strangers_nobody(client, clustering, ana):
    question_of(ana, clustering.clusters.first(), chosen=2)
    assert client.get(f"{RESULTS}.json", HERE).json()["people"] == []
    carla = UserFactory(username="carla")
    carla.groups.add(Group.objects.get(name="adjudicator"))
    client.force_login(carla)
    assert [p["person"] for p in client.get(f"{RESULTS}.json", HERE).json()["people"]] == ["ana"]


def test_results_take_as_many_queries_for_many_clusters_as_for_one(client, run, ana, django_assert_max_num_queries):
    for clustering in run.clusterings.filter(affinity="signed"):
        for cluster in clustering.clusters.all():
            question_of(ana, cluster, chosen=1)
    client.force_login(ana)
    for k in ("3", "6"):
        with django_assert_max_num_queries(15):
            client.get(f"{RESULTS}/", HERE | {"k": k})


def test_a_run_without_text_says_so(client, tmp_path, ana, monkeypatch):
    make_run(tmp_path)
    monkeypatch.setattr(services, "has_text", lambda run: False)
    client.force_login(ana)
    assert "came without its corpus" in client.get(START, HERE).content.decode()
    assert "came without its corpus" in client.post(f"{START}ask/", HERE, follow=True).content.decode()


def test_all_tokens_are_within_the_run(clustering, ana):
    question = services.ask(ana, clustering)
    assert len(flat_indices(clustering.run)) == N_SELECTED
    assert set(question.tokens) <= set(flat_indices(clustering.run).tolist())
