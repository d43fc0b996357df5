"""Feed inputs to targets under limits: python -m tests.fuzz.run COUNT [SEED] [TARGET …]; prints one line of JSON.

An input that breaks something is kept in tests/fuzz/cases as TARGET-HASH, where `test_cases.py` tries it ever after.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantaweb.settings")

CASES = Path(__file__).with_name("cases")
MOST_SECONDS, MOST_BYTES = 5, 600_000_000  # of one input; beyond what the process holds at first


class TooSlow(BaseException):
    """An input took longer than anybody waits."""


def feed(target: Any, raw: bytes) -> str:
    """Why the input broke the target; empty where it was taken or refused."""
    from tests.fuzz.targets import REFUSALS

    try:
        target.read(raw)
    except REFUSALS as error:
        return "" if str(error).strip() else f"{type(error).__name__} without a sentence"
    except TooSlow:
        return f"longer than {MOST_SECONDS} s"
    except Exception:
        return traceback.format_exc()[-1500:]
    return ""


def limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def run(count: int, seed: int, names: list[str]) -> dict[str, Any]:
    import django

    django.setup()
    from tests.fuzz.targets import targets

    warnings.simplefilter("ignore")
    found: dict[str, Any] = {"inputs": 0, "slowest_seconds": 0.0, "slowest": "", "broken": {}}
    with tempfile.TemporaryDirectory(prefix="qw-fuzz-") as folder:
        known = {name: one for name, one in targets(Path(folder)).items() if not names or name in names}
        shares = sum(one.share for one in known.values())
        for target in known.values():  # what they import counts for nothing
            feed(target, b"")
        limit_memory()
        signal.signal(signal.SIGALRM, _too_slow)
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        for name, target in known.items():
            rng = random.Random(f"{seed} {name}")
            for _ in range(max(1, count * target.share // shares)):
                _one(name, target, target.make(rng), found)
        seconds = time.monotonic() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return found | {"targets": len(known), "inputs_per_second": found["inputs"] / seconds, "megabytes_grown": grown}


def _one(name: str, target: Any, raw: bytes, found: dict[str, Any]) -> None:
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    began = time.process_time()
    try:
        problem = feed(target, raw)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = time.process_time() - began
    found["inputs"] += 1
    if seconds > found["slowest_seconds"]:
        found["slowest_seconds"], found["slowest"] = seconds, name
    if problem and len(found["broken"]) < 40:
        case = f"{name}-{hashlib.sha256(raw).hexdigest()[:10]}"
        found["broken"][case] = problem
        if os.environ.get("QW_KEEP_CASES"):
            (CASES / case).write_bytes(raw)


def _too_slow(*_: object) -> None:
    raise TooSlow


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, sys.argv[3:])))
