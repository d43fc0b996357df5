"""Signing in with an account elsewhere: a site of its own process, and an identity provider of ours."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from tests.clusters.oidc import Provider

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


class Site:
    """The real server on a port of its own, with QW_SIGNUP as given."""

    def __init__(self, folder: Path, issuer: str, signup: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        plain = {name: value for name, value in os.environ.items() if not name.startswith("QW_")}
        self._env = plain | {
            "QW_DATA_DIR": str(folder),
            "QW_SIGNUP": signup,
            "QW_SIGNUP_ROLES": "labeler",
            "QW_OIDC_ISSUER": issuer,
            "QW_OIDC_CLIENT_ID": "quantaweb",
            "QW_OIDC_CLIENT_SECRET": "hush",
            "QW_OIDC_NAME": "Our University",
        }
        self._server: subprocess.Popen[bytes] | None = None

    def manage(self, *command: str) -> str:
        run = [sys.executable, "manage.py", *command]
        return subprocess.run(run, cwd=ROOT, env=self._env, check=True, capture_output=True, text=True).stdout

    def start(self) -> Site:
        run = [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{self.port}"]
        self._server = subprocess.Popen(run, cwd=ROOT, env=self._env, stderr=subprocess.DEVNULL)
        for _ in range(300):
            try:
                httpx.get(f"{self.url}/sign-in/")
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return self
        raise AssertionError("The site did not start.")

    def stop(self) -> None:
        assert self._server is not None
        self._server.terminate()
        self._server.wait(20)


class Browser:
    """Follows redirects and sends the forms' tokens, as a browser does."""

    def __init__(self, site: Site) -> None:
        self.client = httpx.Client(base_url=site.url, follow_redirects=True, timeout=30)

    def get(self, path: str) -> str:
        return unescape(self.client.get(path).text)

    def post(self, path: str, **data: str) -> httpx.Response:
        token = self.client.cookies["csrftoken"]
        return self.client.post(path, data={"csrfmiddlewaretoken": token, **data})

    def come(self, way: str = "") -> httpx.Response:
        """Press the button of the sign-in page."""
        html = self.get("/sign-in/")
        (path,) = re.findall(r'action="(/sign-in/with/[^"]+)"', html)
        assert "Sign in with Our University" in html
        return self.post(path + way)

    def name(self) -> str:
        found = re.search(r'class="user" href="/profile/"[^>]*>([^<]+)<', self.get("/"))
        return found[1] if found else ""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    found = Provider()
    yield found
    found.close()


