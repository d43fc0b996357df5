"""Labels over the API: lists, versions by ETag, drafts that are nobody else's, bad input."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import Group

from clusters.models import Label
from clusters.services.labels import Content, save_label
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
LABELS = "/api/v1/labels/"
PLACE = {"run": "synthetic", "k": 6}


def person(name, role="labeler"):
    user = UserFactory(username=name)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


@pytest.fixture
def cluster(tmp_path):
    return make_run(tmp_path).clusterings.get(k=6, affinity="signed").clusters.get(rank=2)


@pytest.fixture
def ana(db):
    return person("ana")


@pytest.fixture
def as_ana(client, ana):
    client.force_login(ana)
    return client


def post(client, path, body, status=201, **headers):
    response = client.post(path, json.dumps(body), content_type="application/json", headers=headers)
    assert response.status_code == status, response.content
    return response


def patch(client, path, body, status=200, **headers):
    response = client.patch(path, json.dumps(body), content_type="application/json", headers=headers)
    assert response.status_code == status, response.content
    return response


def said(response):
    return response.json()["error"]


def test_a_label_is_made_read_and_changed_by_its_version(as_ana, cluster):
    made = post(as_ana, LABELS, PLACE | {"cluster": cluster.label, "name": "a", "tags": ["lexical"]})
    assert (made["ETag"], made.json()["state"], made.json()["author"]) == ('"1"', "draft", "ana")
    path = made["Location"].removeprefix("http://testserver")
    assert as_ana.get(path).json() == made.json()
    changed = patch(as_ana, path, {"kind": "skill", "state": "submitted"}, **{"If-Match": made["ETag"]})
    assert changed["ETag"] == '"2"'
    assert {name: changed.json()[name] for name in ("name", "kind", "tags", "state")} == {
        "name": "a", "kind": "skill", "tags": ["lexical"], "state": "submitted",
    }  # fmt: skip
    versions = as_ana.get(f"{path}revisions/").json()["results"]
    assert [(one["version"], one["action"]) for one in versions] == [(2, "submit"), (1, "draft")]


def test_a_change_without_or_over_another_version_changes_nothing(as_ana, cluster, ana):
    label = save_label(ana, cluster, Content("a"), version=0)
    save_label(ana, cluster, Content("b"), version=1)
    path = f"{LABELS}{label.pk}/"
    assert said(patch(as_ana, path, {"name": "c"}, status=428))["code"] == "precondition_required"
    error = said(patch(as_ana, path, {"name": "c"}, status=412, **{"If-Match": '"1"'}))
    assert (error["current"]["name"], error["current"]["version"]) == ("b", 2)
    for match in ("x", '"999999999999"', "*"):
        assert patch(as_ana, path, {"name": "c"}, status=400, **{"If-Match": match})
    assert Label.objects.get().name == "b"


def test_a_second_post_says_which_label_is_there(as_ana, cluster):
    body = PLACE | {"cluster": cluster.label, "name": "a"}
    number = post(as_ana, LABELS, body).json()["id"]
    assert f"number {number}" in said(post(as_ana, LABELS, body, status=409))["message"]


def test_a_post_with_a_key_of_idempotency_is_done_once(as_ana, cluster):
    body = PLACE | {"cluster": cluster.label, "name": "a"}
    first = post(as_ana, LABELS, body, **{"Idempotency-Key": "k1"})
    again = post(as_ana, LABELS, body, **{"Idempotency-Key": "k1"})
    assert first.json() == again.json()
    assert Label.objects.get().version == 1


def test_only_adjudicators_write_what_is_agreed_on(client, as_ana, cluster):
    body = PLACE | {"cluster": cluster.label, "name": "a", "origin": "agreed", "state": "submitted"}
    assert "adjudicators" in said(post(as_ana, LABELS, body, status=403))["message"]
    client.force_login(person("cleo", "adjudicator"))
    assert post(client, LABELS, body).json()["origin"] == "agreed"


def test_readers_and_strangers_write_nothing(client, cluster):
    body = PLACE | {"cluster": cluster.label, "name": "a"}
    post(client, LABELS, body, status=401)
    client.force_login(person("dan", None))
    assert "labelers" in said(post(client, LABELS, body, status=403))["message"]


def test_another_person_s_draft_is_not_there(client, cluster, ana):
    label = save_label(ana, cluster, Content("a"), version=0)
    client.force_login(person("ben"))
    for path in (f"{LABELS}{label.pk}/", f"{LABELS}{label.pk}/revisions/"):
        assert client.get(path).status_code == 404
    for path in ("", "restore/", "withdraw/"):
        act = patch if not path else post
        act(client, f"{LABELS}{label.pk}/{path}", {"version": 1} if path == "restore/" else {}, status=404,
            **{"If-Match": '"1"'})  # fmt: skip
    assert client.get(LABELS).json()["results"] == []


def test_another_person_s_submitted_label_can_be_read_and_not_changed(client, cluster, ana):
    label = save_label(ana, cluster, Content("a"), version=0, submit=True)
    client.force_login(person("ben"))
    path = f"{LABELS}{label.pk}/"
    assert client.get(path).json()["name"] == "a"
    assert "ana" in said(patch(client, path, {"name": "b"}, status=403, **{"If-Match": '"1"'}))["message"]


def test_a_version_is_restored_and_a_label_withdrawn(as_ana, cluster, ana):
    save_label(ana, cluster, Content("a"), version=0, submit=True)
    label = save_label(ana, cluster, Content("b"), version=1)
    path = f"{LABELS}{label.pk}/"
    restored = post(as_ana, f"{path}restore/", {"version": 1}, status=200, **{"If-Match": '"2"'})
    assert (restored.json()["name"], restored["ETag"]) == ("a", '"3"')
    post(as_ana, f"{path}restore/", {"version": 1}, status=412, **{"If-Match": '"2"'})
    post(as_ana, f"{path}restore/", {"version": 77}, status=400, **{"If-Match": '"3"'})
    withdrawn = post(as_ana, f"{path}withdraw/", {}, status=200, **{"If-Match": '"3"'})
    assert (withdrawn.json()["state"], withdrawn["ETag"]) == ("draft", '"4"')


@pytest.fixture
def many(cluster, ana):
    by_rank = {one.rank: one for one in cluster.clustering.clusters.all()}
    save_label(ana, by_rank[1], Content("apple", "a fruit", "skill", tags=("lexical",)), version=0, submit=True)
    save_label(ana, by_rank[2], Content("berry", kind="word"), version=0)
    save_label(person("ben"), by_rank[1], Content("cherry", tags=("lexical", "unclear")), version=0, submit=True)
    return by_rank


def names(client, **query):
    response = client.get(LABELS, query)
    assert response.status_code == 200
    return [one["name"] for one in response.json()["results"]]


def test_the_list_is_narrowed_and_sorted(as_ana, many):
    assert names(as_ana) == ["cherry", "berry", "apple"]
    assert names(as_ana, ordering="name") == ["apple", "berry", "cherry"]
    for query, found in (
        ({"tag": "lexical"}, ["cherry", "apple"]), ({"kind": "word"}, ["berry"]), ({"state": "draft"}, ["berry"]),
        ({"author": "ben"}, ["cherry"]), ({"text": "fruit"}, ["apple"]), ({"mine": "true"}, ["berry", "apple"]),
        ({"cluster": many[1].label, "k": 6, "affinity": "signed"}, ["cherry", "apple"]), ({"k": 3}, []),
    ):  # fmt: skip
        assert names(as_ana, **query) == found


@pytest.mark.parametrize("ordering", ["latest", "name", "cluster"])
def test_pages_follow_one_another(as_ana, many, ordering):
    seen, address = [], f"{LABELS}?limit=1&ordering={ordering}"
    while address:
        part = as_ana.get(address).json()
        seen += [one["name"] for one in part["results"]]
        address = part["next"]
    assert sorted(seen) == ["apple", "berry", "cherry"]


@pytest.mark.parametrize(
    "query",
    ["user__password__startswith=a", "cursor=x", "cursor=" + "9" * 1000, "k=" + "9" * 41, "kind=x", "limit=101",
     "k=1&k=2", "cursor=WyJsYXRlc3QiLCIyMDIwIiwxXQ"],
)  # fmt: skip
def test_what_a_list_cannot_be_asked_is_refused(client, db, query):
    response = client.get(f"{LABELS}?{query}")
    assert response.status_code == 400
    assert said(response)["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "n" * 201}, "name"), ({"description": "d" * 1_000_000}, "description"), ({"kind": "x"}, "kind"),
        ({"confidence": 4}, "confidence"), ({"tags": ["x"]}, "tags"), ({"misfits": [10**15]}, "misfits"),
        ({"misfits": [-1]}, "misfits"), ({"misfits": list(range(100_000))}, "misfits"), ({"state": "x"}, "state"),
    ],
)  # fmt: skip
def test_bad_content_is_refused_by_field_and_nothing_is_kept(as_ana, cluster, body, field):
    error = said(post(as_ana, LABELS, PLACE | {"cluster": cluster.label} | body, status=400))
    assert list(error["fields"]) == [field]
    assert not Label.objects.exists()


@pytest.mark.parametrize("body", [{"misfits": [10**40]}, {"k": 10**40}, {"name": "\ud800"}, {"name": "\0"}, {"a": 1}])
def test_hostile_bodies_are_refused(as_ana, cluster, body):
    post(as_ana, LABELS, PLACE | {"cluster": cluster.label, "name": "a"} | body, status=400)


@pytest.mark.parametrize("place", [{"run": "x"}, {"k": 5}, {"cluster": 99}, {"affinity": "absolute", "k": 7}])
def test_a_cluster_that_there_is_not_is_missing(as_ana, cluster, place):
    post(as_ana, LABELS, PLACE | {"cluster": cluster.label, "name": "a"} | place, status=404)


@pytest.mark.parametrize("number", ["999", "1" * 41])
def test_a_label_that_there_is_not_is_missing(client, db, number):
    for path in ("", "revisions/"):
        assert client.get(f"{LABELS}{number}/{path}").status_code == 404
