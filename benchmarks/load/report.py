"""What was measured, judged and written as a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

GOALS = {"page": 300, "search": 300, "API": 500, "export": 500, "PATCH": 200}  # p95 in ms, with GOAL_USERS
KNEE = {"page": 300, "search": 300, "API": 500, "export": 500}
GOAL_USERS = 25
MOST_BUSY = 0.8  # of its core; a crowd that is busier measures itself
MOST_GROWTH = 0.10


@dataclass
class Measured:
    """One database under one crowd."""

    database: str
    beside: bool  # a nice-10 job with heartbeats ran beside the site
    stages: list[dict[str, Any]] = field(default_factory=list)
    memory: dict[str, dict[str, list[int]]] = field(default_factory=dict)  # by stage and part: bytes at begin and end
    writes: dict[str, int] = field(default_factory=dict)
    locked_in_log: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def knee(self) -> int | None:
        """The fewest people of a stage with which pages or the API were too slow; None where no stage was."""
        slow = [one["users"] for one in self.stages if one["name"] == "stage" and _is_slow(one)]
        return min(slow, default=None)

    @property
    def misses(self) -> list[str]:
        """What was promised and did not hold, in sentences."""
        found = []
        for one in self.stages:
            if one["crowd_busy"] > MOST_BUSY:
                found.append(f"{_title(one)}: the crowd's core was {one['crowd_busy']:.0%} busy, so this is invalid")
            if one["wrong"]:
                found.append(f"{_title(one)}: refused or failed: {one['wrong']}")
            if one["name"] == "stage" and one["users"] == GOAL_USERS:
                found += [
                    f"{kind}: p95 of {one['kinds'][kind]['p95']:.0f} ms with {GOAL_USERS} people, not {most}"
                    for kind, most in GOALS.items()
                    if kind in one["kinds"] and one["kinds"][kind]["p95"] > most
                ]
        if self.locked_in_log or any(one["locked"] for one in self.stages):
            found.append(f"“locked” was said {self.locked_in_log} times in the log")
        if self.writes["lost"] or self.writes["revisions"] != self.writes["written"]:
            found.append(f"writes: {self.writes}")
        if (growth := self.growth) is not None and growth > MOST_GROWTH:
            found.append(f"memory grew by {growth:.1%} over the soak")
        return found

    @property
    def growth(self) -> float | None:
        """How much more memory the site holds after the soak than at its beginning; None without a soak."""
        if "soak" not in self.memory:
            return None
        begin, end = map(sum, zip(*self.memory["soak"].values(), strict=True))
        return (end - begin) / begin

    def as_json(self) -> dict[str, Any]:
        own = {"database": self.database, "beside": self.beside, "knee": self.knee, "misses": self.misses}
        kept = {"stages": self.stages, "memory": self.memory, "growth": self.growth, "writes": self.writes}
        return {**own, **kept, "locked_in_log": self.locked_in_log, **self.facts}

    def markdown(self) -> str:
        head = "| people | pages | search | API | label changes | exports | requests/s | 5xx | crowd busy |"
        lines = [f"{self.title}: p50, p95, p99 in ms", "", head, "|---" * 9 + "|"]
        lines += [_row(one) for one in self.stages]
        return "\n".join([*lines, "", *self.sentences])

    @property
    def title(self) -> str:
        return f"{self.database}, {'a nice-10 job beside it' if self.beside else 'nothing beside it'}"

    @property
    def sentences(self) -> list[str]:
        knee = f"The knee: {self.knee} people." if self.knee else "No stage was beyond the knee."
        writes = (
            f"Label changes answered with 200: {self.writes['written']}; revisions: {self.writes['revisions']}; "
            f"lost: {self.writes['lost']}."
        )
        said = [knee, writes] if any(one["name"] == "stage" for one in self.stages) else [writes]
        if self.growth is not None:
            parts = [f"{part} {a / 1e6:.0f} MB to {b / 1e6:.0f} MB" for part, (a, b) in self.memory["soak"].items()]
            said.append(f"Memory over the soak: {', '.join(parts)} ({self.growth:+.1%}).")
        return [*said, *(f"MISSED: {one}." for one in self.misses)]


def _is_slow(one: dict[str, Any]) -> bool:
    return any(one["kinds"][kind]["p95"] > most for kind, most in KNEE.items() if kind in one["kinds"])


def _title(one: dict[str, Any]) -> str:
    return {"stage": f"{one['users']}", "soak": f"{one['users']}, soak of {one['seconds']:.0f} s"}.get(
        one["name"], f"0 to {one['users']} at once"
    )


def _row(one: dict[str, Any]) -> str:
    cells = [_title(one)]
    for kind in ("page", "search", "API", "PATCH", "export"):
        found = one["kinds"].get(kind)
        cells.append(f"{found['p50']:.0f}, {found['p95']:.0f}, {found['p99']:.0f}" if found else "none")
    n_failed = sum(n for status, n in one["statuses"].items() if status.startswith("5") or status == "0")
    cells += [f"{one['requests_per_second']:.1f}", f"{n_failed}", f"{one['crowd_busy']:.0%}"]
    return f"| {' | '.join(cells)} |"
