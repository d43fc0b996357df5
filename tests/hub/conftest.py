"""A Hub on loopback, and no waiting for it."""

import pytest

from compute.hub import patience
from tests.hub.fake import fake_hub  # noqa: F401  (a fixture)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited, in order."""
    waited: list[float] = []
    monkeypatch.setattr(patience, "rest", lambda seconds, *, tell: waited.append(seconds))
    return waited
