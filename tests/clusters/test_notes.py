"""Notes and bookmarks at tokens: the panel, versions, the list."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import Group

from clusters.models import TokenNote
from clusters.services.notes import NoteConflictError, save_note
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
TOKEN = "/runs/synthetic/tokens/7/"
SAVE = f"{TOKEN}note/"


def person(name, role="labeler"):
    user = UserFactory(username=name)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def ana(db):
    return person("ana")


@pytest.fixture
def as_ana(client, ana, run):
    client.force_login(ana)
    return client


def html(client, path, status=200, **query):
    response = client.get(path, query)
    assert response.status_code == status
    return response.content.decode()


def test_a_note_is_written_on_the_token_s_page_and_seen_by_others(as_ana, client):
    response = as_ana.post(SAVE, {"version": 0, "text": "an <odd> one\nindeed", "bookmark": "on"})
    assert (response.status_code, response["Location"]) == (302, f"{TOKEN}#note")
    text = html(as_ana, TOKEN)
    assert "Note saved." in text
    assert "an &lt;odd&gt; one\nindeed</textarea>" in text
    assert 'name="bookmark" checked' in text
    client.logout()
    text = html(client, TOKEN)
    assert "an &lt;odd&gt; one<br>indeed" in text
    assert "<textarea" not in text.split('id="note"')[1]


def test_to_readers_a_token_without_notes_shows_nothing(client, run):
    assert 'id="note"' not in html(client, TOKEN)
    client.force_login(person("dan", None))
    assert 'id="note"' not in html(client, TOKEN)


def test_every_write_adds_a_version(run, ana):
    save_note(ana, run, 7, text="a", is_bookmarked=False, version=0)
    note = save_note(ana, run, 7, text="b", is_bookmarked=True, version=1)
    kept = list(note.revisions.order_by("version").values_list("version", "content"))
    assert kept == [(1, {"text": "a", "is_bookmarked": False}), (2, {"text": "b", "is_bookmarked": True})]
    with pytest.raises(NoteConflictError):
        save_note(ana, run, 7, text="c", is_bookmarked=True, version=1)


def test_two_texts_are_shown_and_either_can_be_kept(as_ana, run, ana):
    save_note(ana, run, 7, text="one word", is_bookmarked=False, version=0)
    response = as_ana.post(SAVE, {"version": 0, "text": "one thing"})
    text = response.content.decode()
    assert response.status_code == 409
    assert "<del>word</del>" in text
    assert "<ins>thing</ins>" in text
    assert 'name="version" value="1"' in text
    assert as_ana.post(SAVE, {"version": 1, "text": "one thing"}).status_code == 302
    assert TokenNote.objects.get().text == "one thing"


@pytest.mark.parametrize(("path", "status"), [("/runs/synthetic/tokens/99999/note/", 404), (SAVE, 422)])
def test_what_cannot_be_saved_is_refused(as_ana, path, status):
    response = as_ana.post(path, {"version": 0, "text": "n" * 10_001})
    assert response.status_code == status
    if status == 422:
        assert "10,001 characters" in response.content.decode()
        assert "n" * 10_001 in response.content.decode()
    assert not TokenNote.objects.exists()


def test_strangers_keep_their_text_and_readers_may_not(client, run):
    response = client.post(SAVE, {"version": 0, "text": "long thought"})
    assert (response.status_code, "long thought" in response.content.decode()) == (403, True)
    client.force_login(person("dan", None))
    assert client.post(SAVE, {"version": 0, "text": "a"}).status_code == 403
    assert client.get(SAVE).status_code == 405


def test_the_list_has_all_notes_and_one_s_own_bookmarks_alone(client, run, ana):
    save_note(ana, run, 3, text="a note", is_bookmarked=True, version=0)
    save_note(ana, run, 4, text="", is_bookmarked=True, version=0)
    found = json.loads(html(client, "/notes.json"))["notes"]
    assert [(one["token"], one["is_bookmarked"]) for one in found] == [(3, None)]
    assert "bookmarked</span>" not in html(client, "/notes/")
    client.force_login(ana)
    assert len(json.loads(html(client, "/notes.json", mine="yes", bookmarked="yes"))["notes"]) == 2
    assert "a bookmark" in html(client, "/notes/", mine="yes")


def test_the_list_is_narrowed_and_goes_on(client, run, ana, monkeypatch):
    for index in range(3):
        save_note(ana, run, index, text=f"note {index}", is_bookmarked=False, version=0)
    monkeypatch.setattr("clusters.views.notes.A_PAGE", 2)
    first = json.loads(html(client, "/notes.json"))
    second = json.loads(html(client, "/notes.json", after=first["next"]))
    assert [one["token"] for one in first["notes"] + second["notes"]] == [2, 1, 0]
    assert [one["token"] for one in json.loads(html(client, "/notes.json", token="1"))["notes"]] == [1]
    assert html(client, "/notes/", status=400, after="x")
    assert html(client, "/notes/", status=400, token="9" * 41)


def test_notes_of_private_runs_are_not_there_for_others(client, tmp_path, ana):
    run = make_run(tmp_path / "private", owner=ana, private=True, name="secretive")
    save_note(ana, run, 3, text="hush", is_bookmarked=False, version=0)
    assert "hush" not in html(client, "/notes/")
    assert client.post("/runs/secretive/tokens/3/note/", {"version": 0}).status_code == 404
