"""A Hub that cuts, crawls, refuses and lies: the right bytes come in the end, and what came once needs no Hub."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from compute.config import HubRef
from compute.errors import CheckpointError
from compute.hub import patience, transfer
from compute.hub.cache import folder_of
from compute.hub.fetch import fetch_checkpoint
from tests.hub.fake import FakeHub, fake_hub

__all__ = ["fake_hub"]
NET = HubRef("me/net")
WEIGHTS = bytes(range(256)) * 4000  # a megabyte
FILES = {"config.json": b'{"model_type": "gpt_neox"}', "model.safetensors": WEIGHTS, "tokenizer.json": b"{}"}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited, in order."""
    waited: list[float] = []
    monkeypatch.setattr(patience, "rest", lambda seconds, *, tell: waited.append(seconds))
    return waited


@pytest.fixture
def hub(fake_hub: FakeHub) -> FakeHub:
    fake_hub.add("me/net", FILES)
    return fake_hub


def weights() -> bytes:
    return (folder_of(NET) / "model.safetensors").read_bytes()


def test_everything_goes_wrong_at_once_and_the_right_bytes_come(hub: FakeHub, pauses: list[float], monkeypatch: Any,
                                                                measured: Any) -> None:  # fmt: skip
    monkeypatch.setattr(transfer, "TIMEOUT_SECONDS", 0.3)
    hub.fail("/api/models/", status=503)
    hub.fail("config.json", status=429, headers={"Retry-After": "7"})
    hub.fail("/cdn/", flipped=1000)  # a wrong hash
    hub.fail("/cdn/", cut_at=len(WEIGHTS) // 3)
    hub.fail("/cdn/", cut_at=len(WEIGHTS) // 3)
    hub.fail("/cdn/", seconds=1.0)  # slower than anybody waits
    fetch_checkpoint(NET)
    assert weights() == WEIGHTS
    resumed = [request.headers.get("range") for request in hub.asked("/cdn/")]
    assert any(one and not one.startswith("bytes=0-") for one in resumed), resumed
    assert 7 in pauses
    sent = sum(len(FILES[name]) for name in FILES)
    measured(12, "503, 429, a wrong hash, two cuts and a stall in one download", failures=6, bytes_right=sent,
             asked_again=len(pauses), seconds_that_429_asked=7)  # fmt: skip


def test_five_pauses_and_then_a_sentence(hub: FakeHub, pauses: list[float], measured: Any) -> None:
    hub.fail("/cdn/", status=500, times=99)
    with pytest.raises(CheckpointError, match="Start again later"):
        fetch_checkpoint(NET)
    assert pauses == [1, 2, 4, 8, 16]
    measured(12, "a Hub that keeps failing", pauses=len(pauses), seconds_waited=sum(pauses))


def test_a_hash_that_stays_wrong_leaves_nothing(hub: FakeHub, pauses: list[float], measured: Any) -> None:
    hub.fail("/cdn/", flipped=5, times=9)
    with pytest.raises(CheckpointError, match="arrived damaged 2 times"):
        fetch_checkpoint(NET)
    with pytest.raises(CheckpointError, match="is not here yet"):
        folder_of(NET)
    measured(12, "a hash that stays wrong", files_kept=0)


def test_what_came_once_needs_no_hub(hub: FakeHub, pauses: list[float], monkeypatch: Any, measured: Any) -> None:
    commit = fetch_checkpoint(NET).commit
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        again = fetch_checkpoint(NET)
        assert (again.commit, weights()) == (commit, WEIGHTS)
        assert "The Hub was not reached" in again.note
        hub.requests.clear()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert fetch_checkpoint(HubRef("me/net", commit)).note == ""
    assert hub.requests == []
    measured(12, "a cached revision without a network", requests=0)
