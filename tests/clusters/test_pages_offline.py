"""Pages stand alone: no other host, no script or style inside, everything readable without JavaScript."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tests.factories import make_run

pytestmark = pytest.mark.django_db
PATHS = (
    "/", "/runs/synthetic/", "/runs/synthetic/rank-frequency/", "/runs/synthetic/k/6/clusters/",
    "/runs/synthetic/k/6/clusters/0/", "/runs/synthetic/tokens/", "/runs/synthetic/tokens/3/",
    "/runs/synthetic/documents/0/", "/jobs/", "/corpora/", "/sign-in/", "/runs/nowhere/",
)  # fmt: skip
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "use": "href"}


class Page(HTMLParser):
    """What a page would load, and what it holds inline."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline: list[str] = []
        self.ids: list[str] = []
        self._in = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in LOADING and given.get(LOADING[tag]):
            self.loads.append(given[LOADING[tag]])
        self.inline += [f"{tag} {name}" for name in given if name == "style" or re.fullmatch(r"on\w+", name)]
        self._in = tag if tag in ("script", "style") else ""
        if "id" in given:
            self.ids.append(given["id"])

    def handle_data(self, data):
        if self._in and data.strip():
            self.inline.append(f"<{self._in}> {data[:40]}")

    def handle_endtag(self, tag):
        self._in = ""


@pytest.fixture(params=PATHS)
def html(request, client, tmp_path):
    make_run(tmp_path)
    return client.get(request.param).content.decode()


def test_nothing_is_loaded_from_another_host(html):
    assert Page(html).loads
    assert all(address.startswith("/static/") for address in Page(html).loads)


def test_no_style_and_no_script_stands_in_the_page(html):
    assert Page(html).inline == []


def test_no_id_is_used_twice(html):
    ids = Page(html).ids
    assert len(ids) == len(set(ids))


def test_the_content_policy_allows_no_inline_code(client):
    policy = client.get("/")["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy


def test_every_form_works_without_javascript(html):
    for form in re.findall(r"<form.*?</form>", html, re.S):
        assert "<button" in form or 'type="search"' in form


def test_figures_are_in_the_page_itself(client, tmp_path):
    make_run(tmp_path)
    html = client.get("/runs/synthetic/").content.decode()
    assert html.count('<svg class="chart') == 4
    assert html.count("<summary>Table</summary>") == 4


def test_what_needs_a_script_is_hidden_until_there_is_one(html):
    for button in re.findall(r"<button[^>]*data-(?:png|copy)[^>]*>", html):
        assert " hidden" in button


def test_the_theme_is_kept_without_javascript(client):
    response = client.post("/preferences/theme/", {"theme": "dark", "next": "/"})
    assert response.status_code == 302
    assert 'data-theme="dark"' in client.get("/").content.decode()


def test_an_unknown_theme_changes_nothing(client):
    client.post("/preferences/theme/", {"theme": '"><script>', "next": "/"})
    assert "data-theme=" not in client.get("/").content.decode()


@pytest.mark.parametrize("target", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)", ""])
def test_the_theme_s_form_leads_to_no_other_host(client, target):
    assert client.post("/preferences/theme/", {"theme": "dark", "next": target})["Location"] == "/"


def test_the_theme_is_not_set_by_a_link(client):
    assert client.get("/preferences/theme/").status_code == 405


def test_a_broken_page_is_answered_without_the_database(client, tmp_path, monkeypatch, settings):
    def broken(*args, **kwargs):
        raise RuntimeError("no")

    monkeypatch.setattr("clusters.queries.runs.runs_for_list", broken)
    client.raise_request_exception = False
    response = client.get("/")
    assert response.status_code == 500
    assert "Something broke while this page was made" in response.content.decode()
