"""Every k from one eigendecomposition, against one spectral clustering for each k."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import SpectralClustering

from benchmarks.case import Case
from compute.numerics.similarity import angular_affinity
from compute.numerics.spectral import cluster_every_k

KS = (10, 20, 40, 60, 80, 100, 125, 150)
N_TOKENS, N_INIT = 800, 2


def case() -> Case:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(100, 64))
    points = centres[rng.integers(0, 100, N_TOKENS)] + 0.7 * rng.normal(size=(N_TOKENS, 64))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    affinity = angular_affinity(points @ points.T)

    def one_for_each_k() -> dict[int, np.ndarray]:
        return {
            k: SpectralClustering(k, affinity="precomputed", n_init=N_INIT, random_state=0).fit_predict(affinity)
            for k in KS
        }

    def differing(a: dict[int, np.ndarray], b: dict[int, np.ndarray]) -> str:
        return f"{sum(int((a[k] != b[k]).sum()) for k in KS)} labels differ"

    return Case(
        about=f"{N_TOKENS} tokens, {len(KS)} ks to {KS[-1]}, n_init {N_INIT}",
        reference=one_for_each_k,
        ours=lambda: cluster_every_k(affinity, KS, n_init=N_INIT),
        difference=differing,
    )
