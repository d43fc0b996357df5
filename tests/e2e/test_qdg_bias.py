"""QDG where the truth is known: a slope is read backwards, draws and affinities are chosen, on any screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import settled
from tests.qdg_bias import make_experiment

pytestmark = pytest.mark.django_db(transaction=True)
TOY, PARITY = "/labs/qdg-bias/tiny-toy/", "/labs/qdg-bias/tiny-parity/"


@pytest.fixture(autouse=True)
def _experiments(live_server) -> None:
    for kind in ("toy-qdg", "parity-qdg"):
        make_experiment(kind)


def test_what_is_chosen_changes_the_figures_and_stays_in_the_address(visit):
    page = settled(visit().open(TOY))
    first = page.locator("#fig-world-1 h3").inner_text()
    page.get_by_role("group", name="Draw").get_by_role("link", name="2").click()
    page.wait_for_url("**draw=2**")
    assert page.locator("#fig-world-1 h3").inner_text() != first
    page.get_by_label("A slope that was measured").fill("-1.2")
    page.get_by_role("button", name="Read").click()
    page.wait_for_url("**slope=-1.2**")
    assert "draw=2" in page.url
    page = settled(visit().open(PARITY))
    expect(page.locator("#fig-matrix img")).to_have_js_property("complete", value=True)
    assert page.locator("#fig-matrix img").evaluate("one => one.naturalWidth") == 120
    page.get_by_role("link", name="absolute", exact=True).click()
    page.wait_for_url("**affinity=absolute**")
    page.get_by_label("last rank").fill("4")
    page.get_by_role("button", name="Fit").click()
    page.wait_for_url("**last=4**")
    assert "affinity=absolute" in page.url
    expect(page.locator("#fig-ranks figcaption")).to_contain_text("Over ranks 1 to 4")


def test_pages_can_be_read_without_javascript_and_on_a_phone(visit):
    for path, figure in ((TOY, "grid"), (PARITY, "agreement"), ("/labs/qdg-bias/", "slopes")):
        page = visit(javascript=False, width=390).open(path)
        expect(page.locator(f"#fig-{figure} svg:visible")).to_be_visible()
        page = settled(visit(width=390).open(path))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
