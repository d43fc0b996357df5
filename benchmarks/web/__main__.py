"""Measure every page of the site at the paper's size: python -m benchmarks.web [--bundle FOLDER] [--check]

Makes a bundle of 10,658,635 predictions (or takes the one named), reads it into SQLite and into PostgreSQL, and prints
the server's time, queries and bytes of every page and of every part that a page fetches later, each asked for with
other numbers every time; then the web process's memory, the time of ingest, and what Chromium sees of a cluster page.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.paper import Plan, make_bundle
from benchmarks.web import report
from benchmarks.web.browser import Seen, find_chromium, look
from benchmarks.web.draws import Draws
from benchmarks.web.measure import measure_all
from benchmarks.web.pages import PAGES
from benchmarks.web.report import Report
from benchmarks.web.site import Server, Site
from compute.bundle import open_bundle
from compute.errors import ComputeError

DATABASES = ("sqlite", "postgres")


def main(arguments: list[str] | None = None) -> int:
    given = _arguments(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="bench-web-", dir=given.folder))
    try:
        bundle = given.bundle or make_bundle(
            work, Plan(given.scale, given.stepped), lambda text: print(text, flush=True)
        )
        found = [_measured(name, work, bundle, given) for name in given.databases]
    except ComputeError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if given.json:
        facts = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": platform.machine()}
        facts |= {"cores": os.cpu_count(), "scale": given.scale, "requests": given.requests}
        given.json.write_text(json.dumps(facts | {"databases": [one.as_json() for one in found]}, indent=1) + "\n")
    if given.markdown:
        given.markdown.write_text(report.markdown(found) + "\n")
    return 1 if given.check and any(one.misses for one in found) else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.web", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, help="take this bundle; by itself one is made, and removed after")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the paper's predictions, where one is made")
    parser.add_argument("--stepped", type=int, default=2, help="networks with all their steps (9 GB each; up to 5)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where there is room")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--requests", type=int, default=30, help="timed requests of every page (default 30)")
    parser.add_argument("--pages", nargs="+", metavar="NAME", help="only those whose names begin so")
    parser.add_argument("--no-browser", action="store_true", help="leave Chromium out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="and as the table of docs/performance.md")
    parser.add_argument("--check", action="store_true", help="end with status 1 where a goal is missed")
    given = parser.parse_args(arguments)
    if given.requests < 1:
        parser.error("--requests must be at least 1")
    return given


def _measured(name: str, work: Path, bundle: Path, given: argparse.Namespace) -> Report:
    pages = tuple(page for page in PAGES if not given.pages or page.name.startswith(tuple(given.pages)))
    with ExitStack() as stack:
        site = stack.enter_context(_site(name, work))
        site.manage("migrate", "--verbosity", "0")
        ingested = site.ingest(bundle)
        server = stack.enter_context(site.served())
        draws = Draws(open_bundle(bundle), ingested.slug, server.text)
        print(f"\n{name}: {given.requests} requests a page\n{report.HEAD}")
        measured = measure_all(server, draws, pages, given.requests, lambda one: print(report.row(one), flush=True))
        seen = None if given.no_browser else _seen(server, draws)
        found = Report(name, ingested, measured, server.memory(), seen)
    print(found.summary(), flush=True)
    return found


def _seen(server: Server, draws: Draws) -> Seen | None:
    chromium = find_chromium()
    if chromium is None:
        print("No Chromium is installed, so first paint is not measured; `apt-get install chromium` brings it.")
        return None
    return look(server.base, draws.address("/runs/{run}/k/{k}/clusters/{label}/"), chromium)


@contextmanager
def _site(name: str, work: Path) -> Iterator[Site]:
    """A site on one of the databases; what pages work out once is shared by both."""
    data = work / "data"
    if name == "sqlite":
        yield Site(name, data, f"sqlite:///{data / 'quantaweb.sqlite3'}")
        return
    from tests.postgres import Server as Postgres
    from tests.postgres import find_binaries, missing

    binaries = find_binaries()
    if missing() or binaries is None:
        raise ComputeError(f"{missing()}; or measure with --databases sqlite alone.")
    folder = Path(tempfile.mkdtemp(prefix="qw-pg-", dir="/tmp"))
    postgres = Postgres(folder, binaries)
    if os.geteuid() == 0:
        shutil.chown(folder, postgres.account, postgres.account)
    try:
        postgres.start()
        yield Site(name, data, postgres.create("quantaweb"))
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
