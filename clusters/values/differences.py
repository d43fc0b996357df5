"""How two texts differ, word by word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

MOST_COMPARED = 250_000  # pairs of words; beyond, the part that differs counts as replaced as a whole
_WORDS = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True)
class Piece:
    """Words that two texts share, or that only the earlier ("del") or the later one ("ins") has."""

    kind: Literal["same", "del", "ins"]
    text: str


def word_changes(before: str, after: str) -> list[Piece]:
    """Pieces that, without the "ins", give the earlier text and, without the "del", the later one."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    start = _n_shared(old, new)
    end = _n_shared(old[start:][::-1], new[start:][::-1])
    mid_old, mid_new = old[start : len(old) - end], new[start : len(new) - end]
    pieces = [Piece("same", "".join(old[:start])), *_middle(mid_old, mid_new)]
    pieces.append(Piece("same", "".join(old[len(old) - end :])))
    return [piece for piece in pieces if piece.text]


def _n_shared(old: list[str], new: list[str]) -> int:
    """How many words two lists have in common at their beginning."""
    return next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def _middle(old: list[str], new: list[str]) -> list[Piece]:
    if len(old) * len(new) > MOST_COMPARED:
        return [Piece("del", "".join(old)), Piece("ins", "".join(new))]
    pieces: list[Piece] = []
    for tag, i, j, m, n in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(old[i:j])))
            continue
        pieces += [Piece("del", "".join(old[i:j])), Piece("ins", "".join(new[m:n]))]
    return pieces
