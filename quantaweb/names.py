"""Settings that are none: a slip of the pen in a name would be heard by nobody."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_READERS = ("settings.py", "env.py", "providers.py")
ELSEWHERE = frozenset(
    {
        *("QW_SITE", "QW_BACKUPS", "QW_OUTER_PROXIES", "QW_VERSION", "QW_HTTP_PORT", "QW_HTTPS_PORT"),  # compose
        *("QW_WEB_MEMORY", "QW_WORKER_MEMORY", "QW_GPU_WORKER_MEMORY", "QW_DATABASE_MEMORY", "QW_GPU"),  # compose
        *("QW_CPU_WORKERS", "QW_CPU_QUEUES", "QW_PRIVATE_ADDRESS", "QW_DATA"),  # compose
        *("QW_THREADS", "QW_HUB_CACHE"),  # what computes, without Django
        *("QW_FAULT_FIGURES", "QW_FUZZ_EXAMPLES", "QW_PEOPLE", "QW_WRITES", "QW_KEY"),  # tests and measurements
    }
)


def known() -> frozenset[str]:
    """Every name that something reads."""
    sources = "".join((_HERE / name).read_text(encoding="utf-8") for name in _READERS)
    return frozenset(re.findall(r"\bQW_[A-Z0-9_]*[A-Z0-9]\b", sources)) | ELSEWHERE


def unknown(environment: Mapping[str, str] = os.environ) -> list[tuple[str, str]]:
    """Names in the environment that nothing reads, each with the one that is most like it, or nothing."""
    names = known()
    ours = [name for name in sorted(environment) if name.startswith("QW_")]
    strange = [name for name in ours if not {name, name.removesuffix("_FILE")} & names]
    return [(name, next(iter(difflib.get_close_matches(name, names, n=1)), "")) for name in strange]
