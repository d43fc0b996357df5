"""Queues through the API: made, read, changed, and whose turn it is."""

from __future__ import annotations

import pytest

from clusters.models import Assignment, Queue
from tests.factories import make_run
from tests.labeling import adjudicator, clusters_of, labelers, person, queue_of, seen_by, submit

pytestmark = pytest.mark.django_db
API = "/api/v1/queues/"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def eva():
    return adjudicator()


@pytest.fixture
def people():
    return labelers("ana", "ben", "carla")


def send(user, method: str, path: str, body: dict, **headers: str):
    return getattr(seen_by(user), method)(path, body, content_type="application/json", headers=headers)


def new(**changes) -> dict:
    return {"run": "synthetic", "k": 6, "name": "By script", "people": ["ana", "ben"]} | changes


def test_a_queue_is_made_from_a_filter(run, eva, people):
    response = send(eva, "post", API, new(least=5, sort="rank", at_most=2, guidelines="Mind this."))
    assert response.status_code == 201
    queue = Queue.objects.get()
    assert response["Location"] == f"http://testserver{API}{queue.pk}/"
    wanted = [one for one in reversed(clusters_of(run)) if one.size >= 5][:2]
    assert [item.cluster for item in queue.items.all()] == wanted
    body = response.json()
    assert (body["filter"], body["n_clusters"], body["n_labels"]) == ("least=5&sort=rank", 2, 4)
    assert body["is_blind"] is True


def test_a_post_with_a_key_makes_one_queue(run, eva, people):
    for _ in range(2):
        assert send(eva, "post", API, new(), **{"Idempotency-Key": "once"}).status_code == 201
    assert Queue.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"people": ["nobody"]}, "nobody called nobody"),
        ({"people": ["ana"]}, "1 person was chosen"),
        ({"people": []}, "nobody was chosen"),
        ({"labels_each": 0}, "labels_each"),
        ({"name": ""}, "name"),
        ({"at_most": 10**40}, "must lie between"),
        ({"least": 10**6}, "No cluster matches"),
        ({"sort": "password"}, "password"),
        ({"people": ["a\0b"]}, "holds NUL"),
        ({"answer": "a" * 200, "text": "é" * 200}, "characters"),
    ],
)
def test_what_cannot_be_made_is_answered_with_a_sentence(run, eva, people, changes, said):
    response = send(eva, "post", API, new(**changes))
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]
    assert not Queue.objects.exists()


@pytest.mark.parametrize("changes", [{"run": "nobody"}, {"k": 7}])
def test_what_is_not_there_is_not_shared_out(run, eva, people, changes):
    assert send(eva, "post", API, new(**changes)).status_code == 404


def test_labelers_share_nothing_out(run, eva, people):
    queue = queue_of(eva, run, people)
    for method, path in (("post", API), ("patch", f"{API}{queue.pk}/"), ("delete", f"{API}{queue.pk}/")):
        body = new() if method == "post" else {"name": "Mine"}
        assert send(people[0], method, path, body).status_code == 403
    assert Queue.objects.get().name == "First pass"


def test_the_list_goes_page_by_page_newest_first(run, eva, people):
    made = [queue_of(eva, run, people, labels_each=1, name=f"Q{i}").pk for i in range(5)]
    client, address, seen = seen_by(people[0]), f"{API}?limit=2", []
    while address:
        page = client.get(address).json()
        seen += [one["id"] for one in page["results"]]
        address = page["next"]
    assert seen == made[::-1]


def test_queues_are_for_those_who_label(run, eva, people):
    queue = queue_of(eva, run, people)
    assert seen_by(None).get(API).status_code in (401, 403)
    reader = seen_by(person("reader"))
    assert reader.get(API).json()["results"] == []
    for path in (f"{API}{queue.pk}/", f"{API}{queue.pk}/next/", f"{API}{queue.pk}/clusters/"):
        assert reader.get(path).status_code == 404
        assert seen_by(people[0]).get(path).status_code == 200


def test_the_next_cluster_follows_what_is_in(run, eva, people):
    queue, ana = queue_of(eva, run, people, labels_each=3), people[0]
    address, clusters = f"{API}{queue.pk}/next/", clusters_of(run)
    for place, cluster in enumerate(clusters, 1):
        found = seen_by(ana).get(address).json()
        assert (found["place"], found["cluster"], found["queue"]) == (place, cluster.label, queue.pk)
        assert seen_by(ana).get(found["page"]).status_code == 200
        submit(ana, cluster)
    assert seen_by(ana).get(address).status_code == 404


def test_progress_is_told_by_person_and_by_cluster(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=3)
    submit(people[0], clusters_of(run)[0])
    one = seen_by(people[0]).get(f"{API}{queue.pk}/").json()
    assert one["people"][0] == {"name": "ana", "n_labels": 6, "n_labels_in": 1}
    assert (one["n_mine"], one["n_mine_in"], one["n_labels_in"]) == (6, 1, 1)
    page = seen_by(people[0]).get(f"{API}{queue.pk}/clusters/?limit=4").json()
    assert [item["n_labels_in"] for item in page["results"]] == [1, 0, 0, 0]
    rest = seen_by(people[0]).get(page["next"]).json()
    assert [item["place"] for item in rest["results"]] == [5, 6]


def test_a_queue_is_changed_as_a_whole_or_not_at_all(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=2)
    path = f"{API}{queue.pk}/"
    refused = send(eva, "patch", path, {"name": "Half", "people": ["ana"]})
    assert refused.status_code == 400
    assert Queue.objects.get().name == "First pass"
    done = send(eva, "patch", path, {"name": "Whole", "people": ["ana", "ben"], "is_closed": True})
    assert done.status_code == 200
    assert done.json()["name"] == "Whole"
    assert done.json()["closed_at"]
    assert set(Assignment.objects.values_list("person__username", flat=True)) == {"ana", "ben"}
    assert send(eva, "patch", path, {"is_closed": False}).json()["closed_at"] is None


def test_a_queue_with_labels_in_is_not_deleted(run, eva, people):
    queue = queue_of(eva, run, people, labels_each=3)
    submit(people[0], clusters_of(run)[0])
    refused = seen_by(eva).delete(f"{API}{queue.pk}/")
    assert refused.status_code == 400
    assert "Close it instead" in refused.json()["error"]["message"]
    other = queue_of(eva, run, people[1:], labels_each=1)
    assert seen_by(eva).delete(f"{API}{other.pk}/").status_code == 204


@pytest.mark.parametrize("number", ["0", "9" * 40])
def test_a_number_that_is_no_queue_is_not_found(run, eva, number):
    for path in (f"{API}{number}/", f"{API}{number}/next/", f"{API}{number}/clusters/"):
        assert seen_by(eva).get(path).status_code == 404


@pytest.mark.parametrize("query", ["name=x", "cursor=junk", "limit=101", "fields=password"])
def test_unknown_parameters_are_refused(run, eva, people, query):
    queue_of(eva, run, people)
    assert seen_by(eva).get(f"{API}?{query}").status_code == 400
