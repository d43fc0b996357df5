"""Who does not belong is kept out: forged forms, other people's work, keys that have ended, forged addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.conf import settings as project
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import URLResolver, get_resolver

from clusters.models import ApiKey, Import
from compute.jobs import queue
from compute.models import Job
from compute.suites import demo_config
from tests.api.seeds import SCOPES, bearer, make_key, seeded_site
from tests.databases import Site
from tests.factories import UserFactory
from tests.faults.serving import SQLITE_IN_CI, Web, serving

VALUES = {"slug": "synthetic", "affinity": "signed", "k": "6", "label": "0", "index": "3", "number": "1", "token": "x",
          "twin": "json", "path": "nowhere/", "name": "labels.csv", "secret": "x", "uidb64": "x"}  # fmt: skip
WORD = "a very long password of 2026"


def addresses(patterns: Any = None, before: str = "") -> Iterator[str]:
    """Every address of the site, with something that is there where it has a place for it."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", str(pattern.pattern)).strip("^$")
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, before + route)
        else:
            yield "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: VALUES.get(found[1], "1"), before + route)


def rows() -> dict[str, int]:
    with connection.cursor() as cursor:
        found = {}
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT COUNT(*) FROM "{table}"')
            found[table] = cursor.fetchone()[0]
    return found


@SQLITE_IN_CI
def test_a_form_of_another_site_changes_nothing_anywhere(site: Site, measured: Any) -> None:
    """Signed in as who may do all, a POST without the token, or with another session's, to every address there is."""
    _, admin, _ = seeded_site(site.data / "made")
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(admin)
    client.get("/")
    before = rows()
    asked = sorted(set(addresses()))
    statuses: dict[str, int] = {}
    for method in ("post", "put", "patch", "delete"):
        for address in asked if method == "post" else [one for one in asked if one.startswith("/api/v1/")]:
            headers = {"X-CSRFToken": "a" * 64} if method == "put" else {}
            answer = getattr(client, method)(address, {}, content_type="application/json", headers=headers)
            statuses[f"{method} {address}"] = answer.status_code
    assert len(asked) > 150
    other = {name: status for name, status in statuses.items() if status != 403}
    assert set(other.values()) <= {404, 415}, other  # no such address, or no body of that kind
    assert not {name: status for name, status in other.items() if "/api/" not in name}
    assert rows() == before
    measured(
        20, "writes without a CSRF token, on every address", requests=len(statuses), refused_with_403=len(statuses)
    )


@SQLITE_IN_CI
def test_nobody_writes_anything_without_an_account(site: Site, measured: Any) -> None:
    seeded_site(site.data / "made")
    client = Client(raise_request_exception=False)  # the token itself is no secret to whoever reads the page
    public = ("/sign-in", "/sign-out", "/preferences", "/forgotten", "/password/", "/join", "/invitation", "/sign-up")
    asked = sorted(address for address in set(addresses()) if not address.startswith(public))
    before = rows()
    statuses = {address: client.post(address, {}, content_type="application/json").status_code for address in asked}
    assert max(statuses.values()) < 500, statuses
    assert {status for address, status in statuses.items() if "/api/v1/" in address} <= {401, 405, 415}
    assert rows() == before
    measured(20, "writes without an account, on every address", requests=len(statuses), rows_changed=0)


@SQLITE_IN_CI
def test_another_persons_job_is_not_there(site: Site, measured: Any) -> None:
    owner, other = UserFactory(username="owner", is_superuser=True), UserFactory(username="other")
    other.user_permissions.set(Permission.objects.filter(codename__in=("add_job", "add_label")))
    job = queue.enqueue(demo_config(), owner, is_private=True)
    Job.objects.filter(pk=job.pk).update(name="nobody-elses")
    one = Import.objects.create(kind="labels", owner=owner, file_name="l.csv", key="k" * 32)
    key = make_key(other, *SCOPES)
    stranger = Client(raise_request_exception=False)
    stranger.force_login(User.objects.get(pk=other.pk))
    places = [f"/jobs/{job.pk}/", f"/jobs/{job.pk}.json", f"/imports/{one.pk}/", f"/imports/{one.pk}.json"]
    api = [f"/api/v1/jobs/{job.pk}/", f"/api/v1/imports/{one.pk}/"]
    deeds = [address.replace("/1/", f"/{job.pk}/") for address in set(addresses()) if address.startswith("/jobs/1/")]
    found = {place: stranger.get(place).status_code for place in places}
    found |= {f"key {place}": Client().get(place, headers=bearer(key)).status_code for place in api}
    found |= {f"nobody {place}": Client().get(place).status_code for place in (places[0], places[1], api[0])}
    found |= {f"post {place}": stranger.post(place).status_code for place in deeds if place != places[0]}
    found |= {f"delete {api[0]}": Client().delete(api[0], headers=bearer(key)).status_code}
    assert len(deeds) > 1
    assert set(found.values()) <= {404, 405}, found
    assert list(found.values()).count(404) >= len(found) - 2
    job.refresh_from_db()
    assert (job.state, job.cancel_requested_at) == (Job.State.QUEUED, None)
    assert job.name not in stranger.get("/jobs/").content.decode()
    measured(20, "another person's job and import", requests=len(found), answered_404=list(found.values()).count(404))


