"""A label that was written for one cluster, offered for another that holds the same tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST_JACCARD = 0.1
MOST = 3  # offered for one cluster


@dataclass(frozen=True)
class Place:
    """The cluster that a label was written for."""

    run: str  # slug
    affinity: str
    k: int
    cluster: int  # its label
    size: int


@dataclass(frozen=True)
class Suggestion:
    """A label of one cluster for another."""

    cluster: int  # primary key of the cluster that it is offered for
    label: int  # primary key of the source
    version: int
    name: str
    description: str
    author: str
    is_agreed: bool
    place: Place
    jaccard: float
    n_shared: int

    @property
    def source(self) -> dict[str, Any]:
        """As the history of the label that was made of it keeps it."""
        place = self.place
        return {
            "label": self.label, "version": self.version, "run": place.run, "k": place.k,
            "affinity": place.affinity, "cluster": place.cluster, "jaccard": round(self.jaccard, 4),
            "n_shared": self.n_shared,
        }  # fmt: skip


@dataclass(frozen=True)
class Overlaps:
    """Pairs of clusters of two clusterings that share enough tokens; arrays of one length."""

    own: np.ndarray  # labels
    other: np.ndarray
    shared: np.ndarray  # tokens in both
    jaccard: np.ndarray


def overlaps(
    own: np.ndarray, other: np.ndarray, own_sizes: np.ndarray, other_sizes: np.ndarray, least: float = LEAST_JACCARD
) -> Overlaps:
    """Which clusters of two clusterings overlap: both label the same tokens, the sizes count all tokens of each."""
    width = len(other_sizes)
    pairs, shared = np.unique(own.astype(np.int64) * width + other, return_counts=True)
    a, b = np.divmod(pairs, width)
    jaccard = shared / (own_sizes[a] + other_sizes[b] - shared)
    keep = jaccard >= least
    return Overlaps(a[keep], b[keep], shared[keep], jaccard[keep])
