"""What a reader's browser sees of one page: when it first draws, and how much JavaScript it fetches."""

from __future__ import annotations

import gzip
import shutil
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.web.goals import FIRST_PAINT_SECONDS, SCRIPT_BYTES

TURNS = 5
_FIRST_PAINT = """() => new Promise(resolve => {
  const look = () => {
    const [entry] = performance.getEntriesByName("first-contentful-paint");
    entry ? resolve(entry.startTime) : setTimeout(look, 20);
  };
  look();
})"""


@dataclass(frozen=True)
class Seen:
    address: str
    first_paint_seconds: float  # median over visits without a cache
    script_bytes: int  # gzip, all files together
    scripts: list[str]

    @property
    def is_good(self) -> bool:
        return self.first_paint_seconds <= FIRST_PAINT_SECONDS and self.script_bytes <= SCRIPT_BYTES

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"is_good": self.is_good}


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def look(base: str, address: str, chromium: str) -> Seen:
    """Visit the page a few times, each with a fresh profile."""
    from playwright.sync_api import sync_playwright

    paints: list[float] = []
    scripts: dict[str, int] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        for _ in range(TURNS + 1):  # the first one warms up the browser itself
            page = browser.new_page()
            responses: list[Any] = []
            page.on("response", lambda response, seen=responses: seen.append(response))
            page.goto(base + address, wait_until="networkidle")
            paints.append(page.evaluate(_FIRST_PAINT) / 1000)
            for response in responses:
                if response.request.resource_type == "script":
                    scripts[response.url.removeprefix(base)] = len(gzip.compress(response.body()))
            page.close()
        browser.close()
    return Seen(address, statistics.median(paints[1:]), sum(scripts.values()), sorted(scripts))
