"""The pages of the API in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("javascript", [True, False])
def test_the_api_s_pages_name_every_operation_and_what_it_takes(visit, run, javascript):
    opened = visit(javascript=javascript)
    page = opened.open("/api/docs/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="tokens", exact=False).first.click()
    expect(page.get_by_role("main")).to_contain_text("/api/v1/runs/")
    expect(page.get_by_role("main")).to_contain_text("answer_id")


def test_an_example_of_the_pages_can_be_run_as_it_stands(visit, run):
    opened = visit()
    schema = opened.page.request.get(f"{opened.server}/api/schema/").json()
    assert schema["openapi"].startswith("3.1")
    page = opened.open("/api/docs/similarity/")
    paths = [path for path in schema["paths"] if "/similarity/" in path]
    assert len(paths) == 3
    for path in paths:
        expect(page.get_by_role("main")).to_contain_text(path.rpartition("/similarity/")[2])
