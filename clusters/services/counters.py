"""What a web process counts while it answers: requests by route, their time, sign-ins that failed.

With PROMETHEUS_MULTIPROC_DIR every process writes its numbers into files there, named by its id, and whoever is asked
adds all of them up. Files of processes that have ended are folded into one, or a server that replaces its processes
would leave thousands, each read at every scrape.
"""

from __future__ import annotations

import logging
import os
from contextlib import closing
from pathlib import Path

from filelock import FileLock, Timeout
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 15, 60)
REQUEST_SECONDS = Histogram("quantaweb_request_seconds", "Until an answer began, by route", ["route"], buckets=BUCKETS)
RESPONSES = Counter("quantaweb_responses", "Answers by route and status", ["route", "status"])
SIGN_IN_FAILURES = Counter("quantaweb_sign_in_failures", "Wrong passwords")
_ENDED = 0  # the number under which processes that have ended are added up; no process has it
_LONGEST_WAIT = 5.0
logger = logging.getLogger(__name__)


def counted(folder: str) -> bytes:
    """The numbers of all processes that share the folder; without one, of this process.

    Nothing where another process keeps the files to itself: half of them would look as if counting had begun anew.
    """
    if not folder:
        return generate_latest(REGISTRY)
    try:
        with FileLock(Path(folder) / "fold.lock", timeout=_LONGEST_WAIT):  # no file goes while another one reads it
            fold(Path(folder))
            shared = CollectorRegistry()
            MultiProcessCollector(shared, folder)
            return generate_latest(shared)
    except Timeout:
        logger.warning("the numbers of requests are left out: another process has held them for %.0f s", _LONGEST_WAIT)
        return b""


def fold(folder: Path) -> int:
    """Add up the files of processes that have ended; give how many files went."""
    n = 0
    for file in sorted(folder.glob("*_*.db")):
        kind, _, process = file.stem.rpartition("_")
        if kind not in ("counter", "histogram") or not process.isdecimal() or _is_alive(int(process)):
            continue
        with closing(MmapedDict(str(folder / f"{kind}_{_ENDED}.db"))) as sums:
            for key, value, at, _ in MmapedDict.read_all_values_from_file(str(file)):
                sums.write_value(key, sums.read_value(key)[0] + value, at)
        file.unlink()
        n += 1
    return n


def _is_alive(process: int) -> bool:
    if process in (_ENDED, os.getpid()):
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
