from __future__ import annotations

import pytest

from tests.databases import postgres_template, site, sqlite_template
from tests.faults.crew import crew
from tests.faults.figures import measured
from tests.postgres import postgres

__all__ = ["crew", "measured", "postgres", "postgres_template", "site", "sqlite_template"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of the whole set run when they are asked for: `make faults`, or pytest --whole."""
    if config.getoption("--whole"):
        return
    left_out = [item for item in items if item.get_closest_marker("whole")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
