"""Losses over training, played and stepped; laws of scaling over a range that one chooses."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import json_of, settled

pytestmark = pytest.mark.django_db(transaction=True)
LOSSES, SCALING = "/runs/synthetic/losses/", "/runs/synthetic/scaling/"


def test_a_slider_goes_through_the_steps_of_training(visit, run):
    visited = visit()
    page = settled(visited.open(LOSSES))
    step = page.locator("[data-value='step']")
    expect(step).to_have_text("1,000")
    slider = page.get_by_role("slider", name="Training step of syn-800k")
    slider.focus()
    mean = page.locator("[data-value='mean']").inner_text()
    page.keyboard.press("Home")
    expect(step).to_have_text("0")
    expect(page.locator("[data-value='mean']")).not_to_have_text(mean)
    page.wait_for_url("**step=0**")
    frames = json_of(visited, "/runs/synthetic/losses/frames.json?lm=syn-800k")["frames"]
    expect(page.locator("[data-value='mean']")).to_have_text(frames[0]["values"]["mean"])
    page.reload()
    expect(step).to_have_text("0")
    page.get_by_role("button", name="Play").click()
    expect(step).to_have_text("1,000")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.wait_for_url("**step=1000**")


def test_nothing_plays_where_motion_is_unwanted(visit, run):
    page = settled(visit(is_calm=True).open(f"{LOSSES}?step=0"))
    expect(page.get_by_role("slider", name="Training step of syn-800k")).to_be_visible()
    expect(page.locator("[data-play]")).to_be_hidden()
    expect(page.locator("[data-value='step']")).to_have_text("0")


def test_a_law_is_fitted_over_the_range_that_one_names(visit, run):
    visited = visit()
    page = settled(visited.open(SCALING))
    alpha = page.locator("dl.readout dd").first
    whole = alpha.inner_text()
    page.get_by_label("smallest number of parameters").fill("40000")
    page.get_by_role("button", name="Fit").first.click()
    page.wait_for_url("**smallest=40000**")
    expect(alpha).not_to_have_text(whole)
    query = page.url.partition("?")[2].partition("#")[0]
    assert json_of(visited, f"/runs/synthetic/scaling.json?{query}")["over_parameters"]
    narrowed = alpha.inner_text()
    page.reload()
    expect(alpha).to_have_text(narrowed)
    page.go_back()
    expect(alpha).to_have_text(whole)


def test_nats_and_bits_differ_by_ln_2_on_every_page_that_has_both(visit, run):
    page = visit().open(LOSSES)
    cell = page.locator("td[data-name='mean loss']").first
    mean_nats = float(cell.inner_text().split()[0])
    for path in ("losses/", "scaling/", "k/6/clusters/1/", "tokens/7/", "sequence/", "tokens/"):
        page.goto(page.url.partition("/runs/")[0] + f"/runs/synthetic/{path}")
        page.get_by_role("group", name="Unit of losses").get_by_role("link", name="bits").first.click()
        page.wait_for_url("**unit=bits**")
        bits = page.get_by_role("group", name="Unit of losses").get_by_role("link", name="bits").first
        expect(bits).to_have_attribute("aria-current", "true")
        if path == "losses/":
            assert float(cell.inner_text().split()[0]) == pytest.approx(mean_nats / 0.6931, rel=0.01)
        page.go_back()
        page.wait_for_url(re.compile("^(?!.*unit=bits)"))
        nats = page.get_by_role("group", name="Unit of losses").get_by_role("link", name="nats").first
        expect(nats).to_have_attribute("aria-current", "true")
