"""Grokking in a browser: another network and another measure are chosen, and one click starts an experiment."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from clusters.models import Experiment
from tests.addition import Trained, make_addition
from tests.e2e.pages import settled, words

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/labs/grokking/made-up/"


def test_a_network_is_chosen_read_without_javascript_and_a_preset_started(visit, signed_in, live_server, tmp_path):
    make_addition(tmp_path, [Trained(0.4, t_test=None), Trained(0.4, seed=1, t_test=900), Trained(0.7, t_test=200)])
    page = settled(visit(width=390).open(PATH))
    assert "2 of 3 networks generalise" in words(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("select#network").select_option("0")
    page.wait_for_url("**network=0**")
    expect(page.locator("#fig-loss h3")).to_contain_text("not generalised")
    page.get_by_role("link", name="accuracy", exact=True).click()
    page.wait_for_url("**by=accuracy**")
    assert "network=0" in page.url
    plain = visit(javascript=False).open(f"{PATH}?network=1")
    expect(plain.locator("#fig-gap-fraction svg:visible")).to_be_visible()
    page = signed_in().open("/labs/grokking/")
    page.get_by_role("button", name=re.compile("Start: Modular addition, two cores")).click()
    page.wait_for_url("**/labs/grokking/**two-cores**")
    expect(page.locator("#experiment-progress")).to_contain_text("queued")
    assert Experiment.objects.get(preset="two-core").kind == "addition"
