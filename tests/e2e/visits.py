"""A page in a browser, and what went wrong on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Page

WATCH_VIOLATIONS = """
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


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

    def listen(self, page: Page | None = None) -> Page:
        """Collect console errors, uncaught exceptions, dialogs, and requests that leave the server."""
        page, host = page or self.page, urlsplit(self.server).netloc

        def on_request(request) -> None:
            address = urlsplit(request.url)
            if address.scheme in ("http", "https", "ws", "wss") and address.netloc != host:
                self.complaints.append(f"request to {request.url}")

        def on_response(response) -> None:
            if response.status >= 500:
                self.complaints.append(f"{response.status} from {response.url}")

        def on_dialog(dialog) -> None:
            self.complaints.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        def on_console(message) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(f"console: {message.text} ({message.location['url']})")

        page.on("request", on_request)
        page.on("response", on_response)
        page.on("dialog", on_dialog)
        page.on("console", on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        return page

    def check(self) -> None:
        """Nothing complained, and no policy was violated on the page that is open."""
        self.page.wait_for_load_state()
        violations = self.page.evaluate("window.violations") if self.has_javascript else []
        assert not self.complaints, self.complaints
        assert violations == [], f"{violations} on {self.page.url}"
