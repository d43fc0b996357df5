"""The network that losses and gradients are tested on."""

from __future__ import annotations

import pytest

from tests.compute.numerics.networks import Trained, train


@pytest.fixture(scope="session")
def trained() -> Trained:
    """Trained once; tests copy it before they change it."""
    return train()
