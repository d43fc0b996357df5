"""Tens of thousands of inputs that are nearly right: none breaks what reads it, none hangs, none takes the memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SEEDS = 5


def fuzzed(count: int, seed: int, data: Path) -> dict[str, Any]:
    """What a process of its own, with a limit on its memory, made of so many inputs."""
    import os

    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", str(count), str(seed)], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "QW_DATA_DIR": str(data)}, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def require_quiet(found: dict[str, Any]) -> None:
    assert not found["broken"], "\n".join(f"{case}\n{text}" for case, text in list(found["broken"].items())[:5])
    assert found["slowest_seconds"] < 5
    assert found["megabytes_grown"] < 200


def test_a_few_thousand_inputs_break_nothing(tmp_path: Path, measured: Any) -> None:
    found = fuzzed(3000, 0, tmp_path)
    require_quiet(found)
    assert found["inputs"] > 2900
    assert found["targets"] > 15
    measured(14, "inputs made up for every reader", **{name: found[name] for name in FIGURES})


@pytest.mark.whole
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_inputs_break_nothing(tmp_path: Path, measured: Any) -> None:
    n_inputs, worst = 0, {"slowest_seconds": 0.0, "megabytes_grown": 0.0, "inputs_per_second": 1e9}
    for seed in range(1, SEEDS + 1):
        found = fuzzed(21_000, seed, tmp_path)
        require_quiet(found)
        n_inputs += found["inputs"]
        for name in ("slowest_seconds", "megabytes_grown"):
            worst[name] = max(worst[name], found[name])
        worst["inputs_per_second"] = min(worst["inputs_per_second"], found["inputs_per_second"])
    assert n_inputs >= 100_000
    measured(14, "inputs made up for every reader, the whole set", inputs=n_inputs, broken=0, **worst)


FIGURES = ("inputs", "targets", "inputs_per_second", "slowest_seconds", "slowest", "megabytes_grown")
