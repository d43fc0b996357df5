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
    pieces = _shared(old[:start], new[:start])
    pieces += _middle(old[start : len(old) - end], new[start : len(new) - end])
    pieces += _shared(old[len(old) - end :], new[len(new) - end :])
    return _joined(pieces)


def _n_shared(old: list[str], new: list[str]) -> int:
    """How many words two lists have in common at their beginning, whatever space follows each."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((i for i, (a, b) in pairs if a.rstrip() != b.rstrip()), min(len(old), len(new)))


def _shared(old: list[str], new: list[str]) -> list[Piece]:
    """The same words; where other space follows one, the space has changed."""
    pieces: list[Piece] = []
    for a, b in zip(old, new, strict=True):
        word = a if a == b else a.rstrip()
        pieces += [Piece("same", word), Piece("del", a[len(word) :]), Piece("ins", b[len(word) :])]
    return pieces


def _middle(old: list[str], new: list[str]) -> list[Piece]:
    if len(old) * len(new) > MOST_COMPARED:
        return [Piece("del", "".join(old)), Piece("ins", "".join(new))]
    bare_old, bare_new = [word.rstrip() for word in old], [word.rstrip() for word in new]
    pieces: list[Piece] = []
    for tag, i, j, m, n in SequenceMatcher(None, bare_old, bare_new, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces += _shared(old[i:j], new[m:n])
        else:
            pieces += [Piece("del", "".join(old[i:j])), Piece("ins", "".join(new[m:n]))]
    return pieces


def _joined(pieces: list[Piece]) -> list[Piece]:
    """The same pieces, neighbours of one kind made one, and none empty."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and piece.text and joined[-1].kind == piece.kind:
            joined[-1] = Piece(piece.kind, joined[-1].text + piece.text)
        elif piece.text:
            joined.append(piece)
    return joined
