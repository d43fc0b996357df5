"""The vocabulary: adjudicators add, rename, reorder, retire; the slug stays."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import Group

from clusters.models import AuditEvent, Tag
from clusters.services.labels import Content, save_label
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
PAGE = "/labeling/tags/"


@pytest.fixture
def cleo(db):
    user = UserFactory(username="cleo")
    user.groups.add(Group.objects.get(name="adjudicator"))
    return user


@pytest.fixture
def as_cleo(client, cleo):
    client.force_login(cleo)
    return client


def offered():
    return list(Tag.objects.filter(retired_at=None).values_list("slug", flat=True))


def test_everybody_reads_it_and_nobody_else_changes_it(client):
    text = client.get(PAGE).content.decode()
    assert "One word, or forms of one word." in text
    assert "Retire" not in text
    assert client.post(PAGE, {"action": "retire", "tag": "lexical"}).status_code == 403
    assert "lexical" in offered()


def test_a_tag_is_added_at_the_end(as_cleo):
    assert as_cleo.post(PAGE, {"action": "add", "name": "Bracket pairs", "meaning": "m"}).status_code == 302
    assert offered()[-1] == "bracket-pairs"
    assert AuditEvent.objects.filter(action="tag.add", target="bracket-pairs").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "Give the tag a name"), ("x" * 41, "41 characters"), ("语", "a letter or a digit"),
     ("Lexical", "already")],
)  # fmt: skip
def test_a_name_that_cannot_be_is_refused_and_stays_in_the_form(as_cleo, name, said):
    response = as_cleo.post(PAGE, {"action": "add", "name": name, "meaning": "kept meaning"})
    assert response.status_code == 422
    assert said in response.content.decode()
    assert "kept meaning" in response.content.decode()
    assert len(offered()) == 8


def test_a_new_name_leaves_the_slug_and_the_labels(as_cleo, cleo, tmp_path):
    cluster = make_run(tmp_path).clusterings.get(k=6, affinity="signed").clusters.get(rank=1)
    save_label(cleo, cluster, Content("a", tags=("lexical",)), version=0, submit=True)
    as_cleo.post(PAGE, {"action": "change", "tag": "lexical", "name": "one word", "meaning": "m"})
    tag = Tag.objects.get(slug="lexical")
    assert (tag.name, tag.meaning, tag.labels.count()) == ("one word", "m", 1)
    [found] = [one for one in json.loads(as_cleo.get("/labeling/tags.json").content)["tags"] if one["tag"] == "lexical"]
    assert (found["n_labels"], found["name"]) == (1, "one word")


def test_tags_move_up_and_down_among_those_that_are_offered(as_cleo):
    first = offered()
    as_cleo.post(PAGE, {"action": "down", "tag": first[0]})
    assert offered() == [first[1], first[0], *first[2:]]
    as_cleo.post(PAGE, {"action": "up", "tag": first[0]})
    as_cleo.post(PAGE, {"action": "up", "tag": first[0]})
    assert offered() == first


def test_a_tag_is_retired_and_brought_back(as_cleo):
    as_cleo.post(PAGE, {"action": "retire", "tag": "numeric"})
    assert "numeric" not in offered()
    assert "Bring back" in as_cleo.get(PAGE).content.decode()
    as_cleo.post(PAGE, {"action": "bring-back", "tag": "numeric"})
    assert "numeric" in offered()


@pytest.mark.parametrize(
    ("sent", "status"), [({"action": "x"}, 400), ({}, 400), ({"action": "retire", "tag": "x"}, 404)]
)
def test_what_cannot_be_done_is_refused(as_cleo, sent, status):
    assert as_cleo.post(PAGE, sent).status_code == status
