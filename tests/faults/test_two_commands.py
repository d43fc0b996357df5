"""Two processes at one run at the same time: both end well, with one bundle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compute.bundle import open_bundle
from tests.tiny import CLUSTERED, MAX_LENGTH, WIDTHS

_TWO = """
import json, os, sys
from pathlib import Path
import sklearn.cluster, torch, transformers
import compute.numerics.losses, compute.numerics.spectral, compute.numerics.vectors, compute.numerics.loss_summary
import compute.pipeline, compute.steps.corpus, compute.steps.gradients, compute.steps.losses
import compute.steps.run, compute.steps.similarity
from compute.cli import main
from compute.config import RunConfig

compute.steps.run.SAVE_EVERY = 0.0
compute.steps.corpus.DOCUMENTS_PER_BATCH = 3
compute.steps.losses.PREDICTIONS_PER_BLOCK = 300
compute.steps.gradients.NUMBERS_PER_FILE = 14_256 * 2
compute.steps.similarity.COLUMNS_PER_CHUNK = 512
arguments, out, is_locked = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "commands"


def work():
    if is_locked:
        return main([*arguments, "--out", str(out)])
    stored = json.loads(next(out.glob(".work/own/config.*.json")).read_text())
    compute.pipeline.run_qdg(RunConfig.from_json(stored), out / "work", out)


def started():
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = work() or 0
        finally:
            os._exit(status)
    return child


if not is_locked:
    assert main([*arguments, "--only", "corpus", "--out", str(out)]) == 0  # for the settings
children = [started(), started()]
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["commands", "workers without a lock"])
def test_two_processes_at_one_run_end_with_the_same_bundle(tiny_suite: Path, tmp_path: Path, way: str) -> None:
    folders = [f"{lm}/step120={tiny_suite / lm / 'step120'}" for lm in WIDTHS]
    arguments = [
        *("qdg", "--suite-folder", *folders, "--tokenizer", f"{tiny_suite}/tokenizer.json", "--clustered", CLUSTERED),
        *("--corpus", f"{tiny_suite}/text.jsonl", "--max-length", str(MAX_LENGTH), "--tokens", "40", "--ks", "2,5,9"),
        *("--threshold", "0.5", "--n-init", "2"),
    ]
    command = [sys.executable, "-c", _TWO, json.dumps(arguments), str(tmp_path), way]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (bundle,) = tmp_path.glob("own-*")
    open_bundle(bundle).verify()
    assert (way == "commands") == ("Another process works in" in done.stderr)
