"""What holds on every page that people work on, signed in or not: quiet, accessible, fit for phones."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.e2e.pages import TWO_FRAMES, settled
from tests.e2e.people import signed_in_as
from tests.e2e.work import worked_on

pytestmark = pytest.mark.django_db(transaction=True)
SERIOUS = ("serious", "critical")
OPEN = (
    "/sign-in/", "/sign-up/", "/password/forgotten/", "/labels/", "/labeling/", "/labeling/quiz/", "/labeling/tags/",
    "/labeling/quiz/?run=synthetic&k=6", "/labeling/quiz/results/?run=synthetic&k=6", "/labeling/agreement/",
    "/runs/synthetic/exports/", "/runs/synthetic/suggestions/?k=6", "/notes/", "/collections/", "/api/docs/",
    "/api/docs/tokens/", "/api/docs/labels/",
)  # fmt: skip
PARTS = range(4)  # of the pages: all of them at once take longer than a test may


@pytest.fixture(autouse=True)
def open_to_all(settings, tmp_path) -> None:
    settings.SIGNUP = "open"
    settings.DATA_DIR, settings.EXPORT_DIR = tmp_path / "data", tmp_path / "exports"


def shut_out(page, path: str) -> list[tuple[str, ...]]:
    """What shuts somebody out of the open page, in both themes."""
    said = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.evaluate(TWO_FRAMES)
        found = Axe().run(page).response["violations"]
        said += [(path, theme, v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in SERIOUS]
    return said


def too_wide(page, path: str) -> list[tuple[str, int]]:
    """The widths of phones that the open page does not fit."""
    wide = []
    for width in (390, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(TWO_FRAMES)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wide.append((path, width))
    page.set_viewport_size({"width": 1440, "height": 900})
    return wide


@pytest.mark.parametrize("part", PARTS)
def test_pages_for_everybody_shut_nobody_out(visit, run, part):
    worked_on(run)
    opened, said = visit(is_calm=True), []
    for path in OPEN[part :: len(PARTS)]:
        page = settled(opened.open(path))
        said += [*shut_out(page, path), *too_wide(page, path)]
        opened.check()
    assert said == []


@pytest.mark.parametrize("part", PARTS)
def test_pages_of_who_is_signed_in_shut_nobody_out(visit, run, part):
    root, paths = worked_on(run)
    opened, said = signed_in_as(visit(is_calm=True), root), []
    for path in list(paths.values())[part :: len(PARTS)]:
        page = settled(opened.open(path))
        said += [*shut_out(page, path), *too_wide(page, path)]
        opened.check()
    assert said == []
