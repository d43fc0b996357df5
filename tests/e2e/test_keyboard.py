"""Every control of every page can be reached by Tab, says where the focus is, and lets go of it."""

from __future__ import annotations

import pytest

from tests.e2e.pages import PAGES, TALL, settled

pytestmark = pytest.mark.django_db(transaction=True)
MOST_TABS = 900

# What Tab should reach, and a listener that takes note of what it does reach and of what looks no different for it.
WATCH = """() => {
  const shown = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;
  const controls = [...document.querySelectorAll(
    "main :is(a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex])")]
    .filter((e) => e.tabIndex >= 0 && !e.disabled && shown(e) && !e.closest("[inert]"));
  const isStop = (e) => e.type !== "radio" || e.checked; // of a group of radio buttons, Tab stops at one
  const look = (e) => [e, e.parentElement, ...[...e.children].slice(0, 4)].map((part) => {
    const s = getComputedStyle(part);
    return [s.outlineStyle === "none" ? "" : s.outline, s.boxShadow, s.backgroundColor, s.borderColor, s.stroke,
            s.opacity, s.visibility, s.display, s.textDecorationLine].join();
  }).join("|");
  const name = (e) => `${e.localName}#${e.id}.${e.getAttribute("class") ?? ""} ${e.textContent.trim().slice(0, 40)}`;
  const before = new Map(controls.filter(isStop).map((e) => [e, look(e)]));
  window.tabbing = { left: new Set(before.keys()), plain: new Set(), names: () => [...window.tabbing.left].map(name) };
  document.addEventListener("focusin", (event) => {
    const { target } = event;
    window.tabbing.left.delete(target);
    if (before.get(target) === look(target)) window.tabbing.plain.add(name(target));
  });
  return before.size;
}"""
PROGRESS = "() => [window.tabbing.left.size, document.activeElement === document.body]"


@pytest.mark.parametrize("part", [0, 1, 2])
def test_tab_reaches_every_control_and_shows_where_it_is(visit, run, part):
    visited = visit(height=TALL, is_calm=True)
    for path in PAGES[part::3]:
        page = settled(visited.open(f"/runs/synthetic/{path}"))
        assert page.evaluate(WATCH) > 0
        for _ in range(MOST_TABS // 20):
            for _ in range(20):
                page.keyboard.press("Tab")
            left, is_through = page.evaluate(PROGRESS)
            if not left or is_through:
                break
        assert page.evaluate("() => window.tabbing.names()") == [], f"not reached on {path}"
        assert page.evaluate("() => [...window.tabbing.plain]") == [], f"no visible focus on {path}"
        visited.check()
