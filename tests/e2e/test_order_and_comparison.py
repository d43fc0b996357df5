"""The order of learning, and two clusterings side by side."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import idle, json_of, settled
from tests.factories import make_run

pytestmark = pytest.mark.django_db(transaction=True)
SEQUENCE = "/runs/synthetic/sequence/"


def test_thresholds_filters_and_scales_change_the_sequence_and_its_address(visit, large_run):
    visited = visit()
    page = visited.open(f"{SEQUENCE}?k=20&over=parameters")
    rows = page.locator("#h-l").locator("xpath=../..").locator("tbody tr")
    before = rows.all_inner_texts()
    page.get_by_label("Mean loss below").fill("2.5")
    page.get_by_label("Tokens, at least").fill("8")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**threshold=2.5&least=8**")
    idle(page)
    told = json_of(visited, f"/runs/synthetic/sequence.json?{page.url.partition('?')[2]}")
    assert told["threshold_nats"] == pytest.approx(2.5)
    expect(rows).to_have_count(sum(cluster["size"] >= 8 for cluster in told["clusters"]))
    assert rows.all_inner_texts() != before
    page.locator("select[name=over]").select_option("steps:syn-800k")
    page.wait_for_url("**over=steps**")
    expect(page.locator("main thead").last).to_contain_text("steps")
    page.go_back()
    page.wait_for_url(re.compile("^(?!.*over=steps).*threshold=2.5"))
    expect(page.locator("main thead").last).to_contain_text("parameters")
    page.go_back()
    expect(rows).to_have_count(len(before))
    assert rows.all_inner_texts() == before
    settled(page)
    point = page.locator("svg.chart:visible [data-token], svg.chart:visible a").first
    expect(point).to_be_attached()


def test_two_clusterings_swap_sides(visit, large_run):
    visited = visit()
    page = visited.open("/runs/synthetic/compare/")
    page.locator("#c-a").select_option("signed-20")
    page.wait_for_url("**a=signed-20**")
    idle(page)
    page.locator("#c-b").select_option("absolute-70")
    page.wait_for_url("**b=absolute-70**")
    idle(page)
    numbers = page.locator("dl.stats dd:not(.sub)").all_inner_texts()
    page.get_by_role("link", name="Swap").click()
    page.wait_for_url("**a=absolute-70&b=signed-20**")
    swapped = page.locator("dl.stats dd:not(.sub)").all_inner_texts()
    assert swapped[0].split()[0] == numbers[0].split()[0]
    assert (swapped[2], swapped[3]) == (numbers[3], numbers[2])
    told = json_of(visited, f"/runs/synthetic/compare.json?{page.url.partition('?')[2]}")
    rand = told["adjusted_rand_index"] if "adjusted_rand_index" in told else told["rand"]
    assert swapped[0].split()[0] == f"{rand:.3f}".replace("-", "−")
    page.go_back()
    expect(page.locator("dl.stats dd:not(.sub)").nth(2)).to_have_text(numbers[2])


def test_another_run_may_stand_on_the_other_side(visit, large_run, tmp_path):
    make_run(tmp_path / "other", seed=3, name="second")
    visited = visit()
    page = visited.open("/runs/synthetic/compare/")
    page.locator("#c-with").select_option("second")
    page.wait_for_url("**with=second**")
    idle(page)
    settled(page)
    expect(page.locator("#fig-sizes")).to_be_visible()
    expect(page.locator(".kicker").first).to_contain_text("second: second")
