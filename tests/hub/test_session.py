"""Where the Hub sends us on to: https, and no private network."""

from __future__ import annotations

import httpx2
import pytest

from compute.errors import CheckpointError
from compute.hub import session


def _asked(address: str) -> None:
    session.refuse_elsewhere(httpx2.Request("GET", address))


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"files.example.org": "1.1.1.1", "inner.example.org": "10.0.0.7", "meta.example.org": "169.254.169.254"}

    def found(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host not in known:
            raise OSError("no such name")
        return [(2, 1, 6, "", (known[host], 0))]

    monkeypatch.setattr("socket.getaddrinfo", found)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example.org")


@pytest.mark.parametrize(
    "address", ["https://hub.example.org/a", "https://files.example.org/b", "https://unknown.example"]
)
def test_public_addresses_are_followed(address: str) -> None:
    _asked(address)


@pytest.mark.parametrize("address", ["https://inner.example.org/a", "https://meta.example.org/latest"])
def test_an_address_within_a_private_network_is_not(address: str) -> None:
    with pytest.raises(CheckpointError, match="private network"):
        _asked(address)


def test_nor_one_without_https() -> None:
    with pytest.raises(CheckpointError, match="without https"):
        _asked("http://files.example.org/a")


def test_a_mirror_that_the_operator_names_may_lie_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://inner.example.org")
    _asked("https://inner.example.org/models")


def test_every_request_to_the_hub_is_looked_at() -> None:
    assert session.refuse_elsewhere in session.session().event_hooks["request"]
