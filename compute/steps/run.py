"""One run at work: its settings, its files, and whom to tell of progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from compute.config import RunConfig
from compute.workspace import Workspace

if TYPE_CHECKING:
    from compute.steps.corpus import Corpus

REPORT_EVERY = 0.2  # seconds
SAVE_EVERY = 15.0  # seconds; half of what a kill may cost
Report = Callable[[int, int], None]
T = TypeVar("T")


@dataclass
class Run:
    """What every step is given. `report` may raise to stop the work; what is saved by then is kept."""

    config: RunConfig
    files: Workspace
    bundles: Path
    report: Report
    device: str = "cpu"
    n_done: int = 0
    n_total: int = 1
    told: float = field(default_factory=time.monotonic)

    @cached_property
    def corpus(self) -> Corpus:
        from compute.steps.corpus import tokenized_corpus

        return tokenized_corpus(self)

    def tell(self, n_done: int, n_total: int) -> None:
        """Report progress, not too often."""
        self.n_done, self.n_total = n_done, n_total
        self.keep_alive()

    def keep_alive(self) -> None:
        """Report that work goes on."""
        if time.monotonic() - self.told >= REPORT_EVERY:
            self.report(self.n_done, self.n_total)
            self.told = time.monotonic()

    def wait_for(self, work: Callable[[], T]) -> T:
        """Do one long piece of work that cannot report by itself, and report while it lasts."""
        results: list[T] = []
        errors: list[BaseException] = []

        def target() -> None:
            try:
                results.append(work())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        is_working = True
        while is_working:
            thread.join(timeout=1.0)
            is_working = thread.is_alive()
            self.keep_alive()
        if errors:
            raise errors[0]
        return results[0]


class SaveTimer:
    """Says when enough time has passed since the last save."""

    def __init__(self) -> None:
        self.since = time.monotonic()

    def is_due(self) -> bool:
        if time.monotonic() - self.since < SAVE_EVERY:
            return False
        self.since = time.monotonic()
        return True
