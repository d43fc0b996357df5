"""Sixth step: clusters at every k, from one eigendecomposition of each affinity."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from compute.steps.run import Run
from compute.steps.similarity import Similarity, similarity
from compute.workspace import digest

if TYPE_CHECKING:
    from compute.numerics.spectral import Embedding


def clustering(run: Run, affinity: str) -> dict[int, np.ndarray]:
    """Labels, int32 of shape (n_kept,), at every k."""
    from compute.numerics.spectral import cluster_k

    ks, n_init, seed = run.config.clustering.ks, run.config.clustering.n_init, run.config.clustering.seed
    compared = similarity(run)
    stamp = digest(["clustering", compared.stamp, affinity, n_init, seed, max(ks)])
    found = {k: run.files.load(f"clustering/{affinity}/k{k}", stamp) for k in ks}
    labels = {k: array for k, array in found.items() if array is not None}
    embedding: Embedding | None = None
    for k in ks:
        if k in labels:
            continue
        run.tell(len(labels), len(ks))
        embedding = embedding or _embedding(run, compared, affinity, stamp)
        labels[k] = run.wait_for(partial(cluster_k, embedding, k, n_init=n_init, seed=seed))
        run.files.save(f"clustering/{affinity}/k{k}", labels[k], stamp)
    return {k: labels[k] for k in ks}


def _embedding(run: Run, compared: Similarity, affinity: str, stamp: str) -> Embedding:
    """The first max(ks) eigenvectors, kept so that a kill does not cost them."""
    from compute.numerics.similarity import affinity_matrix
    from compute.numerics.spectral import Embedding, spectral_embedding

    name = f"partial/embedding/{affinity}"
    saved = run.files.load(name, stamp)
    if saved is not None:
        return Embedding(saved[1:], saved[0])
    matrix = affinity_matrix(compared.cosines[affinity], affinity)  # type: ignore[arg-type]
    embedding = run.wait_for(lambda: spectral_embedding(matrix, max(run.config.clustering.ks)))
    run.files.save(name, np.vstack([embedding.eigenvalues, embedding.vectors]), stamp)
    return embedding
