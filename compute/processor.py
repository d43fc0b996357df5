"""Whether this process computes, by the processor time that all its threads have used."""

from __future__ import annotations

import time

LEAST_SECONDS = 0.5
LEAST_SHARE = 0.02  # of one core; to keep a lease alive takes 0.0004 of one


class Processor:
    """A product of large matrices reports nothing for long and uses whole cores; a thread that waits uses none."""

    def __init__(self) -> None:
        self._at, self._used = time.monotonic(), time.process_time()

    def is_busy(self) -> bool:
        """Whether enough time was used since this was last so: a fiftieth of one core, and half a second in all."""
        now, used = time.monotonic(), time.process_time()
        if used - self._used < max(LEAST_SECONDS, LEAST_SHARE * (now - self._at)):
            return False
        self._at, self._used = now, used
        return True
