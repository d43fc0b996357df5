"""Asking about a text: from the form over a page that waits to an answer that one moves through."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from clusters.ingest import ingest
from clusters.models import Run
from compute.jobs.run import Outcome, run_job
from compute.models import Job
from tests.tiny import tiny_config

pytestmark = pytest.mark.django_db(transaction=True)
TEXT = "def add(a, b):\n    return a + b\n<script>alert(1)</script>\nprint(add(1, 2))"


@pytest.fixture
def asked_run(live_server, tiny_suite, tiny_bundle) -> Run:
    """A run whose job knows where its weights are."""
    run = ingest(tiny_bundle)
    run.job = Job.objects.create(name=run.name, config=tiny_config(tiny_suite).to_json(), state=Job.State.SUCCEEDED)
    run.save(update_fields=["job"])
    return run


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_text_is_asked_about_and_its_answer_read(signed_in, asked_run, javascript):
    page = signed_in(javascript=javascript).open(f"/runs/{asked_run.slug}/probe/")
    page.get_by_label("Your text").fill(TEXT)
    if javascript:
        expect(page.locator("#n-characters")).to_contain_text(str(len(TEXT)))
        page.keyboard.press("Control+Enter")
    else:
        page.get_by_role("button", name="Ask").click()
    page.wait_for_url("**job=**")
    expect(page.locator("#h-wait")).to_be_visible()
    assert run_job(Job.objects.get(kind="probe").pk) is Outcome.DONE
    if not javascript:
        page.get_by_role("link", name="Look again").click()
    expect(page.locator("#h-found")).to_be_visible()
    expect(page.locator("#h-near")).to_be_visible()
    asked = page.url
    box = page.locator("#answer #text a:not([aria-current])").nth(4)
    name = box.get_attribute("id")
    box.click()
    page.wait_for_url("**at=**")
    expect(page.locator(f"#{name}")).to_have_attribute("aria-current", "true")
    expect(page.locator(".one-token .note").first).to_have_text(f"Position {name.removeprefix('p-')}")
    assert page.locator("main script").count() == 0
    page.go_back()
    expect(page.locator(f"#{name}")).not_to_have_attribute("aria-current", "true")
    assert page.url == asked


def test_a_guest_is_led_to_the_sign_in_page(visit, asked_run):
    page = visit().open(f"/runs/{asked_run.slug}/probe/")
    page.get_by_role("main").get_by_role("link", name="Sign in").click()
    page.wait_for_url(re.compile(r"/sign-in/\?next=.*probe"))
