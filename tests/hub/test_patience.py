"""Waiting: in short pieces, as long as was asked, one process at a time."""

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from compute.errors import Cancelled
from compute.hub import patience
from compute.hub.patience import alone, asked_pause, rest


def answer(status: int, **headers: str) -> HfHubHTTPError:
    response = httpx2.Response(status, headers=headers, request=httpx2.Request("GET", "http://127.0.0.1/"))
    return HfHubHTTPError("no", response=response)


def test_a_rest_is_as_long_as_it_should_be_and_is_told_of_every_second(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(patience.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    told = []
    rest(2.5, tell=lambda: told.append(clock[0]))
    assert told == [100.0, 101.0, 102.0]
    assert clock == [102.5]


def test_a_rest_ends_when_the_work_has_to_end():
    def stop():
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        rest(60.0, tell=stop)


def test_a_date_to_wait_for_becomes_seconds():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert asked_pause(answer(503, **{"Retry-After": date})) == pytest.approx(90, abs=2)


def test_nothing_asked_is_no_pause():
    assert asked_pause(answer(503)) == 0
    assert asked_pause(answer(503, **{"Retry-After": "soon"})) == 0
    assert asked_pause(answer(200, RateLimit='"api";r=4;t=33')) == 0


def test_a_lock_is_held_by_one_and_the_other_tells_while_it_waits(tmp_path):
    has_told, order = threading.Event(), []

    def second():
        with alone(tmp_path / "a" / "lock", tell=has_told.set):
            order.append("second")

    with alone(tmp_path / "a" / "lock", tell=lambda: None):
        thread = threading.Thread(target=second)
        thread.start()
        assert has_told.wait(20)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]
