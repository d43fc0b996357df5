from tests.faults.conftest import pytest_collection_modifyitems
from tests.faults.figures import measured

__all__ = ["measured", "pytest_collection_modifyitems"]
