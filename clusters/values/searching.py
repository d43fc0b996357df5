"""What a search asks for: known to the form that reads it and to the queries that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MODES: Mapping[str, Sequence[str]] = {  # by where one looks; the first is the usual one
    "corpus": ("exact", "regex", "answer", "sequence"),
    "contexts": ("words", "exact", "regex"),
}
MOST_HITS = 10_000  # counted exactly; looking stops beyond
MOST_CHARS = 500


class NotSearchableError(ValueError):
    """Says in a sentence why something cannot be looked for, and what can."""


@dataclass(frozen=True)
class Question:
    """What to look for, and how."""

    text: str
    mode: str
    place: str = "corpus"
    ignores_case: bool = False  # exact text and regular expressions
    is_whole: bool = False  # answers: the token is the text, instead of holding it
