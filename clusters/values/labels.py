"""What lists of labels and of notes are narrowed by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LabelFilter:
    """Which labels a list holds; what is empty or None narrows nothing."""

    run: str = ""
    affinity: str = ""
    k: int | None = None
    cluster: int | None = None  # its label within the clustering
    tag: str = ""
    kind: str = ""
    state: str = ""
    origin: str = ""
    author: str = ""
    text: str = ""
    is_mine: bool = False


@dataclass(frozen=True)
class NoteFilter:
    """Which notes a list holds; what is empty or None narrows nothing."""

    run: str = ""
    author: str = ""
    text: str = ""
    token: int | None = None  # flat index
    is_mine: bool = False
    is_bookmarked: bool = False
