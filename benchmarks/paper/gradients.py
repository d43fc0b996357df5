"""Clustered tokens: a tree of quanta with Zipf-like sizes, cosines in blocks, clusterings at every k, and a map."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from benchmarks.paper.plan import Plan

N_DIMENSIONS = 192
ZIPF, SHIFT = 1.15, 3.0
STRAY = 0.04  # share of tokens that a clustering puts elsewhere
COMMON_DIRECTION = 0.25
TIGHTNESS = 0.55  # of tokens around their quantum; of quanta around their family

Floats = np.ndarray


class Gradients:
    """Directions of the clustered tokens' gradients, and what a run would find in them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = np.random.Generator(np.random.SFC64([plan.seed, 30]))
        self.n = plan.n_selected
        self.n_quanta = max(plan.ks)

    @cached_property
    def quantum(self) -> np.ndarray:
        """Every token's quantum; quantum 0 is the most frequent."""
        weights = (np.arange(self.n_quanta) + SHIFT) ** -ZIPF * self.rng.lognormal(0, 0.3, self.n_quanta)
        drawn = self.rng.choice(self.n_quanta, self.n - self.n_quanta, p=weights / weights.sum())
        return self.rng.permutation(np.concatenate([np.arange(self.n_quanta), drawn]))

    @cached_property
    def centres(self) -> Floats:
        """Directions of the quanta; a later one is near one of the earlier, as in a tree."""
        centres = self.rng.standard_normal((self.n_quanta, N_DIMENSIONS), np.float32)
        parents = (np.arange(self.n_quanta) * self.rng.random(self.n_quanta) ** 2).astype(int)
        for child, parent in enumerate(parents[1:], start=1):
            centres[child] = TIGHTNESS * centres[parent] + (1 - TIGHTNESS**2) ** 0.5 * centres[child]
        return centres + COMMON_DIRECTION * self.rng.standard_normal(N_DIMENSIONS, np.float32)

    @cached_property
    def directions(self) -> Floats:
        """Unit rows, float32 (n, N_DIMENSIONS)."""
        spread = self.rng.uniform(0.5, 1.6, self.n_quanta).astype(np.float32)[self.quantum, None]
        noise = self.rng.standard_normal((self.n, N_DIMENSIONS), np.float32)
        rows = self.centres[self.quantum] + spread * noise
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def cosines(self, affinity: str) -> Floats:
        """Symmetric, float32 (n, n), ones on the diagonal."""
        rows = self.directions if affinity == "signed" else np.abs(self.directions)
        table = rows @ rows.T
        np.clip(table, -1, 1, out=table)
        np.fill_diagonal(table, 1)
        return table

    def sketch(self, size: int) -> Floats:
        """Random projections of the rows: unit vectors times √size, float16 (n, size)."""
        turned = self.directions @ self.rng.standard_normal((N_DIMENSIONS, size), np.float32)
        turned *= np.sqrt(size) / np.linalg.norm(turned, axis=1, keepdims=True)
        return turned.astype(np.float16)

    def labels(self, affinity: str, k: int) -> np.ndarray:
        """A clustering, int32 (n,): the k commonest quanta attract the others, and some tokens stray."""
        rng = np.random.default_rng([self.plan.seed, 40, affinity == "absolute", k])
        wobble = np.argsort(np.arange(self.n_quanta) * rng.lognormal(0, 0.15, self.n_quanta))[:k]
        attraction = self._nearness(affinity)[:, wobble]
        home = np.argmax(attraction, axis=1)
        home[wobble] = np.arange(k)
        labels = home[self.quantum]
        stray = np.flatnonzero(rng.random(self.n) < STRAY)
        stray = stray[~np.isin(stray, np.unique(labels, return_index=True)[1])]  # no cluster loses its last token
        labels[stray] = labels[rng.integers(0, self.n, len(stray))]
        return rng.permutation(k)[labels].astype(np.int32)

    def map(self) -> Floats:
        """Two coordinates a token, float32 (n, 2): islands of quanta."""
        places = self.centres @ self.rng.standard_normal((N_DIMENSIONS, 2), np.float32)
        places += 4 * self.rng.standard_normal(places.shape, np.float32)
        size = np.bincount(self.quantum, minlength=self.n_quanta).astype(np.float32)
        reach = 0.12 * np.sqrt(size)[self.quantum, None]
        return places[self.quantum] + reach * self.rng.standard_normal((self.n, 2), np.float32)

    @cached_property
    def _unit_centres(self) -> Floats:
        return self.centres / np.linalg.norm(self.centres, axis=1, keepdims=True)

    def _nearness(self, affinity: str) -> Floats:
        rows = self._unit_centres if affinity == "signed" else np.abs(self._unit_centres)
        return rows @ rows.T
