"""Measure what the speed claims rest on: python -m benchmarks [name …]

Each benchmark runs a reference procedure and ours in the same process, in turn, on the same input, and
reports the median time of both, their ratio, and how far the results differ. Ratios travel between
machines; seconds do not.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import torch

from benchmarks import gradients, induction, losses, spectral
from benchmarks.case import Case

BENCHMARKS: dict[str, Callable[[], Case]] = {
    "losses": losses.case,
    "induction": induction.case,
    "gradients": gradients.case,
    "spectral": spectral.case,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which of {', '.join(BENCHMARKS)}; all when none is named"
    )
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'benchmark':<12}{'reference s':>13}{'ours s':>10}{'ratio':>8}  difference; input")
    for name in given.names or BENCHMARKS:
        run(name, BENCHMARKS[name](), given.repeats)


def run(name: str, case: Case, repeats: int) -> None:
    expected, found = case.reference(), case.ours()  # also warms both up
    difference = case.difference(expected, found)
    times: dict[str, list[float]] = {"reference": [], "ours": []}
    for _ in range(repeats):
        for side, procedure in (("reference", case.reference), ("ours", case.ours)):
            start = time.perf_counter()
            procedure()
            times[side].append(time.perf_counter() - start)
    reference, ours = (statistics.median(times[side]) for side in ("reference", "ours"))
    print(f"{name:<12}{reference:>13.3f}{ours:>10.3f}{reference / ours:>7.1f}×  {difference}; {case.about}", flush=True)


if __name__ == "__main__":
    main()
