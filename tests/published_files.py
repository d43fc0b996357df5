"""A small file of published labels, and one of contexts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LABELS: dict[str, Any] = {"2": [[0, 1, 1, 0, 1, 1], [1, 0, 0, 0, 0, 1]], "3": [[2, 0, 1, 2, 0, 0], [0, 0, 1, 1, 2, 2]]}
CONTEXTS: dict[str, Any] = {  # not in the order of their flat indices
    "31": {"context": ["the", " cat"], "answer": " sat"},
    "7": {"context": ["\n"], "answer": "    "},
    "1000": {"context": [" été", "日", "<b>"], "answer": "=cmd"},
    "12": {"context": ["the"], "answer": " cat"},
    "900": {"context": ["(", ")"], "answer": "\x00"},
    "45": {"context": ["a", "b", "c", "d"], "answer": " cat"},
}


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path
