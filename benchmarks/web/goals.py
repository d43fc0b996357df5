"""What is to be reached."""

from __future__ import annotations

from dataclasses import dataclass

INGEST_SECONDS = 60.0
MEMORY_BYTES = 400_000_000
FIRST_PAINT_SECONDS = 1.0
SCRIPT_BYTES = 500_000
MOST_QUERIES = 15


@dataclass(frozen=True)
class Goal:
    """Server seconds of a page, warm; None where nothing is promised."""

    median: float | None
    p95: float | None

    def is_met(self, median: float, p95: float) -> bool:
        return (self.median is None or median <= self.median) and (self.p95 is None or p95 <= self.p95)

    def __str__(self) -> str:
        said = [
            f"{name} {1000 * value:.0f} ms" for name, value in (("median", self.median), ("p95", self.p95)) if value
        ]
        return ", ".join(said)


PAGE = Goal(0.035, 0.100)
FINDER = Goal(None, 0.150)  # other thresholds over every prediction: exact count and first page
DENSITY = Goal(None, 0.300)  # of the finder's chart, a request of its own
SEARCH = Goal(None, 0.300)  # through every byte or token of the corpus, with an exact count up to 10,000
