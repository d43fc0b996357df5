"""Measure what the speed claims rest on: python -m benchmarks [name …] [--repeats N] [--json FILE]

Each benchmark runs a reference procedure and ours in the same process, in turn, on the same input. Printed are the
median seconds of both, the median and range of their ratio, the share of the matrix-product bound that each reaches
(the products' time is probed in every turn, between the two), and how far the results differ. Ratios travel between
machines; seconds do not. A reference below half of its own bound would be a straw man, and is said to be one.

A module of this package gives one ``case()``, or several in ``CASES``, a dict from name to function.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks.case import Case
from benchmarks.measure import measure
from benchmarks.probe import copy_rate, product_rate

MODULES = tuple(
    name
    for name in ("losses", "induction", "gradients", "similarity", "spectral", "stage", "parity")
    if find_spec(f"benchmarks.{name}")
)


def main() -> None:
    given = _arguments()
    cases = _cases(given.names)
    facts: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "before": _machine(),
        "benchmarks": [],
    }
    print(f"{facts['machine']}, {facts['cores']} cores, torch {facts['torch']}, {facts['threads']} threads")
    print(f"before: {_rates(facts['before'])}", flush=True)
    for name, function in cases.items():
        found = measure(name, function(), given.repeats)
        facts["benchmarks"].append(found.as_json())
        print(found.as_text(), flush=True)
    facts["after"] = _machine()
    print(f"after: {_rates(facts['after'])}")
    if given.json:
        given.json.write_text(json.dumps(facts, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of a module ({', '.join(MODULES)}) or of one case")
    parser.add_argument("--repeats", type=int, default=5, help="timed turns of each benchmark (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    given = parser.parse_args()
    if given.repeats < 1:
        parser.error("--repeats must be at least 1")
    return given


def _cases(names: list[str]) -> dict[str, Callable[[], Case]]:
    """The benchmarks named, all when none is; only their modules are imported."""
    cases: dict[str, Callable[[], Case]] = {}
    for module in MODULES:
        if not names or any(name.partition(".")[0] == module for name in names):
            cases |= _cases_of(module)
    for name in names:
        if not any(_is_meant(case, name) for case in cases):
            raise SystemExit(f"There is no benchmark {name!r}; choose among {', '.join(cases or MODULES)}.")
    return {case: make for case, make in cases.items() if not names or any(_is_meant(case, name) for name in names)}


def _cases_of(module: str) -> dict[str, Callable[[], Case]]:
    found = import_module(f"benchmarks.{module}")
    if not hasattr(found, "CASES"):
        return {module: found.case}
    return {f"{module}.{name}": case for name, case in found.CASES.items()}


def _is_meant(case: str, name: str) -> bool:
    return name in (case, case.partition(".")[0])


def _machine() -> dict[str, float]:
    return {"product_gflops": product_rate(), "copy_gbytes": copy_rate()}


def _rates(machine: dict[str, float]) -> str:
    return f"{machine['product_gflops']:.0f} GF/s float32 product, {machine['copy_gbytes']:.1f} GB/s copy"


if __name__ == "__main__":
    main()
