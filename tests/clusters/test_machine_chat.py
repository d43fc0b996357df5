"""Asking an endpoint: patience with a busy one, no trust in what comes, and nothing of the key anywhere."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from clusters.services import machine_chat
from clusters.services.machine_chat import EndpointError, chat
from tests.fake_chat import fake_chat, raw, said

KEY = "sk-very-secret"
ASKED = [{"role": "user", "content": "what do they share?"}]


def ask(server, *, sleeps=None, tick=lambda: None, key=KEY):
    slept = sleeps if sleeps is not None else []
    return chat(ASKED, url=server.url, lm="fake-8b", key=key, tick=tick, sleep=slept.append)


def test_the_answer_is_what_the_model_says_in_its_first_choice():
    with fake_chat(said("dashes")) as server:
        assert ask(server) == "dashes"
    asked = server.asked[0]
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.body == {"model": "fake-8b", "messages": ASKED, "stream": False}


def test_without_a_key_none_is_sent():
    with fake_chat(said("x")) as server:
        ask(server, key="")
    assert "Authorization" not in server.asked[0].headers


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_busy_endpoint_is_asked_again_after_growing_pauses(status):
    sleeps: list[float] = []
    with fake_chat(raw(b"", status), raw(b"", status), raw(b"", status), said("late")) as server:
        assert ask(server, sleeps=sleeps) == "late"
    assert len(server.asked) == 4
    assert sum(sleeps) == pytest.approx(1 + 2 + 4)


def test_five_tries_and_no_more():
    with fake_chat(raw(b"oops", 500)) as server, pytest.raises(EndpointError, match=r"fails \(500\), 5 times"):
        ask(server)
    assert len(server.asked) == 5


def test_the_pause_that_the_endpoint_asks_for_is_kept():
    sleeps: list[float] = []
    with fake_chat(raw(b"", 429, Retry_After="7"), said("x")) as server:
        ask(server, sleeps=sleeps)
    assert sum(sleeps) == pytest.approx(7)


def test_the_pause_may_be_a_date():
    sleeps: list[float] = []
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    with fake_chat(raw(b"", 503, Retry_After=moment), said("x")) as server:
        ask(server, sleeps=sleeps)
    assert 25 < sum(sleeps) < 31


@pytest.mark.parametrize("after", ["-5", "soon", "1e400", "", "Wed, 99 Foo 2099 00:00:00 GMT"])
def test_a_pause_that_makes_no_sense_is_ours(after):
    sleeps: list[float] = []
    with fake_chat(raw(b"", 429, Retry_After=after), said("x")) as server:
        assert ask(server, sleeps=sleeps) == "x"
    assert sum(sleeps) <= 1


def test_nobody_waits_for_hours():
    with fake_chat(raw(b"", 429, Retry_After="86400")) as server, pytest.raises(EndpointError, match="86,400 s"):
        ask(server)
    assert len(server.asked) == 1


def test_waiting_can_be_stopped():
    def stop():
        if len(server.asked) == 1:
            raise KeyboardInterrupt

    with fake_chat(raw(b"", 429, Retry_After="200")) as server, pytest.raises(KeyboardInterrupt):
        ask(server, tick=stop)


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (raw(b"<html>Sign in</html>"), "did not answer as an OpenAI-compatible API"),
        (raw(b"{}"), "did not answer as"),
        (raw(b"[" * 200_000), "did not answer as"),
        (raw(b'{"choices": [{"message": {"content": null}}]}'), "did not answer as"),
        (raw(b"\xff\xfe"), "did not answer as"),
        (raw(b'{"a": "' + b"x" * 10_000_000 + b'"}'), "more than 1,000,000 bytes"),
        (raw(b"not gzip", Content_Encoding="gzip"), "cannot be decoded"),
        (raw(b"", 302, Location="http://127.0.0.1:1/elsewhere"), "sends us elsewhere"),
        (raw(b"no", 401), "refuses the key"),
        (raw(b"no", 404), "refuses the question"),
    ],
)
def test_what_is_no_answer_is_told_and_not_asked_for_again(answer, match):
    with fake_chat(answer) as server, pytest.raises(EndpointError, match=match) as caught:
        ask(server)
    assert len(server.asked) == 1
    assert KEY not in str(caught.value)


def test_a_small_answer_that_unpacks_to_a_huge_one_is_cut_off():
    import gzip

    bomb = gzip.compress(b"0" * 50_000_000)
    with fake_chat(raw(bomb, Content_Encoding="gzip")) as server, pytest.raises(EndpointError, match="1,000,000 bytes"):
        ask(server)


def test_an_endpoint_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(machine_chat, "TIMEOUT", httpx2.Timeout(0.1))
    with (
        fake_chat(lambda asked: time.sleep(0.6)) as server,
        pytest.raises(EndpointError, match="did not answer in time, 5 times"),
    ):
        ask(server)


def test_an_answer_that_trickles_in_is_given_up(monkeypatch):
    monkeypatch.setattr(machine_chat, "MAX_SECONDS", 0.1)
    monkeypatch.setattr(machine_chat, "MAX_TRIES", 1)

    def trickle(asked):
        asked.send_response(200)
        asked.send_header("Content-Length", "1000000")
        asked.end_headers()
        for _ in range(40):
            asked.wfile.write(b" " * 70_000)
            time.sleep(0.05)

    with fake_chat(trickle) as server, pytest.raises(EndpointError, match="in time"):
        ask(server)


def test_an_endpoint_that_is_not_there_is_told(monkeypatch):
    with fake_chat(said("x")) as server:
        pass
    with pytest.raises(EndpointError, match="cannot be reached"):
        ask(server)


def test_the_key_stands_in_no_log(caplog):
    caplog.set_level(logging.DEBUG)
    with fake_chat(raw(KEY.encode(), 500)) as server, pytest.raises(EndpointError) as caught:
        ask(server)
    assert KEY not in caplog.text
    assert "what do they share" not in caplog.text
    assert KEY not in str(caught.value)
