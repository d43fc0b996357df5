"""A curve of one's own in a browser: typed, read, shared by its address; with JavaScript and without."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.e2e.pages import TWO_FRAMES, settled

pytestmark = pytest.mark.django_db(transaction=True)
TYPED = "size, loss\n1e6, 4\n1e7, 3\n1e8, 2.2\n1e9, 1.7"


def test_a_typed_curve_is_read_mended_and_shared(visit):
    visited = visit(is_calm=True)
    page = settled(visited.open("/labs/curves/"))
    page.get_by_label("Scale and loss, a point a line").fill("1e6, 4\n1e7, three")
    page.get_by_role("button", name="Read the curve").click()
    expect(page.get_by_role("alert")).to_contain_text("Line 2 says “three”, which is no number")
    assert len(visited.complaints) == 1  # the browser’s own, of a 400
    visited.complaints.clear()
    page.get_by_label("Scale and loss, a point a line").fill(TYPED)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="One exponent, two readings")).to_be_visible()
    assert "1e6+4%0A1e7+3" in page.url  # short: a space for a comma, one sign for a line's end
    page.get_by_text("bits", exact=True).click()
    page.get_by_role("button", name="Read the curve").click()
    page.wait_for_url("**unit=bits**")
    expect(page.locator("svg.chart:visible").first).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    page.evaluate(TWO_FRAMES)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    found = Axe().run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []


def test_without_javascript_the_form_alone_reads_a_curve(visit):
    visited = visit(javascript=False)
    page = visited.open("/labs/curves/")
    page.get_by_role("link", name="Marshall").click()
    expect(page.get_by_role("heading", name="One step of 10.0 bits explains this curve")).to_be_visible()
    page.get_by_role("link", name="Start anew").click()
    page.locator("textarea[name=text]").fill(TYPED)
    page.get_by_role("button", name="Read the curve").click()
    expect(page.get_by_role("heading", name="Its law")).to_be_visible()
