"""How far the check of a run's files is, on a terminal: one line, rewritten."""

from __future__ import annotations

import time
from typing import TextIO

SECONDS_PER_LINE = 10.0  # where the output is a file, not a terminal


class CheckProgress:
    """Use as a context manager; `show` is called as often as one likes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty()
        self._shown = float("-inf") if self.is_terminal else time.monotonic()

    def __enter__(self) -> CheckProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_terminal:
            self._write("\r\x1b[2K")

    def show(self, what: str, n_done: int, n_total: int) -> None:
        now = time.monotonic()
        if now - self._shown < (0.1 if self.is_terminal else SECONDS_PER_LINE):
            return
        self._shown = now
        line = f"{what}: {n_done:,} of {n_total:,}"
        self._write(f"\r\x1b[2K{line}" if self.is_terminal else f"{line}\n")

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
