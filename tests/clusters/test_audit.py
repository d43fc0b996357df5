"""The audit: what is recorded, who reads it, and how it is asked."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from clusters.models import AuditEvent, Run
from clusters.services import runs
from clusters.services.audit import record
from compute.jobs import kinds, queue
from compute.models import Job
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"


@pytest.fixture
def boss() -> User:
    return UserFactory(username="boss", is_superuser=True)


@pytest.fixture
def admin(boss: User) -> Client:
    client = Client()
    client.force_login(boss)
    AuditEvent.objects.all().delete()
    return client


def deeds() -> list[tuple[str, str, str]]:
    return list(AuditEvent.objects.order_by("pk").values_list("actor_name", "action", "target"))


# ── what is recorded ──
def test_what_happens_to_runs(boss: User, tmp_path: Path) -> None:
    run = make_run(tmp_path, owner=boss)
    runs.rename_run(boss, run, "another name")
    runs.archive_run(boss, run)
    runs.unarchive_run(boss, run)
    runs.set_private(boss, run, True)
    runs.add_reader(boss, run, UserFactory(username="ana").username)
    runs.remove_reader(boss, run, "ana")
    runs.set_private(boss, run, False)
    runs.delete_run(boss, run)
    actions = ["rename", "archive", "unarchive", "hide", "share", "unshare", "publish", "delete"]
    assert deeds() == [("boss", f"run.{action}", "synthetic") for action in actions]
    assert AuditEvent.objects.get(action="run.rename").detail == {"before": "synthetic", "after": "another name"}


def test_what_is_undone_is_not_recorded(boss: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, owner=boss)

    def broken(run: Run) -> None:
        raise RuntimeError("cut short")

    monkeypatch.setattr(runs, "_delete_rows", broken)
    with pytest.raises(RuntimeError):
        runs.delete_run(boss, run)
    assert deeds() == []


def test_what_happens_to_jobs(boss: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kinds._WORK, "chore", lambda job, report: None)
    job = kinds.enqueue("chore", name="a chore", config={}, requested_by=boss, is_private=False)
    queue.cancel(job, boss)
    queue.resume(job, boss)
    target = f"job {job.pk}: a chore"
    assert deeds() == [("boss", f"job.{action}", target) for action in ("start", "cancel", "resume")]


def test_what_is_refused_of_a_job_is_not_recorded(boss: User) -> None:
    with pytest.raises(queue.JobStateError):
        queue.resume(Job.objects.create(name="a", config={}), boss)
    assert deeds() == []


def test_coming_and_going(client: Client, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    UserFactory(username="ana", password=PASSWORD)
    client.post("/sign-in/", {"username": "ana", "password": "wrong"})
    client.post("/sign-in/", {"username": "ana", "password": PASSWORD})
    client.post("/sign-out/")
    assert deeds() == [("", "sign-in.fail", "ana"), ("ana", "sign-in", "ana"), ("ana", "sign-out", "ana")]


def test_a_deed_outlives_who_did_it(boss: User) -> None:
    ana = UserFactory(username="ana")
    record(ana, "label.submit", "a cluster")
    ana.delete()
    assert deeds() == [("ana", "label.submit", "a cluster")]


# ── who reads it ──
def test_administrators_alone_read_it(boss: User) -> None:
    ana = Client()
    ana.force_login(UserFactory())
    for path in ("/audit/", "/audit.json", "/audit.csv", "/audit/?embed=true"):
        assert ana.get(path).status_code == 404 or (path.endswith("true") and ana.get(path).status_code == 302)
    assert Client().get("/audit/").headers["Location"] == "/sign-in/?next=/audit/"
    assert Client().get("/audit.json").status_code == 404
    assert Client().get("/audit.csv").status_code == 404


# ── how it is asked ──
@pytest.fixture
def events(boss: User, admin: Client) -> None:
    ana = UserFactory(username="ana")
    for n in range(150):
        record(ana, "label.submit", f"cluster {n}", version=n)
    record(boss, "run.delete", "=cmd|' /C calc'!A0", name="x")
    AuditEvent.objects.filter(target="cluster 7").update(at=timezone.now() - timedelta(days=40))


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize(
    ("query", "there", "gone"),
    [
        ({"person": "ANA"}, "cluster 149", "calc"),
        ({"action": "run.delete"}, "calc", "cluster 149"),
        ({"action": "run"}, "calc", "cluster 149"),
        ({"action": "lab"}, "No deed fits", "cluster 149"),
        ({"until": "{last month}"}, "cluster 7<", "cluster 149"),
        ({"since": "{today}"}, "cluster 149", "cluster 7<"),
    ],
)
def test_it_is_narrowed(admin: Client, query: dict[str, str], there: str, gone: str) -> None:
    days = {"{today}": timezone.now().date(), "{last month}": (timezone.now() - timedelta(days=40)).date()}
    html = admin.get("/audit/", {name: str(days.get(value, value)) for name, value in query.items()}).content.decode()
    assert there in html
    assert gone not in html


@pytest.mark.usefixtures("events")
def test_pages_follow_each_other_and_keep_what_is_asked(admin: Client) -> None:
    answer = admin.get("/audit.json?action=label").json()
    assert len(answer["events"]) == 100
    rest = admin.get(answer["next"]).json()
    assert len(rest["events"]) == 50
    assert rest["next"] is None
    targets = [event["target"] for event in answer["events"] + rest["events"]]
    assert targets == [f"cluster {n}" for n in range(149, -1, -1)]
    assert "action=label&amp;before=" in admin.get("/audit/?action=label").content.decode()


@pytest.mark.usefixtures("events")
def test_the_csv_has_all_and_no_formulas(admin: Client) -> None:
    rows = list(csv.reader(io.StringIO(admin.get("/audit.csv").getvalue().decode())))
    assert rows[0] == ["event", "at", "person", "action", "target", "detail"]
    assert len(rows) == 152
    assert rows[1][4].startswith("'=")
    assert rows[2][5] == '{"version": 149}'


@pytest.mark.parametrize("query", ["since=yesterday", "until=2026-13-01", "before=x", "before=-1", "since=" + "9" * 50])
def test_what_cannot_be_asked_is_refused_with_a_sentence(admin: Client, query: str) -> None:
    response = admin.get(f"/audit/?{query}")
    assert response.status_code == 400
    assert "write a day like" in response.content.decode() or "the number of an event" in response.content.decode()


@pytest.mark.parametrize(
    "query", ["person=%00", "person=%ED%A0%80", "action=%25", "until=9999-12-31", "since=0001-01-01"]
)
def test_odd_questions_are_answered(admin: Client, query: str) -> None:
    assert admin.get(f"/audit/?{query}").status_code == 200


@pytest.mark.usefixtures("events")
def test_a_page_costs_few_queries(admin: Client, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(6):
        admin.get("/audit/")
