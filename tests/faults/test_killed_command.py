"""A run on the command line, killed at ten random moments, ends with the hash of one that was left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compute.bundle import open_bundle
from tests.tiny import CLUSTERED, MAX_LENGTH, WIDTHS

N_KILLS = 10
_KILLER = """
import json, os, random, shutil, signal, sys, time
import sklearn.cluster, torch, transformers
import compute.numerics.losses, compute.numerics.spectral, compute.numerics.vectors, compute.numerics.loss_summary
import compute.pipeline, compute.steps.blocks, compute.steps.gradients, compute.steps.losses
import compute.steps.run, compute.steps.similarity
from compute.cli import main

compute.steps.run.SAVE_EVERY = 0.0
compute.steps.losses.PREDICTIONS_PER_BLOCK = 300
compute.steps.gradients.NUMBERS_PER_FILE = 14_256 * 2
compute.steps.similarity.COLUMNS_PER_CHUNK = 512
compute.pipeline.TOKENS_PER_SHARD = 10
arguments, out, n_kills = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])


def start(folder):
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        os._exit(main([*arguments, "--out", folder]))
    return child


def ended(child, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.01)
    return False


began = time.monotonic()
assert os.waitpid(start(out + "/whole"), 0)[1] == 0
seconds = time.monotonic() - began
rng, n_killed = random.Random(0), 0
while n_killed < n_kills:
    child = start(out + "/killed")
    if ended(child, rng.uniform(0.05, 0.6) * seconds):
        shutil.rmtree(out + "/killed")  # it ended before it was killed: from the beginning
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        n_killed += 1
assert os.waitpid(start(out + "/killed"), 0)[1] == 0
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", [("exact",), ("sketch", "--sketch-size", "1024")], ids=lambda mode: mode[0])
def test_ten_kills_at_random_moments_leave_the_same_bundle(
    tiny_suite: Path, tmp_path: Path, mode: tuple[str, ...]
) -> None:
    folders = [f"{lm}/step{step}={tiny_suite / lm / f'step{step}'}" for lm in WIDTHS for step in (0, 120)]
    arguments = [
        *("qdg", "--suite-folder", *folders, "--tokenizer", f"{tiny_suite}/tokenizer.json", "--mode", *mode),
        *("--clustered", CLUSTERED, "--corpus", f"{tiny_suite}/text.jsonl", "--max-length", str(MAX_LENGTH)),
        *("--tokens", "40", "--threshold", "0.5", "--ks", "2,3,5,9,12", "--n-init", "5"),
    ]
    command = [sys.executable, "-c", _KILLER, json.dumps(arguments), str(tmp_path), str(N_KILLS)]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    whole, killed = (next((tmp_path / name).glob("own-*")) for name in ("whole", "killed"))
    assert open_bundle(killed).sha256 == open_bundle(whole).sha256
    attempts = open_bundle(killed).run["attempts"]
    assert attempts > 1, "no shard was ever interrupted"
