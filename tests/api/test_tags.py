"""The vocabulary over the API."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import Group

from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
TAGS = "/api/v1/tags/"


@pytest.fixture
def as_cleo(client):
    cleo = UserFactory(username="cleo")
    cleo.groups.add(Group.objects.get(name="adjudicator"))
    client.force_login(cleo)
    return client


def sent(client, method, path, body):
    return getattr(client, method)(path, json.dumps(body), content_type="application/json")


def test_the_whole_vocabulary_is_listed(client):
    found = client.get(TAGS).json()
    assert found["next"] is None
    assert [one["tag"] for one in found["results"]][:2] == ["lexical", "syntactic"]
    assert client.get(f"{TAGS}lexical/").json() == found["results"][0]
    assert client.get(f"{TAGS}nonsense/").status_code == 404


def test_adjudicators_add_rename_and_retire(as_cleo):
    made = sent(as_cleo, "post", TAGS, {"name": "Bracket pairs", "meaning": "What closes."})
    assert (made.status_code, made.json()["tag"]) == (201, "bracket-pairs")
    path = f"{TAGS}bracket-pairs/"
    assert sent(as_cleo, "patch", path, {"name": "brackets"}).json()["name"] == "brackets"
    assert sent(as_cleo, "patch", path, {"is_retired": True}).json()["is_retired"] is True
    assert sent(as_cleo, "patch", path, {"is_retired": False}).json()["meaning"] == "What closes."
    assert sent(as_cleo, "post", TAGS, {"name": "bracket pairs"}).status_code == 400


def test_others_change_nothing(client):
    assert sent(client, "post", TAGS, {"name": "a"}).status_code == 401
    client.force_login(UserFactory())
    assert sent(client, "post", TAGS, {"name": "a"}).status_code == 403
    assert sent(client, "patch", f"{TAGS}lexical/", {"is_retired": True}).status_code == 403
