"""What watches the site: alive, ready, its numbers."""

from __future__ import annotations

from collections import namedtuple

import pytest
from django.db import DatabaseError

from clusters.services import health

Usage = namedtuple("Usage", "total used free")
FROM_OUTSIDE = {"REMOTE_ADDR": "203.0.113.7"}
PASSED_ON = {"HTTP_X_FORWARDED_FOR": "203.0.113.7"}


@pytest.fixture(autouse=True)
def data(settings, tmp_path) -> None:
    settings.DATA_DIR = tmp_path


def test_alive_asks_nothing_of_the_database(client) -> None:
    response = client.get("/livez")  # without the database's fixture any query would fail
    assert (response.status_code, response.content) == (200, b"alive\n")
    assert response["Cache-Control"].startswith("max-age=0")


@pytest.mark.django_db
def test_ready_when_all_is_well(client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["ready"] is True
    assert set(response.json()["checks"]) == {"database", "broker", "disk"}


@pytest.mark.django_db
def test_not_ready_without_the_database(client, monkeypatch) -> None:
    def gone() -> list[str]:
        raise DatabaseError("connection refused\nIs the server running?")

    monkeypatch.setattr(health, "unapplied_migrations", gone)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["database"].startswith("cannot be reached (connection refused). Start it")


@pytest.mark.django_db
def test_not_ready_while_migrations_are_missing(client, monkeypatch) -> None:
    monkeypatch.setattr(health, "unapplied_migrations", lambda: ["clusters.0099_next"])
    assert client.get("/readyz").status_code == 503


@pytest.mark.django_db
def test_not_ready_on_a_full_disk(client, monkeypatch) -> None:
    monkeypatch.setattr(health.shutil, "disk_usage", lambda path: Usage(100e9, 95e9, 5e9))
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["disk"].startswith("5.0 GB of 100 are free")


@pytest.mark.django_db
@pytest.mark.parametrize("who", [FROM_OUTSIDE, PASSED_ON])
def test_others_learn_which_check_failed_but_not_why(client, monkeypatch, who) -> None:
    monkeypatch.setattr(health, "unapplied_migrations", lambda: ["clusters.0099_next"])
    checks = client.get("/readyz", **who).json()["checks"]
    assert checks == {"database": "problem", "broker": "good", "disk": "good"}


@pytest.mark.django_db
@pytest.mark.parametrize("who", [FROM_OUTSIDE, PASSED_ON])
def test_numbers_are_not_for_everybody(client, who) -> None:
    assert client.get("/metrics", **who).status_code == 404


@pytest.mark.django_db
def test_numbers_for_whoever_has_the_key(client, settings) -> None:
    settings.METRICS_KEY = "a-long-key"
    with_key = {"HTTP_AUTHORIZATION": "Bearer a-long-key"}
    assert client.get("/metrics", **FROM_OUTSIDE, **with_key).status_code == 200
    assert client.get("/metrics", **FROM_OUTSIDE, HTTP_AUTHORIZATION="Bearer another").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/livez", "/readyz", "/metrics"])
def test_none_of_it_can_be_written_to(client, address) -> None:
    assert client.post(address).status_code == 405
