"""The profile in a browser: keys that were chosen, keys for scripts, the theme, and the account's menu."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from clusters.models import ApiKey, Profile
from clusters.services.profile import save_keys
from tests.e2e.pages import settled

pytestmark = pytest.mark.django_db(transaction=True)
CLUSTER = "/runs/synthetic/k/6/clusters/1/"


def test_a_chosen_key_does_what_the_usual_one_did(signed_in, run):
    visited = signed_in()
    save_keys(User.objects.get(username="ana"), {"help": "h", "breaks": "z", "affinity": "n"})
    page = settled(visited.open(CLUSTER))
    expect(page.locator(".keys kbd").filter(has_text=re.compile("^z$"))).to_have_count(1)
    page.keyboard.press("?")
    expect(page.locator("dialog[data-keys]")).not_to_be_visible()
    page.keyboard.press("h")
    expect(page.locator("dialog[data-keys]")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("z")
    page.wait_for_url("**/*breaks=off*")
    page.keyboard.press("n")
    page.wait_for_url("**/*affinity=absolute*")


def test_keys_are_chosen_by_pressing_them_and_collisions_are_refused(signed_in, run):
    visited = signed_in()
    page = visited.open("/profile/")
    page.get_by_label("next context").press("d")
    page.get_by_label("previous cluster, token or document").press("ArrowUp")
    page.get_by_role("button", name="Keep these keys").click()
    expect(page.get_by_text("Your keys hold from now on.")).to_be_visible()
    assert Profile.objects.get().keys == {"next_context": "d", "previous": "ArrowUp"}
    page.get_by_label("previous context").press("d")
    with page.expect_response(lambda response: response.status == 422):
        page.get_by_role("button", name="Keep these keys").click()
    expect(page.get_by_role("alert")).to_contain_text("“d” is the key for “next context” already")
    assert all("422" in complaint for complaint in visited.complaints)  # what was refused, and nothing else
    visited.complaints.clear()


@pytest.mark.parametrize("javascript", [True, False])
def test_a_key_for_scripts_is_made_shown_once_and_revoked(signed_in, run, javascript):
    page = signed_in(javascript=javascript).open("/profile/")
    page.get_by_label("What it is for").fill("notebook")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("#secret").inner_text()
    assert secret.startswith("qw_")
    page.goto(page.url.replace("keys/", ""))
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke notebook").click()
    expect(page.get_by_text("nothing can be done with it any more")).to_be_visible()
    assert ApiKey.objects.get().revoked_at is not None


def test_the_theme_that_is_switched_reaches_the_profile(signed_in, run):
    page = signed_in().open("/")
    with page.expect_response("**/preferences/theme/"):
        page.locator("label", has=page.locator("#theme-dark")).click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert Profile.objects.get().theme == "dark"


@pytest.mark.parametrize("width", [1440, 390, 360])
def test_the_bar_stays_on_one_line_and_its_menu_opens_and_closes(signed_in, run, width):
    visited = signed_in(width=width)
    User.objects.update(username="a-person-with-quite-a-long-name")
    page = settled(visited.open(CLUSTER))
    brand, menu = page.locator(".brand").bounding_box(), page.locator(".menu summary").bounding_box()
    assert abs((brand["y"] + brand["height"] / 2) - (menu["y"] + menu["height"] / 2)) < 12
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator(".menu summary").click()
    expect(page.get_by_role("link", name="Notices")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Notices")).not_to_be_visible()
