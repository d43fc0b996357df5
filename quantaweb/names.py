"""Settings that are none: a slip of the pen in a name would be heard by nobody."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_READERS = ("settings.py", "env.py", "providers.py", "../compute/environment.py")
COMPOSE = frozenset(  # reads these by itself, and none of them from a file
    {
        *("QW_SITE", "QW_BACKUPS", "QW_OUTER_PROXIES", "QW_VERSION", "QW_HTTP_PORT", "QW_HTTPS_PORT"),
        *("QW_WEB_MEMORY", "QW_WORKER_MEMORY", "QW_GPU_WORKER_MEMORY", "QW_DATABASE_MEMORY", "QW_GPU"),
        *("QW_CPU_WORKERS", "QW_CPU_QUEUES", "QW_PRIVATE_ADDRESS", "QW_DATA"),
    }
)
MEASUREMENTS = frozenset({"QW_FAULT_FIGURES", "QW_FUZZ_EXAMPLES", "QW_PEOPLE", "QW_WRITES", "QW_KEY"})  # and tests


def known() -> frozenset[str]:
    """Every name that something reads."""
    sources = "".join((_HERE / name).read_text(encoding="utf-8") for name in _READERS)
    return frozenset(re.findall(r"\bQW_[A-Z0-9_]*[A-Z0-9]\b", sources)) | COMPOSE | MEASUREMENTS


def unknown(environment: Mapping[str, str] = os.environ) -> list[tuple[str, str]]:
    """Names in the environment that nothing reads, each with the one that is most like it, or nothing."""
    names = known()
    ours = [name for name in sorted(environment) if name.startswith("QW_")]
    read_from_files = names - COMPOSE - MEASUREMENTS
    strange = [name for name in ours if name not in names and name.removesuffix("_FILE") not in read_from_files]
    return [(name, _meant(name, names)) for name in strange]


def _meant(name: str, names: frozenset[str]) -> str:
    if (without := name.removesuffix("_FILE")) in names:
        return without
    return next(iter(difflib.get_close_matches(name, names, n=1)), "")
