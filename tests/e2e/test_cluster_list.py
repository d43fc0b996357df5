"""The list of clusters: the ladder, filters, orders, the table, a random cluster, and a list without end."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import json_of

pytestmark = pytest.mark.django_db(transaction=True)
HERE = "/runs/synthetic/k/70/clusters/"


def test_the_ladder_is_climbed_with_the_keyboard(visit, large_run):
    page = visit().open("/runs/synthetic/k/6/clusters/?sort=within")
    slider = page.get_by_label("How many clusters")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "k = 20")
    page.wait_for_url("**/k/20/clusters/?sort=within")
    expect(page.locator("h1")).to_contain_text("20 clusters")
    page.go_back()
    expect(page.locator("h1")).to_contain_text("6 clusters")
    expect(page.get_by_label("How many clusters")).to_have_value("0")


def test_filters_and_orders_meet_in_the_address_and_in_the_table(visit, large_run):
    visited = visit()
    page = visited.open(HERE)
    page.get_by_label("at least").fill("2")
    page.get_by_label("at most").fill("3")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**least=2&most=3**")
    page.get_by_label("Sorted by").select_option("within")
    page.wait_for_url("**sort=within**")
    page.get_by_role("group", name="View").get_by_role("link", name="Table").click()
    page.wait_for_url("**view=table**")
    query = page.url.partition("?")[2]
    told = json_of(visited, f"/runs/synthetic/k/70/clusters.json?{query}")["clusters"]
    rows = page.locator("main tbody tr")
    expect(rows).to_have_count(len(told))
    assert {one["size"] for one in told} <= {2, 3}
    shown = rows.locator("a[href*='/clusters/']").all_inner_texts()
    assert [int(re.search(r"\d+", text)[0]) for text in shown if re.search(r"\d", text)] == [
        one["label"] for one in told
    ]
    page.locator("thead a", has_text=re.compile("within", re.IGNORECASE)).click()
    page.wait_for_url("**order=reversed**")
    expect(rows.first.locator("a[href*='/clusters/']").first).to_contain_text(str(told[-1]["label"]))


def test_a_list_that_goes_on_keeps_its_place_through_back_and_reload(visit, large_run):
    page = visit(is_calm=True).open(HERE)
    cards = page.locator(".cards > li[id]")
    expect(cards).to_have_count(12)
    for n in (24, 36):
        page.locator(".cards > li").last.scroll_into_view_if_needed()
        expect(cards).to_have_count(n)
    cards.nth(20).evaluate("card => card.scrollIntoView({ block: 'start', behavior: 'instant' })")
    page.wait_for_url("**after=**")
    name = cards.nth(20).locator("a.name").inner_text()
    page.reload()
    again = page.locator("a.name", has_text=re.compile(f"^{name}$"))
    expect(again).to_be_in_viewport()
    again.click()
    expect(page.locator("h1")).to_have_text(name)
    page.go_back()
    expect(page.locator("a.name", has_text=re.compile(f"^{name}$"))).to_be_in_viewport()
    page.get_by_role("link", name="From the beginning").click()
    expect(page.locator(".cards > li[id]").first).to_contain_text("rank 1")


def test_r_opens_a_random_cluster(visit, large_run):
    page = visit().open(HERE)
    page.keyboard.press("r")
    page.wait_for_url(re.compile(r"/k/70/clusters/\d+/"))
    expect(page.locator("h1")).to_have_text(re.compile(r"^Cluster \d+$"))
