"""A POST that names an Idempotency-Key is done once, whoever asks again, however many ask at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from clusters.api.idempotency import LONGEST
from clusters.models import IdempotentRequest, Run
from compute.jobs import queue
from compute.models import Job
from tests.api.seeds import bearer, make_key
from tests.databases import Site, postgres_template, site, sqlite_template  # noqa: F401  (fixtures)
from tests.factories import UserFactory, make_run
from tests.postgres import postgres  # noqa: F401  (a fixture)

BODY = '{"name": "again", "seed": 7}'
AT_ONCE = 8


@pytest.fixture
def key(db):
    return make_key(UserFactory(is_superuser=True), "run")


def start(key: str, name: str = "a", body: str = BODY) -> Any:
    headers = {**bearer(key), "Idempotency-Key": name}
    return Client().post("/api/v1/jobs/", body, content_type="application/json", headers=headers)


def test_asking_again_gives_the_first_answer_and_does_nothing(key):
    first, again = start(key), start(key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again["Location"] == first["Location"]
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first
    assert Job.objects.count() == 1


def test_another_body_under_the_same_key_is_refused(key):
    start(key)
    response = start(key, body='{"name": "other"}')
    assert response.status_code == 422
    assert "another request" in response.json()["error"]["message"]
    assert Job.objects.count() == 1


def test_two_people_may_use_the_same_key(key):
    other = make_key(UserFactory(is_superuser=True), "run")
    assert start(key).json()["id"] != start(other).json()["id"]


def test_what_failed_may_be_tried_again(key):
    assert start(key, body='{"name": "!"}').status_code == 400
    assert start(key).status_code == 201


def test_what_broke_leaves_nothing(key, monkeypatch):
    def broken(*args: Any, **kwargs: Any) -> None:
        Job.objects.create(name="half", config={})
        raise RuntimeError

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(queue, "enqueue", broken)
        start(key)
    assert (Job.objects.count(), IdempotentRequest.objects.count()) == (0, 0)
    assert start(key).status_code == 201


def test_a_request_whose_process_was_killed_is_done_again_after_a_while(key):
    start(key)
    Job.objects.all().delete()
    IdempotentRequest.objects.update(status=None, body=None)
    busy = start(key)
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "conflict")
    IdempotentRequest.objects.update(created_at=timezone.now() - LONGEST)
    assert start(key).status_code == 201
    assert IdempotentRequest.objects.get().status == 201


def test_answers_are_kept_for_a_day(key):
    start(key)
    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(days=1, seconds=1))
    start(key)
    assert Job.objects.count() == 2


@pytest.mark.parametrize("name", ["x" * 201, "a\u00a0b\x7f"])
def test_a_key_is_short_and_can_be_read(key, name):
    assert start(key, name).status_code == 422


def test_of_many_who_ask_at_once_one_is_done(site: Site) -> None:  # noqa: F811
    key = make_key(UserFactory(is_superuser=True), "run")
    together = threading.Barrier(AT_ONCE)

    def ask(_: int) -> tuple[int, Any]:
        together.wait(30)
        try:
            response = start(key)
            return response.status_code, response.json()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(AT_ONCE)))
    assert {status for status, _ in answers} <= {201, 409}
    made = [said["id"] for status, said in answers if status == 201]
    assert made
    assert set(made) == set(Job.objects.values_list("pk", flat=True))
    assert Job.objects.count() == 1, connection.vendor


@pytest.mark.django_db
def test_an_answer_is_not_given_again_to_whoever_lost_sight_of_the_run(client, tmp_path):
    person, run = UserFactory(), make_run(tmp_path)
    Run.objects.update(is_private=True)
    run.readers.add(person)
    headers = {**bearer(make_key(person, "read")), "Idempotency-Key": "mine"}

    def ask():
        body = {"kind": "clusters", "format": "parquet"}
        place = f"/api/v1/runs/{run.slug}/exports/"
        return client.post(place, body, content_type="application/json", headers=headers)

    first = ask()
    assert (first.status_code, ask().json()["id"]) == (202, first.json()["id"])
    run.readers.remove(person)
    assert ask().status_code == 404
