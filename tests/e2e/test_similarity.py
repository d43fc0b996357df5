"""The matrix on its canvas: moved by wheel, pointer and keys, down to single pairs, whose contexts stand beside it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import drag, json_of, middle

pytestmark = pytest.mark.django_db(transaction=True)
HERE = "/runs/synthetic/similarity/"


def zoom_of(page) -> float:
    found = re.search(r"[?&]z=([\d.e+-]+)", page.url)
    return float(found[1]) if found else 0.0


def place_of(page) -> tuple[float, float]:
    return tuple(float(re.search(rf"[?&]{name}=([\d.]+)", page.url)[1]) for name in ("x", "y"))


def test_the_wheel_zooms_to_single_pairs_and_a_click_keeps_one(visit, run):
    visited = visit()
    page = visited.open(HERE)
    canvas = page.locator("#matrix canvas")
    x, y = middle(canvas)
    page.mouse.move(x, y)
    expect(page.locator("#pair [data-pair] .ctxs > li")).to_have_count(2)
    for _ in range(14):
        page.mouse.wheel(0, -400)
    page.wait_for_url("**z=**")
    page.wait_for_function("() => Number(new URL(location).searchParams.get('z')) >= 40")
    close = place_of(page)
    drag(page, (x, y), (x - 60, y - 40))
    page.wait_for_function("x => Number(new URL(location).searchParams.get('x')) > x", arg=close[0])
    page.mouse.click(x, y)
    page.wait_for_url("**with=**")
    page.wait_for_url("**token=**")
    shown = page.locator("#pair [data-pair]")
    expect(shown).to_have_attribute("data-row", re.search(r"token=(\d+)", page.url)[1])
    expect(shown).to_have_attribute("data-column", re.search(r"with=(\d+)", page.url)[1])
    said = shown.locator(".stats").inner_text()
    kept = page.url
    page.reload()
    assert page.url == kept
    expect(page.locator("#pair [data-pair] .stats")).to_have_text(re.compile(re.escape(said.split()[1])))
    row, column = (int(shown.get_attribute(f"data-{side}")) for side in ("row", "column"))
    similarity = cosine(run, row, column)
    expect(shown.locator("dt", has_text="cosine").locator("+ dd")).to_have_text(f"{similarity:.3f}".replace("-", "−"))


def cosine(run, row: int, column: int) -> float:
    from clusters.stored.arrays import array_of

    flat = array_of(run, "selection/flat_index")
    places = [int((flat == token).argmax()) for token in (row, column)]
    return float(array_of(run, "similarity/signed")[places[0], places[1]])


def test_back_returns_through_the_pairs_that_were_kept(visit, run):
    page = visit().open("/runs/synthetic/")
    page.goto(page.url.rstrip("/") + "/similarity/")
    bare = page.url
    canvas = page.locator("#matrix canvas")
    x, y = middle(canvas)
    kept = []
    for offset in (-90, 70):
        page.mouse.click(x + offset, y + offset / 2)
        page.wait_for_function(
            "known => location.search.includes('with=') && location.href !== known", arg=kept[-1] if kept else ""
        )
        kept.append(page.url)
    page.get_by_role("button", name="Zoom in").click()
    page.wait_for_url("**z=**")
    page.get_by_role("button", name="Whole matrix").click()
    page.wait_for_url(kept[1])  # whole again, so without a place
    page.go_back()
    page.wait_for_url(kept[0])
    row, column = re.findall(r"=(\d+)", kept[0])
    expect(page.locator("#pair [data-pair]")).to_have_attribute("data-row", row)
    expect(page.locator("#pair [data-pair]")).to_have_attribute("data-column", column)
    expect(page.locator("#pair-row")).to_have_value(row)
    page.go_back()
    page.wait_for_url(bare)
    expect(page.locator("#pair [data-pair]")).to_have_count(0)
    expect(page.locator("#pair-row")).to_have_value("")
    page.go_forward()
    expect(page.locator("#pair [data-pair]")).to_have_attribute("data-row", row)
    page.go_back()
    page.go_back()
    page.wait_for_url("**/runs/synthetic/")


def test_without_javascript_a_pair_is_named_in_a_form(visit, run):
    page = visit(javascript=False).open(HERE)
    first, second = (token.flat_index for token in run.tokens.order_by("row")[:2])
    page.get_by_label("row, token").fill(str(first))
    page.get_by_label("column, token").fill(str(second))
    page.get_by_role("button", name="Show pair").click()
    expect(page.locator("#pair [data-pair]")).to_have_attribute("data-column", str(second))
    expect(page.locator(".keys")).to_be_hidden()
    expect(page.get_by_text("A click keeps the pair")).to_be_hidden()


def test_keys_move_zoom_and_keep_and_one_gets_out_again(visit, run):
    page = visit().open(HERE)
    matrix = page.locator("#matrix")
    matrix.focus()
    for _ in range(5):
        page.keyboard.press("+")
    page.wait_for_function("() => Number(new URL(location).searchParams.get('z')) >= 60")
    near = zoom_of(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#pair [data-pair]")).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**with=**")
    page.keyboard.press("-")
    page.wait_for_function("z => Number(new URL(location).searchParams.get('z')) < z", arg=near)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_function("() => !new URL(location).searchParams.has('token')")
    page.keyboard.press("0")
    page.wait_for_function("() => Number(new URL(location).searchParams.get('z')) < 30")
    page.keyboard.press("Tab")
    expect(matrix).not_to_be_focused()


def test_another_k_orders_anew_and_back_returns(visit, run):
    visited = visit()
    page = visited.open(HERE)
    expect(page.locator("#matrix canvas")).to_be_visible()
    page.locator("#m-k").select_option("3")
    page.wait_for_url("**k=3**")
    page.locator("label", has=page.locator("#m-angle")).click()
    page.wait_for_url("**show=affinity**")
    told = json_of(visited, f"/runs/synthetic/similarity.json?{page.url.partition('?')[2]}")
    assert (told["k"], told["show"]) == (3, "affinity")
    expect(page.locator("#h-m + p")).to_contain_text("of 3")
    page.go_back()
    page.wait_for_url(re.compile("^(?!.*show=affinity)"))
    page.go_back()
    expect(page.locator("#m-k")).to_have_value("6")
