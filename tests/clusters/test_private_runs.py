"""A private run, and whatever would betray it, is there for its owner and for superusers alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import resolve

from clusters.models import Run
from clusters.receivers import ingest_bundle
from clusters.urls import urlpatterns
from clusters.views.maps import version_of as map_version
from clusters.views.similarity_pixels import version_of
from compute.models import Job, Probe
from tests.factories import make_run
from tests.jobs.states import job_in

pytestmark = pytest.mark.django_db
PAGES = (
    "/runs/secretive/", "/runs/secretive/manage/", "/runs/secretive/rank-frequency/",
    "/runs/secretive/k/6/clusters/", "/runs/secretive/k/6/clusters/0/", "/runs/secretive/similarity/",
    "/runs/secretive/sequence/", "/runs/secretive/compare/", "/runs/secretive/tokens/", "/runs/secretive/tokens/3/",
    "/runs/secretive/documents/0/", "/runs/secretive/map/", "/runs/secretive/probe/", "/runs/secretive/losses/",
    "/runs/secretive/scaling/", "/runs/secretive/dynamics/", "/runs/secretive/search/", "/runs/secretive/exports/",
    "/runs/secretive/suggestions/",
)  # fmt: skip
PARTS = {  # what the pages ask for later, by the names of their routes
    "rank-frequency-fit": "/runs/secretive/rank-frequency/fit?first=1&last=5",
    "random-cluster": "/runs/secretive/k/6/clusters/random/",
    "similarity-tile": "/runs/secretive/similarity/{version}/signed/similarity/k6/0/0/0.png",
    "similarity-picture": "/runs/secretive/similarity/{version}/signed/similarity/k6/picture.png",
    "similarity-pair": "/runs/secretive/similarity/pair/signed/similarity/k6/?row=0&column=1",
    "similarity-pair-twin": "/runs/secretive/similarity/pair/signed/similarity/k6.json?row=0&column=1",
    "losses-frames": "/runs/secretive/losses/frames.json",
    "export-table": "/runs/secretive/exports/clusters.csv",
    "map-positions": "/runs/secretive/map/{map_version}/positions",
    "map-colours": "/runs/secretive/map/{map_version}/colours",
}
TWINS = [f"{path[:-1]}.{twin}" for path in PAGES if "manage" not in path for twin in ("json", "csv", "svg", "html")]
ONLY_POSTED = {"probe-delete", "export-delete", "note-save", "suggestions-ask", "cluster-suggestions"}
LISTS = ("/", "/runs.json", "/runs.csv", "/jobs/", "/jobs.json", "/jobs.csv")


@pytest.fixture
def ana() -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def ben() -> User:
    return User.objects.create_user("ben")


@pytest.fixture
def job(ana: User) -> Job:
    """A job of ana's that nobody asked to hide."""
    return job_in("succeeded", ana, name="secretive-job")


@pytest.fixture
def run(tmp_path: Path, ana: User, job: Job) -> Run:
    """The run that ana's job made, hidden afterwards."""
    run = make_run(tmp_path, owner=ana, private=True, name="secretive", job=job)
    Job.objects.update(bundle_path=run.bundle_path, bundle_sha256=run.bundle_sha256)
    return run


