"""Imports through the API: multipart, a dry run, fingerprints, scopes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from clusters.models import ApiKey, Import, Label, Run
from clusters.services.labels import Content, save_label
from compute.jobs.run import run_next_shard
from tests.factories import UserFactory, make_run
from tests.published_files import CONTEXTS, LABELS

pytestmark = pytest.mark.django_db
BASE = "/api/v1/imports/"
ROWS = "run,affinity,k,cluster,name\nsynthetic,signed,3,0,ours\nsynthetic,signed,3,1,more\nsynthetic,signed,9,0,x\n"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path / "data"
    settings.BUNDLE_DIR = settings.DATA_DIR / "bundles"


@pytest.fixture
def ana(db: None) -> User:
    user: User = UserFactory(username="ana")
    user.groups.add(*Group.objects.filter(name__in=("runner", "labeler")))
    return user


def client(user: User) -> Client:
    found = Client()
    found.force_login(user)
    return found


def keyed(user: User, *scopes: str) -> dict[str, str]:
    _, token = ApiKey.objects.create(user=user, scopes=list(scopes))
    return {"authorization": f"Bearer {token}"}


def file(value: Any, name: str = "file.json") -> SimpleUploadedFile:
    raw = value.encode() if isinstance(value, str) else json.dumps(value).encode()
    return SimpleUploadedFile(name, raw)


def error(response: Any) -> str:
    return str(response.json()["error"]["message"])


def test_published_clusters_are_read_in_by_a_job(ana: User) -> None:
    body = {"kind": "published", "labels": file(LABELS), "contexts": file(CONTEXTS), "name": "paper"}
    response = client(ana).post(BASE, body)
    assert response.status_code == 201, response.content
    place = response["Location"]
    assert (response.json()["state"], response.json()["run"]) == ("waiting", None)
    run_next_shard(None, worker="test:1")
    found = client(ana).get(place).json()
    assert (found["state"], found["run"], found["problem"]) == ("done", "paper", "")
    assert Run.objects.get().n_tokens == 6


def test_what_is_refused_says_why(ana: User) -> None:
    wrong = client(ana).post(BASE, {"kind": "published", "labels": file({"2": [[0, -1]]})})
    assert wrong.status_code == 400
    assert "a label is -1" in error(wrong)
    client(ana).post(BASE, {"kind": "bundle", "file": file("x" * 700, "a.tar")})
    run_next_shard(None, worker="test:1")
    [found] = client(ana).get(BASE).json()["results"]
    assert (found["state"], found["problem"][:10]) == ("refused", "This is no")


def test_labels_are_looked_at_then_written(ana: User, tmp_path: Path) -> None:
    make_run(tmp_path)
    response = client(ana).post(BASE, {"kind": "labels", "file": file(ROWS, "l.csv")})
    plan = response.json()["plan"]
    assert plan["counts"] == {"new": 2, "changed": 0, "same": 0, "refused": 1}
    assert not Label.objects.exists()
    steps = client(ana).get(f"{response['Location']}steps/?limit=2").json()
    assert [step["action"] for step in steps["results"]] == ["new", "new"]
    assert steps["results"][0]["differences"]["name"] == ["", "ours"]
    [refused] = client(ana).get(steps["next"]).json()["results"]
    assert (refused["cluster"], "no cluster 0 at k = 9" in refused["reason"]) == (None, True)
    done = client(ana).post(
        f"{response['Location']}apply/", {"fingerprint": plan["fingerprint"]}, content_type="application/json"
    )
    assert done.status_code == 200
    assert done.json()["counts"] == {"new": 2, "changed": 0, "same": 0, "refused": 1}
    assert Label.objects.count() == 2


def test_a_stale_fingerprint_writes_nothing_and_gives_the_plan_of_now(ana: User, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    response = client(ana).post(BASE, {"kind": "labels", "file": file(ROWS)})
    cluster = run.clusterings.get(k=3, affinity="signed").clusters.get(label=0)
    save_label(ana, cluster, Content(name="by hand"), version=0)
    body = {"fingerprint": response.json()["plan"]["fingerprint"]}
    stale = client(ana).post(f"{response['Location']}apply/", body, content_type="application/json")
    assert stale.status_code == 412
    assert stale.json()["error"]["current"]["counts"]["changed"] == 1
    assert Label.objects.get().name == "by hand"


def test_without_a_dry_run_labels_are_written_at_once_and_once(ana: User, tmp_path: Path) -> None:
    make_run(tmp_path)
    for _ in range(2):
        body = {"kind": "labels", "file": file(ROWS), "dry_run": "false"}
        response = client(ana).post(BASE, body, headers={"idempotency-key": "k1"})
        assert (response.status_code, response.json()["state"]) == (201, "done")
    assert Import.objects.count() == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "everything"},
        {"kind": "labels"},
        {"kind": "bundle"},
        {"kind": "bundle", "path": "/etc"},
        {"kind": "bundle", "path": "../../x"},
        {"kind": "bundle", "name": "\x00", "path": "/x"},
        {"kind": "labels", "user__password": "x"},
        {"kind": "labels", "contexts": "x"},
    ],
)
def test_impossible_bodies_are_400(body: dict[str, Any], ana: User) -> None:
    response = client(ana).post(BASE, body)
    assert response.status_code == 400
    assert response.json()["error"]["message"]


def test_other_kinds_of_body_are_415(ana: User) -> None:
    assert client(ana).post(BASE, {"kind": "labels"}, content_type="application/json").status_code == 415


def test_keys_need_the_scope_of_the_kind(ana: User, tmp_path: Path) -> None:
    make_run(tmp_path)
    labels = {"kind": "labels", "file": file(ROWS)}
    published = {"kind": "published", "labels": file(LABELS)}
    anyone = Client()
    assert anyone.post(BASE, labels).status_code == 401
    assert anyone.post(BASE, labels, headers=keyed(ana, "read")).status_code == 403
    wrong = anyone.post(BASE, {"kind": "labels", "file": file(ROWS)}, headers=keyed(ana, "read", "run"))
    assert wrong.status_code == 403
    assert "“label” scope" in error(wrong)
    assert anyone.post(BASE, published, headers=keyed(ana, "read", "label")).status_code == 403
    done = anyone.post(BASE, {"kind": "labels", "file": file(ROWS)}, headers=keyed(ana, "read", "label"))
    assert done.status_code == 201


def test_a_person_without_the_role_is_refused() -> None:
    nobody = UserFactory(username="nobody")
    assert client(nobody).post(BASE, {"kind": "labels", "file": file(ROWS)}).status_code == 403
    assert client(nobody).post(BASE, {"kind": "published", "labels": file(LABELS)}).status_code == 403


def test_files_that_are_too_large_are_refused(ana: User, settings: Any) -> None:
    settings.UPLOAD_BYTES = 1000
    response = client(ana).post(BASE, {"kind": "labels", "file": file("x" * 100_000)})
    assert response.status_code == 400
    assert "larger than" in error(response)


def test_others_imports_are_not_there(ana: User, tmp_path: Path) -> None:
    make_run(tmp_path)
    place = client(ana).post(BASE, {"kind": "labels", "file": file(ROWS)})["Location"]
    other: User = UserFactory(username="ben")
    other.groups.add(Group.objects.get(name="labeler"))
    for tail in ("", "steps/"):
        assert client(other).get(f"{place}{tail}").status_code == 404
    assert client(other).post(f"{place}apply/", {"fingerprint": "x"}, "application/json").status_code == 404
    assert client(other).get(BASE).json()["results"] == []
    assert Client().get(BASE).status_code == 401
    assert client(ana).get(f"{BASE}{10**40}/").status_code == 404


def test_a_file_of_labels_that_waits_can_be_deleted(ana: User, tmp_path: Path) -> None:
    make_run(tmp_path)
    place = client(ana).post(BASE, {"kind": "labels", "file": file(ROWS, "l.csv")})["Location"]
    assert Client().delete(place, headers=keyed(ana, "read")).status_code == 403
    assert Client().delete(place, headers=keyed(ana, "label")).status_code == 204
    assert client(ana).get(place).status_code == 404
    done = client(ana).post(BASE, {"kind": "labels", "file": file(ROWS, "l.csv"), "dry_run": "false"})["Location"]
    assert client(ana).delete(done).status_code == 400
