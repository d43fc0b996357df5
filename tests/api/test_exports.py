"""Exports through the API: streamed, or written by a worker."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client

from clusters.models import Export
from compute.jobs.run import Outcome, run_next_shard
from compute.models import Job
from tests.factories import KS, N_SELECTED, make_run

pytestmark = pytest.mark.django_db
BASE = "/api/v1/runs/synthetic/exports/"


@pytest.fixture(autouse=True)
def folders(settings, tmp_path):
    settings.DATA_DIR, settings.EXPORT_DIR = tmp_path, tmp_path / "exports"


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture
def api(client, run):
    client.force_login(User.objects.create_user("ana"))
    return client


def ask(client, body: dict, **headers: str):
    return client.post(BASE, body, content_type="application/json", headers=headers)


def test_a_table_is_streamed_to_its_last_line(client, run):
    lines = client.get(f"{BASE}memberships.jsonl", headers={"accept": "application/jsonl"}).getvalue().splitlines()
    assert json.loads(lines[-1]) == {"end": True, "rows": N_SELECTED * len(KS) * 2}
    rows = client.get(f"{BASE}clusters.csv", {"query": "k=3&affinity=signed"}).getvalue().decode().splitlines()
    assert rows[-1] == "# end, 3 rows"


def test_a_stream_comes_packed_where_that_is_asked_for(client, run):
    response = client.get(f"{BASE}memberships.csv", headers={"accept-encoding": "gzip"})
    assert response["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("users.csv", 404),
        ("clusters.csv?k=3", 400),
        ("clusters.csv?query=k%3D4", 400),
        ("tokens.csv?query=clas%3Dx", 400),
    ],
)
def test_what_cannot_be_streamed_is_said_in_json(client, run, path, status):
    response = client.get(BASE + path, headers={"accept": "text/csv"})
    assert response.status_code == status
    assert response["Content-Type"].startswith("application/json")
    assert json.loads(response.content)["error"]["message"]


def test_a_file_is_asked_for_watched_and_fetched(api):
    asked = ask(api, {"kind": "clusters", "format": "parquet", "query": "k=3"})
    assert (asked.status_code, asked.json()["state"], asked.json()["href"]) == (202, "queued", None)
    assert run_next_shard(asked.json()["job"], worker="here:1") is Outcome.DONE
    done = api.get(asked["Location"]).json()
    assert (done["state"], done["n_rows"]) == ("succeeded", 6)
    assert len(Client().get(done["href"]).getvalue()) == done["n_bytes"]
    assert [one["id"] for one in api.get(BASE).json()["results"]] == [done["id"]]
    assert api.delete(f"{BASE}{done['id']}/").status_code == 204
    assert api.get(f"{BASE}{done['id']}/").status_code == 404


def test_asked_for_twice_with_one_key_it_is_written_once(api):
    first, again = (ask(api, {"kind": "clusters", "format": "csv"}, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json()["id"] == again.json()["id"]
    assert Job.objects.filter(kind="export").count() == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"kind": "users", "format": "csv"}, {"kind": "archive", "format": "csv"},
     {"kind": "clusters", "format": "csv", "query": "k=4"}, {"kind": "tokens", "format": "csv", "query": "clas=x"}],
)  # fmt: skip
def test_what_cannot_be_written_is_refused(api, body):
    assert ask(api, body).status_code == 400
    assert not Export.objects.exists()


def test_exports_are_of_who_asked_for_them(api, client):
    number = ask(api, {"kind": "labels", "format": "csv"}).json()["id"]
    client.force_login(User.objects.create_user("ben"))
    assert client.get(BASE).json()["results"] == []
    assert client.get(f"{BASE}{number}/").status_code == 404
    assert client.delete(f"{BASE}{number}/").status_code == 404
    assert Client().get(BASE).status_code in (401, 403)


def test_a_private_run_s_tables_are_not_there_for_others(client, tmp_path):
    make_run(tmp_path, private=True, owner=User.objects.create_user("ana"))
    assert client.get(f"{BASE}clusters.csv").status_code == 404
