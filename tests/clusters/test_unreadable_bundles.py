"""A bundle that is moved away while its run is being read: said on every page, and over once it is back."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from clusters.stored.arrays import forget_bundles
from tests.factories import make_run

pytestmark = pytest.mark.django_db


def test_a_bundle_that_was_moved_away_is_said_and_read_again_once_it_is_back(client: Client, tmp_path: Path) -> None:
    forget_bundles()
    run = make_run(tmp_path)
    assert client.get("/runs/synthetic/").status_code == 200  # the bundle is open from here on, its curves are not
    folder = Path(run.bundle_path)
    away = folder.rename(tmp_path / "away")
    for _ in range(2):
        for address in ("/runs/synthetic/tokens/7/", "/runs/synthetic/documents/3.json"):
            response = client.get(address)
            assert response.status_code == 404
            assert "cannot be read" in response.content.decode()
    away.rename(folder)
    assert client.get("/runs/synthetic/tokens/7/").status_code == 200
