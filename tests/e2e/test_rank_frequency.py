"""The window of the fit, dragged and moved by keys: what it says under way is what the server says of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import box_of, drag, idle, json_of, middle, settled

pytestmark = pytest.mark.django_db(transaction=True)
HERE = "/runs/synthetic/rank-frequency/"
SAID = (
    "[data-fit='signed-slope'], [data-fit='signed-interval'], [data-fit='signed-window'], [data-fit='signed-r_squared']"
)


def said(page) -> list[str]:
    return page.locator(SAID).all_inner_texts()


def edge(page, name):
    return page.locator(f"[data-drag] svg.chart:visible g.drag[data-edge='{name}']")


def test_the_mouse_drags_an_edge_and_numbers_follow_at_once(visit, large_run):
    visited = visit()
    page = settled(visited.open(HERE))
    before, address = said(page), page.url
    x, y = middle(edge(page, "last").locator(".handle"))
    answered = "**/rank-frequency/fit?**"
    with page.expect_response(answered):
        drag(page, (x, y), (x - 70, y), release=False)
    last = page.locator("#rf-last").input_value()
    expect(page.locator("[data-fit='signed-window']")).to_contain_text(re.compile(f"–{last}$"))
    under_way = said(page)
    assert under_way != before
    assert page.url == address
    page.mouse.up()
    page.wait_for_url(f"**last={last}**")
    idle(page)
    assert said(page) == under_way
    page.reload()
    assert said(page) == under_way
    first = page.locator("#rf-first").input_value()
    told = json_of(visited, f"/runs/synthetic/rank-frequency.json?first={first}&last={last}")["fit"]
    assert f"{told['slope']:.2f}".replace("-", "−") == under_way[0]
    page.go_back()
    expect(page.locator("[data-fit='signed-slope']")).to_have_text(before[0])
    assert said(page) == before


def test_keys_move_an_edge_and_the_address_follows(visit, large_run):
    page = settled(visit().open(HERE))
    last = int(page.locator("#rf-last").input_value())
    handle = edge(page, "last")
    handle.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(handle).to_have_attribute("aria-valuenow", str(last - 3))
    expect(page.locator("[data-fit='signed-window']")).to_contain_text(re.compile(f"–{last - 3}$"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**last={last - 3}**")
    expect(edge(page, "last")).to_be_focused()
    expect(edge(page, "last")).to_have_attribute("aria-valuenow", str(last - 3))


def test_the_shade_between_the_edges_moves_both(visit, large_run):
    page = settled(visit().open(f"{HERE}?first=3&last=20"))
    left, top, width, height = box_of(page.locator("[data-drag] svg.chart:visible path.window"))
    x, y = left + width / 2, top + height - 12
    drag(page, (x, y), (x + 40, y))
    page.wait_for_url(re.compile(r"first=(?!3&)\d+"))
    first, last = (int(re.search(f"{name}=(\\d+)", page.url)[1]) for name in ("first", "last"))
    assert first > 3
    assert last > 20


def test_chips_and_affinities_choose_what_is_drawn(visit, large_run):
    page = settled(visit().open(HERE))
    drawn = page.locator("#fig-rank-frequency svg.chart").first
    before = drawn.inner_html()
    page.locator("label", has=page.locator("#rf-envelope")).click()
    idle(page)
    assert "envelope=on" not in page.url
    assert page.locator("#fig-rank-frequency svg.chart").first.inner_html() != before
    page.locator("label", has=page.locator("#rf-both")).click()
    page.wait_for_url("**affinity=both**")
    expect(page.locator("[data-fit='absolute-slope']")).to_be_visible()
    expect(page.locator("[data-fit='signed-slope']")).to_be_visible()
