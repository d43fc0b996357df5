"""Collections through the API."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from clusters.models import Collection
from clusters.services import collections as services
from tests.factories import make_run

pytestmark = pytest.mark.django_db
BASE = "/api/v1/collections/"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def ana() -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def api(client, ana):
    client.force_login(ana)
    return client


@pytest.fixture
def collection(ana) -> Collection:
    return services.create_collection(ana, "skills")


def send(client, method: str, path: str, body: dict | None = None, **headers: str):
    return getattr(client, method)(path, body or {}, content_type="application/json", headers=headers)


def test_one_is_made_read_and_listed(api):
    made = send(api, "post", BASE, {"name": "skills", "access": "link"})
    assert made.status_code == 201
    found = api.get(f"{BASE}{made.json()['collection']}/")
    assert found.json() == made.json()
    assert found["ETag"] == '"1"'
    assert [one["name"] for one in api.get(BASE).json()["results"]] == ["skills"]


def test_asked_for_twice_with_one_key_it_is_made_once(api):
    first, again = (send(api, "post", BASE, {"name": "a"}, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == again.json()
    assert Collection.objects.count() == 1


def test_changes_name_the_version_that_they_replace(api, collection):
    path = f"{BASE}{collection.secret}/"
    assert send(api, "patch", path, {"name": "b"}).status_code == 428
    assert send(api, "patch", path, {"name": "b"}, **{"If-Match": '"1"'})["ETag"] == '"2"'
    late = send(api, "patch", path, {"name": "c"}, **{"If-Match": '"1"'})
    assert late.status_code == 412
    assert late.json()["error"]["current"]["name"] == "b"
    assert send(api, "delete", path, **{"If-Match": '"1"'}).status_code == 412
    assert send(api, "delete", path, **{"If-Match": '"2"'}).status_code == 204
    assert api.get(path).status_code == 404


def test_clusters_tokens_and_filters_are_kept_noted_and_removed(api, run, collection):
    path = f"{BASE}{collection.secret}/items/"
    for body in ({"run": "synthetic", "k": 6, "cluster": 2}, {"run": "synthetic", "index": 7, "note": "look"},
                 {"path": "/runs/synthetic/tokens/?class=mixed"}):  # fmt: skip
        assert send(api, "post", path, body).status_code == 201
    cluster, token, kept = api.get(path).json()["results"]
    assert (cluster["kind"], cluster["affinity"], cluster["k"], cluster["cluster"]) == ("cluster", "signed", 6, 2)
    assert (token["index"], token["note"]) == (7, "look")
    assert kept["path"] == "/runs/synthetic/tokens/?class=mixed"
    assert send(api, "patch", f"{path}{token['id']}/", {"note": "seen"}).json()["note"] == "seen"
    assert send(api, "delete", f"{path}{cluster['id']}/").status_code == 204
    assert api.get(f"{BASE}{collection.secret}/").json()["n_items"] == 2


@pytest.mark.parametrize(
    "body",
    [{}, {"run": "synthetic"}, {"run": "synthetic", "index": 7, "k": 6}, {"path": "//evil.example/"},
     {"run": "synthetic", "index": 10**17}, {"run": "synthetic", "index": 7, "note": "x" * 501}],
)  # fmt: skip
def test_what_is_nothing_to_keep_is_refused(api, run, collection, body):
    assert send(api, "post", f"{BASE}{collection.secret}/items/", body).status_code == 400


def test_what_is_not_there_is_not_kept(api, run, collection):
    path = f"{BASE}{collection.secret}/items/"
    assert send(api, "post", path, {"run": "synthetic", "k": 6, "cluster": 99}).status_code == 404
    assert send(api, "post", path, {"run": "nobody", "index": 1}).status_code == 404


def test_others_read_what_is_shown_to_them_and_change_nothing(client, run, ana, collection):
    path = f"{BASE}{collection.secret}/"
    client.force_login(User.objects.create_user("ben"))
    assert client.get(path).status_code == 404
    services.change_collection(ana, collection, version=1, access="public")
    assert client.get(path).status_code == 200
    assert [one["owner"] for one in client.get(BASE, {"public": "true"}).json()["results"]] == ["ana"]
    assert send(client, "patch", path, {"name": "b"}, **{"If-Match": '"2"'}).status_code == 403
    assert send(client, "post", f"{path}items/", {"run": "synthetic", "index": 1}).status_code == 403


def test_items_of_private_runs_are_left_out(client, ana, tmp_path, collection):
    make_run(tmp_path, owner=ana, private=True)
    services.keep_filter(ana, collection, "/runs/synthetic/tokens/")
    services.change_collection(ana, collection, version=2, access="link")
    found = client.get(f"{BASE}{collection.secret}/items/").json()
    assert found == {"results": [], "next": None}


def test_comments_are_written_and_deleted(api, collection):
    path = f"{BASE}{collection.secret}/comments/"
    made = send(api, "post", path, {"text": "hm"})
    assert made.status_code == 201
    assert [one["text"] for one in api.get(path).json()["results"]] == ["hm"]
    assert send(api, "delete", f"{path}{made.json()['id']}/").status_code == 204
    assert send(api, "post", path, {"text": ""}).status_code == 400


@pytest.mark.parametrize("number", ["0", "9" * 19, "1" + "0" * 40])
def test_numbers_beyond_every_row_are_not_there(api, collection, number):
    for kind in ("items", "comments"):
        assert api.get(f"{BASE}{collection.secret}/{kind}/{number}/").status_code == 404


def test_nobody_makes_one_without_being_somebody(client):
    assert send(client, "post", BASE, {"name": "a"}).status_code in (401, 403)
