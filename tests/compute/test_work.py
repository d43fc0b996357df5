"""Long work that cannot report by itself: it is told of while it computes, and is silent while it waits."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from compute import processor
from compute.processor import Processor
from compute.steps import run
from compute.steps.run import Work
from compute.workspace import Workspace


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    monkeypatch.setattr(run, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(run, "REPORT_EVERY", 0.0)
    monkeypatch.setattr(processor, "LEAST_SECONDS", 0.05)
    monkeypatch.setattr(processor, "LEAST_SHARE", 0.2)
    return []


def _work(folder: Path, reports: list[tuple[int, int]]) -> Work:
    return Work(files=Workspace(folder), report=lambda *numbers: reports.append(numbers), n_total=7)


def _compute(seconds: float) -> str:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(10_000))
    return "found"


def test_what_computes_is_told_of_while_it_lasts(tmp_path: Path, reports: list[tuple[int, int]]) -> None:
    assert _work(tmp_path, reports).wait_for(lambda: _compute(0.4)) == "found"
    assert len(reports) >= 3
    assert set(reports) == {(0, 7)}


def test_what_only_waits_is_silent(tmp_path: Path, reports: list[tuple[int, int]]) -> None:
    never, said = threading.Event(), []

    def waiting() -> None:
        never.wait(0.6)
        said.extend(reports)

    _work(tmp_path, reports).wait_for(waiting)
    assert said == []
    assert reports == [(0, 7)]  # it has come back


def test_what_fails_raises_where_it_is_waited_for(tmp_path: Path, reports: list[tuple[int, int]]) -> None:
    with pytest.raises(ZeroDivisionError):
        _work(tmp_path, reports).wait_for(lambda: 1 // 0)


@pytest.mark.parametrize(
    ("seconds", "used", "busy"),
    [(1.0, 0.4, False), (1.0, 0.6, True), (900.0, 9.0, False), (900.0, 30.0, True), (0.1, 0.1, False)],
)
def test_busy_is_a_fiftieth_of_a_core_and_half_a_second(
    monkeypatch: pytest.MonkeyPatch, seconds: float, used: float, busy: bool
) -> None:
    one = Processor()
    now, before = one._at + seconds, one._used + used
    monkeypatch.setattr("compute.processor.time.monotonic", lambda: now)
    monkeypatch.setattr("compute.processor.time.process_time", lambda: before)
    assert one.is_busy() is busy
    assert not one.is_busy()
