"""What holds on every page of a run: quiet, accessible, fit for phones, light, embeddable."""

from __future__ import annotations

import gzip
import http.server
import re
import threading
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.pages import PAGES, TWO_FRAMES, settled
from tests.parity import World, make_parity
from tests.qdg_bias import make_experiment

pytestmark = pytest.mark.django_db(transaction=True)
LABS = (
    "/labs/", "/theory/", "/exponents/", "/labs/parity/", "/labs/parity/made-up/", "/labs/qdg-bias/",
    "/labs/qdg-bias/tiny-toy/", "/labs/grokking/", "/labs/curves/?text=1e6+4%0A1e7+3%0A1e8+2.2%0A1e9+1.7",
)  # fmt: skip
SERIOUS = ("serious", "critical")
MOST_SCRIPT_BYTES = 500_000  # all of them together, as gzip sends them


@pytest.mark.parametrize("path", ["/", *(f"/runs/synthetic/{page}" for page in PAGES), "/jobs/", "/corpora/"])
def test_nothing_on_a_page_shuts_anybody_out(visit, run, path):
    assert what_shuts_out(settled(visit(is_calm=True).open(path))) == []


@pytest.mark.parametrize("path", LABS)
def test_nothing_in_the_laboratory_shuts_anybody_out_or_overflows(visit, experiments, path):
    page = settled(visit(is_calm=True).open(path))
    assert what_shuts_out(page) == []
    for width in (390, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} at {width}"


def what_shuts_out(page: Page) -> list[tuple[str, str, str]]:
    """What axe finds on a page in either theme: theme, rule, the first element."""
    said = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.evaluate(TWO_FRAMES)
        found = Axe().run(page).response["violations"]
        said += [(theme, v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in SERIOUS]
    return said


@pytest.fixture
def experiments(live_server, tmp_path) -> None:
    """A finished experiment of two labs."""
    make_parity(tmp_path, World(alphas=(0.3, 0.6), widths=(8, 32), samples=(None, 3000, 30_000)))
    make_experiment("toy-qdg")


def test_every_page_fits_a_phone_and_all_scripts_weigh_little(visit, run):
    visited = visit(width=390, is_calm=True)
    scripts: dict[str, int] = {}

    def weigh(response) -> None:
        if response.request.resource_type == "script":
            scripts[urlsplit(response.url).path] = len(gzip.compress(response.body()))

    visited.page.on("response", weigh)
    for path in PAGES:
        visited.page.set_viewport_size({"width": 390, "height": 900})
        page = settled(visited.open(f"/runs/synthetic/{path}"))
        for width in (390, 360):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} at {width}"
        visited.check()
    assert {"htmx-2.min.js", "map.js", "similarity.js"} <= {name.rpartition("/")[2] for name in scripts}
    assert sum(scripts.values()) <= MOST_SCRIPT_BYTES, scripts


def test_the_keyboard_reaches_a_run_s_pages_and_skips_to_the_content(visit, run):
    page = visit().open("/runs/synthetic/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_the_tour_leads_on_and_ends_for_good(visit, run):
    page = visit().open("/runs/synthetic/")
    for title in ("A run in one page", "Clusters are candidate quanta"):
        expect(page.locator(".tour h2")).to_have_text(title)
        page.locator(".tour").get_by_role("link", name="Next").click()
    page.locator(".tour").get_by_role("button", name="Done").click()
    page.wait_for_url("**/tokens/")
    page.goto(page.url.replace("tokens/", ""))
    expect(page.locator(".tour")).to_have_count(0)


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Another site's address: every page of it frames what its query names."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            framed = unquote(self.path.partition("?frame=")[2])
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<!doctype html><title>a blog</title><iframe src="{framed}" width=700></iframe>'.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()


def test_a_figure_stands_in_a_frame_of_another_site_and_the_page_does_not(browser, live_server, run, elsewhere):
    context = browser.new_context()
    page = context.new_page()
    whole = f"{live_server.url}/runs/synthetic/rank-frequency/"
    page.goto(f"{elsewhere}?frame={whole}?embed=true%26figure=rank-frequency")
    framed = page.frame_locator("iframe")
    expect(framed.locator("figure#fig-rank-frequency")).to_be_visible()
    assert context.cookies(live_server.url) == []
    page.goto(f"{elsewhere}?frame={whole}")
    page.wait_for_load_state("networkidle")
    assert framed.locator("figure").count() == 0
    context.close()


def test_the_snippet_shows_the_figure_that_it_stands_under(visit, run, live_server):
    page = visit().open("/runs/synthetic/rank-frequency/")
    page.locator("#fig-rank-frequency .embed summary").click()
    snippet = page.locator("#fig-rank-frequency .embed textarea").input_value()
    address = re.search(r'src="([^"]+)"', snippet)[1].replace("&amp;", "&")
    assert address.startswith(live_server.url)
    page.goto(address)
    expect(page.locator("figure#fig-rank-frequency")).to_be_visible()


def test_a_selected_token_is_selected_everywhere_and_after_a_reload(visit, run):
    cluster = run.clusterings.get(k=6, affinity="signed").clusters.get(rank=1)
    page = visit().open(f"/runs/synthetic/k/6/clusters/{cluster.label}/")
    row = page.locator(".ctxs > li[data-token]").first
    token = row.get_attribute("data-token")
    row.locator(".meta b").click()
    expect(row).to_have_class(re.compile("is-on"))
    assert f"token={token}" in page.url
    page.reload()
    expect(page.locator(f'.ctxs > li[data-token="{token}"]')).to_have_class(re.compile("is-on"))
    page.locator(".ctxs > li[data-token] .meta b").first.click()
    expect(page.locator(".ctxs > li.is-on")).to_have_count(0)
    assert "token=" not in page.url
