"""The pages of a run, and what browser tests ask of all of them."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, TimeoutError

from tests.e2e.visits import Visit

PAGES = (
    "", "k/6/clusters/", "k/6/clusters/?view=table", "k/6/clusters/1/", "rank-frequency/", "similarity/", "sequence/",
    "compare/", "tokens/", "search/?q=the", "tokens/7/", "documents/3/", "map/", "probe/", "losses/", "scaling/",
    "dynamics/", "suggestions/",
)  # fmt: skip
TALL = 12_000  # px: on a page of that height all of it is in view, and comes at once
TWO_FRAMES = "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
BUSY = ".htmx-request, .htmx-swapping, .htmx-settling"
WAITING = f"{BUSY}, #stage:not([data-ready]), main [hx-trigger^='intersect'], main [hx-trigger^='revealed']"


def settled(page: Page) -> Page:
    """The page, once what loads later has come; scrolling brings all of it into view."""
    page.wait_for_load_state()
    page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
    page.evaluate(TWO_FRAMES)
    for _ in range(60):
        if page.evaluate("scrollY + innerHeight >= document.documentElement.scrollHeight - 1"):
            break
        page.evaluate("scrollBy({top: innerHeight * 0.8, behavior: 'instant'})")
        page.evaluate(TWO_FRAMES)
    try:
        page.wait_for_function("selector => !document.querySelector(selector)", arg=WAITING)
    except TimeoutError as error:
        left = page.locator(WAITING).first.evaluate("element => element.outerHTML.slice(0, 300)")
        raise AssertionError(f"{page.url} still waits for {left}") from error
    return page


def idle(page: Page) -> Page:
    """The page, once what htmx asked for stands in it."""
    page.wait_for_function("selector => !document.querySelector(selector)", arg=BUSY)
    return page


def words(page: Page) -> str:
    """All that the page says, once everything of it has come."""
    settled(page)
    return " ".join(page.locator("main").inner_text().split())


def json_of(visited: Visit, path: str) -> Any:
    """What the JSON twin of an address says."""
    answer = visited.page.request.get(visited.server + path)
    assert answer.ok, f"{answer.status} from {path}"
    return answer.json()


def box_of(place: Locator) -> tuple[float, float, float, float]:
    """Left, top, width and height of something that was brought into view, in pixels of the window."""
    place.evaluate("element => element.scrollIntoView({ block: 'center', behavior: 'instant' })")
    box = place.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["width"], box["height"]


def middle(place: Locator) -> tuple[float, float]:
    """Where to point at something."""
    left, top, width, height = box_of(place)
    return left + width / 2, top + height / 2


def drag(page: Page, *places: tuple[float, float], release: bool = True) -> None:
    """Press at the first place and move over the others."""
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    if release:
        page.mouse.up()
