"""How alike a cluster's members are: cosines read from the rows of an even sample, never the whole matrix."""

from __future__ import annotations

import numpy as np

from clusters.models import Run
from clusters.queries.clusters import evenly
from clusters.stored.arrays import array_of, bundle_of
from clusters.values.readings import Similarities

N_MEMBERS, N_OUTSIDE = 128, 1000  # rows of the matrix that are read, and of the other tokens' columns


def similarities(run: Run, affinity: str, rows: np.ndarray, *, keep: int | None = None) -> Similarities | None:
    """Cosines of pairs within a cluster and across its border; None where the bundle holds no similarity matrix.

    Of a large cluster, and of the tokens outside, an even sample: the same one every time, and the row to `keep`.
    """
    name = f"similarity/{affinity}"
    if not bundle_of(run).has(name):
        return None
    matrix = array_of(run, name)
    sample = evenly(rows, N_MEMBERS)
    if keep is not None:
        sample = np.union1d(sample, [keep])
    outside = np.ones(matrix.shape[1], bool)
    outside[rows] = False
    columns = evenly(np.flatnonzero(outside), N_OUTSIDE)
    read = np.asarray(matrix[sample])  # (n_sampled, n_selected): rows lie together on disk
    return Similarities(
        rows=sample,
        members=read[:, sample],
        across=read[:, columns].ravel(),
        n_members=len(rows),
        n_outside=len(columns),
        n_all_outside=matrix.shape[1] - len(rows),
    )
