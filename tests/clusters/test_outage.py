"""While the database cannot be used every address says so, and when to ask again; nothing of that needs a query."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from clusters.views.outage import AWAY, BUSY, DAMAGED, FULL, outage_of

ADDRESSES = ("/", "/jobs/", "/runs/demo/", "/labels/", "/runs/demo/losses/")


def raised(cause: Exception, kind: type[Exception] = OperationalError) -> Exception:
    """The error as Django gives it on."""
    error = kind(str(cause))
    error.__cause__ = cause
    return error


def of_sqlite(name: str, kind: type[Exception] = OperationalError) -> Exception:
    cause = sqlite3.OperationalError(name)
    cause.sqlite_errorname = name
    return raised(cause, kind)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that refuses every connection."""

    def refuse(*_: object) -> None:
        raise raised(psycopg.OperationalError("connection failed: Connection refused"))

    monkeypatch.setattr(connection, "cursor", refuse)


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (raised(psycopg.OperationalError("connection refused")), AWAY),
        (raised(psycopg.errors.AdminShutdown("terminating connection")), AWAY),
        (raised(psycopg.errors.CannotConnectNow("the database system is starting up")), AWAY),
        (raised(psycopg.InterfaceError("the connection is closed"), InterfaceError), AWAY),
        (raised(psycopg.errors.DiskFull("could not extend file")), FULL),
        (raised(psycopg.errors.QueryCanceled("statement timeout")), BUSY),
        (of_sqlite("SQLITE_FULL"), FULL),
        (of_sqlite("SQLITE_BUSY_SNAPSHOT"), BUSY),
        (of_sqlite("SQLITE_CANTOPEN"), AWAY),
        (of_sqlite("SQLITE_NOTADB", DatabaseError), DAMAGED),
        (of_sqlite("SQLITE_CORRUPT_INDEX", DatabaseError), DAMAGED),
        (raised(psycopg.errors.DataCorrupted("invalid page in block 3")), DAMAGED),
        (of_sqlite("SQLITE_ERROR"), None),  # no such table: a bug, or migrations that are missing
        (raised(psycopg.errors.OutOfMemory("out of memory")), None),
        (ValueError("x"), None),
        (None, None),
    ],
)
def test_the_databases_own_name_of_an_error_says_what_it_is(error, outage) -> None:
    assert outage_of(error) is outage


@pytest.mark.django_db
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_without_the_database_is_friendly_and_comes_back_by_itself(client, away, address) -> None:
    client.raise_request_exception = False
    response = client.get(address)
    text = response.content.decode()
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "The database cannot be reached" in text
    assert '<meta http-equiv="refresh" content="5">' in text
    assert response["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]


@pytest.mark.django_db
def test_it_is_told_in_a_middleware_too(client, away) -> None:
    client.raise_request_exception = False
    client.cookies["sessionid"] = "0123456789abcdef0123456789abcdef"  # PreferredUnit asks who it is
    response = client.get("/runs/demo/")
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "The database cannot be reached" in response.content.decode()


@pytest.mark.django_db
def test_what_was_sent_is_not_sent_again_by_itself(client, away) -> None:
    text = client.post("/sign-in/", {"username": "ana", "password": "x"}).content.decode()
    assert "look whether it is there" in text
    assert "http-equiv" not in text.replace("http-equiv=refresh", "")


@pytest.mark.django_db
def test_a_part_of_a_page_is_told_in_a_part(client, away) -> None:
    response = client.get("/jobs/", headers={"HX-Request": "true"})
    assert response.status_code == 503
    assert response.content.decode().startswith('<p class="message warning" role="alert">The database')


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/api/v1/runs/", "/api/v1/jobs/7/", "/runs/demo/losses.json"])
def test_scripts_get_the_same_in_json(client, away, address) -> None:
    client.raise_request_exception = False
    response = client.get(address)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response.json()["error"]["status"] == 503
    assert "cannot be reached" in response.json()["error"]["message"]


@pytest.mark.django_db
def test_a_figure_on_another_site_stays_a_figure(client, away) -> None:
    response = client.get("/runs/demo/losses/?embed=true")
    assert response.status_code == 503
    assert "frame-ancestors *" in response["Content-Security-Policy"]
    assert 'http-equiv="refresh' not in response.content.decode()


@pytest.mark.django_db
def test_a_missing_table_stays_a_bug(client, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise of_sqlite("SQLITE_ERROR")

    monkeypatch.setattr(connection, "cursor", broken)
    client.raise_request_exception = False
    assert client.get("/").status_code == 500
