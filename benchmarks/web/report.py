"""The figures as a table for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.web import goals
from benchmarks.web.browser import Seen
from benchmarks.web.measure import Measured
from benchmarks.web.site import Ingested

HEAD = f"{'page':<44}{'median':>9}{'p95':>9}{'cpu':>9}{'queries':>9}{'kB':>8}  goal"


@dataclass(frozen=True)
class Report:
    """Everything that was found on one database."""

    database: str
    ingested: Ingested
    pages: list[Measured]
    memory_bytes: int | None
    seen: Seen | None

    @property
    def misses(self) -> list[str]:
        """Every goal that was not reached, in words."""
        found = [f"{one.name}: {_why(one)}" for one in self.pages if not one.is_good]
        if self.ingested.readable_seconds > goals.INGEST_SECONDS:
            found.append(f"readable after {self.ingested.readable_seconds:.0f} s of {goals.INGEST_SECONDS:.0f}")
        if self.memory_bytes is not None and self.memory_bytes > goals.MEMORY_BYTES:
            found.append(f"{self.memory_bytes / 1e6:.0f} MB of memory, {goals.MEMORY_BYTES / 1e6:.0f} allowed")
        if self.seen is not None and not self.seen.is_good:
            found.append(_browser_line(self.seen))
        return found

    def as_json(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "ingest": asdict(self.ingested),
            "pages": [one.as_json() for one in self.pages],
            "memory_bytes": self.memory_bytes,
            "browser": None if self.seen is None else self.seen.as_json(),
            "misses": self.misses,
        }

    def facts(self) -> str:
        """What is measured once."""
        found = self.ingested
        facts = [f"bundle readable after {found.readable_seconds:.1f} s, checked after {found.whole_seconds:.1f} s"]
        if self.memory_bytes is not None:
            facts.append(f"web process {self.memory_bytes / 1e6:.0f} MB resident beyond mapped arrays")
        if self.seen is not None:
            facts.append(_browser_line(self.seen))
        return "; ".join(facts)

    def summary(self) -> str:
        """What stands below the table."""
        return "\n".join([self.facts(), *(f"MISSED  {miss}" for miss in self.misses)])


def row(one: Measured) -> str:
    """One line of the table."""
    mark = "" if one.is_good else "  MISSED"
    return (
        f"{one.name:<44}{1000 * one.median:>7.1f}ms{1000 * one.p95:>7.1f}ms{1000 * one.cpu_median:>7.1f}ms"
        f"{one.n_queries:>9}{one.n_bytes / 1000:>8.1f}  {one.goal}{mark}"
    )


def markdown(reports: list[Report]) -> str:
    """The figures of all databases side by side, as docs/performance.md has them."""
    names = [report.database for report in reports]
    pages = {name: {one.name: one for one in report.pages} for name, report in zip(names, reports, strict=True)}
    head = ["page", *(f"{name}: median, p95 (ms)" for name in names), "queries", "kB", "goal"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for one in reports[0].pages:
        there = [pages[name][one.name] for name in names if one.name in pages[name]]
        times = [f"{1000 * found.median:.0f}, {1000 * found.p95:.0f}" for found in there]
        times += ["" for _ in range(len(names) - len(there))]
        most = max(found.n_queries for found in there)
        lines.append(f"| {' | '.join([one.name, *times, str(most), f'{one.n_bytes / 1000:.0f}', str(one.goal)])} |")
    return "\n".join([*lines, "", *(f"{report.database}: {report.facts()}." for report in reports)])


def _why(one: Measured) -> str:
    if one.failures:
        return f"{len(one.failures)} of {len(one.failures) + len(one.seconds)} failed, as {one.failures[0]}"
    if one.n_queries > goals.MOST_QUERIES:
        return f"{one.n_queries} queries"
    return f"median {1000 * one.median:.0f} ms, p95 {1000 * one.p95:.0f} ms; goal {one.goal}"


def _browser_line(seen: Seen) -> str:
    return (
        f"{seen.address}: first contentful paint {seen.first_paint_seconds:.2f} s, "
        f"{seen.script_bytes / 1000:.0f} kB of JavaScript (gzip, {len(seen.scripts)} files)"
    )
