"""How many jobs one person, and everybody, may have: also when requests come at the same moment."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.db.models import F
from django.test import Client

from clusters.models import Collection, Tag
from clusters.services import collections as collecting
from clusters.services import jobs as services
from clusters.services import tags
from compute.jobs import kinds, queue, quotas
from compute.jobs.quotas import QuotaError
from compute.models import Job
from tests.databases import Site
from tests.jobs import fake

N_AT_ONCE = 20


@pytest.fixture(autouse=True)
def _fake_plan(monkeypatch: pytest.MonkeyPatch, site: Site, settings: Any) -> None:
    monkeypatch.setattr("compute.pipeline.plan", fake.plan)
    settings.OPEN_JOBS_PER_PERSON, settings.JOBS_PER_HOUR, settings.QUEUE_LIMIT = 3, 10, 500


def _person(name: str = "ana") -> User:
    person = User.objects.create_user(name)
    person.user_permissions.add(Permission.objects.get(codename="add_job", content_type__app_label="compute"))
    return person


def _at_once(act: Callable[[int], object]) -> Counter[str]:
    """What came of twenty of them at the same moment."""
    said: Counter[str] = Counter()
    barrier = threading.Barrier(N_AT_ONCE)

    def work(number: int) -> None:
        barrier.wait()
        try:
            act(number)
            said["done"] += 1
        except ValidationError as error:
            said[type(error).__name__] += 1
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(N_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_twenty_requests_at_once_start_as_many_runs_as_one_person_may_have() -> None:
    person = _person()
    said = _at_once(lambda _: services.start_run(User.objects.get(pk=person.pk), fake.config()))
    assert said == {"done": 3, "QuotaError": 17}
    assert Job.objects.count() == 3


def test_twenty_people_at_once_fill_the_sites_queue_and_no_more(settings: Any) -> None:
    settings.QUEUE_LIMIT = 7
    people = [_person(f"person{n}") for n in range(N_AT_ONCE)]
    assert _at_once(lambda n: services.start_run(people[n], fake.config())) == {"done": 7, "QuotaError": 13}
    assert Job.objects.count() == 7


def test_twenty_requests_at_once_make_as_many_collections_as_one_person_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collecting, "MOST_COLLECTIONS", 4)
    person = _person()
    said = _at_once(lambda n: collecting.create_collection(User.objects.get(pk=person.pk), f"number {n}"))
    assert said == {"done": 4, "ValidationError": 16}
    assert Collection.objects.count() == 4


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_the_sentence_says_the_limit_what_is_open_and_what_to_do() -> None:
    person = _person()
    numbers = [services.start_run(person, fake.config()).pk for _ in range(3)]
    with pytest.raises(QuotaError) as refusal:
        services.start_run(person, fake.config())
    listed = ", ".join(map(str, numbers))
    assert refusal.value.sentence == (
        f"You have 3 runs open (jobs {listed}), and one person may have 3 at a time. "
        "Wait until one is done, or cancel one."
    )
    queue.cancel(Job.objects.get(pk=numbers[0]))
    services.start_run(person, fake.config())


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_run_that_is_resumed_takes_a_place_as_a_new_one_does(client: Client, settings: Any) -> None:
    person = _person()
    cancelled = queue.cancel(services.start_run(person, fake.config()))
    for _ in range(3):
        services.start_run(person, fake.config())
    with pytest.raises(QuotaError, match="You have 3 runs open"):
        services.resume(cancelled, person)
    client.force_login(person)
    page = client.post(f"/jobs/{cancelled.pk}/resume/", follow=True).content.decode()
    assert "You have 3 runs open" in page
    assert Job.objects.get(pk=cancelled.pk).state == Job.State.CANCELLED
    settings.OPEN_JOBS_PER_PERSON, settings.QUEUE_LIMIT = 9, 3
    with pytest.raises(QuotaError, match="as many as it takes"):
        services.resume(cancelled, person)
    boss = User.objects.create_superuser("boss")
    settings.OPEN_JOBS_PER_PERSON = 1
    assert services.resume(cancelled, boss).state == Job.State.QUEUED


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_who_is_no_runner_any_more_resumes_no_run(client: Client) -> None:
    person = _person()
    job = queue.cancel(services.start_run(person, fake.config()))
    person.groups.clear()
    person.user_permissions.clear()
    client.force_login(person)
    assert client.post(f"/jobs/{job.pk}/resume/").status_code == 403
    assert Job.objects.get(pk=job.pk).state == Job.State.CANCELLED


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_an_hours_jobs_are_counted_whether_they_are_open_or_not(settings: Any) -> None:
    settings.JOBS_PER_HOUR = 2
    person = _person()
    for _ in range(2):
        queue.cancel(services.start_run(person, fake.config()))
    with pytest.raises(QuotaError) as refusal:
        services.start_run(person, fake.config())
    assert 3500 < (refusal.value.seconds_left or 0) <= 3600
    Job.objects.update(created_at=F("created_at") - timedelta(hours=1))
    services.start_run(person, fake.config())


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_administrators_are_held_back_by_the_hour_alone(settings: Any) -> None:
    settings.OPEN_JOBS_PER_PERSON = settings.QUEUE_LIMIT = 1
    boss = User.objects.create_superuser("boss")
    for _ in range(3):
        services.start_run(boss, fake.config())
    assert quotas.seconds_left(boss.pk) == 0


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_other_kinds_of_jobs_find_the_sites_queue_full_too(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.QUEUE_LIMIT = 1
    monkeypatch.setitem(kinds._WORK, "fake", lambda job, report: None)
    person = _person()
    services.start_run(person, fake.config())
    with pytest.raises(QuotaError, match="1 jobs are open on this site"):
        kinds.enqueue("fake", name="x", config={}, requested_by=person, is_private=False)


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_only_administrators_let_a_job_go_first() -> None:
    person, boss = _person(), User.objects.create_superuser("boss")
    with pytest.raises(PermissionDenied, match="Only administrators"):
        services.start_run(person, fake.config(), priority=Job.Priority.HIGH)
    job = services.start_run(person, fake.config())
    with pytest.raises(PermissionDenied, match="you may give it low"):
        services.prioritise(person, job, Job.Priority.HIGH)
    assert services.prioritise(person, job, Job.Priority.LOW).priority == Job.Priority.LOW
    assert services.prioritise(boss, job, Job.Priority.HIGH).priority == Job.Priority.HIGH
    with pytest.raises(PermissionDenied, match="Only whoever asked"):
        services.prioritise(_person("ben"), job, Job.Priority.LOW)


def test_twenty_adjudicators_at_once_add_as_many_tags_as_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "MAX_TAGS", Tag.objects.count() + 3)
    people = [User.objects.create_user(f"ana-{n}", is_superuser=True) for n in range(N_AT_ONCE)]
    said = _at_once(lambda number: tags.add_tag(people[number], f"tag {number}"))
    assert said == {"done": 3, "ValidationError": 17}
