"""Writes docs/reliability.md's table from what the fault tests measured: `python -m tests.faults.table FIGURES`.

The table holds one line for every fault, with its telling figures over all trials; below it stands every trial by
itself. Several measurements of one thing become their median and range. A row that nothing was measured for says so,
and the command then ends with status 1.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
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
# what tells most of a fault, over all of its trials: figure → the sum of all, or the worst
TELLING: dict[int, dict[str, Callable[[list[float]], float]]] = {
    1: {"kills": sum, "labels_lost": sum, "steps_repeated": max, "seconds_until_queued": max},
    2: {"kills": sum, "labels_lost": sum, "rows_lost": sum, "steps_repeated": max, "seconds_until_queued": max},
    3: {"seconds_until_queued": max},
    4: {"steps_repeated": max, "task_finished_seconds": max, "queued_jobs_taken_seconds": max},
    5: {"connections_reset": sum, "seconds_until_taken": max},
    6: {"answers_503": sum, "answers_500": sum, "recovered_seconds": max, "steps_repeated": max},
    7: {"times_full": sum, "partial_bundles_seen": sum},
    8: {"failed": sum, "attempts": max},
    9: {"claims": max, "dropped": sum, "steps_repeated": max},
    10: {"writes_taken": sum, "seconds_until_it_ended": max},
    11: {"files": sum, "noticed": sum, "seconds_to_notice": max},
    12: {"failures": sum, "asked_again": sum, "seconds_waited": max},
    13: {"writes": sum, "lost": sum, "words_in_history": min},
    14: {"inputs": sum, "broken": sum, "slowest_seconds": max, "most_megabytes": max, "files_elsewhere": sum},
    15: {"pages": sum, "dialogs": sum, "requests_elsewhere": sum, "violations_of_the_policy": sum},
    16: {"requests": sum, "answers_5xx": sum},
    17: {"requests": sum, "answers_5xx": sum},
    18: {"requests": sum, "answers_5xx": sum},
    19: {"requests": sum, "files_opened": sum, "connections": sum},
    20: {"requests": sum, "rows_changed": sum, "answered_otherwise": sum},
    21: {"steps_repeated": max, "leases_lost": sum},
    22: {"seconds_until_queued": max, "seconds_until_it_ended": max, "attempts_lost": sum},
    23: {"kills": sum, "rows_lost": sum, "answered_500": sum, "seconds": max},
    24: {"kills": sum, "rows": sum, "files": sum, "different": sum},
}
Key = tuple[str, str, str, str]
Trials = dict[Key, dict[str, list[Any]]]


def read(file: Path) -> dict[int, Trials]:
    """Row → (what, runner, database, scale) → figure → every value measured."""
    rows: dict[int, Trials] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for line in file.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        key = (found["what"], found["runner"], found["database"], found["scale"])
        figures = rows[int(found["row"])][key]
        for name, value in found["figures"].items():
            figures[name].append(value)
    return rows


def table(rows: dict[int, Trials]) -> str:
    """The Markdown of all rows, in order, and of their trials; row 0 holds what belongs to no single fault."""
    lines = ["| # | fault | promise | measured, over all trials |", "|---|---|---|---|"]
    for number, (fault, promise) in ROWS.items():
        found = rows.get(number, {})
        said = (
            f"{_telling(number, found)} ([{len(found)} trial{'s' * (len(found) > 1)}](#row-{number}))"
            if found
            else "**not measured**"
        )
        lines.append(f"| {number} | {fault} | {promise} | {said} |")
    for number, (fault, _) in [*ROWS.items(), (0, ("How work spreads over machines", ""))]:
        if found := rows.get(number, {}):
            heading = f"{number} · {fault}" if number else fault
            lines += [
                "",
                f'<a id="row-{number}"></a>',
                "",
                f"### {heading}",
                "",
                "| trial | on | figures |",
                "|---|---|---|",
            ]
            lines += [_trial(key, figures) for key, figures in sorted(found.items())]
    return "\n".join(lines) + "\n"


def _telling(number: int, trials: Trials) -> str:
    """The telling figures of a fault, each over all trials that have it."""
    said = []
    for name, over_all in TELLING[number].items():
        if values := [value for figures in trials.values() for value in figures.get(name, ())]:
            least = "at most " if over_all is max and max(values) else ""
            said.append(f"{name.replace('_', ' ')} {least}{_number(over_all(values))}")
    return "; ".join(said)


def _trial(key: Key, figures: dict[str, list[Any]]) -> str:
    what, runner, database, scale = key
    where = ", ".join(filter(None, (runner, database, "full periods" if scale == "full" else "")))
    values = "; ".join(f"{name.replace('_', ' ')} {_value(found)}" for name, found in figures.items())
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (what, where, values)) + " |"


def _value(found: list[Any]) -> str:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in found):
        return ", or ".join(dict.fromkeys(map(_plain, found)))
    middle = _number(statistics.median(found))
    return middle if min(found) == max(found) else f"{middle} ({_number(min(found))} to {_number(max(found))})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {n}" for name, n in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def main(file: Path) -> int:
    rows = read(file)
    document = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    day = datetime.fromtimestamp(file.stat().st_mtime, UTC).date()
    DOCUMENT.write_text(f"{before}{BEGIN}\nMeasured on {day}.\n\n{table(rows)}\n{END}{after}", encoding="utf-8")
    missing = [number for number in ROWS if number not in rows]
    if missing:
        print(f"Nothing was measured for {', '.join(map(str, missing))}.", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
