"""What every address tells the browser, page or not; and what it takes from nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import URLResolver, get_resolver

from tests.api.seeds import seeded_site

pytestmark = pytest.mark.django_db
VALUES = {
    "slug": "synthetic", "k": "6", "label": "0", "affinity": "signed", "twin": "json", "number": "1", "index": "0",
    "pk": "1", "show": "similarity", "level": "0", "column": "0", "row": "0", "version": "v", "table": "clusters",
    "theme": "dark",
    "name": "clusters.csv", "secret": "s" * 22, "signed": "x", "token": "t", "uidb64": "MQ", "beginning": "qw_",
}  # fmt: skip
TLS = {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"), "SESSION_COOKIE_SECURE": True,
       "CSRF_COOKIE_SECURE": True, "SECURE_SSL_REDIRECT": True, "SECURE_HSTS_SECONDS": 31536000}  # fmt: skip


def routes(resolver: Any = None, before: str = "") -> Iterator[str]:
    for found in (resolver or get_resolver()).url_patterns:
        if isinstance(found, URLResolver):
            yield from routes(found, before + str(found.pattern))
        else:
            yield before + str(found.pattern)


def address(route: str) -> str:
    """An address that the route leads to."""
    plain = re.sub(r"\^\(\?P<path>\.\*\)\$", "nowhere", route)
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: VALUES[found[1]], plain)


ADDRESSES = sorted({address(route) for route in routes()})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, django_db_setup: Any, django_db_blocker: Any) -> Iterator[Any]:
    from django.db import transaction

    with django_db_blocker.unblock(), transaction.atomic():
        yield seeded_site(tmp_path_factory.mktemp("headers"))
        transaction.set_rollback(True)


@pytest.fixture(params=["nobody", "administrator"])
def visitor(request: pytest.FixtureRequest, site: Any) -> Client:
    cache.clear()
    client = Client(raise_request_exception=False)
    if request.param == "administrator":
        client.force_login(site[1])
    return client


def directives(response: Any) -> dict[str, set[str]]:
    parts = [part.split() for part in response["Content-Security-Policy"].split(";")]
    return {part[0]: set(part[1:]) for part in parts}


def test_every_route_is_asked() -> None:
    assert len(ADDRESSES) > 150


def test_every_address_answers_with_all_headers(visitor: Client) -> None:
    for place in ADDRESSES:
        response = visitor.get(place)
        assert response.status_code < 500 or place == "/readyz", place
        policy = directives(response)
        assert policy["script-src"] == policy["style-src"] == policy["default-src"] == {"'self'"}, place
        assert policy["object-src"] == policy["base-uri"] == {"'none'"}, place
        assert policy["frame-ancestors"] == {"'none'"}, place
        assert not re.search("unsafe|nonce|eval|[*]|http:", response["Content-Security-Policy"]), place
        assert response["X-Content-Type-Options"] == "nosniff", place
        assert response["Referrer-Policy"] == "same-origin", place
        assert response["Cross-Origin-Opener-Policy"] == "same-origin", place
        assert response["X-Frame-Options"] == "DENY", place
        assert "camera=()" in response["Permissions-Policy"], place
        assert re.fullmatch("[0-9a-f]{32}", response["X-Request-ID"]), place


def test_what_a_person_sees_is_kept_by_their_browser_alone(site: Any) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(site[1])
    for place in ADDRESSES:
        response = client.get(place)
        said = response.get("Cache-Control", "")
        assert re.search("private|no-store", said), (place, said)
        assert "public" not in said, place


def test_methods_that_nobody_needs_are_refused(visitor: Client) -> None:
    for place in ADDRESSES:
        assert visitor.generic("TRACE", place).status_code in (404, 405), place
    for header in ("X-HTTP-Method-Override", "X-Method-Override"):
        answer = visitor.get("/api/v1/labels/1/", headers={header: "DELETE"})
        assert answer.status_code == 200


def test_nothing_is_written_without_a_csrf_token(site: Any) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(site[1])
    before = {model: model.objects.count() for model in (User, type(site[0]))}
    for place in ADDRESSES:
        for more in ({"headers": {"HX-Request": "true"}}, {"headers": {"Origin": "https://evil.example"}}):
            assert client.post(place, **more).status_code in (302, 401, 403, 404, 405, 415), place
    assert {model: model.objects.count() for model in before} == before


def test_cookies_are_guarded_behind_tls(client: Client, settings: Any, admin_user: User) -> None:
    for name, value in TLS.items():
        setattr(settings, name, value)
    headers = {"X-Forwarded-Proto": "https"}
    admin_user.set_password("correct-Horse-7")
    admin_user.save()
    page = client.get("/sign-in/", headers=headers)
    assert page["Strict-Transport-Security"].startswith("max-age=31536000")
    client.post("/sign-in/", {"username": "admin", "password": "correct-Horse-7"}, headers=headers)
    for name in ("sessionid", "csrftoken"):
        cookie = client.cookies[name]
        assert (cookie["secure"], cookie["samesite"]) == (True, "Lax"), name
    assert client.cookies["sessionid"]["httponly"] is True
    redirected = client.get("/runs/")
    assert (redirected.status_code, redirected["Location"]) == (301, "https://testserver/runs/")


def test_a_session_that_was_planted_is_not_the_one_that_signs_in(client: Client, admin_user: User) -> None:
    admin_user.set_password("correct-Horse-7")
    admin_user.save()
    client.cookies["sessionid"] = "planted0planted0planted0planted0"
    client.cookies["csrftoken"] = "p" * 32
    client.get("/sign-in/")
    client.post("/sign-in/", {"username": "admin", "password": "correct-Horse-7"})
    assert client.cookies["sessionid"].value != "planted0planted0planted0planted0"
    assert client.cookies["csrftoken"].value != "p" * 32


def test_another_password_signs_out_everywhere_else(admin_user: User) -> None:
    admin_user.set_password("correct-Horse-7")
    admin_user.save()
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        client.post("/sign-in/", {"username": "admin", "password": "correct-Horse-7"})
        assert client.get("/profile/").status_code == 200
    changed = {
        "old_password": "correct-Horse-7",
        "new_password1": "battery-Staple-9",
        "new_password2": "battery-Staple-9",
    }
    assert here.post("/password/", changed).status_code == 302
    assert here.get("/profile/").status_code == 200
    assert elsewhere.get("/profile/").status_code == 302


@pytest.mark.parametrize(
    "place",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
     "http:evil.example", "https:/evil.example", "\thttps://evil.example", "/%09/evil.example/../.."],
)  # fmt: skip
def test_signing_in_leads_nowhere_else(client: Client, admin_user: User, place: str) -> None:
    admin_user.set_password("correct-Horse-7")
    admin_user.save()
    sent = {"username": "admin", "password": "correct-Horse-7", "next": place}
    response = client.post("/sign-in/", sent, query_params={"next": place})
    assert response.status_code == 302
    assert re.match(r"/(?![/\\])", response["Location"]), response["Location"]


@pytest.mark.parametrize("host", ["evil.example", "localhost:80@evil.example", "testserver.evil.example", "a b", ""])
def test_a_name_that_is_not_ours_is_refused(client: Client, host: str) -> None:
    response = client.get("/", headers={"Host": host, "X-Forwarded-Host": "evil.example"})
    assert "evil.example" not in response.content.decode()
    assert response.status_code == 400
