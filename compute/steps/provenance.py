"""What stands beside a bundle's hash: when, where, how often tried, and with which versions."""

from __future__ import annotations

import contextlib
import hashlib
import platform
import subprocess
import time
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

from compute.errors import StorageError
from compute.workspace import Workspace

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "transformers", "tokenizers", "safetensors", "umap-learn")
ROOT = Path(__file__).resolve().parents[2]
PARTS = ("clusters", "compute", "quantaweb")  # the folders of its sources, in an image too
_STAMP = "log"


class ShardLog:
    """Counts a shard's attempts and seconds while the shard is at work."""

    def __init__(self, files: Workspace, ordinal: int, phase: str) -> None:
        self.files = files
        self.name = f"log/{ordinal:05d}"
        past = files.load_json(self.name, _STAMP) or {"attempts": 0, "seconds": 0.0, "started": _now()}
        self.entry = past | {"phase": phase, "attempts": past["attempts"] + 1}
        self.before = past["seconds"]

    def __enter__(self) -> None:
        self.since = time.monotonic()
        self.files.save_json(self.name, self.entry, _STAMP)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        seconds = self.before + time.monotonic() - self.since
        files = self.files if kind is None else self.files.here  # what failed may be the store
        with contextlib.suppress(StorageError):  # a full disk has its own sentence, from the work itself
            files.save_json(self.name, self.entry | {"seconds": seconds}, _STAMP)


def run_facts(
    files: Workspace, n_shards: int, device: str, config: dict[str, Any], *, bundle_seconds: float
) -> dict[str, Any]:
    """Content of a bundle's run.json."""
    logs = [files.load_json(f"log/{ordinal:05d}", _STAMP) for ordinal in range(n_shards)]
    entries = [entry for entry in logs if entry is not None]
    seconds: dict[str, float] = {}
    for entry in entries:
        seconds[entry["phase"]] = round(seconds.get(entry["phase"], 0.0) + entry["seconds"], 3)
    seconds["bundle"] = round(seconds.get("bundle", 0.0) + bundle_seconds, 3)
    return {
        "started": min((entry["started"] for entry in entries), default=_now()),
        "finished": _now(),
        "attempts": max((entry["attempts"] for entry in entries), default=1),
        "seconds": seconds,
        "host": {"name": platform.node(), "system": platform.platform(), "machine": platform.machine()},
        "device": device,
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "code": code_version(),
        "config": config,
    }


def code_version(root: Path = ROOT) -> str:
    """The commit that this code was checked out at; where there is none, as in an image, a hash of its sources."""
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass
    return f"sources-{_hash_of_sources(root)[:12]}"


@lru_cache
def _hash_of_sources(root: Path) -> str:
    """SHA-256 of every Python file of the project, by its path."""
    digest = hashlib.sha256()
    for file in sorted(file for part in PARTS for file in (root / part).rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
