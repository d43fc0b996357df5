"""People in a real browser: signing in, a profile that is kept, keys of the keyboard and for scripts."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from tests.e2e.people import person, signed_in_as

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("javascript", [True, False])
def test_somebody_signs_in_with_a_password_and_out_again(visit, run, javascript):
    person("bea", "labeler")
    page = visit(javascript=javascript).open("/profile/")
    page.get_by_label("Name").fill("bea")
    page.get_by_label("Password").fill("bea has a long password")
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile("/profile/$"))
    expect(page.get_by_role("main")).to_contain_text("labeler")
    page.context.clear_cookies()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_a_wrong_password_says_so_and_keeps_the_name(visit, run):
    person("bea", "labeler")
    page = visit(javascript=False).open("/sign-in/")
    page.get_by_label("Name").fill("bea")
    page.get_by_label("Password").fill("guess")
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("bea")


def test_the_unit_of_the_profile_is_the_unit_of_the_pages(visit, run):
    opened = signed_in_as(visit(), person("bea", "labeler"))
    page = opened.open("/profile/")
    page.get_by_label("bits", exact=True).check(force=True)
    page.get_by_role("region", name="How it looks").get_by_label("Dark").check(force=True)
    page.get_by_role("button", name="Keep", exact=True).click()
    page = opened.open("/runs/synthetic/losses/")
    expect(page.get_by_role("main")).to_contain_text("bits")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page = opened.open("/runs/synthetic/losses/?unit=nats")
    expect(page.locator(".units [aria-current], [aria-current=true]").filter(has_text="nats").first).to_be_visible()


def test_a_key_of_the_keyboard_is_changed_and_the_pages_hear_it(visit, run):
    opened = signed_in_as(visit(), person("bea", "labeler"))
    page = opened.open("/profile/")
    field = page.locator("[data-key-fields] input[placeholder='j']").first
    field.fill("x")
    page.get_by_role("button", name="Keep these keys").click()
    cluster = run.clusterings.get(k=6, affinity="signed").clusters.get(rank=1)
    page = opened.open(f"/runs/synthetic/k/6/clusters/{cluster.label}/")
    page.keyboard.press("x")
    expect(page.locator(".ctxs > li.is-on")).to_have_count(1)


def test_a_key_for_scripts_is_made_shown_once_used_and_revoked(visit, run):
    opened = signed_in_as(visit(), person("bea", "labeler"))
    page = opened.open("/profile/")
    page.get_by_label("What it is for").fill("a notebook")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("#secret").inner_text()
    assert secret.startswith("qw_")
    script = visit().page.request  # of a browser that knows nobody
    asked = {"headers": {"Authorization": f"Bearer {secret}"}}
    answer = script.get(f"{opened.server}/api/v1/collections/", **asked)
    assert (answer.status, answer.json()["results"]) == (200, [])
    page = opened.open("/profile/")
    assert secret not in page.content()
    expect(page.get_by_role("row").filter(has_text="a notebook")).to_contain_text("works")
    page.get_by_role("button", name="Revoke a notebook").click()
    expect(page.get_by_role("row").filter(has_text="a notebook")).to_contain_text("revoked")
    refused = script.get(f"{opened.server}/api/v1/runs/", **asked)
    assert (refused.status, "revoked" in refused.json()["error"]["message"]) == (401, True)


def test_an_invitation_lets_one_person_in_with_its_roles(visit, run, settings):
    settings.SIGNUP = "invitation"
    page = signed_in_as(visit(), person("root", is_admin=True)).open("/people/")
    page.get_by_role("checkbox", name=re.compile("^labeler")).check()
    page.get_by_role("button", name="Make the link").click()
    link = page.locator("#secret").inner_text()
    page = visit(javascript=False).open(urlsplit(link).path)
    page.locator("input[name=username]").fill("dora")
    for field in page.locator("input[type=password]").all():
        field.fill("a rather long password")
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_role("link", name="dora").first).to_be_visible()
    assert [group.name for group in User.objects.get(username="dora").groups.all()] == ["labeler"]
    refused = page.request.get(link)
    assert "Make the account" not in refused.text()


def test_a_note_at_a_token_and_a_bookmark_are_kept(visit, run):
    opened = signed_in_as(visit(javascript=False), person("bea", "labeler"))
    page = opened.open("/runs/synthetic/tokens/7/")
    page.get_by_label("Your note at this token").fill("<i>odd</i> one")
    page.get_by_label("Bookmark, for me alone").check()
    page.locator("#note").get_by_role("button", name="Save").click()
    expect(page.get_by_label("Your note at this token")).to_have_value("<i>odd</i> one")
    page = signed_in_as(visit(), person("cem", "labeler")).open("/runs/synthetic/tokens/7/")
    expect(page.locator("#note")).to_contain_text("<i>odd</i> one")
    page = opened.open("/notes/?mine=yes&bookmarked=yes")
    expect(page.get_by_role("main")).to_contain_text("odd")
