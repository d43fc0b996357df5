"""Let a growing crowd use the site: python -m benchmarks.load --database sqlite|postgres [--stages 1,5,10,25,50,100]

Reads a made-up run into a new database, serves it with gunicorn on the first core, and lets Locust's people look,
search, page through the API, change labels and download tables from the second. Prints p50, p95 and p99 by kind of
request, then compares every change that was answered with what the database holds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.load.plan import LoadPlan
from benchmarks.load.report import Measured
from benchmarks.load.site import ask, background, database, memory, on_core, served
from benchmarks.paper import make_bundle
from benchmarks.web.site import ROOT, Site
from compute.errors import ComputeError

STAGES = "1,5,10,25,50,100"
SPIKE_SECONDS, WARM_SECONDS = 30, 120


def main(arguments: list[str] | None = None) -> int:
    given = _arguments(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="bench-load-", dir=given.folder))
    try:
        bundle = given.bundle or make_bundle(work, LoadPlan(given.scale), _say)
        found = _measured(work, bundle, given)
    except ComputeError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(found.markdown())
    if given.json:
        facts: dict[str, Any] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": platform.machine()}
        facts |= {"cores": os.cpu_count(), "python": platform.python_version(), **found.as_json()}
        given.json.write_text(json.dumps(facts, indent=1) + "\n")
    if given.markdown:
        given.markdown.write_text(found.markdown() + "\n")
    return 1 if given.check and found.misses else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="postgres")
    parser.add_argument("--stages", nargs="?", const="", default=STAGES, help=f"people at once (default {STAGES}); "
                        "alone: none")  # fmt: skip
    parser.add_argument("--seconds", type=int, default=120, help="of every stage (default 120)")
    parser.add_argument("--soak", type=int, default=0, metavar="SECONDS", help="afterwards, --soak-users for so long")
    parser.add_argument("--soak-users", type=int, default=12, metavar="N")
    parser.add_argument("--spike", type=int, default=100, metavar="N", help="at last, N people at once; 0: none")
    parser.add_argument("--beside", action="store_true", help="a nice-10 job computes and writes heartbeats meanwhile")
    parser.add_argument("--free", action="store_true", help="do not keep site and crowd to one core each")
    parser.add_argument("--bundle", type=Path, help="take this bundle; by itself one is made (2 GB), and removed after")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the paper's predictions, where one is made")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where there is room")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="and as a table")
    parser.add_argument("--check", action="store_true", help="end with status 1 where a promise is not kept")
    given = parser.parse_args(arguments)
    try:
        given.stages = [int(part) for part in given.stages.split(",") if part]
    except ValueError:
        parser.error(f"--stages is {given.stages!r}; write whole numbers with commas between them")
    if not given.free and len(os.sched_getaffinity(0)) < 2:
        parser.error("this machine has one core; site and crowd need one each, or say --free")
    return given


def _orders(given: argparse.Namespace) -> list[dict[str, Any]]:
    """What the crowd does, one after the other."""
    orders: list[dict[str, Any]] = [{"name": "stage", "users": n, "seconds": given.seconds} for n in given.stages]
    if given.soak:
        orders.append({"name": "soak", "users": given.soak_users, "seconds": given.soak, "settle": WARM_SECONDS})
    if given.spike:
        orders.append({"name": "spike", "users": given.spike, "seconds": SPIKE_SECONDS, "at_once": True})
    return orders


def _measured(work: Path, bundle: Path, given: argparse.Namespace) -> Measured:
    site_core, crowd_core = (None, None) if given.free else (0, 1)
    data, found = work / "data", Measured(given.database, given.beside)
    data.mkdir()
    with ExitStack() as stack:
        with on_core(site_core):
            address, server = stack.enter_context(database(given.database, data))
            site = Site(given.database, data, address)
            site.environment["QW_HEARTBEAT_SECONDS"] = "1"
        facts = _prepared(site, bundle)
        with on_core(site_core):
            base, first = stack.enter_context(served(site))
            if given.beside:
                stack.enter_context(background(site))
        (work / "facts.json").write_text(json.dumps(facts | {"base": base}))
        (work / "orders.json").write_text(json.dumps(_orders(given)))
        with on_core(crowd_core):
            _follow(work, site, found, {"web": first} | ({"database": server} if server else {}))
        compared = ask(site, "benchmarks.load.people", str(work / "facts.json"), str(work / "written.json"))
        found.writes = json.loads(compared.splitlines()[-1])
    found.locked_in_log = (data / "web.log").read_text(errors="replace").count("database is locked")
    found.facts = {name: facts[name] for name in ("k", "n_predictions", "n_documents", "n_memberships")}
    return found


def _prepared(site: Site, bundle: Path) -> dict[str, Any]:
    """Read the run in and make the people; what the crowd has to know."""
    site.manage("migrate", "--verbosity", "0")
    site.manage("collectstatic", "--noinput", "--verbosity", "0")
    _say(f"{site.name}: reading the run in")
    site.ingest(bundle)
    file = site.folder / "facts.json"
    ask(site, "benchmarks.load.people", str(file))
    facts: dict[str, Any] = json.loads(file.read_text())
    return facts


def _follow(work: Path, site: Site, found: Measured, processes: dict[str, int]) -> None:
    """Let the crowd in, and note what it says and how much memory the site holds."""
    files = [str(work / name) for name in ("facts.json", "orders.json", "written.json")]
    command = [sys.executable, "-m", "benchmarks.load.crowd", *files]
    begun: dict[str, int] = {}
    with subprocess.Popen(command, cwd=ROOT, env=site.environment, stdout=subprocess.PIPE, text=True) as crowd:
        for line in crowd.stdout or ():
            said, held = json.loads(line), {part: memory(first) for part, first in processes.items()}
            if said.pop("event") == "begin":
                begun = held
                continue
            found.stages.append(said)
            name = said["name"] if said["name"] != "stage" else f"{said['users']} people"
            found.memory[name] = {part: [begun[part], held[part]] for part in processes}
            _say(json.dumps(said))
    if crowd.returncode:
        raise ComputeError(f"The crowd ended with status {crowd.returncode}; its message is above.")


if __name__ == "__main__":
    sys.exit(main())
