"""The theory turned by hand, and exponents entered, in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_dragged_knob_is_followed_by_numbers_figures_and_the_address(visit):
    page = visit().open("/theory/")
    exponent = page.locator("#results .stats dd").nth(4)
    expect(exponent).to_have_text("0.400")
    curve = page.locator("#fig-loss path.mean")
    before = curve.get_attribute("d")
    slider = page.get_by_role("slider", name="how fast use falls with rank")
    slider.focus()
    for _ in range(12):
        slider.press("ArrowLeft")
    typed = page.locator("#k-alpha").input_value()
    assert float(typed) < 0.4
    expect(exponent).to_have_text(f"{float(typed):.3f}")
    assert curve.get_attribute("d") != before
    page.wait_for_url(f"**/theory/?alpha={typed}")
    assert str(page.locator(".trail .twins a").first.get_attribute("href")).endswith(f"/theory.json?alpha={typed}")
    expect(slider).to_be_focused()
    page.reload()
    expect(page.locator("#results .stats dd").nth(4)).to_have_text(f"{float(typed):.3f}")


def test_a_typed_knob_that_means_nothing_is_answered_with_a_sentence_until_it_does(visit):
    page = visit().open("/theory/")
    field = page.locator("#k-n_quanta")
    page.locator("#fig-bend summary", has_text="Table").click()
    field.fill("0")
    expect(page.locator("#results .say")).to_contain_text("K is 0; it must be at least 1")
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill("500")
    expect(page.locator("#results .say")).to_have_count(0)
    expect(page.locator("#fig-bend h3")).to_contain_text("one would measure 0.493 where α is 0.4")
    expect(page.locator("#fig-bend table")).to_be_visible()  # what was opened stays open
    page.get_by_label("What is lost").select_option("lowered")
    expect(page.locator("#k-gain")).to_be_visible()
    expect(page.locator("#k-a")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_a_script_the_form_does_the_same(visit):
    page = visit(javascript=False, width=390).open("/theory/?n_quanta=500")
    page.locator("#k-alpha").fill("0.1")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**alpha=0.1**")
    expect(page.locator("#fig-bend h3")).to_contain_text("one would measure 0.312 where α is 0.1")


def test_exponents_are_added_sorted_and_removed(signed_in):
    visited = signed_in(width=390)
    page = visited.open("/exponents/")
    page.get_by_text("Add exponents").click()
    page.get_by_role("textbox", name="Study").fill("A study of mine")
    page.get_by_role("textbox", name="over parameters").fill("9")
    page.get_by_role("button", name="Add", exact=True).click()
    row = page.locator("tr.own", has_text="A study of mine")
    expect(row).to_contain_text("0.9000")
    page.locator(".laws-of-all thead a").nth(1).click()
    page.wait_for_url("**sort=n**")
    page.locator(".laws-of-all thead a").nth(1).click()
    page.wait_for_url("**order=falling**")
    expect(page.locator(".laws-of-all tbody tr").first).to_contain_text("A study of mine")
    page.get_by_role("link", name="change").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.locator("tr.own", has_text="A study of mine")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_slider_of_an_empty_field_stands_at_what_is_worked_out_and_follows_it(visit):
    page = visit().open("/theory/")
    slider = page.locator("#k-first_steps + input[type=range]")
    assert 20 < int(slider.input_value()) < 40  # T = 2.33 of 1 to 100,000, in 400 steps
    assert str(slider.get_attribute("aria-valuetext")).startswith("2.329")
    page.locator("#k-tau").fill("1500000")
    expect(slider).to_have_value("189")
    assert page.locator("#k-first_steps").input_value() == ""
