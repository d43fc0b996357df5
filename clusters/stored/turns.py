"""Long work that one thread of a process does at a time; whoever waits too long is asked to come again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from compute.errors import BeingPrepared

LONGEST_WAIT_S = 5.0


class Turns:
    """One at a time, so that other pages are answered meanwhile."""

    def __init__(self) -> None:
        self._lock = Lock()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for one's turn; BeingPrepared where others take too long."""
        if not self._lock.acquire(timeout=LONGEST_WAIT_S):
            raise BeingPrepared(
                f"Other curves are being fitted, and this one has waited for {LONGEST_WAIT_S:.0f} seconds; ask again."
            )
        try:
            yield
        finally:
            self._lock.release()
