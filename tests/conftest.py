"""What tests of several folders share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small import REPOSITORY, cached_small_bundle
from tests.tiny import cached_tiny_suite


@pytest.fixture(scope="session")
def small_bundle() -> Path:
    """A published bundle of real clusters; not to be written to."""
    return cached_small_bundle(REPOSITORY / ".cache")


@pytest.fixture(scope="session")
def tiny_suite() -> Path:
    """A folder of three very small trained networks, their tokenizer and a corpus; not to be written to."""
    return cached_tiny_suite(REPOSITORY / ".cache")
