"""A job's progress on a terminal, read from its rows: a line a phase, the last one rewritten while it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TextIO

from compute.models import Job, Shard

BAR_WIDTH = 24
SECONDS_PER_LINE = 10.0  # where the output is a file, not a terminal


@dataclass(frozen=True)
class Phase:
    """The shards of one phase, together."""

    name: str
    n_shards: int
    n_succeeded: int
    fraction: float
    current: Shard | None

    @property
    def is_done(self) -> bool:
        return self.n_succeeded == self.n_shards


def phases_of(job: Job) -> list[Phase]:
    """Every phase of a job in order, as its shards stand now."""
    groups: dict[str, list[Shard]] = {}
    for shard in Shard.objects.filter(job=job).order_by("ordinal"):
        groups.setdefault(shard.phase, []).append(shard)
    return [_phase(name, shards) for name, shards in groups.items()]


def _phase(name: str, shards: list[Shard]) -> Phase:
    done = [shard for shard in shards if shard.state == Shard.State.SUCCEEDED]
    running = [shard for shard in shards if shard.state == Shard.State.RUNNING]
    parts = len(done) + sum(min(shard.n_done / max(shard.n_total, 1), 1) for shard in running)
    current = running[0] if running else next((s for s in shards if s.state == Shard.State.QUEUED), None)
    return Phase(name, len(shards), len(done), parts / len(shards), current)


class JobProgress:
    """Writes what has changed since it was last called."""

    def __init__(self, stream: TextIO, clock: object = None) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty()
        self._now = clock if callable(clock) else time.monotonic
        self._finished: set[str] | None = None
        self._phase = ""
        self._began = self._shown = self._now()
        self._first = 0.0

    def show(self, job: Job) -> None:
        """Look at the rows and write; call it about twice a second."""
        phases = phases_of(job)
        if self._finished is None:  # what an earlier start had done already
            self._finished = {phase.name for phase in phases if phase.is_done}
            if self._finished:
                self._line(f"already done: {', '.join(p.name for p in phases if p.is_done)}")
        for phase in phases:
            if phase.is_done and phase.name not in self._finished:
                self._finished.add(phase.name)
                self._line(
                    f"{self._bar(phase)}  {phase_size(phase)}, done in {clock(self._now() - self._start(phase))}"
                )
        current = next((phase for phase in phases if not phase.is_done), None)
        if current is not None:
            self._show_current(current)

    def close(self) -> None:
        """Leave the terminal on a line of its own."""
        if self.is_terminal:
            self.stream.write("\n")
            self.stream.flush()

    def _start(self, phase: Phase) -> float:
        """When this phase was first seen at work."""
        if phase.name != self._phase:
            self._phase, self._began, self._first = phase.name, self._now(), phase.fraction
        return self._began

    def _show_current(self, phase: Phase) -> None:
        seconds = self._now() - self._start(phase)
        line = self._bar(phase) + "".join(f"  {part}" for part in self._facts(phase, seconds))
        if self.is_terminal:
            self._write(f"\r\x1b[2K{line}")
        elif self._now() - self._shown >= SECONDS_PER_LINE:
            self._line(line)

    def _facts(self, phase: Phase, seconds: float) -> list[str]:
        shard = phase.current
        facts = [phase_size(phase)] if phase.n_shards > 1 else []
        if shard is not None and shard.state == Shard.State.RUNNING:
            facts.append(f"{shard.name}: {shard.n_done:,} of {shard.n_total:,} {shard.unit}")
            if rate := rate_of(shard):
                facts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        gained = phase.fraction - self._first
        if gained > 0.02 and seconds > 3:
            facts.append(f"{clock(seconds * (1 - phase.fraction) / gained)} left")
        return facts

    def _bar(self, phase: Phase) -> str:
        full = round(BAR_WIDTH * phase.fraction)
        return f"{phase.name:<12} {'█' * full}{'·' * (BAR_WIDTH - full)} {phase.fraction:4.0%}"

    def _line(self, line: str) -> None:
        self._shown = self._now()
        self._write(f"\r\x1b[2K{line}\n" if self.is_terminal else f"{line}\n")

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
        except UnicodeEncodeError:  # a terminal of another encoding has no blocks
            self.stream.write(text.replace("█", "#").replace("·", ".").encode("ascii", "replace").decode())
        self.stream.flush()


def phase_size(phase: Phase) -> str:
    return f"{phase.n_succeeded} of {phase.n_shards}" if phase.n_shards > 1 else "1 of 1"


def rate_of(shard: Shard) -> float | None:
    """Units a second, over what the shard has noted of its own progress."""
    if len(shard.samples) < 2:
        return None
    (since, first), (until, last) = shard.samples[-min(len(shard.samples), 10)], shard.samples[-1]
    return (last - first) / (until - since) if until > since and last > first else None


def clock(seconds: float) -> str:
    whole = round(max(seconds, 0))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
