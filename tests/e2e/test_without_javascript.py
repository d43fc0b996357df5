"""Every control is a form or a link: without JavaScript, the same states are reached and say the same."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import PAGES, json_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_every_page_can_be_read(visit, run):
    visited = visit(javascript=False)
    for path in PAGES:
        page = visited.open(f"/runs/synthetic/{path}")
        expect(page.locator("h1")).to_be_visible()
        assert len(page.locator("main").inner_text()) > 300, path
        assert page.locator(".later:not(:has(noscript a))").count() == 0, (
            f"a figure of {path} comes later and has no link"
        )
        assert page.locator("main button:not([type=submit]):visible").count() == 0, f"a button of {path} does nothing"
        alone = page.locator("main form:has(select):not(:has(button[type=submit]))")
        assert (
            alone.evaluate_all(
                "forms => forms.filter((f) => !f.id || !document.querySelector(`button[form=${f.id}]`)).length"
            )
            == 0
        ), path


def test_clusters_are_chosen_turned_to_and_found_again(visit, large_run):
    page = visit(javascript=False).open("/runs/synthetic/k/6/clusters/")
    page.get_by_label("Number of clusters").select_option("70")
    page.get_by_label("Sorted by").select_option("within")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**/k/70/clusters/?*sort=within*")
    first = page.locator("a.name").first.inner_text()
    page.get_by_role("link", name="More clusters").click()
    page.wait_for_url("**after=**")
    assert page.locator("a.name").first.inner_text() != first
    page.go_back()
    expect(page.locator("a.name").first).to_have_text(first)
    page.locator("a.name").first.click()
    page.locator("a[data-key='-']").click()
    page.wait_for_url("**/k/20/clusters/**")
    page.locator("#contexts").get_by_role("link", name="200 tokens").click()
    page.wait_for_url("**reach=200**")


def test_windows_ranges_and_thresholds_are_typed(visit, large_run):
    visited = visit(javascript=False)
    page = visited.open("/runs/synthetic/rank-frequency/")
    page.locator("#rf-last").fill("40")
    page.get_by_role("button", name="Fit").click()
    page.wait_for_url("**last=40**")
    expect(page.locator("[data-fit='signed-window']")).to_have_text(re.compile("–40$"))
    page = visited.open("/runs/synthetic/sequence/?k=20&over=parameters")
    page.get_by_label("Tokens, at least").fill("9")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**least=9**")
    page = visited.open("/runs/synthetic/tokens/")
    page.get_by_label("M above").fill("0.3")
    page.get_by_role("button", name="Find", exact=True).click()
    page.wait_for_url("**m_min=0.3**")
    told = json_of(visited, f"/runs/synthetic/tokens.json?{page.url.partition('?')[2]}")
    expect(page.locator(".found").first).to_have_text(f"{told['n_found']}")
    seen = page.locator("#hits > li[data-token]").first.get_attribute("data-token")
    page.get_by_role("link", name="More tokens").click()
    page.wait_for_url("**after=**")
    assert page.locator("#hits > li[data-token]").first.get_attribute("data-token") != seen
    page = visited.open("/runs/synthetic/scaling/")
    page.get_by_label("smallest number of parameters").fill("40000")
    page.get_by_role("button", name="Fit").first.click()
    page.wait_for_url("**smallest=40000**")
    page = visited.open("/runs/synthetic/losses/")
    page.locator(".player select").select_option("0")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**step=0**")
    expect(page.locator("[data-value='step']")).to_have_text("0")


def test_canvases_have_a_picture_a_form_and_pairs(visit, large_run):
    visited = visit(javascript=False)
    page = visited.open("/runs/synthetic/map/")
    expect(page.locator("#fig-map > svg:visible").first).to_be_visible()
    for side, value in zip(("left", "right", "bottom", "top"), ("-1", "1", "-1", "1"), strict=True):
        page.locator(f".rectangle input[name='{side}']").fill(value)
    page.get_by_role("button", name="List its tokens").click()
    page.wait_for_url("**area=**")
    told = json_of(visited, f"/runs/synthetic/map.json?{page.url.partition('?')[2].partition('#')[0]}")
    expect(page.locator("#h-chosen")).to_contain_text(f"{told['n_inside']} token")
    page = visited.open("/runs/synthetic/similarity/?k=20")
    picture = page.locator("#fig-matrix img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 100
    page.locator("#m-last").fill("3")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**last=3**")
    expect(page.locator("#h-m + p")).to_have_text("ranks 1–3 of 20")
    page = visited.open("/runs/synthetic/compare/")
    page.locator("#c-b").select_option("signed-70")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**b=signed-70**")
    page.get_by_role("link", name="Swap").click()
    page.wait_for_url("**a=signed-70**")
