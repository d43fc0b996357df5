"""Experiments: asked for, computed by the one path that runs take, read in, shown, changed, deleted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.test import Client

from clusters.embedded.demo import queue_experiment
from clusters.ingest import ingest
from clusters.models import AuditEvent, Experiment
from clusters.queries.bundles import named_bundles
from clusters.queries.experiments import get_experiment, visible_experiments
from clusters.queries.missing import Missing
from clusters.services import experiments as services
from clusters.stored.arrays import experiment_array, has_array
from clusters.views.labs import listed
from compute.errors import BundleError, Cancelled
from compute.jobs import queue
from compute.jobs.quotas import QuotaError
from compute.jobs.run import Outcome, run_job
from compute.labs import LABS, frame
from compute.models import Job
from tests.compute.counting import COUNTING, Counting
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db(transaction=True)
KIND = "parity"


@pytest.fixture(autouse=True)
def _counting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any) -> None:
    """The lab of this kind only counts."""
    monkeypatch.setitem(LABS, KIND, dataclasses.replace(COUNTING, kind=KIND))
    settings.BUNDLE_DIR = tmp_path / "bundles"
    settings.WORKSPACE_DIR = tmp_path / "work"
    settings.BUNDLE_DIR.mkdir()


@pytest.fixture
def ada() -> Any:
    person = UserFactory(username="ada")
    person.groups.add(Group.objects.get(name="runner"))
    return person


def started(person: Any, **given: Any) -> Experiment:
    return services.start_experiment(person, KIND, Counting(name="x"), name="My count", **given)


def done(experiment: Experiment) -> Experiment:
    assert experiment.job is not None
    assert run_job(experiment.job.pk) is Outcome.DONE
    return Experiment.objects.get(pk=experiment.pk)


def test_an_experiment_is_computed_by_a_job_and_read_in(ada: Any) -> None:
    experiment = done(started(ada))
    assert (experiment.slug, experiment.name, experiment.owner) == ("my-count", "My count", ada)
    assert (experiment.found, experiment.config["name"]) == ({"total": 9.0}, "my-count")
    assert experiment_array(experiment, "counts").tolist() == [[0, 1, 2], [0, 2, 4]]
    assert (has_array(experiment, "counts"), has_array(experiment, "sounds")) == (True, False)
    assert Job.objects.get().state == "succeeded"
    assert list(named_bundles()) == [(experiment.bundle_path, experiment.bundle_sha256)]


def test_names_in_addresses_are_numbered(ada: Any) -> None:
    assert [started(ada).slug for _ in range(2)] == ["my-count", "my-count-2"]


def test_private_ones_are_their_owners(ada: Any) -> None:
    experiment = started(ada, is_private=True)
    stranger, boss = UserFactory(), UserFactory(is_superuser=True)
    seen = [visible_experiments(one).exists() for one in (AnonymousUser(), stranger, ada, boss)]
    assert seen == [False, False, True, True]
    assert experiment.job.is_private  # type: ignore[union-attr]
    with pytest.raises(Missing):
        get_experiment(stranger, experiment.slug)
    services.set_private(ada, experiment, False)
    assert get_experiment(stranger, experiment.slug).job.is_private is False  # type: ignore[union-attr]


def test_who_may_start_and_how_many(ada: Any, settings: Any) -> None:
    with pytest.raises(PermissionDenied):
        started(UserFactory())
    settings.OPEN_JOBS_PER_PERSON = 1
    started(ada)
    with pytest.raises(QuotaError):
        started(ada)
    assert started(None).owner is None  # the site's own


@pytest.mark.parametrize("act", ["rename", "hide", "delete"])
def test_nobody_else_changes_it(ada: Any, act: str) -> None:
    experiment, stranger = started(ada), UserFactory()
    acts = {
        "rename": lambda: services.rename_experiment(stranger, experiment, "mine"),
        "hide": lambda: services.set_private(stranger, experiment, True),
        "delete": lambda: services.delete_experiment(stranger, experiment),
    }
    with pytest.raises(PermissionDenied):
        acts[act]()
    assert Experiment.objects.get().name == "My count"


def test_deleting_cancels_its_job_and_takes_the_results_along(ada: Any) -> None:
    waiting = started(ada)
    services.delete_experiment(ada, waiting)
    assert Job.objects.get().state == "cancelled"
    finished = done(started(ada))
    services.delete_experiment(ada, finished)
    assert not Path(finished.bundle_path).exists()
    assert not Experiment.objects.exists()
    assert AuditEvent.objects.filter(action="experiment.delete").count() == 2


def test_one_whose_job_is_resumed_after_it_was_deleted_stays_as_private_as_it_was(ada: Any) -> None:
    waiting = started(ada, is_private=True)
    job = waiting.job
    assert job is not None
    services.delete_experiment(ada, waiting)
    queue.resume(Job.objects.get(pk=job.pk), ada)
    assert run_job(job.pk) is Outcome.DONE
    again = Experiment.objects.get()
    assert (again.owner, again.job_id, again.is_private, again.is_finished) == (ada, job.pk, True, True)


def test_a_name_that_cannot_be_is_refused(ada: Any) -> None:
    with pytest.raises(ValidationError, match="this one is empty"):
        services.start_experiment(ada, KIND, Counting(name="x"), name=" \n ")
    assert not Job.objects.exists()


def test_one_computed_elsewhere_is_read_in_once(tmp_path: Path) -> None:
    path = frame.run_lab(LABS[KIND], Counting(name="far"), tmp_path / "w", tmp_path / "b")
    first, again = services.receive(path), services.receive(path)
    assert (first.pk, first.slug, first.is_finished) == (again.pk, "far", True)
    with pytest.raises(BundleError, match="holds an experiment of the laboratory"):
        ingest(path)


def test_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = frame.run_lab(LABS[KIND], Counting(name="far"), tmp_path / "w", tmp_path / "b")
    (path / "counts.npy").write_bytes(b"x")
    with pytest.raises(BundleError, match="counts.npy"):
        services.receive(path)
    assert not Experiment.objects.exists()


def test_the_laboratorys_page_lists_what_one_may_see(ada: Any, client: Client) -> None:
    started(ada, is_private=True)
    assert b"My count" not in client.get("/labs/").content
    client.force_login(ada)
    assert b"My count" in client.get("/labs/").content
    assert client.get("/labs.json").json()["experiments"][0]["state"] == "queued"


def test_an_open_one_shows_how_far_it_is_and_then_the_whole_page(ada: Any, client: Client) -> None:
    experiment = started(ada)
    path = f"/labs/experiments/{experiment.slug}/progress/"
    assert b"Waiting for a worker" in client.get(path).content
    done(experiment)
    assert client.get(path)["HX-Refresh"] == "true"


@pytest.mark.parametrize(
    ("sent", "status"),
    [({"action": "rename", "name": "Other"}, 302), ({"action": "hide"}, 302), ({"action": "eat"}, 400)],
)
def test_its_owner_changes_it_by_the_page(ada: Any, client: Client, sent: dict[str, str], status: int) -> None:
    experiment = started(ada)
    client.force_login(ada)
    assert client.post(f"/labs/experiments/{experiment.slug}/change/", sent).status_code == status
    experiment.refresh_from_db()
    assert (experiment.name == "Other", experiment.is_private) == (sent["action"] == "rename", sent["action"] == "hide")


API = "/api/v1/experiments/"


def test_scripts_start_read_and_delete_one(ada: Any, client: Client) -> None:
    client.force_login(ada)
    made = client.post(API, {"kind": KIND, "preset": "few", "name": "By a script"}, content_type="application/json")
    assert (made.status_code, made.json()["state"]) == (201, "queued")
    done(Experiment.objects.get())
    found = client.get(f"{API}by-a-script/").json()
    assert (found["state"], found["found"], found["preset"]) == ("succeeded", {"total": 9.0}, "few")
    assert [one["experiment"] for one in client.get(f"{API}?kind={KIND}").json()["results"]] == ["by-a-script"]
    assert client.delete(f"{API}by-a-script/").status_code == 204
    assert client.get(f"{API}by-a-script/").status_code == 404


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"kind": KIND}, "give a preset (few), or config"),
        ({"kind": KIND, "preset": "many"}, "give a preset (few), or config"),
        ({"kind": KIND, "config": {"upto": 0}}, "upto is 0; it must be at least 1"),
        ({"kind": KIND, "config": {"colour": 1}}, "There is no setting 'colour'"),
        ({"kind": "weaving", "preset": "few"}, "weaving"),
    ],
)
def test_what_scripts_get_wrong_is_named(ada: Any, client: Client, sent: dict[str, Any], said: str) -> None:
    client.force_login(ada)
    answer = client.post(API, sent, content_type="application/json")
    assert (answer.status_code, said in answer.content.decode()) == (400, True)
    assert not Job.objects.exists()


def test_the_demo_asks_for_the_two_core_preset_once(monkeypatch: pytest.MonkeyPatch) -> None:
    few = dataclasses.replace(COUNTING.presets[0], key="two-core")
    monkeypatch.setitem(LABS, KIND, dataclasses.replace(LABS[KIND], presets=(few,)))
    queued = queue_experiment()
    assert queued is not None
    assert (queued.owner, queued.job.get_priority_display()) == (None, "low")  # type: ignore[union-attr]
    assert queue_experiment() is None
    assert done(queued).found == {"total": 9.0}


def test_results_of_what_was_deleted_meanwhile_are_left_out(ada: Any, tmp_path: Path) -> None:
    experiment = started(ada)
    path = frame.run_lab(LABS[KIND], Counting(name="late"), tmp_path / "w", tmp_path / "b")
    job = experiment.job
    services.delete_experiment(ada, experiment)
    with pytest.raises(Cancelled, match="was deleted while its results were read in"):
        services.receive(path, job=job)
    assert not Experiment.objects.exists()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("fit_from", None, ("fit from", "chosen here")), ("fit_to", 8900, ("fit to", "8900")),
        ("samples", [None, 10_000], ("samples", "new batches, 10,000")), ("data_widths", [], ("data widths", "none")),
        ("is_batch_capped", True, ("batch capped", "yes")),
    ],
)  # fmt: skip
def test_settings_are_listed_as_people_say_them(name, value, told):
    assert listed({name: value}) == [told]
