"""Several tokens named in an address: `index=12,40,97` or `index=100-199`."""

from __future__ import annotations

import numpy as np
from django.core.exceptions import BadRequest
from rest_framework import serializers

from clusters.models import Run
from clusters.queries.missing import Missing

PATTERN = r"^[0-9]{1,18}(-[0-9]{1,18})?(,[0-9]{1,18}(-[0-9]{1,18})?)*$"
MAX_TOKENS = 1000
MAX_CHARACTERS = 20_000


class IndicesField(serializers.RegexField):
    """Whole numbers and ranges of them, both ends included; read by `indices_of`."""

    default_error_messages = {"invalid": "Give whole numbers, as in 12,40,97 or 100-199."}

    def __init__(self, *, most: int = MAX_TOKENS, what: str = "Flat indices", **options: bool) -> None:
        said = f"{what}, as in 12,40,97 or 100-199; at most {most:,}."
        super().__init__(PATTERN, max_length=MAX_CHARACTERS, help_text=said, **options)


def numbers_of(text: str, name: str, *, end: int, most: int, what: str) -> np.ndarray:
    """The numbers that a parameter names, in its order, int64; each below `end`."""
    spans = [(int(first), int(last or first)) for first, _, last in (part.partition("-") for part in text.split(","))]
    for first, last in spans:
        if first > last or last >= end:
            named = f"{first}-{last}" if last != first else str(first)
            raise BadRequest(f"{name} names {named}; {what} count from 0 to {end - 1}.")
    n = sum(last - first + 1 for first, last in spans)
    if n > most:
        raise BadRequest(f"{name} names {n:,} {what}; ask for at most {most:,} at a time.")
    return np.concatenate([np.arange(first, last + 1, dtype=np.int64) for first, last in spans])


def indices_of(run: Run, text: str, name: str = "index", *, most: int = MAX_TOKENS) -> np.ndarray:
    """Flat indices of predicted tokens of the run; 404 where the run came without any."""
    if not run.corpus.n_predictions:
        raise Missing(f"“{run.name}” came without its corpus", "Its tokens are known by their clusters alone.")
    return numbers_of(text, name, end=run.corpus.n_predictions, most=most, what="predicted tokens")
