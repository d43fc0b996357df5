from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.store.address import store_address
from compute.store.bucket import BucketPlace
from compute.store.objects import Store, open_store
from tests.databases import postgres_template, site, sqlite_template
from tests.faults.figures import measured
from tests.postgres import postgres
from tests.store.service import BUCKET, Service

__all__ = ["measured", "postgres", "postgres_template", "site", "sqlite_template"]


@pytest.fixture(scope="session")
def _service() -> Iterator[Service]:
    found = Service()
    found.start()
    open_store(found.address()).place._s3.call_s3("create_bucket", Bucket=BUCKET)
    yield found
    found.stop()


@pytest.fixture
def service(_service: Service) -> Iterator[Service]:
    """The S3 service, in good order again after the test."""
    yield _service
    _service.refuse(0)
    _service.before = lambda method, path: None
    if _service._server is None:
        _service.start()
    _service.seen.clear()


@pytest.fixture(scope="session")
def _client(_service: Service) -> BucketPlace:
    """One client: making one takes half a second."""
    return BucketPlace(_service.address())


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "s3":
        request.getfixturevalue("service")
        place = copy.copy(request.getfixturevalue("_client"))
        place._root, place._prefix = f"{BUCKET}/{tmp_path.name}", f"{tmp_path.name}/"
        return Store(place, name="s3://test", patience=10)
    return request.getfixturevalue("files_store")


@pytest.fixture
def files_store(tmp_path: Path) -> Store:
    (tmp_path / "mounted").mkdir()
    address = store_address(f"file://{tmp_path / 'mounted'}")
    assert address is not None
    return open_store(address)
