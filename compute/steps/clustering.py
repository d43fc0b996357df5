"""Sixth step: clusters at every k, from one eigendecomposition of each affinity."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from compute.config import ClusteringConfig
from compute.steps.checkpoints import n_threads
from compute.steps.run import Run, Work
from compute.steps.similarity import similarity
from compute.workspace import digest

if TYPE_CHECKING:
    from compute.numerics.spectral import Embedding


def clustering(run: Run, affinity: str) -> dict[int, np.ndarray]:
    """Labels, int32 of shape (n_kept,), at every k."""
    compared = similarity(run)

    def matrix() -> np.ndarray:
        from compute.numerics.similarity import affinity_matrix

        return affinity_matrix(compared.cosines[affinity], affinity)  # type: ignore[arg-type]

    return labels_at_every_k(run, matrix, run.config.clustering, affinity=affinity, stamp=compared.stamp)


def labels_at_every_k(
    work: Work, matrix: Callable[[], np.ndarray], settings: ClusteringConfig, *, affinity: str, stamp: str
) -> dict[int, np.ndarray]:
    """Labels at every k of an affinity that `matrix` gives; each k is kept as soon as it is found."""
    from compute.numerics.spectral import cluster_k

    ks, n_init, seed = settings.ks, settings.n_init, settings.seed
    stamp = digest(["clustering", stamp, affinity, settings.effort, n_init, seed, max(ks)])
    found = {k: work.files.load(f"clustering/{affinity}/k{k}", stamp) for k in ks}
    labels = {k: array for k, array in found.items() if array is not None}
    embedding: Embedding | None = None
    for k in ks:
        if k in labels:
            continue
        work.tell(len(labels), len(ks))
        embedding = embedding or _embedding(work, matrix, max(ks), affinity, stamp)
        mode: Any = settings.effort
        find = partial(cluster_k, embedding, k, n_init=n_init, seed=seed, mode=mode, n_jobs=n_threads())
        labels[k] = work.wait_for(find)
        work.files.save(f"clustering/{affinity}/k{k}", labels[k], stamp)
    return {k: labels[k] for k in ks}


def _embedding(work: Work, matrix: Callable[[], np.ndarray], n_components: int, affinity: str, stamp: str) -> Embedding:
    """The first eigenvectors, kept so that a kill does not cost them."""
    from compute.numerics.spectral import Embedding, spectral_embedding

    name = f"partial/embedding/{affinity}"
    saved = work.files.here.load(name, stamp)
    if saved is not None:
        return Embedding(saved[1:], saved[0])
    embedding = work.wait_for(lambda: spectral_embedding(matrix(), n_components, device=work.device))
    work.files.here.save(name, np.vstack([embedding.eigenvalues, embedding.vectors]), stamp)
    return embedding
