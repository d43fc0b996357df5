"""One run at work: its settings, its files, and whom to tell of progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from compute.config import RunConfig
from compute.processor import Processor
from compute.workspace import Workspace

if TYPE_CHECKING:
    from compute.steps.corpus import Corpus

REPORT_EVERY = 0.2  # seconds
LOOK_EVERY = 1.0  # seconds between looks at what is waited for
SAVE_EVERY = 15.0  # seconds; half of what a kill may cost
COLUMNS = "columns"
Report = Callable[[int, int], None]
T = TypeVar("T")


@dataclass(kw_only=True)
class Work:
    """Files, and whom to tell of progress. `report` may raise to stop the work; what is saved by then is kept."""

    files: Workspace
    report: Report
    device: str = "cpu"
    n_done: int = 0
    n_total: int = 1
    told: float = field(default_factory=time.monotonic)

    def tell(self, n_done: int, n_total: int) -> None:
        """Report progress, not too often."""
        self.n_done, self.n_total = n_done, n_total
        self.keep_alive()

    def teller(self, n_before: int, n_total: int) -> Callable[[int], None]:
        """A callback for work that counts from 0 again after `n_before` are done."""
        return lambda n_done: self.tell(n_before + n_done, n_total)

    def keep_alive(self) -> None:
        """Report that work goes on."""
        if time.monotonic() - self.told >= REPORT_EVERY:
            self.report(self.n_done, self.n_total)
            self.told = time.monotonic()

    def wait_for(self, work: Callable[[], T]) -> T:
        """Do one long piece of work that cannot report by itself, and report as long as it uses the processor.

        What waits for something that never comes (a dead file server, a lock) falls silent, so that it is noticed.
        """
        results: list[T] = []
        errors: list[BaseException] = []

        def target() -> None:
            try:
                results.append(work())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        processor = Processor()
        while thread.is_alive():
            thread.join(timeout=LOOK_EVERY)
            if processor.is_busy():
                self.keep_alive()
        self.keep_alive()
        if errors:
            raise errors[0]
        return results[0]


@dataclass(kw_only=True)
class Run(Work):
    """What every step of the method is given."""

    config: RunConfig
    bundles: Path
    tokens: np.ndarray | None = None  # flat indices to compare, ascending; None for those that the settings select
    is_selecting: bool = True  # whether the clustered network's losses choose tokens

    @cached_property
    def columns(self) -> Workspace:
        """Losses, shared with every run whose workspace lies beside this one's."""
        return Workspace(self.files.root.parent / COLUMNS, self.files.store, self.keep_alive)

    @cached_property
    def corpus(self) -> Corpus:
        from compute.steps.corpus import tokenized_corpus

        return tokenized_corpus(self)


class SaveTimer:
    """Says when enough time has passed since the last save."""

    def __init__(self) -> None:
        self.since = time.monotonic()

    def is_due(self) -> bool:
        if time.monotonic() - self.since < SAVE_EVERY:
            return False
        self.since = time.monotonic()
        return True
