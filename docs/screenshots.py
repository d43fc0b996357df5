"""Make the README's pictures from the demo run: python -m docs.screenshots [--out docs/img] [--port 8099].

Starts the server on the data folder in use, opens every page in headless Chromium and saves
PNG files at 1440 and 390 px, light and dark. Needs `make demo-data` first, and Chromium.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

PAGES = {
    "runs": "/",
    "overview": "/runs/{run}/",
    "rank-frequency": "/runs/{run}/rank-frequency/",
    "clusters": "/runs/{run}/k/{k}/clusters/",
    "cluster": "/runs/{run}/k/{k}/clusters/{label}/",
    "token": "/runs/{run}/tokens/{token}/",
    "document": "/runs/{run}/documents/{document}/",
    "jobs": "/jobs/",
}
README = ("overview", "cluster", "rank-frequency")
VIEWS = [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")]


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the README's pictures from the demo run.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "img")
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--run", default="demo")
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--label", type=int, help="the cluster shown (default: the twelfth by size)")
    parser.add_argument("--all", action="store_true", help="every page in four views, not the README's in one")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium is not installed; on Debian and Ubuntu: apt install chromium")
    root = f"http://127.0.0.1:{given.port}"
    command = [sys.executable, "manage.py", "up", "--port", str(given.port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(root)
        names = addresses(root, given.run, given.k, given.label)
        if not given.all:
            names = {name: names[name] for name in README}
        given.out.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
            )
            for width, theme in VIEWS if given.all else VIEWS[:1]:
                take(browser, root, names, given.out, width, theme, is_only=not given.all)
    finally:
        server.terminate()
        server.wait(30)


def wait_for(root: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(root, timeout=2)
            return
        except OSError:
            time.sleep(0.5)
    sys.exit(f"{root} did not answer within a minute; does `make serve` work?")


def addresses(root: str, run: str, k: int, label: int | None) -> dict[str, str]:
    """Paths of all pages: the cluster of that label, one of its tokens, and that token's document."""
    if label is None:
        with urllib.request.urlopen(f"{root}/runs/{run}/k/{k}/clusters.json", timeout=30) as answer:
            label = json.load(answer)["clusters"][-1]["label"]
    path = f"{root}/runs/{run}/k/{k}/clusters/{label}.json"
    with urllib.request.urlopen(path, timeout=30) as answer:
        token = json.load(answer)["members"][0]
    values = {
        "run": run,
        "k": k,
        "label": label,
        "token": token["index"],
        "document": token["document"],
    }
    return {name: pattern.format(**values) for name, pattern in PAGES.items()}


def take(
    browser: Browser, root: str, names: dict[str, str], out: Path, width: int, theme: str, *, is_only: bool
) -> None:
    """Open and save every page at one width and theme."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if theme == "dark" else "light"
    )
    page = context.new_page()
    for name, path in names.items():
        page.goto(root + path, wait_until="load")
        suffix = "" if is_only else f"-{width}-{theme}"
        page.screenshot(path=out / f"{name}{suffix}.png", full_page=True)
        print(f"{name}{suffix}.png")
    context.close()


if __name__ == "__main__":
    main()
