"""One benchmark's turns, timed side by side, and what they say."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.case import Case

LEAST_SHARE = 0.5  # of its own bound: a slower reference proves nothing


@dataclass(frozen=True)
class Measured:
    """Seconds of every turn; a list is empty where there is nothing to time."""

    name: str
    about: str
    difference: str
    reference_s: list[float]
    ours_s: list[float]
    bound_s: list[float]
    reference_bound_s: list[float]
    load: float  # runnable processes, mean of the last minute
    stolen: float | None  # share of processor time that the host gave to others; None where it is not told

    @property
    def ratio(self) -> list[float]:
        return _quotients(self.reference_s, self.ours_s)

    @property
    def share(self) -> list[float]:
        return _quotients(self.bound_s, self.ours_s)

    @property
    def reference_share(self) -> list[float]:
        return _quotients(self.reference_bound_s, self.reference_s)

    def as_json(self) -> dict[str, Any]:
        quotients = {"ratio": self.ratio, "share": self.share, "reference_share": self.reference_share}
        medians = {name: statistics.median(values) if values else None for name, values in quotients.items()}
        return asdict(self) | {f"median_{name}": value for name, value in medians.items()}

    def as_text(self) -> str:
        parts = [f"{self.name}: ours {statistics.median(self.ours_s):.3f} s"]
        if self.reference_s:
            parts.append(f"reference {statistics.median(self.reference_s):.3f} s")
            parts.append(f"ratio {_with_range(self.ratio, '.2f', '×')}")
        if self.share:
            parts.append(f"ours at {_with_range(self.share, '.0%')} of the bound")
        if self.reference_share:
            parts.append(f"reference at {_with_range(self.reference_share, '.0%')} of its bound")
            if statistics.median(self.reference_share) < LEAST_SHARE:
                parts.append("A STRAW MAN: the reference is below half of its bound")
        stolen = "" if self.stolen is None else f", {self.stolen:.1%} stolen"
        return f"{', '.join(parts)}\n    {self.difference}; {self.about}; load {self.load:.1f}{stolen}"


def measure(name: str, case: Case, repeats: int) -> Measured:
    """Run both sides in turn; the first turn warms up, unless the case says how often it can be run."""
    reference_s: list[float] = []
    ours_s: list[float] = []
    bound_s: list[float] = []
    reference_bound_s: list[float] = []
    n_untimed = 1 if case.repeats is None else 0
    before = _processor_times()
    for turn in range(n_untimed + (case.repeats or repeats)):
        expected = _timed(case.reference, reference_s) if case.reference else None
        if turn >= n_untimed and case.bound:
            bound_s.append(case.bound())
            if case.reference:
                reference_bound_s.append(case.reference_bound() if case.reference_bound else bound_s[-1])
        found = _timed(case.ours, ours_s)
    return Measured(
        name=name,
        about=case.about,
        difference=case.difference(expected, found),
        reference_s=reference_s[n_untimed:],
        ours_s=ours_s[n_untimed:],
        bound_s=bound_s,
        reference_bound_s=reference_bound_s,
        load=os.getloadavg()[0],
        stolen=_stolen(before, _processor_times()),
    )


def _timed(procedure: Callable[[], Any], times: list[float]) -> Any:
    start = time.perf_counter()
    result = procedure()
    times.append(time.perf_counter() - start)
    return result


def _quotients(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)] if above and below else []


def _with_range(values: list[float], form: str, unit: str = "") -> str:
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:{form}}{unit} ({low:{form}}–{high:{form}})"


def _processor_times() -> list[int] | None:
    """Jiffies by kind since the start, of all cores together, where Linux tells them."""
    file = Path("/proc/stat")
    return [int(number) for number in file.read_text().split("\n")[0].split()[1:9]] if file.is_file() else None


def _stolen(before: list[int] | None, after: list[int] | None) -> float | None:
    if before is None or after is None:
        return None
    spent = [b - a for a, b in zip(before, after, strict=True)]
    return spent[7] / max(sum(spent), 1)
