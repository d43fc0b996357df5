"""The pages about jobs: what they say in each state, who sees them, and who may steer."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from compute.jobs import lease, queue
from compute.models import Job, Shard
from tests.jobs import fake
from tests.jobs.states import STATES, job_in

pytestmark = pytest.mark.django_db
GOOD = {
    "name": "mine", "clustered": "tiny/step20", "n_tokens": "40", "threshold_nats": "0.1", "ks": "2, 4",
    "affinities": ["signed"], "seed": "0", "n_init": "5", "corpus": "demo", "max_length": "256",
    "vectors": "gradients", "gradient_scope": "default", "mode": "exact", "auto_hours": "2", "sketch_size": "65536",
    "refine": "0", "effort": "parity", "precision": "auto",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _fake_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clusters.forms.suites.demo_config", fake.config)
    monkeypatch.setattr("compute.pipeline.plan", fake.plan)


@pytest.fixture
def ana() -> User:
    """A runner."""
    user = User.objects.create_user("ana")
    group, _ = Group.objects.get_or_create(name="runner")
    group.permissions.add(Permission.objects.get(codename="add_job", content_type__app_label="compute"))
    user.groups.add(group)
    return user


@pytest.fixture
def ben() -> User:
    return User.objects.create_user("ben")


def _as(user: User | None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


def _text(response: Any) -> str:
    return response.content.decode()


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("queued", "Waiting for a worker"),
        ("running", "Computing gradients, 6,412 of 10,000"),
        ("stalled", "Silent in gradients, 6,412 of 10,000"),
        ("failed", "Choose the tokenizer of the suite and start again."),
        ("cancelled", "32 of 54 shards are kept for 7 days"),
        ("succeeded", "24 clusterings of 10,000 tokens"),
    ],
)
def test_each_state_says_what_happened(state: str, said: str, ana: User) -> None:
    response = _as(None).get(f"/jobs/{job_in(state, ana).pk}/")
    assert response.status_code == 200
    assert said in _text(response)


@pytest.mark.parametrize("state", STATES)
def test_only_an_open_job_asks_for_itself_again(state: str) -> None:
    text = _text(_as(None).get(f"/jobs/{job_in(state).pk}/"))
    assert ('hx-trigger="every 2s"' in text) == (state in ("queued", "running", "stalled"))


def test_htmx_gets_the_panel_alone_and_back_gets_the_page() -> None:
    address = f"/jobs/{job_in('running').pk}/"
    part = _as(None).get(address, headers={"HX-Request": "true"})
    whole = _as(None).get(address, headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" not in _text(part)
    assert "<html" in _text(whole)
    assert "HX-Request" in part["Vary"]


def test_a_running_job_that_fell_silent_is_shown_as_stalled_before_the_sweep() -> None:
    job = job_in("stalled")
    Job.objects.filter(pk=job.pk).update(state="running")
    assert "stalled, last heartbeat" in _text(_as(None).get(f"/jobs/{job.pk}/"))


def test_rate_and_time_left_come_from_the_rows() -> None:
    payload = _as(None).get(f"/jobs/{job_in('running').pk}.json").json()
    assert payload["phase"] == "gradients"
    assert payload["rate_per_second"] == pytest.approx(14.7, abs=0.3)
    low, high = payload["seconds_left_in_phase"]
    assert 3588 / 16 < low <= high < 3588 / 13


def test_totals_that_no_shard_has_reported_yet_are_said_to_be_guesses() -> None:
    job = job_in("failed")
    Job.objects.filter(pk=job.pk).update(state="running", finished_at=None)
    Shard.objects.filter(job=job, phase="losses", state="queued").update(n_total=1)
    Shard.objects.filter(job=job, state="failed").update(state="running")
    assert "of about 402,524" in _text(_as(None).get(f"/jobs/{job.pk}/"))


def test_the_page_asks_the_database_as_often_for_few_shards_as_for_many(django_assert_max_num_queries: Any) -> None:
    job = job_in("running")
    with django_assert_max_num_queries(8):
        _as(None).get(f"/jobs/{job.pk}/")


def test_the_list_asks_no_more_for_more_jobs(django_assert_max_num_queries: Any) -> None:
    for state in STATES:
        job_in(state)
    with django_assert_max_num_queries(6):
        text = _text(_as(None).get("/jobs/"))
    assert all(state in text for state in STATES)


def test_an_empty_list_says_how_jobs_come() -> None:
    assert "No jobs yet" in _text(_as(None).get("/jobs/"))


@pytest.mark.parametrize("number", ["999", "0", "abc", "9" * 40, "1%00"])
def test_an_unknown_job_is_not_found(number: str) -> None:
    assert _as(None).get(f"/jobs/{number}/").status_code == 404


def test_a_private_job_exists_for_its_owner_and_superusers_only(ana: User, ben: User) -> None:
    job = job_in("running", ana, is_private=True)
    staff, admin = (User.objects.create_user(name, is_staff=True) for name in ("eve", "adam"))
    User.objects.filter(pk=admin.pk).update(is_superuser=True)
    found = [_as(user).get(f"/jobs/{job.pk}/").status_code for user in (None, ben, ana, staff, admin)]
    assert found == [404, 404, 200, 404, 200]
    assert _as(ben).post(f"/jobs/{job.pk}/cancel/").status_code == 404
    assert f"/jobs/{job.pk}/" not in _text(_as(ben).get("/jobs/"))


@pytest.mark.parametrize("act", ["cancel", "resume", "take-over"])
def test_steering_needs_signing_in_owning_and_a_post(act: str, ana: User, ben: User) -> None:
    address = f"/jobs/{job_in('running', ana).pk}/{act}/"
    assert _as(ana).get(address).status_code == 405
    assert _as(None).post(address).status_code == 302
    assert "/sign-in/" in _as(None).post(address)["Location"]
    assert _as(ben).post(address).status_code == 403


def test_steering_without_a_csrf_token_is_refused(ana: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ana)
    assert client.post(f"/jobs/{job_in('running', ana).pk}/cancel/").status_code == 403


def test_a_person_cancels_resumes_and_takes_over_their_job(ana: User) -> None:
    job = queue.enqueue(fake.config(), ana)
    client = _as(ana)
    client.post(f"/jobs/{job.pk}/cancel/")
    job.refresh_from_db()
    assert (job.state, job.cancelled_by) == ("cancelled", "ana")
    client.post(f"/jobs/{job.pk}/resume/")
    assert lease.claim(job.pk, "one") is not None
    assert "was heard" in _text(client.post(f"/jobs/{job.pk}/take-over/", follow=True))
    job.shards.filter(state="running").update(started_at=lease.after(-60))
    client.post(f"/jobs/{job.pk}/take-over/")
    assert not job.shards.filter(state="running").exists()


def test_what_cannot_be_done_is_said_on_the_page(ana: User) -> None:
    job = job_in("succeeded", ana)
    assert "is succeeded; it cannot be resumed" in _text(_as(ana).post(f"/jobs/{job.pk}/resume/", follow=True))


def test_log_lines_cannot_be_markup(ana: User) -> None:
    job = job_in("running", ana)
    job.log_lines.create(message="<script>alert(1)</script>")
    assert "<script>alert" not in _text(_as(None).get(f"/jobs/{job.pk}/"))


def test_the_form_starts_from_the_demo_runs_settings(ana: User) -> None:
    text = _text(_as(ana).get("/runs/new/"))
    assert 'value="small-2"' in text
    assert "tiny, step 20" in text
    assert 'value="2, 4"' in text


def test_the_form_starts_from_another_jobs_settings_where_asked(ana: User) -> None:
    job = queue.enqueue(fake.config("other", n_tokens=33), ana)
    assert 'value="33"' in _text(_as(ana).get(f"/runs/new/?from={job.pk}"))


def test_a_good_form_queues_a_job(ana: User) -> None:
    response = _as(ana).post("/runs/new/", GOOD)
    job = Job.objects.get()
    assert response["Location"] == f"/jobs/{job.pk}/"
    assert (job.requested_by, job.name, job.config["clustering"]["ks"]) == (ana, "mine", [2, 4])
    assert job.shards.count() == 7


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "my run", "Use letters, digits"),
        ("name", "", "This field is required"),
        ("clustered", "tiny/step99", "Select a valid choice"),
        ("n_tokens", "1", "must lie between 2 and 20,000 tokens"),
        ("n_tokens", "many", "Write a whole number in digits"),
        ("threshold_nats", "0", "between 0 and 100 nats"),
        ("threshold_nats", "nan", "Write a number in digits"),
        ("ks", "2, x", "“x” is no whole number"),
        ("ks", "1, 2", "at least 2"),
        ("ks", ",", "at least 2"),
        ("ks", "2, 50", "only 40 tokens are clustered"),
        ("ks", ", ".join(map(str, range(2, 80))), "at most 60"),
        ("affinities", [], "Choose at least one"),
        ("affinities", ["other"], "Select a valid choice"),
        ("seed", "-1", "between 0 and"),
        ("n_init", "0", "between 1 and"),
    ],
)
def test_each_bad_value_gets_its_sentence(field: str, value: Any, said: str, ana: User) -> None:
    response = _as(ana).post("/runs/new/", {**GOOD, field: value})
    assert response.status_code == 422
    assert said in _text(response)
    assert not Job.objects.exists()


def test_more_rows_than_one_transaction_should_write_are_refused(ana: User) -> None:
    ks = ", ".join(map(str, range(2, 42)))
    response = _as(ana).post("/runs/new/", {**GOOD, "n_tokens": "20000", "ks": ks})
    assert "800,000 rows would be written" in _text(response)
    assert not Job.objects.exists()


def test_starting_a_run_needs_the_runner_role(ana: User, ben: User) -> None:
    answers = [_as(user).get("/runs/new/").status_code for user in (None, ben, ana)]
    assert answers == [302, 403, 200]
    assert _as(ben).post("/runs/new/", GOOD).status_code == 403


def test_a_missing_demo_suite_is_said(monkeypatch: pytest.MonkeyPatch, ana: User) -> None:
    from compute.errors import ConfigError

    def missing() -> None:
        raise ConfigError("The demo suite's list of networks is missing.")

    monkeypatch.setattr("clusters.forms.suites.demo_config", missing)
    response = _as(ana).get("/runs/new/")
    assert response.status_code == 503
    assert "list of networks is missing" in _text(response)


def test_the_runner_role_exists_after_migrating() -> None:
    from importlib import import_module

    from django.apps import apps

    import_module("compute.migrations.0002_runner_role").create_role(apps, None)
    assert Group.objects.get(name="runner").permissions.filter(codename="add_job").exists()


def test_a_list_can_be_asked_for_its_head(client: Client) -> None:
    assert client.head("/jobs/").status_code == 200


@pytest.mark.parametrize("what", ["cancel", "resume", "take-over"])
def test_whoever_signs_in_to_steer_a_job_comes_back_to_its_page(client: Client, what: str) -> None:
    job = queue.enqueue(fake.config())
    assert client.post(f"/jobs/{job.pk}/{what}/")["Location"] == f"/sign-in/?next=/jobs/{job.pk}/"