@pytest.fixture(scope="module")
def migrated(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    Site(folder, provider.issuer, "off").manage("migrate")
    return folder


@pytest.fixture(scope="module")
def open_site(provider: Provider, migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = shutil.copytree(migrated, tmp_path_factory.mktemp("open") / "data")
    site = Site(folder, provider.issuer, "open").start()
    yield site
    site.stop()


@pytest.fixture(scope="module")
def closed_site(provider: Provider, migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = shutil.copytree(migrated, tmp_path_factory.mktemp("closed") / "data")
    site = Site(folder, provider.issuer, "invitation").start()
    yield site
    site.stop()


@pytest.fixture(autouse=True)
def nobody_yet(provider: Provider, request: pytest.FixtureRequest) -> None:
    """Every test is about somebody else."""
    name = re.sub(r"\W", "", request.node.name)[:40]
    provider.refuses = False
    provider.claims = {"sub": name, "preferred_username": name, "email": "eve@example.org", "email_verified": False}


def test_where_it_is_open_a_new_person_gets_an_account_once(open_site: Site, provider: Provider) -> None:
    provider.claims |= {"preferred_username": "ana", "email": "ana@example.org", "email_verified": True}
    for _ in range(2):
        browser = Browser(open_site)
        assert browser.come().url.path == "/"
        assert browser.name() == "ana"
    profile = browser.get("/profile/")
    assert "<span>labeler</span>" in profile
    assert 'value="ana@example.org"' in profile


def test_a_name_that_is_taken_gives_nobody_s_account_away(open_site: Site, provider: Provider) -> None:
    open_site.manage("sign_in_link", "--user", "ben", "--create")
    provider.claims |= {"preferred_username": "ben"}
    browser = Browser(open_site)
    browser.come()
    assert browser.name() not in ("", "ben")
    assert "eve@example.org" not in browser.get("/profile/")  # nobody proved that address


def test_a_person_who_stops_there_is_not_signed_in(open_site: Site, provider: Provider) -> None:
    provider.refuses = True
    browser = Browser(open_site)
    response = browser.come()
    assert response.status_code == 403
    assert "Our University did not let you in" in response.text
    assert browser.name() == ""


def test_an_answer_that_nobody_asked_for_is_refused(open_site: Site) -> None:
    browser = Browser(open_site)
    response = browser.client.get("/sign-in/with/oidc/oidc/login/callback/?code=x&state=made-up")
    assert response.status_code == 403
    assert browser.name() == ""


def test_by_invitation_nobody_new_comes_in_without_one(closed_site: Site) -> None:
    browser = Browser(closed_site)
    response = browser.come()
    assert response.status_code == 403
    assert "nobody here does yet" in response.text
    assert browser.name() == ""


def test_an_invitation_makes_an_account_of_the_other_site_s_person(closed_site: Site, provider: Provider) -> None:
    provider.claims |= {"preferred_username": "dora"}
    href = closed_site.manage("invite", "--role", "runner", "--base", closed_site.url).strip()
    browser = Browser(closed_site)
    assert "Go on with Our University" in browser.get(href)
    browser.come()
    assert browser.name() == "dora"
    assert "<span>runner</span>" in browser.get("/profile/")
    assert httpx.get(href).status_code == 410
    again = Browser(closed_site)
    again.come()
    assert again.name() == "dora"


def test_a_person_connects_an_account_elsewhere_and_comes_back_with_it(closed_site: Site) -> None:
    link = closed_site.manage("sign_in_link", "--user", "carla", "--create", "--base", closed_site.url).strip()
    browser = Browser(closed_site)
    browser.get(link)
    browser.post(link)
    html = browser.get("/profile/")
    (path,) = re.findall(r'action="(/sign-in/with/[^"]+process=connect)"', html)
    response = browser.post(path)
    assert response.url.path == "/profile/"
    assert "Our University, since" in response.text
    again = Browser(closed_site)
    again.come()
    assert again.name() == "carla"
    response = again.post("/profile/", action="disconnect", provider="oidc")
    assert "It is your only way in; choose a password first." in response.text


def test_the_page_may_send_its_form_there_and_nowhere_else(open_site: Site, provider: Provider) -> None:
    policy = httpx.get(f"{open_site.url}/sign-in/").headers["Content-Security-Policy"]
    assert f"form-action 'self' {provider.issuer};" in policy + ";"


def test_the_provider_s_own_pages_look_like_ours(open_site: Site) -> None:
    browser = Browser(open_site)
    html = browser.get("/sign-in/with/oidc/oidc/login/")
    assert "Go on to Our University?" in html
    assert "css/look.css" in html


def test_deeds_are_recorded(open_site: Site, provider: Provider) -> None:
    provider.claims |= {"preferred_username": "finn"}
    Browser(open_site).come()
    admin = Browser(open_site)
    link = open_site.manage("sign_in_link", "--base", open_site.url).strip()
    admin.get(link)
    admin.post(link)
    events = admin.client.get("/audit.json?person=finn").json()["events"]
    assert [event["action"] for event in events] == ["sign-in", "person.sign-up"]


def test_without_settings_nothing_of_it_is_there() -> None:
    from django.apps import apps
    from django.urls import NoReverseMatch, reverse

    assert not apps.is_installed("allauth")
    with pytest.raises(NoReverseMatch):
        reverse("openid_connect_login", args=["oidc"])
