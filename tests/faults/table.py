"""Writes docs/reliability.md's table from what the fault tests measured: `python -m tests.faults.table FIGURES`.

Several measurements of one thing become their median and range. A row that nothing was measured for says so, and the
command then ends with status 1.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: written by make faults -->", "<!-- end of figures -->"

ROWS: dict[int, tuple[str, str]] = {
    1: (
        "A computing process is killed (`kill -9`)",
        "queued again within 3 minutes, resumes, at most one step repeated",
    ),
    2: ("A whole worker is killed", "the same; nobody waits for the broker to redeliver"),
    3: ("Killed before its first heartbeat", "the same"),
    4: ("The broker is killed and wiped", "work under way ends; queued jobs are announced again within 6 minutes"),
    5: ("The broker's connection is cut five times in 3 s", "consumes again within 60 s, or exits for a restart"),
    6: ("The database restarts", "503 with Retry-After, well again within 10 s; workers wait, and stop after 120 s"),
    7: ("The disk is full", "the job fails and says so; no partial file is seen; labels still work; it resumes"),
    8: ("Memory runs out", "smaller batches twice, then a failure; three lost workers are a failure, not a loop"),
    9: ("One message ten times, two workers", "one claim; the others are dropped"),
    10: ("A frozen worker wakes up late", "all that it writes is refused"),
    11: ("A file is altered, cut or missing", "found by its hash, said on the page, made again; never a wrong number"),
    12: ("The Hub is cut, slow, busy or wrong", "downloads go on where they were; what is here works offline"),
    13: ("Two people write one label", "one succeeds, the other sees both texts; no word is lost"),
    14: ("Hostile files", "refused within 5 s and 200 MB; nothing outside the import's folder"),
    15: ("Hostile text", "shown harmless: no dialog, no request, no violation of the policy"),
    16: ("Impossible numbers in addresses", "an answer or a refusal, never an error of the server"),
    17: ("JSON nested 100,000 deep", "refused"),
    18: ("Queries that dig for passwords", "unknown parameters are refused"),
    19: ("Paths in the names of networks", "refused before any file or network is touched"),
    20: ("Requests without the right to them", "403, 404 or 401; limits hold against forged addresses"),
    21: ("A clock steps by an hour", "leases run by the database's clock"),
    22: ("SIGTERM in the middle of a job", "given back within 60 s; the web server ends its answers first"),
    23: ("A migration is interrupted", "run again, it succeeds; until then the site says that it is not ready"),
    24: ("Restored on an empty host", "counts, hashes and labels are equal"),
}
Key = tuple[str, str, str, str]


def read(file: Path) -> dict[int, dict[Key, dict[str, list[Any]]]]:
    """Row → (what, runner, database, scale) → figure → every value measured."""
    rows: dict[int, dict[Key, dict[str, list[Any]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for line in file.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        key = (found["what"], found["runner"], found["database"], found["scale"])
        figures = rows[int(found["row"])][key]
        for name, value in found["figures"].items():
            figures[name].append(value)
    return rows


def table(rows: dict[int, dict[Key, dict[str, list[Any]]]]) -> str:
    """The Markdown of all rows, in order; row 0 holds what belongs to no single fault."""
    lines = ["| # | fault | promise | shown on | measured |", "|---|---|---|---|---|"]
    for number, (fault, promise) in ROWS.items():
        found = rows.get(number, {})
        where = sorted({" · ".join(filter(None, (runner, database))) for _, runner, database, _ in found} - {""})
        measured = "<br>".join(_measurement(key, figures) for key, figures in sorted(found.items()))
        lines.append(
            f"| {number} | {fault} | {promise} | {', '.join(where) or '–'} | {measured or '**not measured**'} |"
        )
    others = [f"- {_measurement(key, figures)}" for key, figures in sorted(rows.get(0, {}).items())]
    return "\n".join([*lines, "", *others]).rstrip() + "\n"


def _measurement(key: Key, figures: dict[str, list[Any]]) -> str:
    what, runner, database, scale = key
    where = ", ".join(filter(None, (runner, database, "full periods" if scale == "full" else "")))
    values = "; ".join(f"{name.replace('_', ' ')} {_value(found)}" for name, found in figures.items())
    return f"{what}{f' ({where})' if where else ''}{f': {values}' if values else ''}".replace("|", "\\|")


def _value(found: list[Any]) -> str:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in found):
        return ", ".join(dict.fromkeys(map(str, found)))
    middle = f"{statistics.median(found):,.4g}"
    return middle if min(found) == max(found) else f"{middle} ({min(found):,.4g} to {max(found):,.4g})"


def main(file: Path) -> int:
    rows = read(file)
    document = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    day = datetime.now(UTC).date()
    DOCUMENT.write_text(f"{before}{BEGIN}\nMeasured on {day}.\n\n{table(rows)}{END}{after}", encoding="utf-8")
    missing = [number for number in ROWS if number not in rows]
    if missing:
        print(f"Nothing was measured for {', '.join(map(str, missing))}.", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
