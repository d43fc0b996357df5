"""One cluster: the heatmap, curves and contexts show one member together; the ladder is followed up and down."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import json_of, middle, settled

pytestmark = pytest.mark.django_db(transaction=True)
IS_ON = re.compile(r"\bis-on\b")


def largest(run, k=6):
    return run.clusterings.get(k=k, affinity="signed").clusters.get(rank=1)


def test_one_member_is_marked_in_heatmap_curves_and_contexts(visit, large_run):
    page = settled(visit().open(f"/runs/synthetic/k/6/clusters/{largest(large_run).label}/"))
    heat = page.locator(".heat[data-heat]")
    heat.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(heat.locator("[data-pair]")).to_contain_text(re.compile(r"× .+: −?[01]\.\d\d"))
    page.keyboard.press("Enter")
    page.wait_for_url("**token=**")
    token = re.search(r"token=(\d+)", page.url)[1]
    expect(page.locator(f".member [data-token='{token}'], .member a[href*='/tokens/{token}/']").first).to_be_visible()
    row = page.locator(".ctxs > li[data-token]").nth(2)
    row.locator(".meta b").click()
    expect(row).to_have_class(IS_ON)
    other = row.get_attribute("data-token")
    expect(page.locator(f".member a[href*='/tokens/{other}/']").first).to_be_visible()
    page.reload()
    expect(page.locator(f".ctxs > li[data-token='{other}']")).to_have_class(IS_ON)
    expect(page.locator(f".member a[href*='/tokens/{other}/']").first).to_be_visible()


def test_a_cell_that_is_clicked_marks_the_member_of_its_row(visit, large_run):
    page = settled(visit().open(f"/runs/synthetic/k/6/clusters/{largest(large_run).label}/"))
    place = middle(page.locator(".heat svg.chart:visible path.cells").first)
    page.mouse.move(*place)
    expect(page.locator(".heat [data-pair]")).not_to_contain_text("Point at a cell")
    page.mouse.click(*place)
    page.wait_for_url("**token=**")


def test_plus_and_minus_follow_the_cluster_along_the_ladder(visit, large_run):
    visited = visit()
    page = visited.open(f"/runs/synthetic/k/6/clusters/{largest(large_run).label}/")
    heading = page.locator("h1").inner_text()
    page.locator(".trail").wait_for()
    page.keyboard.press("+")
    page.wait_for_url("**/k/20/clusters/**")
    page.wait_for_load_state()
    page.keyboard.press("+")
    page.wait_for_url("**/k/70/clusters/**")
    page.wait_for_load_state()
    page.keyboard.press("-")
    page.wait_for_url("**/k/20/clusters/**")
    page.wait_for_load_state()
    page.keyboard.press("a")
    page.wait_for_url("**affinity=absolute**")
    for _ in range(4):
        page.go_back()
    expect(page.locator("h1")).to_have_text(heading)
    assert "/k/6/" in page.url


def test_the_members_that_the_page_lists_are_those_of_its_twin(visit, large_run):
    visited = visit()
    cluster = largest(large_run, k=20)
    page = visited.open(f"/runs/synthetic/k/20/clusters/{cluster.label}/")
    members = json_of(visited, f"/runs/synthetic/k/20/clusters/{cluster.label}.json")["members"]
    assert len(members) == cluster.size
    listed = page.locator(".ctxs > li[data-token]").evaluate_all("rows => rows.map((row) => Number(row.dataset.token))")
    assert listed
    assert set(listed) <= {one["index"] for one in members}
