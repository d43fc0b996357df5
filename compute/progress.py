"""Progress of a run as plain text: one line that is rewritten on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from compute.pipeline import ShardSpec

SECONDS_PER_LINE = 10.0
SECONDS_PER_REDRAW = 0.2
BAR_WIDTH = 24


class Progress:
    """Shows each shard's phase, name, bar, n/total, rate and time left."""

    def __init__(self, specs: list[ShardSpec], stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()
        self.n_of_phase = {spec.phase: spec.phase_ordinal + 1 for spec in specs}
        self.ordinal = -1
        self.began = self.shown = self.phase_began = time.monotonic()
        self.first = 0
        self.is_done = False
        self.phase = ""

    def __call__(self, spec: ShardSpec, n_done: int, n_total: int) -> None:
        now = time.monotonic()
        if spec.ordinal != self.ordinal:
            self._begin(spec, n_done, now)
        is_last = spec.phase_ordinal + 1 == self.n_of_phase[spec.phase]
        is_done = n_done >= n_total and is_last and n_done > 0
        pause = SECONDS_PER_REDRAW if self.is_terminal else SECONDS_PER_LINE
        if (is_done and not self.is_done) or now - self.shown >= pause:
            self.is_done = is_done
            self.shown = now
            self._show(self._line(spec, n_done, n_total, now))

    def close(self) -> None:
        """Leave the terminal on a line of its own."""
        if self.is_terminal:
            self.stream.write("\n")
            self.stream.flush()

    def _begin(self, spec: ShardSpec, n_done: int, now: float) -> None:
        if self.is_terminal and spec.phase != self.phase and self.phase:
            self.stream.write("\n")
        if spec.phase != self.phase:
            self.phase, self.phase_began = spec.phase, now
        self.ordinal, self.began, self.first, self.is_done = spec.ordinal, now, n_done, False

    def _line(self, spec: ShardSpec, n_done: int, n_total: int, now: float) -> str:
        n_shards = self.n_of_phase[spec.phase]
        n_before = spec.phase_ordinal + (n_done / n_total if n_total else 1)
        full = round(BAR_WIDTH * n_before / n_shards)
        of = f" {spec.phase_ordinal + 1}/{n_shards}" if n_shards > 1 else ""
        seconds = now - self.began
        rate = (n_done - self.first) / seconds if seconds > 0.5 and n_done > self.first else None
        parts = [
            f"{spec.phase + of:<16} {'█' * full}{'·' * (BAR_WIDTH - full)} {spec.name}",
            f"{n_done:,}/{n_total:,} {spec.unit}",
        ]
        if rate and n_done < n_total:
            parts += [f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s", f"{_clock((n_total - n_done) / rate)} left"]
        parts += [f"{_clock(now - self.phase_began)} so far"]
        return "  ".join(parts)

    def _show(self, line: str) -> None:
        try:
            self.stream.write(f"\r\x1b[2K{line}" if self.is_terminal else f"{line}\n")
        except UnicodeEncodeError:  # a terminal of another encoding has no blocks
            self.stream.write(line.encode("ascii", "replace").decode() + "\n")
        self.stream.flush()


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
