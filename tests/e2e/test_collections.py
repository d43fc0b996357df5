"""Collections in a real browser: made from a cluster's page, added to, shared by link, commented on."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from clusters.models import Collection
from clusters.services.collections import create_collection
from tests.e2e.people import person, signed_in_as

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("javascript", [True, False])
def test_a_cluster_is_kept_and_a_stranger_opens_the_shared_link(visit, run, javascript):
    cluster = run.clusterings.get(k=6, affinity="signed").clusters.get(rank=1)
    opened = signed_in_as(visit(javascript=javascript), person("bea", "labeler"))
    page = opened.open(f"/runs/synthetic/k/6/clusters/{cluster.label}/")
    page.locator("#collections summary").click()
    page.get_by_label("A new collection’s name").fill("worth a look")
    page.get_by_role("button", name="Make and keep").click()
    expect(page.locator("body")).to_contain_text("worth a look")
    kept = Collection.objects.get()
    address = f"/collections/{kept.secret}/"

    page = opened.open("/runs/synthetic/tokens/7/")
    page.locator("#collections summary").click()
    page.get_by_role("button", name=re.compile("worth a look")).click()
    page = opened.open(address)
    expect(page.locator("ul.items > li")).to_have_count(2)

    stranger = visit(javascript=javascript)
    response = stranger.page.request.get(stranger.server + address)
    assert response.status == 404  # private until its owner shares it
    page.get_by_role("link", name="Change").click()
    page.get_by_label(re.compile("link", re.IGNORECASE)).check(force=True)
    page.get_by_role("main").get_by_role("button", name=re.compile("Keep|Save|Change")).first.click()
    page = stranger.open(address)
    expect(page.get_by_role("heading", level=1)).to_have_text("worth a look")
    expect(page.locator("ul.items > li")).to_have_count(2)
    expect(page.get_by_role("link", name="Change")).to_have_count(0)


def test_others_comment_on_what_is_shared(visit, run):
    bea, cem = person("bea", "labeler"), person("cem", "labeler")
    kept = create_collection(bea, name="shared", access="link")
    page = signed_in_as(visit(), cem).open(f"/collections/{kept.secret}/")
    page.get_by_label("Comment, seen by all").fill("<b>not bold</b>")
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.locator("ol.comments > li")).to_contain_text("<b>not bold</b>")
    page = signed_in_as(visit(), bea).open(f"/collections/{kept.secret}/")
    page.get_by_role("button", name="Delete the comment of cem").click()
    expect(page.locator("ol.comments > li")).to_have_count(0)


def test_a_filter_is_kept_with_all_that_it_asks_for(visit, run):
    opened = signed_in_as(visit(), person("bea", "labeler"))
    create_collection(person("ada", "labeler"), name="of somebody else")
    page = opened.open("/runs/synthetic/tokens/?class=monogenic&sort=loss")
    page.get_by_role("link", name=re.compile("Keep this page")).first.click()
    page.get_by_label(re.compile("Name of the")).fill("my filters")
    page.get_by_role("button", name="Keep it").click()
    page = opened.open(f"/collections/{Collection.objects.get(name='my filters').secret}/")
    item = page.locator("ul.items > li")
    expect(item).to_contain_text("monogenic")
    item.locator("a.name").click()
    expect(page).to_have_url(re.compile(r"/runs/synthetic/tokens/\?class=monogenic&sort=loss"))
