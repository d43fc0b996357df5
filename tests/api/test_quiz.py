"""Results of the intruder test through the API."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group

from clusters.models import QuizQuestion
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
QUERY = {"run": "synthetic", "k": "6"}


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def ana(run):
    ana, ben = UserFactory(username="ana"), UserFactory(username="ben")
    clusters = run.clusterings.get(affinity="signed", k=6).clusters.order_by("rank")
    for person, cluster, chosen in ((ana, clusters[0], 1), (ben, clusters[0], 0), (ana, clusters[3], 1),
                                    (ana, clusters[4], None)):  # fmt: skip
        QuizQuestion.objects.create(
            person=person, cluster=cluster, other=clusters[1], tokens=[1, 2, 3, 4, 5], intruder=1, chosen=chosen, seed=0
        )
    return ana


def get(client, path="", status=200, **query):
    response = client.get(f"/api/v1/quiz/{path}", QUERY | query)
    assert response.status_code == status, response.content
    return response.json()


def test_scores_by_cluster_page_by_page(client, ana):
    first = get(client, limit=1)
    assert [(row["rank"], row["n_right"], row["n_asked"], row["n_people"]) for row in first["results"]] == [
        (1, 1, 2, 2)
    ]
    second = client.get(first["next"]).json()
    assert [(row["rank"], row["n_right"], row["is_told"]) for row in second["results"]] == [(4, 1, False)]
    assert second["next"] is None


def test_all_together_and_one_s_own(client, ana):
    told = get(client, "summary/")
    assert (told["overall"]["n_right"], told["overall"]["n_asked"], told["overall"]["n_open"]) == (2, 3, 1)
    assert (told["people"], told["guessing"]) == ([], 0.2)
    client.force_login(ana)
    assert [(row["person"], row["n_right"]) for row in get(client, "summary/")["people"]] == [("ana", 2)]
    ana.groups.add(Group.objects.get(name="adjudicator"))
    client.force_login(ana)
    assert [row["person"] for row in get(client, "summary/")["people"]] == ["ana", "ben"]


def test_before_anybody_has_answered(client, run):
    assert get(client) == {"results": [], "next": None}
    assert get(client, "summary/")["overall"] is None


@pytest.mark.parametrize(
    ("query", "status"),
    [({"k": "7"}, 404), ({"run": "nobody"}, 404), ({"k": "x"}, 400), ({"k": "9" * 40}, 400), ({"affinity": "x"}, 400),
     ({"cursor": "junk"}, 400), ({"person__password": "x"}, 400)],
)  # fmt: skip
def test_impossible_questions(client, run, query, status):
    assert get(client, status=status, **query)["error"]["status"] == status
