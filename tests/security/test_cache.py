"""The cache that web processes share: counted together while it lives, missed by nobody when it is gone."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.test import Client

from clusters.services.rates import Rate, wait
from quantaweb.cache import PatientCache
from tests.api.seeds import bearer, make_key
from tests.factories import UserFactory
from tests.faults.breaking import Redis

FAR = {"REMOTE_ADDR": "203.0.113.7"}
LONGEST = 0.5  # seconds that a request may lose to a cache that is gone
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def shared(redis: Redis, settings: Any) -> Iterator[Redis]:
    """The site's cache lies in a Redis."""
    _use(settings, redis.url)
    yield redis
    PatientCache.rests_until = 0.0


def _use(settings: Any, address: str) -> None:
    settings.CACHES = {"default": {"BACKEND": "quantaweb.cache.PatientCache", "LOCATION": [address]}}
    PatientCache.rests_until = 0.0


def took(ask: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = ask()
    return time.perf_counter() - started, answer


def test_values_come_back_as_they_were_and_none_is_a_pickle(shared: Redis) -> None:
    cache = caches["default"]
    values = {"n": 7, "x": 1.5, "text": "ä\n", "list": [1, "2"], "yes": True, "digits": "12", "whole": 5.0}
    for name, value in values.items():
        cache.set(name, value, 60)
    assert {name: cache.get(name) for name in values} == values
    raw = caches["default"]._cache.get_client().get(cache.make_key("list"))  # type: ignore[attr-defined]
    assert raw == b'[1, "2"]'
    with pytest.raises(TypeError):
        cache.set("object", object(), 60)


@pytest.mark.django_db
def test_pages_and_answers_go_on_when_the_cache_is_killed(
    shared: Redis, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    headers = bearer(make_key(UserFactory(), "read"))

    def ask() -> list[int]:
        return [client.get("/", **FAR).status_code, client.get("/api/v1/runs/", headers=headers, **FAR).status_code]

    assert ask() == [200, 200]
    usual, _ = took(ask)
    shared.kill()
    with caplog.at_level(logging.WARNING):
        lost, statuses = took(ask)
        again, later = took(ask)
    assert statuses == later == [200, 200]
    assert lost < usual + 2 * LONGEST
    assert again < usual + LONGEST
    said = [record.getMessage() for record in caplog.records if record.name == "quantaweb.cache"]
    assert len(said) == 1  # not one a request
    assert "the cache does not answer" in said[0]
    shared.start()
    PatientCache.rests_until = 0.0  # as after five seconds
    assert ask() == [200, 200]
    assert caches["default"].add("back", 1, 60)


@pytest.mark.django_db
def test_a_cache_that_hangs_costs_a_request_half_a_second_at_most(shared: Redis, client: Client) -> None:
    usual, _ = took(lambda: client.get("/", **FAR))
    assert shared.process is not None
    shared.process.send_signal(signal.SIGSTOP)
    try:
        seconds, response = took(lambda: client.get("/", **FAR))
        assert response.status_code == 200
        assert seconds < usual + LONGEST
    finally:
        shared.process.send_signal(signal.SIGCONT)


@pytest.mark.django_db
def test_a_server_that_takes_connections_and_says_nothing_costs_no_more(settings: Any, client: Client) -> None:
    usual, _ = took(lambda: client.get("/", **FAR))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _use(settings, f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        seconds, response = took(lambda: client.get("/", **FAR))
    PatientCache.rests_until = 0.0
    assert response.status_code == 200
    assert seconds < usual + LONGEST


def test_while_it_is_away_everything_is_as_if_nothing_were_kept(shared: Redis) -> None:
    cache = caches["default"]
    cache.set("n", 1)
    shared.kill()
    assert (cache.get("n"), cache.get("n", 3), cache.get_many(["n"]), cache.add("m", 1)) == (None, 3, {}, True)
    assert (cache.set_many({"a": 1}), cache.has_key("n"), cache.delete("n"), cache.touch("n")) == (
        [],
        False,
        False,
        False,
    )
    with pytest.raises(ValueError, match="Nothing is kept"):
        cache.incr("n")
    assert wait(Rate("any", 1), "somebody") == 0


COUNT = """
import os, sys
from clusters.services.rates import Rate, wait
print(sum(not wait(Rate("test", 100, 600), "203.0.113.7") for _ in range(80)))
"""


def test_processes_count_together(redis: Redis, tmp_path: Path) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "quantaweb.settings", "QW_CACHE_URL": redis.url,
                   "QW_DATA_DIR": str(tmp_path)}  # fmt: skip
    start = [sys.executable, "-c", COUNT]
    asked = [subprocess.Popen(start, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    allowed = [int(process.communicate(timeout=60)[0]) for process in asked]
    assert sum(allowed) == 100  # of 240


def test_threads_count_together() -> None:
    caches["default"].clear()
    allowed: list[bool] = []

    def ask() -> None:
        for _ in range(50):
            allowed.append(not wait(Rate("threads", 100, 600), "203.0.113.9"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(allowed) == 100
