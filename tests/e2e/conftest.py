"""A real browser against a live server; what goes wrong on a page fails the test that opened it."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.backends.db import SessionStore
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from clusters.ingest import ingest
from clusters.models import Run
from compute.pipeline import run_qdg
from tests import factories
from tests.e2e.visits import WATCH_VIOLATIONS, Visit
from tests.factories import make_run
from tests.tiny import tiny_config

# Playwright's event loop runs in the thread that makes the rows
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

PATIENCE_MS = 60_000  # machines that run tests are often busy with others
expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/e2e/" in item.path.as_posix():
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("No Chromium is installed; `apt-get install chromium` brings it.")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, live_server) -> Iterator[Callable[..., Visit]]:
    """Open pages: `visit(javascript=…, width=…, theme=…, …)`; at the end all of them must have been quiet."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def start(
        *, javascript: bool = True, width: int = 1440, height: int = 900, theme: str = "light", is_calm: bool = False
    ) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            java_script_enabled=javascript,
            color_scheme="dark" if theme == "dark" else "light",
            reduced_motion="reduce" if is_calm else "no-preference",
        )
        contexts.append(context)
        if javascript:
            context.add_init_script(WATCH_VIOLATIONS)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        visits.append(opened := Visit(page, live_server.url, javascript))
        opened.listen()
        return opened

    yield start
    for opened in visits:
        opened.check()
    for context in contexts:
        context.close()


@pytest.fixture
def signed_in(visit, live_server):
    """Visits of a runner who is signed in."""
    user = User.objects.create_user("ana")
    user.user_permissions.add(Permission.objects.get(codename="add_job", content_type__app_label="compute"))
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.save()

    def start(**options):
        opened = visit(**options)
        cookie = {"name": "sessionid", "value": session.session_key, "url": live_server.url}
        opened.page.context.add_cookies([cookie])
        return opened

    return start


@pytest.fixture
def run(live_server, tmp_path) -> Run:
    """A made-up run whose text is hostile."""
    return make_run(tmp_path)


@pytest.fixture
def large_run(live_server, tmp_path, monkeypatch) -> Run:
    """A made-up run with more clusters than a page shows, and some on every step of the ladder."""
    monkeypatch.setattr(factories, "N_SELECTED", 160)
    monkeypatch.setattr(factories, "KS", (6, 20, 70))
    return make_run(tmp_path)


@pytest.fixture(scope="session")
def tiny_bundle(tiny_suite, tmp_path_factory) -> Path:
    """A bundle of three very small networks at two steps each, whose weights are here."""
    folder = tmp_path_factory.mktemp("tiny")
    return run_qdg(dataclasses.replace(tiny_config(tiny_suite), map=None), folder / "work", folder / "bundles")


@pytest.fixture
def real_run(live_server, small_bundle) -> Run:
    """A run of real networks on real text."""
    return ingest(small_bundle)
