"""Pages as a browser without JavaScript uses them: read the form that is there, change a field, send it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import httpx


@dataclass
class Form:
    """What a browser would send of a form as it opens."""

    action: str = ""
    values: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, value: str) -> None:
        self.values.setdefault(name, []).append(value)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._open: Form | None = None
        self._select: str = ""
        self._options: list[tuple[str, bool]] = []
        self._text: list[str] | None = None
        self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value") or ""
        if tag == "form":
            self._open = Form(given.get("action") or "")
            self.forms.append(self._open)
        elif self._open is None or "disabled" in given:
            return
        elif tag == "input" and name and given.get("type") not in ("submit", "file"):
            if given.get("type") in ("checkbox", "radio"):
                value = given.get("value") or "on"
                if "checked" not in given:
                    self._open.values.setdefault(name, [])
                    return
            self._open.add(name, value)
        elif tag == "select":
            self._select, self._options = name, []
        elif tag == "option" and self._select:
            self._options.append((value, "selected" in given))
        elif tag == "textarea":
            self._area, self._text = name, []

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif self._open is not None and tag == "select" and self._select:
            chosen = [value for value, is_on in self._options if is_on] or [v for v, _ in self._options[:1]]
            for value in chosen:
                self._open.add(self._select, value)
            self._select = ""
        elif self._open is not None and tag == "textarea" and self._text is not None:
            self._open.add(self._area, "".join(self._text).removeprefix("\n"))
            self._text = None


def form_with(html: str, fields: set[str]) -> Form:
    """The page's form that has all these fields; of several, the last, since the bar's own come first."""
    parser = _Forms()
    parser.feed(html)
    for form in reversed(parser.forms):
        if fields <= set(form.values):
            return form
    raise AssertionError(f"no form with the fields {fields} on the page: {html[:2000]}")


def send(browser: httpx.Client, address: str, changes: dict[str, Any], *, button: str = "") -> httpx.Response:
    """Open the page, change fields of the form that has them, press its button (NAME=VALUE), as a browser would."""
    page = browser.get(address)
    assert page.status_code == 200, (address, page.status_code, page.text[:500])
    form = form_with(page.text, set(changes) | {"csrfmiddlewaretoken"})
    values = {key: value for key, value in form.values.items() if value} | changes
    if button:
        pressed, _, value = button.partition("=")
        values[pressed] = value
    target = urljoin(str(page.url), form.action or str(page.url))
    return browser.post(target, data=values, headers={"Referer": str(page.url)})
