"""How fast a run leaves the site, and in how much memory: rows a second of every table, beside a plain csv.writer.

    QW_DATA_DIR=… python -m benchmarks.exports paper          # the run of this name; --seconds 20 for longer tables

Each table is read in a process of its own. RssAnon is what the process holds besides mapped files; it is taken when a
tenth of the time has passed and again at the end, so that growth with the number of rows shows. Parquet is what a
worker writes; the others are what the web process streams.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TABLES = ("clusters", "memberships", "clustered", "tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="the run's name in addresses")
    parser.add_argument("--seconds", type=float, default=12, help="at most, of one table in one form")
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    asked = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    print("| table | form | rows | rows/s | rows per second of processor | anonymous MB at a tenth | at the end |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for table in asked.tables:
        for form in ("plain csv.writer", "csv", "jsonl", "parquet"):
            with spawn.Pool(1) as pool:
                n, seconds, busy, early, late = pool.apply(measure, (asked.run, table, form, asked.seconds))
            rates = f"{n / seconds:,.0f} | {n / busy:,.0f}"
            print(f"| {table} | {form} | {n:,} | {rates} | {early:.0f} | {late:.0f} |", flush=True)


def measure(slug: str, table: str, form: str, most_seconds: float) -> tuple[int, float, float, float, float]:
    """Rows, seconds, seconds of processor, and anonymous memory in MB early and late."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantaweb.settings")
    import django

    django.setup()
    from django.contrib.auth.models import AnonymousUser

    from clusters.models import Run
    from clusters.services.exports import table_of

    run = Run.objects.select_related("corpus", "checkpoint").get(slug=slug)
    whole = table_of(AnonymousUser(), run, table)
    meter = Meter(whole, most_seconds)
    write: Callable[[Any, Any], object] = {"parquet": _parquet, "plain csv.writer": _plain}.get(form, _text(form))
    write(meter.table, run)
    return meter.n, meter.seconds, meter.busy, meter.early, anonymous_mb()


class Meter:
    """A table that stops when its time is up, and looks at memory on the way."""

    def __init__(self, whole: Any, most_seconds: float) -> None:
        from clusters.values.tables import Table

        self._whole, self._most = whole, most_seconds
        self.n, self.early, self._begun, self._busy = 0, 0.0, 0.0, 0.0
        self.table = Table(whole.name, whole.columns, self._blocks, whole.n_rows)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._begun

    @property
    def busy(self) -> float:
        return time.process_time() - self._busy

    def _blocks(self) -> Iterator[Any]:
        self._begun, self._busy = time.perf_counter(), time.process_time()
        for block in self._whole.blocks():
            yield block
            self.n += len(block[0])
            if not self.early and self.seconds > self._most / 10:
                self.early = anonymous_mb()
            if self.seconds > self._most:
                break
        self.early = self.early or anonymous_mb()


def anonymous_mb() -> float:
    """What this process holds besides mapped files, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1000


def _text(form: str) -> Callable[[Any, Any], object]:
    def write(table: Any, run: Any) -> int:
        from clusters.values.tables import chunks

        return sum(map(len, chunks(table, form)))

    return write


def _plain(table: Any, run: Any) -> None:
    """The same blocks through csv.writer, without a thought for formulas, comments or missing numbers."""

    class Nowhere:
        def write(self, text: str) -> None: ...

    writer = csv.writer(Nowhere())
    for block in table.blocks():
        writer.writerows(zip(*(one.tolist() if hasattr(one, "tolist") else one for one in block), strict=True))


def _parquet(table: Any, run: Any) -> None:
    from clusters.services.export_job import write_parquet

    with tempfile.TemporaryDirectory() as folder:
        write_parquet(table, run, Path(folder) / "table.parquet")


if __name__ == "__main__":
    sys.exit(main())
