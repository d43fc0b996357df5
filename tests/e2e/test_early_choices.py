"""What a person chooses before the page's scripts have come counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.core.servers.basehttp import WSGIRequestHandler

pytestmark = pytest.mark.django_db(transaction=True)
RANKS, LIST = "/runs/synthetic/rank-frequency/", "/runs/synthetic/k/6/clusters/"


@pytest.fixture
def arrival(monkeypatch) -> Iterator[threading.Event]:
    """Scripts come only once this is set."""
    here, parse = threading.Event(), WSGIRequestHandler.parse_request

    def parse_later(handler) -> bool:
        parsed = parse(handler)
        if parsed and handler.path.partition("?")[0].endswith(".js"):
            here.wait(60)
        return parsed

    monkeypatch.setattr(WSGIRequestHandler, "parse_request", parse_later)
    yield here
    here.set()


@pytest.mark.parametrize(
    ("path", "choose", "leads_to"),
    [
        (LIST, lambda page: page.get_by_label("Sorted by").select_option("within"), "**sort=within**"),
        (LIST, lambda page: page.locator("#k-slider").fill("0"), "**/k/3/clusters/**"),
        ("/runs/synthetic/similarity/", lambda page: page.locator("#m-limits").select_option(index=1), "**limits=**"),
        (RANKS, lambda page: page.locator("#rf-envelope").uncheck(), "**set=1**"),
    ],
    ids=["a list", "a slider", "a page drawn by script", "a tick that htmx sends"],
)  # fmt: skip
def test_a_choice_made_before_the_scripts_came_is_followed(visit, run, arrival, path, choose, leads_to):
    opened = visit()
    opened.page.goto(opened.server + path, wait_until="commit")
    choose(opened.page)
    assert opened.page.url == opened.server + path
    arrival.set()
    opened.page.wait_for_url(leads_to)


def test_a_page_nobody_touched_asks_for_nothing(visit, run, arrival):
    opened, asked = visit(), []
    opened.page.on("request", lambda request: asked.append(request.url))
    opened.page.goto(opened.server + RANKS, wait_until="commit")
    opened.page.locator("#rf").wait_for()
    arrival.set()
    opened.page.wait_for_load_state("networkidle")
    assert [url for url in asked if "rank-frequency/" in url] == [opened.server + RANKS]
