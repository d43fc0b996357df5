"""A private run that its owner shares with some people."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.utils import timezone

from clusters.models import Cluster, Label, Run, TokenNote
from clusters.queries.access import visible_jobs
from clusters.services import runs
from compute.models import Job, Probe
from tests.factories import UserFactory, make_run
from tests.jobs.states import job_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def ana() -> User:
    return UserFactory(username="ana")


@pytest.fixture
def ben() -> User:
    return UserFactory(username="ben")


@pytest.fixture
def run(tmp_path: Path, ana: User) -> Run:
    job = job_in("succeeded", ana, is_private=True)
    run = make_run(tmp_path, owner=ana, private=True, job=job)
    Job.objects.update(bundle_path=run.bundle_path, bundle_sha256=run.bundle_sha256)
    return run


def seen_by(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_whoever_it_is_shared_with_reads_the_run_and_its_job(run: Run, ana: User, ben: User) -> None:
    hers, his = seen_by(ana), seen_by(ben)
    job = Job.objects.get()
    assert [his.get(path).status_code for path in ("/runs/synthetic/", f"/jobs/{job.pk}/")] == [404, 404]
    response = hers.post("/runs/synthetic/manage/", {"action": "share", "reader": " ben "})
    assert response.headers["Location"] == "/runs/synthetic/manage/"
    assert [his.get(path).status_code for path in ("/runs/synthetic/", f"/jobs/{job.pk}/")] == [200, 200]
    hers.post("/runs/synthetic/manage/", {"action": "unshare", "reader": "ben"})
    assert [his.get(path).status_code for path in ("/runs/synthetic/", f"/jobs/{job.pk}/")] == [404, 404]


def test_reading_is_not_managing(run: Run, ana: User, ben: User) -> None:
    runs.add_reader(ana, run, "ben")
    his = seen_by(ben)
    assert his.get("/runs/synthetic/manage/").status_code == 403
    assert his.post("/runs/synthetic/manage/", {"action": "share", "reader": "ben"}).status_code == 403
    with pytest.raises(PermissionDenied):
        runs.add_reader(ben, run, "ben")
    job = Job.objects.get()
    assert his.post(f"/jobs/{job.pk}/resume/").status_code == 403


def test_probes_of_others_stay_their_own(run: Run, ana: User, ben: User) -> None:
    runs.add_reader(ana, run, "ben")
    probe = job_in("succeeded", ana, kind="probe", is_private=True)
    Probe.objects.create(job=probe, bundle_path=run.bundle_path, bundle_sha256=run.bundle_sha256, text="a secret")
    assert not visible_jobs(ben).filter(pk=probe.pk).exists()
    assert visible_jobs(ana).filter(pk=probe.pk).exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "Nobody here is called “nobody”."),
        ("ana", "The run is ana's own"),
        ("gone", "Nobody here is called “gone”."),
        ("a\0b", "Nobody here is called"),
    ],
)
def test_a_name_that_does_not_fit_is_said_and_stays_typed(run: Run, ana: User, name: str, said: str) -> None:
    UserFactory(username="gone", is_active=False)
    response = seen_by(ana).post("/runs/synthetic/manage/", {"action": "share", "reader": name})
    html = unescape(response.content.decode())
    assert response.status_code == 422
    assert said in html
    assert 'name="reader" value="' in html
    assert not run.readers.exists()


def test_the_page_names_the_readers(run: Run, ana: User, ben: User) -> None:
    runs.add_reader(ana, run, "ben")
    html = unescape(seen_by(ana).get("/runs/synthetic/manage/").content.decode())
    assert "<b>ben</b>" in html
    assert "and those named below" in html


def test_deleting_says_what_people_wrote(run: Run, ana: User, django_assert_max_num_queries: Any) -> None:
    page = seen_by(ana)
    assert "Nobody has labeled, noted or collected anything" in page.get("/runs/synthetic/manage/").content.decode()
    clusters = Cluster.objects.filter(clustering__run=run)[:2]
    for cluster in clusters:
        Label.objects.create(cluster=cluster, author=ana, updated_at=timezone.now())
    TokenNote.objects.create(run=run, flat_index=3, author=ana, text="odd", updated_at=timezone.now())
    with django_assert_max_num_queries(15):
        html = unescape(page.get("/runs/synthetic/manage/").content.decode())
    assert "2 labels with 0 revisions, 1 note, and 0 places in collections" in html
    assert 'href="/runs/synthetic/exports/"' in html
