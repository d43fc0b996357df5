"""Reading clusters: keys, hostile text, phones, themes."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.django_db(transaction=True)
PAGES = ("k/6/clusters/", "k/6/clusters/1/", "tokens/", "tokens/7/", "documents/3/")


@pytest.fixture
def first(run):
    return run.clusterings.get(k=6, affinity="signed").clusters.get(rank=1)


def test_arrow_keys_move_between_clusters(visit, first):
    page = visit().open(f"/runs/synthetic/k/6/clusters/{first.label}/")
    following = first.clustering.clusters.get(rank=2)
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text(f"Cluster {following.label}")
    page.wait_for_load_state()  # keys work once the page's script has run
    page.keyboard.press("ArrowLeft")
    expect(page.locator("h1")).to_have_text(f"Cluster {first.label}")


def test_arrow_keys_are_left_alone_while_one_types(visit, first):
    page = visit().open(f"/runs/synthetic/k/6/clusters/{first.label}/")
    page.keyboard.press("/")
    page.keyboard.type("abc")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Search the corpus")).to_have_value("abc")
    expect(page.locator("h1")).to_have_text(f"Cluster {first.label}")


def test_arrow_keys_inside_a_context_move_from_token_to_token(visit, first):
    page = visit().open(f"/runs/synthetic/k/6/clusters/{first.label}/")
    page.keyboard.press("j")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    second = page.locator(".ctxs > li").first.locator("a.t").nth(1)
    expect(second).to_be_focused()
    expect(page.locator("h1")).to_have_text(f"Cluster {first.label}")


def test_j_and_k_walk_the_contexts_and_the_address_keeps_the_place(visit, first):
    page = visit().open(f"/runs/synthetic/k/6/clusters/{first.label}/")
    rows = page.locator(".ctxs > li")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(rows.nth(1)).to_have_class(re.compile("is-on"))
    assert f"token={rows.nth(1).get_attribute('data-token')}" in page.url
    page.keyboard.press("k")
    expect(rows.nth(0)).to_have_class(re.compile("is-on"))
    page.reload()
    expect(rows.nth(0)).to_have_class(re.compile("is-on"))


def test_e_and_n_change_length_and_line_breaks(visit, first):
    page = visit().open(f"/runs/synthetic/k/6/clusters/{first.label}/")
    page.keyboard.press("e")
    page.wait_for_url("**reach=200**")
    page.keyboard.press("n")
    page.wait_for_url("**breaks=off**")
    page.keyboard.press("e")
    expect(page.locator(".bar-tools [aria-current]").first).to_have_text("snippet")


def test_question_mark_lists_the_keys(visit, first):
    page = visit().open(f"/runs/synthetic/k/6/clusters/{first.label}/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_tip_tells_token_position_and_loss_on_focus(visit, first):
    page = visit().open(f"/runs/synthetic/k/6/clusters/{first.label}/")
    box = page.locator(".ctxs a.t").first
    box.focus()
    shown = box.evaluate("element => getComputedStyle(element, '::after').content")
    assert "position" in shown
    assert "nats" in shown


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_hostile_text_does_not_execute_and_can_be_read(visit, run, javascript):
    visited = visit(javascript=javascript)
    texts = []
    for number in range(4):
        page = visited.open(f"/runs/synthetic/documents/{number}/")
        texts.append(page.locator(".ctx").inner_text())
        assert page.locator("main script").count() == 0
        visited.check()
    shown = "".join(texts)
    assert "<script>alert(1)</script>" in shown
    assert not set("\u202e\u200b\x00\x85") & set(shown)


@pytest.mark.parametrize("width", [390, 360])
def test_phones_need_no_sideways_scrolling(visit, run, width):
    visited = visit(width=width)
    for path in PAGES:
        page = visited.open(f"/runs/synthetic/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_ground_differ_in_both_themes(visit, run, theme):
    page = visit(theme=theme).open("/runs/synthetic/k/6/clusters/1/")
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (_brightness(ground) < 0.5) == (theme == "dark")


def test_the_theme_switch_works_at_once_and_is_kept(visit, run):
    page = visit(theme="light").open("/runs/synthetic/k/6/clusters/1/")
    page.get_by_role("group", name="Colour theme").get_by_text("Dark", exact=True).click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto(page.url.replace("clusters/1/", "clusters/2/"))
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert _brightness(page.evaluate("getComputedStyle(document.documentElement).backgroundColor")) < 0.5


def test_an_unknown_cluster_is_a_page_that_leads_on(visit, run, live_server):
    visited = visit()
    page = visited.open("/runs/synthetic/k/6/clusters/99/")
    expect(page.locator("h1")).to_contain_text("There is no cluster 99")
    visited.complaints.clear()  # browsers report a 404 on the console


def _brightness(colour: str) -> float:
    values = [float(value) for value in re.findall(r"[\d.]+", colour)[:3]]
    scale = 1.0 if max(values) <= 1 and "srgb" in colour else 255.0
    return sum(values) / 3 / scale
