"""What tests of several folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

CACHE = Path(__file__).parent.parent / ".cache"

for _name in ("QW_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before anything imports numpy or torch
    os.environ.setdefault(_name, "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="also the long fault tests, as `make faults` does")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of the whole set run when they are asked for: `make faults`, or pytest --whole."""
    if config.getoption("--whole"):
        return
    left_out = [item for item in items if item.get_closest_marker("whole")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def alone(name: str) -> FileLock:
    """What several test processes would make at once is made by one of them."""
    CACHE.mkdir(exist_ok=True)
    return FileLock(CACHE / f"{name}.lock")


@pytest.fixture(autouse=True)
def derived_elsewhere(monkeypatch, tmp_path_factory) -> None:
    """What pages work out lies in a folder of the test's own, never in the project's."""
    monkeypatch.setattr("django.conf.settings.DERIVED_DIR", tmp_path_factory.mktemp("derived"))


@pytest.fixture(scope="session")
def small_bundle() -> Path:
    """A published bundle of real clusters; not to be written to."""
    from tests.small import cached_small_bundle

    with alone("small"):
        return cached_small_bundle(CACHE)


@pytest.fixture(scope="session")
def tiny_suite() -> Path:
    """A folder of three very small trained networks, their tokenizer and a corpus; not to be written to."""
    from tests.tiny import cached_tiny_suite

    with alone("tiny"):
        return cached_tiny_suite(CACHE)
