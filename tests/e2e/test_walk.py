"""From the list of runs down to a document and back, with and without JavaScript."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_walk_from_runs_to_a_document_and_back(visit, real_run):
    _walk(visit(), real_run)


def test_the_same_walk_without_javascript(visit, run):
    _walk(visit(javascript=False), run)


def _walk(visited, run) -> None:
    page = visited.open("/")
    heading = page.locator("h1")
    seen = [heading.inner_text()]
    for step in (_to_run, _to_rank_frequency, _to_clusters, _to_cluster, _to_token, _to_document):
        step(page, run)
        visited.check()
        seen.append(heading.inner_text())
    assert len(set(seen)) == len(seen)
    for expected in reversed(seen[:-1]):
        page.go_back()
        expect(heading).to_have_text(expected)
        expect(page.locator(".top")).to_have_count(1)


def _to_run(page, run) -> None:
    page.get_by_role("main").get_by_role("link", name=run.name, exact=True).click()
    page.wait_for_url(f"**/runs/{run.slug}/")


def _to_rank_frequency(page, run) -> None:
    page.get_by_label(run.name, exact=True).get_by_role("link", name="Rank–frequency").click()
    page.wait_for_url("**/rank-frequency/")


def _to_clusters(page, run) -> None:
    page.locator("main table a[href*='/clusters/']").first.click()
    page.wait_for_url("**/clusters/")


def _to_cluster(page, run) -> None:
    page.get_by_role("link", name=re.compile(r"^Cluster \d+$")).first.click()
    page.wait_for_url(re.compile(r"/clusters/\d+/$"))


def _to_token(page, run) -> None:
    page.locator(".ctxs .t.answer").first.click()
    page.wait_for_url(re.compile(r"/tokens/\d+/$"))


def _to_document(page, run) -> None:
    page.locator(".kicker").get_by_role("link", name=re.compile(r"^document \d+$")).click()
    page.wait_for_url(re.compile(r"/documents/\d+/"))


def test_what_the_lists_show_can_be_chosen_without_javascript(visit, run):
    page = visit(javascript=False).open("/runs/synthetic/k/6/clusters/")
    page.get_by_label("Number of clusters").select_option("3")
    page.get_by_label("Sorted by").select_option("within")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**/k/3/clusters/?*sort=within*")
    expect(page.locator("h1")).to_contain_text("3 clusters")


def test_choosing_a_k_goes_there_at_once(visit, run):
    page = visit().open("/runs/synthetic/k/6/clusters/")
    page.get_by_label("How many clusters").press("ArrowLeft")
    page.wait_for_url("**/k/3/clusters/*")
