"""What the cluster list shows besides its clusters: the ladder of ks, the table's head, what stands last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from clusters.charts.ruler import counted
from clusters.values.facts import EMERGENCE_NATS

MOST_NAMED, FEW_NAMED = 15, 5  # ticks with a name, in wide windows and on phones


class Tick(TypedDict):
    k: int
    is_on: bool
    css: str  # "" always named, "wide" named in wide windows, "bare" a tick alone


def ladder_ticks(ks: Sequence[int], k: int) -> list[Tick]:
    """One tick for every k; as many named as fit, both ends among them."""
    here = ks.index(k)
    wide, few = (
        _spread(len(ks), most) - _beside(here, len(ks) / most / 2) | {here} for most in (MOST_NAMED, FEW_NAMED)
    )
    return [
        {"k": one, "is_on": one == k, "css": "" if i in few else ("wide" if i in wide else "bare")}
        for i, one in enumerate(ks)
    ]


class Column(TypedDict):
    text: str
    sort: str  # "" where the list cannot be sorted by it
    css: str
    title: str
    direction: str  # "ascending", "descending" or "": as aria-sort has it


_COLUMNS = (  # text, sort, class, in full
    ("rank", "rank", "num", "place by size, from 1"),
    ("cluster", "", "", "label"),
    ("mean loss", "", "", "the members’ mean loss over network size"),
    ("tokens", "size", "num", "size"),
    ("commonest answers", "", "", ""),
    ("share", "dominant", "num", "share of the commonest answer"),
    ("within", "within", "num", "mean cosine of pairs of members"),
    ("across", "", "num", "mean cosine of a member and another cluster’s token"),
    ("coherence", "coherence", "num", "within − across"),
    ("M", "monogenicity", "num", "mean monogenicity: 1 a step, −1 a line"),
    ("emerges at size", "emergence", "num", f"size at which the mean loss falls below {EMERGENCE_NATS} nats for good"),
    ("at step", "emergence-step", "num", f"training step at which it falls below {EMERGENCE_NATS} nats for good"),
)
_RISING = ("emergence", "emergence-step")
_UNKNOWN = {
    "coherence": "no pair within or no token across",
    "within": "no pair of members",
    "monogenicity": "no score",
    "dominant": "no text, so no answers",
    "emergence": f"a mean loss that never crosses {EMERGENCE_NATS} nats over size",
    "emergence-step": f"a mean loss that never crosses {EMERGENCE_NATS} nats over training",
}


def columns(sort: str, *, is_reversed: bool) -> list[Column]:
    """The table's head; the column that sorts says in which direction."""
    return [
        {"text": text, "sort": by, "css": css, "title": title,
         "direction": _direction(by, is_reversed=is_reversed) if by == sort else ""}
        for text, by, css, title in _COLUMNS
    ]  # fmt: skip


def sorted_note(sort: str, n_unknown: int, n: int) -> str:
    """Which clusters stand last because they have no value to sort by."""
    if not n_unknown:
        return ""
    if n_unknown == n:
        return f"Nothing to sort by here: {_UNKNOWN[sort]}. The clusters stand by size."
    return f"{n_unknown:,} of {counted(n, 'cluster')} with {_UNKNOWN[sort]} stand last."


def _direction(sort: str, *, is_reversed: bool) -> str:
    return "ascending" if (sort in _RISING) != is_reversed else "descending"


def _beside(place: int, reach: float) -> set[int]:
    """Places so near to one that their names would run into its own."""
    return {other for other in range(int(place - reach), int(place + reach) + 2) if abs(other - place) < reach}


def _spread(n: int, most: int) -> set[int]:
    """Places of at most so many of n things, both ends included."""
    return set(range(n)) if n <= most else set(np.linspace(0, n - 1, most).round().astype(int).tolist())
