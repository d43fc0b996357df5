"""The benchmark of sparse parity, on toy shapes: that the plain loop teaches what ours teaches."""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import parity
from compute.numerics.parity import Recipe

TOY = Recipe(n_tasks=4, n_bits=8, k=2, batch_size=60, test_points=200, task_points=100)


def test_the_plain_loop_asks_tasks_in_one_hot_form_with_the_right_answers() -> None:
    loop = parity.PlainLoop(TOY, 5, 0, "cpu")
    inputs, answers = loop.batch(np.array([3, 0, 2, 1]))
    codes, bits = inputs[:, :4], inputs[:, 4:].int()
    assert codes.argmax(1).tolist() == [0, 0, 0, 2, 2, 3]
    assert codes.sum(1).tolist() == [1] * 6
    for code, row, answer in zip(codes.argmax(1).tolist(), bits.tolist(), answers.tolist(), strict=True):
        assert sum(row[place] for place in loop.tasks.subsets[code]) % 2 == answer


def test_both_learn_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = dataclasses.replace(TOY, learning_rate=0.01)
    for name, value in (("SMALL", recipe), ("SMALL_WIDTH", 24), ("SMALL_STEPS", 120), ("SEEDS", range(3))):
        monkeypatch.setattr(parity, name, value)
    plain, ours = parity.plain_learning(), parity.our_learning()
    assert max(*plain, *ours) < 0.6
    assert abs(statistics.mean(plain) - statistics.mean(ours)) < 3 * (statistics.stdev(plain) + statistics.stdev(ours))


def test_its_command_times_both_and_keeps_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toys = {"PAPER": TOY, "SMALL": TOY, "ONE": (5,), "SWEEP": (3, 4), "SMALL_STEPS": 2, "SEEDS": range(2)}
    for name, value in toys.items():
        monkeypatch.setattr(parity, name, value)
    monkeypatch.setattr(
        sys, "argv", ["parity", "--steps", "1", "--repeats", "1", "--json", str(tmp_path / "figures.json")]
    )
    parity.main()
    figures = json.loads((tmp_path / "figures.json").read_text())["benchmarks"]
    assert [one["name"] for one in figures] == ["parity.network", "parity.sweep", "parity.learning"]
    assert all(one["median_ratio"] > 0 for one in figures)
