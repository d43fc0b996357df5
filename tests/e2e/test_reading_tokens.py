"""A token's page and a document's: steps of training, differences of two checkpoints, from token to token."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from clusters.ingest import ingest
from tests.e2e.pages import json_of, middle, settled

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN, DOCUMENT = "/runs/synthetic/tokens/40/", "/runs/synthetic/documents/3/"


def test_a_slider_moves_a_token_s_curve_along_training(visit, tiny_bundle):
    page = visit().open(f"/runs/{ingest(tiny_bundle).slug}/tokens/40/")
    before = page.locator("#learning svg.chart").first.inner_html()
    slider = page.get_by_role("slider", name="Over parameters at step")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**step=0**")
    expect(slider).to_be_focused()
    expect(slider).to_have_attribute("aria-valuetext", "0")
    assert page.locator("#learning svg.chart").first.inner_html() != before
    page.reload()
    expect(page.get_by_role("slider", name="Over parameters at step")).to_have_attribute("aria-valuetext", "0")
    page.go_back()
    page.wait_for_url(re.compile(r"/tokens/40/$"))
    expect(page.get_by_role("slider", name="Over parameters at step")).to_have_attribute("aria-valuetext", "120")


def test_keys_lead_from_token_to_token(visit, run):
    page = visit().open(TOKEN)
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/tokens/41/")
    page.wait_for_load_state()
    page.keyboard.press("]")
    page.wait_for_url(re.compile(r"/tokens/(?!41/)\d+/"))
    expect(page.locator(".kicker .status", has_text=re.compile("^clustered$"))).to_be_visible()
    page.wait_for_load_state()
    page.keyboard.press("e")
    page.wait_for_url("**reach=**")
    settled(page)
    expect(page.locator("#fig-ladder, #clusters svg.chart").first).to_be_visible()


def test_a_document_is_shaded_by_the_difference_of_two_checkpoints(visit, run):
    visited = visit()
    page = visited.open(DOCUMENT)
    text = page.locator("#text")
    shaded = text.inner_html()
    against = page.get_by_role("navigation", name=re.compile("network")).last
    against.get_by_role("link", name="syn-10k").click()
    page.wait_for_url("**against=**")
    expect(page.locator("#contexts h2")).not_to_be_empty()
    expect(page.locator(".signed-legend")).to_be_visible()
    assert text.inner_html() != shaded
    query = page.url.partition("?")[2].partition("#")[0]
    told = json_of(visited, f"/runs/synthetic/documents/3.json?{query}")
    assert "against" in str(told)
    against.get_by_role("link", name="none").click()
    page.wait_for_url(re.compile("^(?!.*against=)"))
    expect(page.locator(".signed-legend")).to_have_count(0)


def test_a_click_and_arrows_choose_a_token_of_the_text(visit, run):
    page = visit().open(DOCUMENT)
    boxes = page.locator("#text a[data-token]")
    boxes.nth(6).click()
    token = boxes.nth(6).get_attribute("data-token")
    page.wait_for_url(f"**token={token}**")
    expect(page.locator(f"#panel [data-token='{token}']")).to_be_visible()
    page.keyboard.press("ArrowRight")
    following = boxes.nth(7).get_attribute("data-token")
    expect(boxes.nth(7)).to_be_focused()
    expect(page.locator(f"#panel [data-token='{following}']")).to_be_visible()
    page.wait_for_url(f"**token={following}**")
    page.reload()
    expect(page.locator(f"#panel [data-token='{following}']")).to_be_visible()
    expect(page.locator(f"#text a[data-token='{following}']")).to_have_class(re.compile("is-on"))
    page.get_by_role("link", name="Open this token").click()
    page.wait_for_url(f"**/tokens/{following}/**")


def test_arrows_outside_the_text_turn_to_the_next_document(visit, run):
    page = visit().open(DOCUMENT)
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/documents/4/")
    page.go_back()
    expect(page.locator(".kicker b").first).to_have_text("Document 3")
    page.mouse.click(*middle(page.locator("#strip")))
    page.wait_for_url("**token=**")
    place = int(re.search(r"token=(\d+)", page.url)[1]) - 3 * 29
    assert 10 <= place <= 19
