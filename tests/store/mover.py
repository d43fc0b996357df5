"""A process that moves one file: `python -m tests.store.mover put|fetch FILE SHA256`; says how its memory grew."""

import json
import re
import sys
from pathlib import Path

from compute.store.objects import open_store
from quantaweb import env


def peak_mb() -> float:
    """Of this process alone; what `getrusage` tells begins with its parent's."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main(action: str, path: Path, sha256: str, n_bytes: int) -> None:
    address = env.store()
    assert address is not None
    store = open_store(address)
    store.check()  # what libraries take is there from now on
    before = peak_mb()
    is_done = True
    if action == "put":
        store.put(path, sha256)
    else:
        is_done = store.fetch(sha256, n_bytes, path)
    print(json.dumps({"is_done": is_done, "grown_mb": peak_mb() - before}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
