"""Suggested labels through the API: listed, taken, dismissed, asked for."""

from __future__ import annotations

import numpy as np
import pytest
from django.contrib.auth.models import Group

from clusters.models import Label, LabelSuggestion, MachineAnswer
from clusters.services.labels import Content, save_label
from compute.models import Job
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
BASE = "/api/v1/suggestions/"
PLACE = {"run": "synthetic", "affinity": "signed", "k": 3}
ARRAYS = {
    "clustering/signed/k3": np.repeat([0, 1, 2], [20, 12, 8]).astype(np.int32),
    "clustering/signed/k6": np.repeat(np.arange(6), [10, 10, 6, 6, 4, 4]).astype(np.int32),
}


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path, arrays=ARRAYS)


def person(name, *roles):
    made = UserFactory(username=name)
    made.groups.set(Group.objects.filter(name__in=roles))
    return made


@pytest.fixture
def ana():
    return person("ana", "labeler")


@pytest.fixture
def sources(run):
    ben = person("ben", "labeler")
    clusters = run.clusterings.get(affinity="signed", k=6).clusters.order_by("label")
    return [save_label(ben, cluster, Content(name=f"rule {cluster.label}"), version=0, submit=True)
            for cluster in clusters]  # fmt: skip


def machine_label(run):
    from django.utils import timezone

    cluster = run.clusterings.get(affinity="signed", k=3).clusters.get(label=0)
    label = Label.objects.create(cluster=cluster, origin="machine", author_name="fake-8b", state="submitted",
                                 name="machine's words", updated_at=timezone.now())  # fmt: skip
    score = {"n_right": 14, "n_asked": 16, "low": 0.64, "high": 0.96}
    MachineAnswer.objects.create(label=label, lm="fake-8b", prompt=[], answer="", score=score)
    return label


def post(client, path, body, status=201, **headers):
    response = client.post(f"{BASE}{path}/", body, content_type="application/json", headers=headers)
    assert response.status_code == status, response.content
    return response


def test_a_clustering_s_suggestions_the_likest_first_page_by_page(client, run, ana, sources):
    client.force_login(ana)
    found, address = [], f"{BASE}?run=synthetic&k=3&limit=4"
    while address:
        page = client.get(address).json()
        found, address = found + page["results"], page["next"]
    assert len(found) == 6
    assert {(row["cluster"], row["written_for"]["cluster"], row["jaccard"]) for row in found} == {
        (0, 0, 0.5), (0, 1, 0.5), (1, 2, 0.5), (1, 3, 0.5), (2, 4, 0.5), (2, 5, 0.5),
    }  # fmt: skip


def test_one_cluster_s_with_the_machine_s_first(client, run, ana, sources):
    machine_label(run)
    client.force_login(ana)
    query = {"run": "synthetic", "k": 3, "cluster": 0}
    rows = client.get(BASE, query).json()["results"]
    assert [(row["origin"], row["jaccard"]) for row in rows] == [("machine", None), ("person", 0.5), ("person", 0.5)]
    assert rows[0]["machine"] == {"lm": "fake-8b", "n_right": 14, "n_asked": 16, "low": 0.64, "high": 0.96}
    found, address = [], f"{BASE}?run=synthetic&k=3&cluster=0&limit=1"
    while address:
        page = client.get(address).json()
        assert len(page["results"]) == 1
        found, address = found + page["results"], page["next"]
    assert found == rows


def test_strangers_are_asked_who_they_are_and_readers_offered_nothing(client, run, sources):
    assert client.get(BASE, {"run": "synthetic", "k": 3}).status_code in (401, 403)
    client.force_login(person("reader"))
    assert client.get(BASE, {"run": "synthetic", "k": 3}).json()["results"] == []


def test_taking_one(client, run, ana, sources):
    client.force_login(ana)
    body = PLACE | {"cluster": 0, "source": sources[0].pk, "version": 1}
    response = post(client, "accept", body)
    mine = Label.objects.get(author=ana)
    assert response.json() == {
        "decision": "accepted", "source": sources[0].pk, "version": 1, "jaccard": 0.5, "n_shared": 10, "label": mine.pk,
    }  # fmt: skip
    assert response["ETag"] == '"1"'
    assert response["Location"].endswith(f"/api/v1/labels/{mine.pk}/")
    assert post(client, "accept", body, 409).json()["error"]["code"] == "conflict"
    assert client.get(BASE, {"run": "synthetic", "k": 3, "cluster": 0}).json()["results"] == []


def test_taking_one_again_with_the_same_key_takes_it_once(client, run, ana, sources):
    client.force_login(ana)
    body = PLACE | {"cluster": 0, "source": sources[0].pk}
    answers = [post(client, "accept", body, **{"Idempotency-Key": "one"}).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert Label.objects.get(author=ana).version == 1


def test_dismissing_one(client, run, ana, sources):
    client.force_login(ana)
    post(client, "dismiss", PLACE | {"cluster": 0, "source": sources[0].pk})
    rows = client.get(BASE, {"run": "synthetic", "k": 3, "cluster": 0}).json()["results"]
    assert [row["source"] for row in rows] == [sources[1].pk]
    assert LabelSuggestion.objects.get().decision == "dismissed"


@pytest.mark.parametrize("path", ["accept", "dismiss"])
@pytest.mark.parametrize(
    ("change", "status"),
    [({"source": 2**62}, 404), ({"source": 10**40}, 400), ({"cluster": 77}, 404), ({"run": "nobody"}, 404),
     ({"k": 4}, 404), ({"affinity": "x"}, 400), ({"version": "x"}, 400), ({"more": 1}, 400)],
)  # fmt: skip
def test_impossible_decisions(client, run, ana, sources, path, change, status):
    client.force_login(ana)
    post(client, path, PLACE | {"cluster": 0, "source": sources[0].pk} | change, status)
    assert not LabelSuggestion.objects.exists()


def test_a_changed_label_is_not_taken_unseen(client, run, ana, sources):
    client.force_login(ana)
    post(client, "accept", PLACE | {"cluster": 0, "source": sources[0].pk, "version": 9}, 400)


def test_readers_decide_nothing(client, run, sources):
    body = PLACE | {"cluster": 0, "source": sources[0].pk}
    assert client.post(f"{BASE}accept/", body, content_type="application/json").status_code in (401, 403)
    client.force_login(person("reader"))
    post(client, "accept", body, 403)


def test_asking_the_language_model(client, run, ana, settings):
    settings.SUGGEST_URL, settings.SUGGEST_MODEL, settings.SUGGEST_KEY = "https://lm.example.org/v1", "big", "sk-secret"
    client.force_login(ana)
    response = post(client, "machine", PLACE | {"clusters": [0]})
    job = Job.objects.get(kind="suggest")
    assert response.json() == {"job": job.pk, "lm": "big", "endpoint": "lm.example.org"}
    assert response["Location"].endswith(f"/api/v1/jobs/{job.pk}/")
    assert "sk-secret" not in client.get(f"/api/v1/jobs/{job.pk}/").content.decode()
    post(client, "machine", PLACE | {"clusters": [0, 1]}, 403)
    assert "77" in post(client, "machine", PLACE | {"clusters": [77]}, 422).json()["error"]["message"]


def test_it_is_off_unless_set_up(client, run, ana, settings):
    settings.SUGGEST_URL = ""
    client.force_login(ana)
    assert "QW_SUGGEST_URL" in post(client, "machine", PLACE | {"clusters": [0]}, 422).json()["error"]["message"]
