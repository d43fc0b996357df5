"""A real browser against a live server; what goes wrong on a page fails the test that opened it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from clusters.ingest import ingest
from clusters.models import Run
from tests.factories import make_run

# Playwright's event loop runs in the thread that makes the rows
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

PATIENCE_MS = 60_000  # machines that run tests are often busy with others
expect.set_options(timeout=PATIENCE_MS)

WATCH_VIOLATIONS = """
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


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


@dataclass
class Visit:
    """One browser page, and what went wrong on it."""

    page: Page
    server: str
    has_javascript: bool
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.server + path)
        return self.page

    def check(self) -> None:
        """Nothing complained, and no policy was violated on the page that is open."""
        violations = self.page.evaluate("window.violations") if self.has_javascript else []
        assert self.complaints == []
        assert violations == []


@pytest.fixture
def visit(browser: Browser, live_server) -> Iterator[Callable[..., Visit]]:
    """Open pages: `visit(javascript=…, width=…, theme=…)`; at the end all of them must have been quiet."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def start(*, javascript: bool = True, width: int = 1440, theme: str = "light") -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            java_script_enabled=javascript,
            color_scheme="dark" if theme == "dark" else "light",
        )
        contexts.append(context)
        if javascript:
            context.add_init_script(WATCH_VIOLATIONS)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        visits.append(opened := Visit(page, live_server.url, javascript))
        _listen(page, opened, urlsplit(live_server.url).netloc)
        return opened

    yield start
    for opened in visits:
        opened.check()
    for context in contexts:
        context.close()


def _listen(page: Page, opened: Visit, host: str) -> None:
    """Collect console errors, uncaught exceptions, dialogs, and requests that leave the server."""

    def on_request(request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.netloc != host:
            opened.complaints.append(f"request to {request.url}")

    def on_response(response) -> None:
        if response.status >= 500:
            opened.complaints.append(f"{response.status} from {response.url}")

    def on_dialog(dialog) -> None:
        opened.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def on_console(message) -> None:
        if message.type in ("error", "warning"):
            opened.complaints.append(f"console: {message.text}")

    page.on("request", on_request)
    page.on("response", on_response)
    page.on("dialog", on_dialog)
    page.on("console", on_console)
    page.on("pageerror", lambda error: opened.complaints.append(f"exception: {error}"))


@pytest.fixture
def run(live_server, tmp_path) -> Run:
    """A made-up run whose text is hostile."""
    return make_run(tmp_path)


@pytest.fixture
def real_run(live_server, small_bundle) -> Run:
    """A run of real networks on real text."""
    return ingest(small_bundle)
