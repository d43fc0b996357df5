"""Starting a run in a browser: choosing a suite, watching the cost, sending a text."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from compute.models import Job

pytestmark = pytest.mark.django_db(transaction=True)
PAGES = ("/runs/new/", "/runs/new/?suite=pythia-v0", "/runs/new/?suite=hub", "/runs/new/?suite=folders", "/corpora/",
         "/corpora/new/", "/corpora/new/?kind=hub", "/corpora/new/?kind=path")  # fmt: skip
UNNAMED = """() => [...document.querySelectorAll("main :is(input:not([type=hidden]), select, textarea)")]
  .filter((element) => !element.labels?.length && !element.getAttribute("aria-label")).map((element) => element.name)"""
DANGLING = """() => [...document.querySelectorAll("[aria-describedby]")]
  .flatMap((element) => element.getAttribute("aria-describedby").split(" "))
  .filter((id) => !document.getElementById(id))"""
TWICE = """() => [...document.querySelectorAll("[id]")].map((element) => element.id)
  .filter((id, place, ids) => ids.indexOf(id) !== place)"""


def test_choosing_a_suite_swaps_the_fields_and_the_address(signed_in):
    page = signed_in().open("/runs/new/")
    page.locator(".tiles").get_by_role("link", name="Pythia v0 (the paper's)").click()
    expect(page.get_by_label("Tokens", exact=True)).to_have_value("10000")
    expect(page.get_by_role("checkbox", name="6.9b")).to_be_checked()
    assert page.url.endswith("?suite=pythia-v0")
    page.go_back()
    expect(page.get_by_label("Tokens", exact=True)).to_have_value("3000")


def test_the_cost_follows_what_is_changed(signed_in):
    page = signed_in().open("/runs/new/?suite=pythia")
    shown = page.locator("#preflight")
    expect(shown.locator(".prov div", has_text="checkpoints").locator("dd")).to_have_text("7")
    page.get_by_text("all", exact=True).click()
    expect(shown.locator(".prov div", has_text="checkpoints").locator("dd")).to_have_text("1,078")
    page.get_by_label("Tokens", exact=True).fill("1")
    expect(shown).to_contain_text("thing to mend")
    page.get_by_label("Tokens", exact=True).fill("500")
    expect(shown).to_contain_text("The largest k is 1500")


def test_fields_that_mean_nothing_are_out_of_the_way(signed_in):
    page = signed_in().open("/runs/new/?suite=pythia")
    steps = page.get_by_label("Some steps")
    expect(steps).to_be_hidden()
    page.get_by_text("some", exact=True).click()
    expect(steps).to_be_visible()


def test_a_run_is_started_without_javascript(signed_in):
    page = signed_in(javascript=False).open("/runs/new/")
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_label("Tokens", exact=True).fill("400")
    page.get_by_role("button", name="Estimate").click()
    expect(page.locator("#preflight")).to_contain_text("on a CPU")
    expect(page.get_by_label("Tokens", exact=True)).to_have_value("400")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile(r"/jobs/\d+/$"))
    assert Job.objects.get().config["selection"]["n_tokens"] == 400


def test_a_mistake_in_a_folded_part_is_unfolded(signed_in):
    opened = signed_in()
    page = opened.open("/runs/new/")
    page.get_by_text("Seed and starts").click()
    page.get_by_label("Seed", exact=True).fill("-1")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#id_seed_error")).to_be_visible()
    expect(page.get_by_label("Seed", exact=True)).to_have_attribute("aria-invalid", "true")
    opened.complaints.clear()  # browsers report a 422 on the console


def test_a_text_is_sent_and_a_run_started_on_it(signed_in, tmp_path, settings):
    settings.CORPUS_DIR = tmp_path / "corpora"
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"text": f"document {n}"}) + "\n" for n in range(5)))
    page = signed_in().open("/corpora/new/")
    page.get_by_label("Name", exact=True).fill("My text")
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Send and check").click()
    expect(page.locator("h1")).to_have_text("My text")
    page.get_by_role("link", name="Start a run on it").click()
    expect(page.get_by_label("Corpus", exact=True).locator("option:checked")).to_have_text("My text, 5 documents")


def test_a_file_that_is_too_large_is_named_before_it_is_sent(signed_in, tmp_path, settings):
    settings.UPLOAD_BYTES = 10
    file = tmp_path / "mine.jsonl"
    file.write_text("x" * 11)
    page = signed_in().open("/corpora/new/")
    page.get_by_label("File").set_input_files(file)
    expect(page.get_by_text("This file is larger than 10 bytes")).to_be_visible()
    expect(page.get_by_role("button", name="Send and check")).to_be_disabled()


@pytest.mark.parametrize("width", [1440, 360])
def test_every_control_has_a_name_and_every_page_fits(signed_in, width):
    opened = signed_in(width=width)
    for path in PAGES:
        page = opened.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert [page.evaluate(script) for script in (UNNAMED, DANGLING, TWICE)] == [[], [], []], path
        assert page.locator("[style]").count() == 0, path
