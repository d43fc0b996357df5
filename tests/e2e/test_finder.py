"""The finder of tokens: drawn upon by mouse and keys, ruled by presets, counted exactly, listed to its end."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import drag, idle, json_of, settled

pytestmark = pytest.mark.django_db(transaction=True)
HERE = "/runs/synthetic/tokens/"


def counted(visited) -> int:
    """The number that the page states, once it is that of its own address."""
    page = visited.page
    idle(page)
    query = page.url.partition("?")[2]
    told = json_of(visited, f"/runs/synthetic/tokens.json?{query}")
    expect(page.locator(".found").first).to_have_text(f"{told['n_found']:,}")
    return told["n_found"]


def frame(page) -> dict[str, float]:
    """The paper of the density chart, in pixels of the window."""
    chart = page.locator(".plane svg.chart[data-drawable]:visible")
    chart.scroll_into_view_if_needed()
    return chart.evaluate(
        """svg => {
          const lines = [...svg.querySelectorAll("line.grid, line.axis")].map((line) => line.getBoundingClientRect());
          return { left: Math.min(...lines.map((b) => b.left)), right: Math.max(...lines.map((b) => b.right)),
                   top: Math.min(...lines.map((b) => b.top)), bottom: Math.max(...lines.map((b) => b.bottom)) };
        }"""
    )


def at(box, across, up) -> tuple[float, float]:
    return (
        box["left"] + across * (box["right"] - box["left"]),
        box["bottom"] - up * (box["bottom"] - box["top"]),
    )


def test_a_box_becomes_thresholds_and_a_free_form_a_polygon(visit, run):
    visited = visit()
    page = settled(visited.open(HERE))
    box = frame(page)
    drag(page, at(box, 0.55, 0.1), at(box, 0.95, 0.8))
    page.wait_for_url("**m_min=**")
    values = {name: float(value) for name, value in re.findall(r"([mn]_(?:min|max))=([-\d.]+)", page.url)}
    assert values["m_min"] == pytest.approx(0.1, abs=0.05)
    assert values["m_max"] == pytest.approx(0.9, abs=0.05)
    boxed = counted(visited)
    assert 0 < boxed < 348
    settled(page).get_by_role("button", name="free form").click()
    box = frame(page)
    drag(page, at(box, 0.1, 0.1), at(box, 0.9, 0.1), at(box, 0.9, 0.9), at(box, 0.1, 0.9), at(box, 0.1, 0.3))
    page.wait_for_url("**lasso=mn.**")
    both = counted(visited)
    assert both < boxed
    page.reload()
    assert counted(visited) == both
    page.go_back()
    page.wait_for_url(re.compile("^(?!.*lasso=)"))
    assert counted(visited) == boxed
    page.go_back()
    page.wait_for_url(re.compile("^(?!.*m_min=)"))
    assert counted(visited) == 348


def test_keys_draw_a_box(visit, run):
    visited = visit()
    page = settled(visited.open(HERE))
    page.locator(".plane svg.chart[data-drawable]:visible").focus()
    page.keyboard.press(" ")
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator("[data-brush-says]")).to_contain_text("M 0 to 0.4")
    page.keyboard.press("Enter")
    page.wait_for_url("**m_max=0.4**")
    counted(visited)


def test_rules_facets_and_fields_count_the_same_as_the_twin(visit, run):
    visited = visit()
    page = visited.open(HERE)
    for name in ("monogenic", "polygenic", "never learned"):
        rule = page.locator(".rules .chip", has_text=re.compile(name, re.IGNORECASE)).first
        told = int(rule.locator("b").inner_text().replace(",", ""))
        rule.click()
        page.wait_for_url("**tokens/?**")
        expect(page.locator(".rules .chip[aria-current]").first).to_be_visible()
        assert counted(visited) == told, name
        page.go_back()
        page.wait_for_url(re.compile(r"/tokens/$"))
    page.get_by_label("M above").fill("0.2")
    page.get_by_label("Answer contains").fill("cat")
    page.get_by_role("button", name="Find", exact=True).click()
    page.wait_for_url("**m_min=0.2**answer=cat**")
    counted(visited)
    expect(page.locator(".asked .chip")).to_have_count(2)
    page.locator(".asked .chip").first.click()
    counted(visited)
    page.get_by_label("Sorted by").select_option(index=2)
    page.wait_for_url("**sort=**")
    told = json_of(visited, f"/runs/synthetic/tokens.json?{page.url.partition('?')[2]}")["tokens"]
    idle(page)
    listed = page.locator("#hits > li[data-token]").evaluate_all("rows => rows.map((row) => Number(row.dataset.token))")
    assert listed == [one["index"] for one in told]


def test_more_rows_are_appended_and_each_leads_to_its_token(visit, run):
    page = visit().open(HERE)
    rows = page.locator("#hits > li[data-token]")
    expect(rows).to_have_count(20)
    first = rows.first.get_attribute("data-token")
    page.get_by_role("link", name="More tokens").click()
    expect(rows).to_have_count(40)
    assert len(set(rows.evaluate_all("rows => rows.map((row) => row.dataset.token)"))) == 40
    rows.first.locator(".t.answer").click()
    page.wait_for_url(f"**/tokens/{first}/**")
    page.go_back()
    expect(rows.first).to_have_attribute("data-token", first)
