"""A run on the command line, killed at ten random moments, ends with the hash of one that was left alone."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compute.bundle import open_bundle
from tests.tiny import CLUSTERED, MAX_LENGTH, WIDTHS

N_KILLS = 10
_EAGER = """
import sys
import compute.numerics.losses, compute.pipeline, compute.steps.blocks, compute.steps.gradients, compute.steps.losses
import compute.steps.run, compute.steps.similarity
compute.steps.run.SAVE_EVERY = 0.0
compute.steps.losses.PREDICTIONS_PER_BLOCK = 300
compute.steps.gradients.NUMBERS_PER_FILE = 14_256 * 2
compute.steps.similarity.COLUMNS_PER_CHUNK = 512
compute.pipeline.TOKENS_PER_SHARD = 10
from compute.cli import main
raise SystemExit(main(sys.argv[1:]))
"""


def _command(suite: Path, out: Path, *more: str) -> list[str]:
    folders = [f"{lm}/step{step}={suite / lm / f'step{step}'}" for lm in WIDTHS for step in (0, 120)]
    return [
        *(sys.executable, "-c", _EAGER, "qdg", "--suite-folder", *folders, "--tokenizer", f"{suite}/tokenizer.json"),
        *("--clustered", CLUSTERED, "--corpus", f"{suite}/text.jsonl", "--max-length", str(MAX_LENGTH)),
        *("--tokens", "40", "--threshold", "0.5", "--ks", "2,3,5,9,12", "--n-init", "5", "--out", str(out), *more),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [("--mode", "exact"), ("--mode", "sketch", "--sketch-size", "1024")], ids=lambda m: m[1]
)
def test_ten_kills_at_random_moments_leave_the_same_bundle(
    tiny_suite: Path, tmp_path: Path, mode: tuple[str, ...]
) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    undisturbed = subprocess.run(
        _command(tiny_suite, tmp_path / "a", *mode), env=environment, capture_output=True, text=True, check=True
    )
    seconds = time.monotonic() - began
    rng = random.Random(len(mode))
    n_killed = 0
    while n_killed < N_KILLS:
        process = subprocess.Popen(
            _command(tiny_suite, tmp_path / "b", *mode),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=rng.uniform(0.3, 0.95) * seconds)
            shutil.rmtree(tmp_path / "b")  # it ended before it was killed: from the beginning
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            n_killed += 1
        assert process.stdout is not None
        process.stdout.close()
    last = subprocess.run(
        _command(tiny_suite, tmp_path / "b", *mode), env=environment, capture_output=True, text=True, check=True
    )
    assert open_bundle(Path(last.stdout.strip())).sha256 == open_bundle(Path(undisturbed.stdout.strip())).sha256
