"""Notes and bookmarks over the API."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import Group

from clusters.services.notes import save_note
from tests.factories import UserFactory, make_run, n_predictions

pytestmark = pytest.mark.django_db
NOTES = "/api/v1/notes/"


def person(name):
    user = UserFactory(username=name)
    user.groups.add(Group.objects.get(name="labeler"))
    return user


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def ana(db):
    return person("ana")


def sent(client, method, path, body, **headers):
    return getattr(client, method)(path, json.dumps(body), content_type="application/json", headers=headers)


def test_a_note_is_made_and_changed_by_its_version(client, run, ana):
    client.force_login(ana)
    made = sent(client, "post", NOTES, {"run": "synthetic", "token": 7, "text": "odd", "is_bookmarked": True})
    assert (made.status_code, made["ETag"], made.json()["is_bookmarked"]) == (201, '"1"', True)
    path = f"{NOTES}{made.json()['id']}/"
    assert sent(client, "patch", path, {"text": "b"}).status_code == 428
    changed = sent(client, "patch", path, {"text": "b"}, **{"If-Match": '"1"'})
    assert (changed.json()["text"], changed.json()["is_bookmarked"], changed["ETag"]) == ("b", True, '"2"')
    stale = sent(client, "patch", path, {"text": "c"}, **{"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["error"]["current"]["text"]) == (412, "b")
    assert sent(client, "post", NOTES, {"run": "synthetic", "token": 7}).status_code == 409


def test_of_others_bookmarks_nobody_learns(client, run, ana):
    noted = save_note(ana, run, 3, text="seen", is_bookmarked=True, version=0)
    marked = save_note(ana, run, 4, text="", is_bookmarked=True, version=0)
    client.force_login(person("ben"))
    [one] = client.get(NOTES).json()["results"]
    assert (one["id"], one["is_bookmarked"]) == (noted.pk, None)
    assert client.get(f"{NOTES}{marked.pk}/").status_code == 404
    assert client.get(NOTES, {"bookmarked": "true"}).json()["results"] == []
    assert sent(client, "patch", f"{NOTES}{noted.pk}/", {"text": "x"}, **{"If-Match": '"1"'}).status_code == 403
    client.force_login(ana)
    assert len(client.get(NOTES, {"bookmarked": "true"}).json()["results"]) == 2


@pytest.mark.parametrize("token", [n_predictions(), 2**62, -1, 10**40, "x"])
def test_a_token_that_there_is_not_gets_no_note(client, run, ana, token):
    client.force_login(ana)
    assert sent(client, "post", NOTES, {"run": "synthetic", "token": token, "text": "a"}).status_code == 400
