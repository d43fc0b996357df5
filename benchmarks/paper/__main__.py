"""`python -m benchmarks.paper FOLDER [--scale 0.01]` writes a made-up bundle of the paper's size."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.paper.bundle import make_bundle
from benchmarks.paper.plan import STEPPED, Plan
from compute.errors import ComputeError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the bundle's folder is made")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the paper's predictions and tokens")
    parser.add_argument("--stepped", type=int, default=2, choices=range(1, len(STEPPED) + 1), metavar="N",
                        help="networks with all 143 training steps (9 GB each)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    since = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - since:6.1f} s  {text}", flush=True)

    try:
        path = make_bundle(asked.folder, Plan(asked.scale, asked.stepped, asked.seed), say)
    except ComputeError as error:
        print(error, file=sys.stderr)
        return 1
    say(str(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
