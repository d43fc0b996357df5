"""A page that is open while the site cannot answer says so, and stops saying so once it can."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from compute.jobs import queue
from tests.jobs import fake

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_part_that_cannot_be_fetched_is_told_until_the_next_one_comes(browser: Browser, live_server, monkeypatch):
    monkeypatch.setattr("compute.pipeline.plan", fake.plan)
    job = queue.enqueue(fake.config())
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(f"{live_server.url}/jobs/{job.pk}/")
        expect(page.locator("#job")).to_be_visible()
        where = f"**/jobs/{job.pk}/**"
        page.route(where, lambda route: route.fulfill(status=503, headers={"Retry-After": "7"}, body=""))
        told = page.locator("#outage")
        expect(told).to_have_text(
            "The site cannot answer at the moment; what you see may be old. Try again in 7 seconds."
        )
        expect(page.locator("#job")).to_be_visible()
        page.unroute(where)
        expect(told).to_have_count(0)
        page.route(where, lambda route: route.abort())
        expect(told).to_contain_text("The site cannot be reached")
    finally:
        context.close()
