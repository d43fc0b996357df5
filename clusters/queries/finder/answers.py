"""Which entries of a vocabulary an answer filter means, found in their bytes."""

from __future__ import annotations

import numpy as np

from clusters.display import NEWLINE, TAB
from compute.numerics.vocabulary import Vocabulary

_PICTURES = {NEWLINE: "\n", TAB: "\t", "␣": " "}  # as lists of tokens show them


def ids_of_answer(vocabulary: Vocabulary, text: str, *, is_whole: bool) -> np.ndarray:
    """Ids of the tokens that hold the text, ASCII letters in either case; or of those that are it, letter by letter."""
    for picture, character in _PICTURES.items():
        text = text.replace(picture, character)
    raw, wanted, offsets = vocabulary.bytes.tobytes(), text.encode(), vocabulary.offsets
    starts = _places(raw, wanted) if is_whole else _places(raw.lower(), wanted.lower())
    ids = np.searchsorted(offsets, starts, side="right") - 1
    ends = starts + len(wanted)
    kept = ends <= offsets[ids + 1]
    if is_whole:
        kept &= (starts == offsets[ids]) & (ends == offsets[ids + 1])
    return np.unique(ids[kept])


def _places(raw: bytes, wanted: bytes) -> np.ndarray:
    """Where some bytes occur, overlapping or not."""
    places, at = [], raw.find(wanted) if wanted else -1
    while at >= 0:
        places.append(at)
        at = raw.find(wanted, at + 1)
    return np.array(places, np.int64)
