"""Pictures of every page of the demo run: python -m docs.screenshots [--out var/screenshots] [--port 8099].

Starts the server on the data folder in use, opens every page in headless Chromium and saves PNG files at 1440 and
390 px, light and dark; the README's three are copied to docs/img. Says what overflows its width and what the
browser complains of, and then ends with status 1. Needs `make demo-data` first, and Chromium.
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
    "clusters": "/runs/{run}/k/{k}/clusters/",
    "clusters-table": "/runs/{run}/k/{k}/clusters/?view=table",
    "cluster": "/runs/{run}/k/{k}/clusters/{label}/",
    "rank-frequency": "/runs/{run}/rank-frequency/",
    "similarity": "/runs/{run}/similarity/?k={k}",
    "similarity-block": "/runs/{run}/similarity/?k={k}&cluster={label}",
    "sequence": "/runs/{run}/sequence/?k={k}",
    "compare": "/runs/{run}/compare/",
    "tokens": "/runs/{run}/tokens/",
    "tokens-monogenic": "/runs/{run}/tokens/?class=monogenic&plane=lb",
    "token": "/runs/{run}/tokens/{token}/",
    "document": "/runs/{run}/documents/{document}/",
    "map": "/runs/{run}/map/",
    "map-curves": "/runs/{run}/map/?by=curve",
    "probe": "/runs/{run}/probe/",
    "losses": "/runs/{run}/losses/",
    "scaling": "/runs/{run}/scaling/",
    "dynamics": "/runs/{run}/dynamics/",
    "labs": "/labs/",
    "theory": "/theory/",
    "parity": "/labs/parity/",
    "qdg-bias": "/labs/qdg-bias/",
    "grokking": "/labs/grokking/",
    "curves": "/labs/curves/",
    "exponents": "/exponents/",
    "jobs": "/jobs/",
    "corpora": "/corpora/",
    "labels": "/labels/",
    "collections": "/collections/",
    "exports": "/runs/{run}/exports/",
    "api": "/api/docs/",
}
SIGNED_IN = {  # as the first administrator
    "label-panel": "/runs/{run}/k/{k}/clusters/{label}/",
    "labeling": "/labeling/",
    "vocabulary": "/labeling/tags/",
    "notes": "/notes/",
    "quiz": "/labeling/quiz/?run={run}&k={k}",
    "adjudicate": "/labeling/adjudicate/",
    "agreement": "/labeling/agreement/?run={run}&k={k}&affinity=signed",
    "queue-new": "/labeling/queues/new/?run={run}&k={k}",
    "suggestions": "/runs/{run}/suggestions/?k={k}",
    "imports": "/imports/",
    "profile": "/profile/",
    "notices": "/notices/",
    "people": "/people/",
    "audit": "/audit/",
}
README = ("overview", "cluster", "rank-frequency")
VIEWS = [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")]


def main() -> None:
    parser = argparse.ArgumentParser(description="Make pictures of every page of the demo run.")
    parser.add_argument("--out", type=Path, default=Path("var/screenshots"))
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--run", default="demo")
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--label", type=int, help="the cluster shown (default: the twelfth by size)")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium is not installed; on Debian and Ubuntu: apt install chromium")
    root = f"http://127.0.0.1:{given.port}"
    command = [sys.executable, "manage.py", "up", "--port", str(given.port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    complaints: list[str] = []
    try:
        wait_for(root)
        values = places(root, given.run, given.k, given.label)
        names, kept = ({name: path.format(**values) for name, path in pages.items()} for pages in (PAGES, SIGNED_IN))
        given.out.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
            )
            for width, theme in VIEWS:
                complaints += take(browser, root, names, given.out, width, theme)
                complaints += take(browser, root, kept, given.out, width, theme, key=sign_in_link(root))
    finally:
        server.terminate()
        server.wait(30)
    for name in README:
        shutil.copy(given.out / f"{name}-1440-light.png", Path(__file__).parent / "img" / f"{name}.png")
    sys.exit("\n".join(complaints) if complaints else 0)


def wait_for(root: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(root, timeout=2)
            return
        except OSError:
            time.sleep(0.5)
    sys.exit(f"{root} did not answer within a minute; does `make serve` work?")


def sign_in_link(root: str) -> str:
    """A link that lets one in once."""
    command = [sys.executable, "manage.py", "sign_in_link", "--base", root]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]


def places(root: str, run: str, k: int, label: int | None) -> dict[str, object]:
    """What addresses name: the cluster of that label, one of its tokens, and that token's document."""
    if label is None:
        with urllib.request.urlopen(f"{root}/runs/{run}/k/{k}/clusters.json", timeout=30) as answer:
            label = json.load(answer)["clusters"][-1]["label"]
    path = f"{root}/runs/{run}/k/{k}/clusters/{label}.json"
    with urllib.request.urlopen(path, timeout=30) as answer:
        token = json.load(answer)["members"][0]
    return {"run": run, "k": k, "label": label, "token": token["index"], "document": token["document"]}


def take(
    browser: Browser, root: str, names: dict[str, str], out: Path, width: int, theme: str, *, key: str = ""
) -> list[str]:
    """Open and save every page at one width and theme, after the link `key` if there is one; give what is wrong."""
    complaints: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
    )
    context.add_cookies([{"name": "tour", "value": "seen", "url": root}])
    page = context.new_page()
    page.on("console", lambda said: complaints.append(f"{page.url}: {said.text}") if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    if key:
        page.goto(key)
        page.get_by_role("button", name="Sign in").click()
    for name, path in names.items():
        page.goto(root + path, wait_until="networkidle")
        for _ in range(30):  # what loads later comes when it is scrolled into view
            page.evaluate("scrollBy(0, innerHeight)")
            if page.evaluate("scrollY + innerHeight >= document.documentElement.scrollHeight - 1"):
                break
        page.wait_for_load_state("networkidle")
        page.evaluate("scrollTo(0, 0)")
        if page.evaluate("document.documentElement.scrollWidth") > width:
            complaints.append(f"{path} is wider than {width} px")
        page.screenshot(path=out / f"{name}-{width}-{theme}.png", full_page=True)
        print(f"{name}-{width}-{theme}.png")
    context.close()
    return complaints


if __name__ == "__main__":
    main()
