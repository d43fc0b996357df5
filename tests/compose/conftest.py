"""The stack that the walk goes through; everything of it is removed at the end, whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx
import pytest

from tests.compose.pages import send
from tests.compose.stack import SERVICES, Stack, build_images, engine, say
from tests.faults.figures import measured

__all__ = ["measured"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it takes minutes, and talks to containers."""
    for item in items:
        if "tests/compose/test_walk.py" in item.nodeid:
            item.add_marker(pytest.mark.enable_socket)
            item.add_marker(pytest.mark.timeout(2400))


@pytest.fixture(scope="session")
def sizes() -> dict[str, float]:
    """The images' sizes in MB, after they were built."""
    found = engine()
    if found is None:
        pytest.skip("neither podman with podman-compose nor Docker with Compose is installed")
    return build_images(found[0])


@pytest.fixture(scope="session")
def stack(sizes: dict[str, float], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("site"), f"quantaweb-test-{os.getpid()}")
    try:
        stack.up()
        for service in SERVICES:
            if service != "migrate":
                stack.wait_healthy(service)
        say("everything is healthy")
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="session")
def admin(stack: Stack) -> Iterator[httpx.Client]:
    """A browser in which the first administrator has signed in by the link that the terminal printed."""
    link = stack.manage("sign_in_link", "--base", stack.base).strip()
    with stack.browser() as browser:
        answer = send(browser, link, {})
        assert "You are signed in as admin" in answer.text
        yield browser