@SQLITE_IN_CI
def test_keys_that_ended_open_nothing(site: Site, measured: Any) -> None:
    _, admin, good = seeded_site(site.data / "made")
    expired = make_key(admin, *SCOPES, expiry=timedelta(seconds=-1))
    revoked = make_key(admin, *SCOPES)
    ApiKey.objects.filter(token_key=revoked[:15]).update(revoked_at="2026-01-01T00:00Z")
    gone = UserFactory(is_superuser=True)
    of_a_gone_person = make_key(gone, *SCOPES)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    bad = {"expired": expired, "of nobody": "qw_" + "0" * 61, "of who left": of_a_gone_person, "cut": good[:-1]}
    if ApiKey.objects.filter(revoked_at__isnull=False).exists():
        bad["revoked"] = revoked
    asked = [address for address in set(addresses()) if address.startswith("/api/v1/")]
    wrong = {}
    for name, key in bad.items():
        for address in asked if name == "expired" else asked[::12]:
            status = Client(raise_request_exception=False).get(address, headers=bearer(key)).status_code
            if status != 401:
                wrong[f"{name} {address}"] = status
    assert not {name: status for name, status in wrong.items() if "nowhere" not in name}
    assert Client().get("/api/v1/runs/", headers=bearer(good)).status_code == 200
    assert len(bad) == 5
    measured(20, "keys that ended", kinds=len(bad), addresses=len(asked), answered_otherwise=len(wrong))


# ── forged addresses, at a real server ──


def limit() -> int:
    return int(project.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]["anonymous"].partition("/")[0])


def first_refused(client: httpx.Client, told: Any) -> int:
    """How many requests were answered before one was refused, each with a forged address of its own."""
    for n in range(limit() + 20):
        if client.get("/api/v1/runs/none/", headers={"X-Forwarded-For": told(n)}).status_code == 429:
            return n
    raise AssertionError("nothing was ever refused")


def sign_in(client: httpx.Client, password: str, told: str) -> int:
    client.cookies.clear()
    page = client.get("/sign-in/", headers={"X-Forwarded-For": told})
    [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[:1]
    fields = {"username": "ada", "password": password, "csrfmiddlewaretoken": token}
    return client.post("/sign-in/", data=fields, headers={"X-Forwarded-For": told}).status_code


@SQLITE_IN_CI
@pytest.mark.parametrize("proxies", [0, 1])
def test_a_forged_address_frees_nobody(site: Site, proxies: int, measured: Any) -> None:
    """At gunicorn on a socket, as behind a proxy: only what the proxy itself added counts, and nothing without one."""
    User.objects.create_user("ada", password=WORD)
    proxy_adds = ", 203.0.113.7" if proxies else ""

    def told(n: int) -> str:
        return f"{('127.0.0.1', '::1', f'198.51.100.{n % 250}')[n % 3]}{proxy_adds}"

    with serving(site, on_socket=True, QW_PROXIES=str(proxies)) as web, web.client() as client:
        wrong = [sign_in(client, "wrong", told(n)) for n in range(5)]
        locked = sign_in(client, WORD, told(7))
        if proxies:
            assert sign_in(client, WORD, "127.0.0.1, 203.0.113.8") == 302  # from elsewhere she comes in
        client.cookies.clear()
        answered = first_refused(client, told)
    assert set(wrong[:4]) == {200}
    assert locked == 429
    assert answered <= limit()
    measured(20, f"forged X-Forwarded-For, {proxies} proxies", answered_before_429=answered, limit=limit(),
             wrong_passwords_before_lock=5)  # fmt: skip


@SQLITE_IN_CI
def test_this_machine_cannot_be_claimed(site: Site) -> None:
    """Numbers of the site are for this machine; a request that a proxy passed on is not of this machine."""
    with serving(site) as web:
        assert is_open(web, {})
        assert not is_open(web, {"X-Forwarded-For": "127.0.0.1"})


def is_open(web: Web, headers: dict[str, str]) -> bool:
    with web.client(**headers) as client:
        return client.get("/metrics").status_code == 200
