"""The map on its canvas: zoomed, pointed at, drawn upon; what was chosen is listed, counted and kept in the address."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import drag, json_of, middle

pytestmark = pytest.mark.django_db(transaction=True)
HERE = "/runs/synthetic/map/"


def ready(page):
    page.locator("#stage[data-ready]").wait_for()
    canvas = page.locator("canvas#map")
    canvas.scroll_into_view_if_needed()
    return canvas


def inside(visited) -> int:
    """How many tokens the page says lie inside, once that is what its address says."""
    told = json_of(visited, f"/runs/synthetic/map.json?{visited.page.url.partition('?')[2].partition('#')[0]}")
    expect(visited.page.locator("#h-chosen")).to_contain_text(f"{told['n_inside']:,} token")
    return told["n_inside"]


def test_a_lasso_lists_the_tokens_inside_and_their_exact_number(visit, run):
    visited = visit()
    page = visited.open(HERE)
    canvas = ready(page)
    x, y = middle(canvas)
    page.get_by_role("button", name="Lasso").click()
    drag(page, (x - 150, y - 150), (x + 150, y - 160), (x + 170, y + 150), (x - 140, y + 140), (x - 150, y - 100))
    page.wait_for_url("**area=**")
    some = inside(visited)
    assert 0 < some < 40
    expect(page.locator("#chosen .hits > li")).to_have_count(min(some, 25))
    page.reload()
    ready(page)
    assert inside(visited) == some
    page.get_by_role("button", name="Rectangle").click()
    x, y = middle(page.locator("canvas#map"))
    drag(page, (x - 60, y - 60), (x + 90, y + 80))
    page.wait_for_function("() => new URL(location).searchParams.get('area').split(',').length === 8")
    fewer = inside(visited)
    assert fewer < some
    page.go_back()
    page.wait_for_load_state()
    assert inside(visited) == some
    page.go_forward()
    page.wait_for_load_state()
    assert inside(visited) == fewer


def test_the_wheel_zooms_the_pointer_names_a_token_and_a_click_keeps_it(visit, run):
    visited = visit()
    page = visited.open(HERE)
    canvas = ready(page)
    canvas.focus()
    page.keyboard.press("n")
    expect(page.locator("#near .ctx")).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**token=**")
    token = re.search(r"token=(\d+)", page.url)[1]
    expect(page.locator("#near [data-token]").first).to_have_attribute("data-token", token)
    x, y = middle(canvas)
    page.mouse.move(x, y)
    for _ in range(4):
        page.mouse.wheel(0, -400)
    page.wait_for_url("**view=**")
    view = re.search(r"view=([^&#]+)", page.url)[1]
    page.reload()
    ready(page)
    assert f"view={view}" in page.url
    drag(page, (x, y), (x + 80, y + 20))
    page.wait_for_function("view => !location.search.includes(view)", arg=view)
    page.get_by_role("button", name="Whole map").click()
    page.wait_for_function("() => !location.search.includes('view=')")
    page.get_by_label("Colour", exact=True).select_option("loss")
    page.wait_for_url("**colour=loss**")
    assert f"token={token}" in page.url
    ready(page)


def test_keys_draw_a_rectangle_and_leave_it(visit, run):
    visited = visit()
    page = visited.open(HERE)
    canvas = ready(page)
    canvas.focus()
    page.keyboard.press("r")
    page.keyboard.press("Escape")
    assert "area=" not in page.url
    page.keyboard.press("r")
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**area=**")
    inside(visited)
    canvas.focus()
    page.keyboard.press("Tab")
    expect(canvas).not_to_be_focused()


def test_a_map_that_has_no_room_yet_is_drawn_when_it_gets_some(visit, run):
    visited = visit(width=390, theme="dark")
    visited.page.add_init_script(
        "addEventListener('DOMContentLoaded', () => { document.documentElement.hidden = true; })"
    )
    page = visited.open(HERE)
    page.locator("#stage[data-ready]").wait_for(state="attached")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate("() => { document.documentElement.hidden = false; }")
    page.wait_for_function(
        "() => { const one = document.querySelector('canvas#map'); if (!one.width) return false;"
        " const copy = new OffscreenCanvas(one.width, one.height).getContext('2d', { willReadFrequently: true });"
        " copy.drawImage(one, 0, 0);"
        " return copy.getImageData(0, 0, one.width, one.height).data.some((value) => value > 0); }"
    )


def test_a_map_is_saved_as_svg_and_as_png_under_one_name(visit, run):
    page = visit().open(HERE)
    ready(page)
    names = []
    for save in (page.locator("#fig-map .dl a", has_text="SVG"), page.locator("#fig-map [data-png]")):
        with page.expect_download() as started:
            save.click()
        names.append(started.value.suggested_filename)
    assert names == ["synthetic-map-gradient-map.svg", "synthetic-map-gradient-map.png"]
