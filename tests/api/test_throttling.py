"""How often one may ask: by key, by person, by address; a forged address changes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from clusters.api.throttling import PerKey
from compute.jobs import queue
from compute.models import Job
from compute.suites import demo_config
from tests.api.seeds import bearer, make_key
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
RUNS = "/api/v1/runs/"
FAR = {"REMOTE_ADDR": "203.0.113.7"}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Three a minute for people, two for others, and nothing counted yet."""
    cache.clear()
    monkeypatch.setattr(PerKey, "THROTTLE_RATES", {"person": "3/min", "anonymous": "2/min"})
    yield
    cache.clear()


def statuses(client, n: int, **how) -> list[int]:
    return [client.get(RUNS, **how).status_code for _ in range(n)]


@pytest.mark.parametrize("value", ["Bearer qw_" + "0" * 61, "Bearer", "Bearer a b", "Bearer \xff"])
def test_keys_that_open_nothing_are_counted_by_address(client, settings, value):
    settings.WEB_RATES = settings.WEB_RATES | {"bad-keys": 2}
    bad = {"Authorization": value}
    assert statuses(client, 3, headers=bad, **FAR) == [401, 401, 429]
    response = client.get(RUNS, headers=bad, **FAR)
    assert 3500 < int(response["Retry-After"]) <= 3600
    assert "open nothing" in response.json()["error"]["message"]
    good = bearer(make_key(UserFactory(), "read"))
    assert statuses(client, 1, headers=good, **FAR) == [200]  # a good key is not held back by others' mistakes
    assert statuses(client, 1, headers=bad, REMOTE_ADDR="203.0.113.8") == [401]
    assert statuses(client, 4, headers=bad, REMOTE_ADDR="127.0.0.1") == [401] * 4


def behind(settings, proxies: int) -> None:
    settings.PROXIES = proxies


def test_the_limits_are_those_that_are_promised(settings):
    rates = {"person": "600/min", "anonymous": "300/min", "numbers": "3000/min"}
    assert rates == settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
    assert settings.JOBS_PER_HOUR == 10


def test_an_address_is_held_back_and_told_for_how_long(client):
    assert statuses(client, 3, **FAR) == [200, 200, 429]
    response = client.get(RUNS, **FAR)
    assert 0 < int(response["Retry-After"]) <= 60
    assert response.json()["error"]["code"] == "throttled"
    assert statuses(client, 1, REMOTE_ADDR="203.0.113.8") == [200]


def test_each_key_has_its_own_limit(client):
    person = UserFactory()
    first, second = bearer(make_key(person, "read")), bearer(make_key(person, "read"))
    assert statuses(client, 4, headers=first, **FAR) == [200, 200, 200, 429]
    assert statuses(client, 1, headers=second, **FAR) == [200]


def test_a_session_is_counted_by_person(client):
    client.force_login(UserFactory())
    assert statuses(client, 4, REMOTE_ADDR="127.0.0.1") == [200, 200, 200, 429]


def test_this_machine_asks_as_often_as_it_likes(client):
    for address in ("127.0.0.1", "::1"):
        assert statuses(client, 5, REMOTE_ADDR=address) == [200] * 5


def test_a_forged_address_changes_nothing_without_a_proxy(client, settings):
    behind(settings, 0)
    for forged, expected in (("127.0.0.1", 200), ("198.51.100.1", 200), ("127.0.0.1, ::1", 429), ("", 429)):
        assert statuses(client, 1, headers={"X-Forwarded-For": forged}, **FAR) == [expected]


def test_behind_one_proxy_the_address_that_it_saw_counts(client, settings):
    behind(settings, 1)
    proxied = {"REMOTE_ADDR": "10.0.0.1"}
    for forged in ("", "127.0.0.1, ", "198.51.100.9, ::1, "):
        expected = 429 if "198" in forged else 200
        said = {"X-Forwarded-For": f"{forged}203.0.113.7"}
        assert statuses(client, 1, headers=said, **proxied) == [expected]
    assert statuses(client, 1, headers={"X-Forwarded-For": "203.0.113.7, 203.0.113.8"}, **proxied) == [200]


def test_whatever_stands_where_an_address_should_is_held_back_too(client, settings):
    behind(settings, 1)
    said = {"X-Forwarded-For": "x" * 300}
    assert statuses(client, 3, headers=said, **FAR) == [200, 200, 429]


# ── jobs ──


@pytest.fixture
def runner(monkeypatch, settings):
    monkeypatch.setattr(PerKey, "THROTTLE_RATES", {"person": "1000/min", "anonymous": "1000/min"})
    settings.JOBS_PER_HOUR = 2
    return UserFactory(is_superuser=True)


def start(client, key: str, body: str = '{"name": "again"}', **headers: str):
    return client.post(
        "/api/v1/jobs/", body, content_type="application/json", headers={**bearer(key), **headers}
    )  # fmt: skip


def test_jobs_are_counted_by_person_whatever_the_key(client, runner):
    keys = [make_key(runner, "run") for _ in range(3)]
    assert [start(client, key).status_code for key in keys] == [201, 201, 429]
    response = start(client, keys[0])
    assert 3500 < int(response["Retry-After"]) <= 3600
    Job.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert start(client, keys[0]).status_code == 201


def test_what_starts_no_job_counts_for_none(client, runner):
    key = make_key(runner, "run")
    assert [start(client, key, '{"name": "!"}').status_code for _ in range(4)] == [400] * 4
    assert start(client, key).status_code == 201


def test_the_answer_to_a_job_that_was_started_is_given_again_at_the_limit(client, runner):
    key = make_key(runner, "run")
    first = start(client, key, **{"Idempotency-Key": "a"})
    queue.enqueue(demo_config(), runner)
    again = start(client, key, **{"Idempotency-Key": "a"})
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert start(client, key, **{"Idempotency-Key": "b"}).status_code == 429
