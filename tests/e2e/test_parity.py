"""An experiment on sparse parity: what a person chooses changes figures and address, and one click starts another."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from clusters.models import Experiment
from tests.e2e.pages import box_of, json_of, settled, words
from tests.parity import World, make_parity

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/labs/parity/made-up/"


@pytest.fixture
def experiment(live_server, tmp_path) -> Experiment:
    return make_parity(tmp_path, World(alphas=(0.3, 0.6), widths=(8, 32), samples=(None, 3000, 30_000)))


def test_networks_windows_and_alphas_are_chosen_and_kept_in_the_address(visit, experiment):
    visited = visit()
    page = settled(visited.open(PATH))
    expect(page.locator("#fig-heat")).to_be_visible()
    page.locator("select#network").select_option("0")
    page.wait_for_url("**network=0**")
    expect(page.locator("#fig-tasks h3")).to_contain_text("of 40")
    page.get_by_label("fit from training steps").fill("500")
    page.locator("#fig-loss-s + .range button").click()
    page.wait_for_url("**s_from=500**")
    told = json_of(visited, f"{PATH[:-1]}.json?{page.url.partition('?')[2]}")
    assert told["network"] == 0
    assert told["laws"]["S"]["window"][0] == 500
    page.get_by_role("link", name="α = 0.6").click()
    page.wait_for_url("**alpha=0.6**")
    assert "network=" not in page.url
    page.get_by_role("link", name="bits").click()
    page.wait_for_url("**unit=bits**")
    assert "alpha=0.6" in page.url
    assert "theory 0.60" in words(page)


def test_the_page_can_be_read_without_javascript_and_on_a_phone(visit, experiment):
    visited = visit(javascript=False, width=390)
    page = visited.open(PATH)
    expect(page.locator("#fig-tasks svg:visible")).to_be_visible()
    assert box_of(page.locator("#fig-heat"))[3] < 150  # no space is kept for what is not drawn here
    page.locator("#fig-heat").get_by_role("link", name="Show this figure").click()
    expect(page.locator("#fig-heat svg:visible")).to_be_visible()
    visited = visit(width=390)
    page = settled(visited.open(PATH))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_one_click_starts_the_two_core_preset(signed_in):
    page = signed_in().open("/labs/parity/")
    page.locator("button[value=two-core]").click()
    page.wait_for_url("**/labs/parity/**two-cores**")
    expect(page.locator("#experiment-progress")).to_contain_text("queued")
    assert Experiment.objects.get().preset == "two-core"
