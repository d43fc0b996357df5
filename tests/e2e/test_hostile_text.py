"""Text that nobody should trust, wherever text is shown: it is seen, does no harm, and keeps to its place."""

from __future__ import annotations

import json

import pytest

from clusters.models import Run
from tests import factories
from tests.e2e.pages import PAGES, TALL, json_of, settled
from tests.faults.figures import measured

__all__ = ["measured"]
pytestmark = pytest.mark.django_db(transaction=True)
HOSTILE = [
    b"</script><script>alert(2)</script>", b"<img src=x onerror=alert(3)>", b"javascript:alert(4)",
    b'"><svg onload=alert(5)>', b"<iframe src=http://example.com/>", b"{{ 7*7 }}{% now 'Y' %}",
    b"\x00", b"\xff\xfe\xc3(",
    "\u202eevil\u2066".encode(), b"W" * 5_000, b"&lt;b&gt;", b"\xf0\x9f\x98",
    "\u2028\u2029\u0085".encode(), b"'-alert(6)-'", b"-->", b"]]>", b"\\u003cscript\\u003e",
    b"<b hx-get=/sign-out/ hx-trigger=load hx-on:load=alert(7)>x</b>", b"<a href=javascript:alert(8)>",
]  # fmt: skip
MARKS = ("a" + "\u0301" * 500_000).encode()  # a megabyte
FORBIDDEN = set("\x00\x85\u2028\u2029\u202e\u2066\u200b")
MOST_TOGETHER = 12  # combining marks in a row


@pytest.fixture
def hostile_run(live_server, tmp_path, monkeypatch) -> Run:
    """A made-up run whose vocabulary is as bad as can be."""
    monkeypatch.setattr(factories, "VOCABULARY", [*HOSTILE, *HOSTILE, MARKS])
    return factories.make_run(tmp_path)


def more_states(run, visited) -> list[str]:
    """States with more text in them, and parts of pages that stand alone."""
    cluster = run.clusterings.get(k=6, affinity="signed").clusters.get(rank=1).label
    token, area = (
        json_of(visited, f"/runs/synthetic/k/6/clusters/{cluster}.json")["members"][0]["index"],
        "-9,-9,9,-9,9,9,-9,9",
    )
    return [
        f"map/?area={area}", f"similarity/?token={token}&with={token}", "tokens/?embed=true&figure=answers",
        f"k/6/clusters/{cluster}/?reach=200", f"documents/3/?token={token}",
        f"map/?embed=true&figure=chosen&area={area}",
        f"k/6/clusters/{cluster}/?embed=true&figure=contexts", f"tokens/{token}/?embed=true&figure=context",
        "documents/3/?embed=true&figure=text", "k/6/clusters/?answer=%3Cimg&text=%22%3E",
    ]  # fmt: skip


LAYOUT = """() => ({
  wide: document.documentElement.scrollWidth - innerWidth,
  scripts: document.querySelectorAll(
    "main script:not([type='application/json']), main iframe, main [onerror], main [onload]").length,
  foreign: [...document.querySelectorAll("a[href], img[src], form[action]")]
    .filter((e) => !/^https?:/.test(new URL(e.href ?? e.src ?? e.action, location).protocol)).length,
  text: document.body.innerText,
  hx: document.querySelectorAll("main [hx-get='/sign-out/']").length,
})"""
COPIED = """() => {
  const range = document.createRange();
  range.selectNodeContents(document.querySelector("main"));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  return getSelection().toString();
}"""


def test_hostile_text_is_shown_harmless_and_in_its_place(visit, hostile_run, measured):
    visited = visit(height=TALL, is_calm=True)
    shown, wide = "", []
    for path in (*PAGES, *more_states(hostile_run, visited)):
        visited.page.set_viewport_size({"width": 1440, "height": TALL})
        page = settled(visited.open(f"/runs/synthetic/{path}"))
        found = page.evaluate(LAYOUT)
        assert (found["scripts"], found["foreign"], found["hx"]) == (0, 0, 0), path
        assert not FORBIDDEN & set(found["text"]), path
        assert "\u0301" * (MOST_TOGETHER + 1) not in found["text"], path
        visited.check()
        shown += found["text"]
        wide += [(path, 1440, found["wide"])]
        page.set_viewport_size({"width": 390, "height": TALL})
        wide += [(path, 390, page.evaluate(LAYOUT)["wide"])]
    rest = "⟨+499,761 characters⟩"  # of the megabyte of marks
    for text in ("<img src=x onerror=alert(3)>", "javascript:alert(4)", "{{ 7*7 }}", "⟨RLO⟩", "␀", rest):
        assert text in shown, text
    too_wide = [one for one in wide if one[2] > 0]
    assert not too_wide, too_wide
    page = settled(visited.open("/runs/synthetic/tokens/7/"))
    assert len(page.evaluate(COPIED).strip()) > 10
    measured(15, "text that nobody should trust, on every page of a run", pages=len(wide) // 2, dialogs=0,
             requests_elsewhere=0, violations_of_the_policy=0, pages_too_wide=0)  # fmt: skip


def test_hostile_text_under_the_pointer_and_in_what_is_fetched(visit, hostile_run):
    visited = visit(is_calm=True)
    page = visited.open("/runs/synthetic/similarity/")
    page.locator("#matrix").focus()
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.locator("#pair [data-pair] .ctx").first.wait_for()
    visited.check()
    page = visited.open("/runs/synthetic/map/?colour=cluster")
    page.locator("#stage[data-ready]").wait_for()
    page.locator("canvas#map").focus()
    for _ in range(3):
        page.keyboard.press("n")
        page.locator("#near .ctx").first.wait_for()
    page.keyboard.press("Enter")
    visited.check()
    page = visited.open("/runs/synthetic/tokens/")
    page.get_by_role("link", name="More tokens").click()
    page.locator("#hits > li[data-token]").nth(25).wait_for()
    assert page.locator("main script").count() == 0
    json.dumps(json_of(visited, "/runs/synthetic/tokens.json"))
