"""Jobs through the API: started with the page's settings, watched, cancelled and resumed."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import Group

from clusters.forms.texts import DEMO
from clusters.services.people import RUNNER, make_roles
from compute.config import RunConfig
from compute.jobs import queue
from compute.models import Job
from compute.suites import demo_config
from tests.api.seeds import bearer, make_key
from tests.factories import UserFactory, make_run

pytestmark = pytest.mark.django_db
JOBS = "/api/v1/jobs/"


@pytest.fixture
def runner():
    make_roles()
    person = UserFactory()
    person.groups.add(Group.objects.get(name=RUNNER))
    return person


@pytest.fixture
def key(runner):
    return make_key(runner, "read", "run")


def post(client, key: str, address: str = JOBS, **body):
    return client.post(address, json.dumps(body), content_type="application/json", headers=bearer(key))


def test_a_name_alone_starts_the_demo_as_the_page_would(client, key, runner):
    response = post(client, key, name="mine")
    assert response.status_code == 201, response.content
    job = Job.objects.get()
    told = response.json()
    assert (told["id"], told["state"], told["asked_by"]) == (job.pk, "queued", runner.get_username())
    assert response["Location"] == f"http://testserver{JOBS}{job.pk}/"
    config = RunConfig.from_json(job.config)
    assert (config.name, config.suite) == ("mine", demo_config().suite)
    assert config.clustering == demo_config().clustering


def test_what_is_sent_is_what_is_asked_for(client, key):
    sent = {"n_tokens": 50, "ks": [5, 2], "affinities": ["absolute"], "seed": 3, "mode": "exact", "corpus": DEMO}
    assert post(client, key, name="small", is_private=True, exclude_induced=False, **sent).status_code == 201
    job = Job.objects.get()
    config = RunConfig.from_json(job.config)
    assert job.is_private
    assert (config.selection.n_tokens, config.selection.exclude_induced) == (50, False)
    assert (config.clustering.ks, config.clustering.affinities) == ((2, 5), ("absolute",))
    assert (config.clustering.seed, config.similarity.mode) == (3, "exact")


def test_too_many_open_runs_are_refused_with_a_sentence(client, key, runner, settings):
    settings.OPEN_JOBS_PER_PERSON = 1
    first = post(client, key, name="one").json()["id"]
    response = post(client, key, name="two")
    assert response.status_code == 409
    assert response.json()["error"]["message"].startswith(f"You have 1 run open (job {first})")
    assert "Retry-After" not in response


def test_an_hours_jobs_are_refused_with_the_time_to_wait(client, key, settings):
    settings.JOBS_PER_HOUR = 1
    assert post(client, key, name="one").status_code == 201
    response = post(client, key, name="two")
    assert response.status_code == 429
    assert 3500 < int(response["Retry-After"]) <= 3600


def test_a_run_is_started_with_a_priority_and_given_another(client, key):
    told = post(client, key, name="later", priority="low").json()
    assert (told["queue"], told["priority"]) == ("cpu", "low")
    assert post(client, key, name="sooner", priority="high").status_code == 403
    job = post(client, key, name="usual").json()
    address = f"{JOBS}{job['id']}/prioritise/"
    assert post(client, key, address, priority="low").json()["priority"] == "low"
    assert post(client, key, address, priority="normal").status_code == 403
    assert post(client, key, address, priority="none").status_code == 400


def test_the_page_refuses_what_is_too_much_and_keeps_what_was_filled_in(client, runner, settings):
    settings.OPEN_JOBS_PER_PERSON = 1
    queue.enqueue(demo_config(), runner)
    client.force_login(runner)
    form = client.get("/runs/new/").context["form"]
    sent = {name: value for name, value in form.initial.items() if value is not None} | {"suite": "demo"}
    response = client.post("/runs/new/", sent | {"name": "again"})
    assert response.status_code == 409
    assert "one person may have 1 at a time" in response.content.decode()
    assert 'value="again"' in response.content.decode()
    settings.OPEN_JOBS_PER_PERSON, settings.JOBS_PER_HOUR = 5, 1
    response = client.post("/runs/new/", sent | {"name": "again"})
    assert (response.status_code, int(response["Retry-After"]) > 3500) == (429, True)
    assert Job.objects.count() == 1


def test_a_known_suite_takes_its_own_fields(client, key):
    sent = {"suite": "pythia", "sizes": ["70m", "160m"], "steps": "some", "some_steps": "512, 1000"}
    sent["clustered_step"] = "1000"
    assert post(client, key, name="pythia", mode="sketch", **sent).status_code == 201
    config = RunConfig.from_json(Job.objects.get().config)
    assert {ref.lm for ref in config.suite.checkpoints} == {"pythia-70m", "pythia-160m"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "!"}, "name"),
        ({"name": "a", "ks": [1]}, "ks"),
        ({"name": "a", "ks": "5"}, "ks"),
        ({"name": "a", "n_tokens": 3, "ks": [9]}, "ks"),
        ({"name": "a", "sizes": ["70m"]}, "sizes"),
        ({"name": "a", "suite": "gpt"}, "suite"),
        ({"name": "a", "suite": "hub"}, "repositories"),
        ({"name": "a", "corpus": "12345"}, "corpus"),
        ({"name": "a", "threshold_nats": 1000}, "threshold_nats"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_field(client, key, body, field):
    response = post(client, key, **body)
    assert response.status_code == 400
    assert field in response.json()["error"]["fields"]
    assert Job.objects.count() == 0


def test_starting_needs_the_role_and_not_only_the_scope(client):
    response = post(client, make_key(UserFactory(), "run"), name="mine")
    assert response.status_code == 403
    assert "runner role" in response.json()["error"]["message"]
    assert Job.objects.count() == 0


def test_a_job_is_watched(client, key, runner):
    job = queue.enqueue(demo_config(), runner)
    found = client.get(f"{JOBS}{job.pk}/").json()
    assert found["state"] == "queued"
    assert found["phases"][0]["name"] == "corpus"
    assert (found["n_shards"], found["n_shards_done"]) == (job.shards.count(), 0)
    assert found["log"][0]["message"].startswith("asked for")
    assert (found["run"], found["seconds_left"], found["heartbeat_age_seconds"]) == (None, None, None)


def test_a_finished_job_names_its_run(client, tmp_path, runner):
    job = queue.enqueue(demo_config(), runner)
    run = make_run(tmp_path, job=job)
    assert client.get(f"{JOBS}{job.pk}/").json()["run"] == run.slug


def test_the_list_is_filtered_by_state_and_kind(client, runner):
    first, second = (queue.enqueue(demo_config(), runner) for _ in range(2))
    queue.cancel(first)
    listed = client.get(f"{JOBS}?state=queued&kind=qdg").json()["results"]
    assert [one["id"] for one in listed] == [second.pk]
    assert client.get(f"{JOBS}?state=lost").status_code == 400
    assert [one["id"] for one in client.get(JOBS).json()["results"]] == [second.pk, first.pk]


def test_a_job_is_cancelled_and_resumed_by_whom_it_is(client, key, runner):
    job = queue.enqueue(demo_config(), runner)
    stranger = make_key(UserFactory(), "run")
    assert post(client, stranger, f"{JOBS}{job.pk}/cancel/").status_code == 403
    assert post(client, key, f"{JOBS}{job.pk}/cancel/").json()["state"] == "cancelled"
    again = post(client, key, f"{JOBS}{job.pk}/cancel/")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert post(client, key, f"{JOBS}{job.pk}/resume/").json()["state"] == "queued"
    assert post(client, make_key(runner, "read"), f"{JOBS}{job.pk}/cancel/").status_code == 403


def test_somebody_elses_private_job_is_404(client, key, runner):
    job = queue.enqueue(demo_config(), UserFactory(), is_private=True)
    assert client.get(JOBS, headers=bearer(key)).json()["results"] == []
    assert client.get(f"{JOBS}{job.pk}/", headers=bearer(key)).status_code == 404
    assert post(client, key, f"{JOBS}{job.pk}/cancel/").status_code == 404


@pytest.mark.parametrize("number", ["0", "1" + "0" * 40, "9223372036854775808", "x", "-1"])
def test_what_is_no_job_is_404(client, key, number):
    assert client.get(f"{JOBS}{number}/").status_code == 404
    assert post(client, key, f"{JOBS}{number}/cancel/").status_code == 404