def seen_by(user: User | None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


def text(client: Client, path: str) -> str:
    response = client.get(path)
    content = response.getvalue()
    assert response.status_code == 200
    return content.decode()


@pytest.mark.parametrize("path", [*PAGES, *TWINS])
def test_no_page_and_no_twin_of_it_is_there_for_others(run: Run, ben: User, path: str) -> None:
    expected = {302, 404} if "manage" in path else {404}
    for user in (None, ben):
        response = seen_by(user).get(path)
        assert response.status_code in expected
        assert "syn-800k" not in response.content.decode()


@pytest.mark.parametrize("path", PARTS.values(), ids=PARTS)
def test_no_part_of_a_page_is_there_for_others(run: Run, ben: User, path: str) -> None:
    path = path.format(version=version_of(run), map_version=map_version(run))
    assert seen_by(run.owner).get(path).status_code in (200, 302)
    for user in (None, ben):
        assert seen_by(user).get(path).status_code == 404


@pytest.mark.parametrize("path", [path for path in PAGES if "manage" not in path])
def test_no_page_of_it_can_be_framed(run: Run, path: str) -> None:
    assert seen_by(run.owner).get(path, {"embed": "true"}).status_code == 404


def test_no_address_of_a_run_was_forgotten_here() -> None:
    of_runs = [route for route in urlpatterns if str(route.pattern).startswith("runs/<slug")]
    paths = [path.partition("?")[0] for path in (*PAGES, *TWINS, *PARTS.values())]
    reached = {resolve(path.format(version="0" * 12, map_version="0" * 12)).url_name for path in paths}
    assert {route.name for route in of_runs} - reached == ONLY_POSTED


@pytest.mark.parametrize("path", PAGES)
def test_its_owner_has_every_page_of_it(run: Run, path: str) -> None:
    assert seen_by(run.owner).get(path).status_code == 200


@pytest.mark.parametrize("path", LISTS)
def test_no_list_names_it_or_its_job_to_others(run: Run, ben: User, path: str) -> None:
    for user in (None, ben):
        assert "secretive" not in text(seen_by(user), path)
    assert "secretive" in text(seen_by(run.owner), path)


def test_its_job_is_not_there_for_others(run: Run, job: Job, ben: User) -> None:
    assert seen_by(ben).get(f"/jobs/{job.pk}/").status_code == 404
    assert seen_by(ben).get(f"/jobs/{job.pk}.json").status_code == 404
    assert seen_by(run.owner).get(f"/jobs/{job.pk}/").status_code == 200


def test_a_second_job_that_made_it_is_not_there_for_others(run: Run, ana: User, ben: User) -> None:
    again = job_in("succeeded", ana, bundle_sha256=run.bundle_sha256)
    assert seen_by(ben).get(f"/jobs/{again.pk}/").status_code == 404


def test_a_probe_that_was_shared_before_it_was_hidden_is_not_there_for_others(run: Run, ana: User, ben: User) -> None:
    probe = job_in("succeeded", ana, name=f"probe of {run.name}")
    Probe.objects.create(job=probe, bundle_path=run.bundle_path, bundle_sha256=run.bundle_sha256, text="a text")

    for user in (None, ben):
        assert seen_by(user).get(f"/jobs/{probe.pk}/").status_code == 404
        assert run.name not in text(seen_by(user), "/jobs/")
    assert seen_by(ana).get(f"/jobs/{probe.pk}/").status_code == 200


def test_private_work_under_way_is_on_nobody_else_s_list_of_runs(ana: User, ben: User) -> None:
    job_in("running", ana, is_private=True, name="hush")
    assert "hush" in text(seen_by(ana), "/")
    assert "hush" not in text(seen_by(ben), "/")


@pytest.fixture
def same(run: Run, ben: User) -> Job:
    """A job of ben's that made the very bundle of ana's private run."""
    job = job_in("succeeded", ben, name="other", bundle_path=run.bundle_path, bundle_sha256=run.bundle_sha256)
    ingest_bundle(Job, job=job, path=run.bundle_path)
    return job


def test_who_computes_it_again_is_told_that_it_is_private_and_nothing_else(same: Job, run: Run, ben: User) -> None:
    shown = text(seen_by(ben), f"/jobs/{same.pk}/")
    assert "someone else keeps it private" in shown
    assert "Open the run" not in shown
    assert not any(name in shown for name in (run.name, "ana"))


def test_computing_it_again_changes_neither_owner_nor_privacy(same: Job, run: Run, ana: User) -> None:
    run.refresh_from_db()
    assert (Run.objects.count(), run.owner, run.is_private, run.job_id != same.pk) == (1, ana, True, True)


def test_who_computes_a_public_run_again_is_led_to_it(same: Job, run: Run, ben: User) -> None:
    Run.objects.update(is_private=False)
    shown = text(seen_by(ben), f"/jobs/{same.pk}/")
    assert f'href="{run.get_absolute_url()}">Open the run' in shown


def test_the_job_of_a_deleted_run_says_so(same: Job, run: Run, ben: User) -> None:
    run.delete()
    assert "Its run has been deleted since." in text(seen_by(ben), f"/jobs/{same.pk}/")
