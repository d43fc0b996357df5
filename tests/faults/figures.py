"""What the fault tests measured: one line of JSON each; `make faults` writes docs/reliability.md's table from them.

A test that has just shown a promise says so: `measured(1, "a worker's child is killed", seconds_until_queued=3.1)`.
Nothing is written where a test fails before it. Rows are numbered as in docs/reliability.md.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FILE = "QW_FAULT_FIGURES"  # the environment variable that names the file; without it nothing is kept
Measured = Callable[..., None]


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Keep figures of a fault row: its number, what was done to it, and any numbers, under the test's own name."""

    def keep(
        row: int, what: str, *, runner: str = "", database: str = "", scale: str = "tenth", **figures: Any
    ) -> None:
        if not database and "site" in request.fixturenames:
            database = str(request.node.callspec.params.get("site", "")) if hasattr(request.node, "callspec") else ""
        line = {
            "row": row,
            "what": what,
            "runner": runner,
            "database": database,
            "scale": scale,
            "figures": figures,
            "test": request.node.nodeid,
            "at": round(time.time()),
        }
        if file := os.environ.get(FILE):
            with Path(file).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")

    return keep
