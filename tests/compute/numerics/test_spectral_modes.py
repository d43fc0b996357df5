"""Parity mode and fast mode on clusters of the published sizes; graphs that fall apart; memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import SpectralClustering

from compute.errors import ClusteringError
from compute.numerics.similarity import angular_affinity
from compute.numerics.spectral import Embedding, agreement, cluster_every_k, cluster_k, spectral_embedding

N_TOKENS = 600
KS = (5, 20, 60)
REFERENCE_SEEDS, FAST_SEEDS = (0, 1, 2), (9, 10)  # apart, so that no start is shared


def published(kind: str, k: int, noise: float) -> np.ndarray:
    """Angular affinity of tokens in hidden clusters whose sizes are in the published proportions."""
    rng = np.random.default_rng(k)
    file = Path(__file__).parents[2] / "data/published_cluster_sizes.json"
    sizes = json.loads(file.read_text())["sizes"][str(k)][kind]
    edges = np.round(np.cumsum([0, *sizes]) / sum(sizes) * N_TOKENS).astype(int)
    group = np.repeat(np.arange(len(sizes)), np.diff(edges))
    points = rng.standard_normal((len(sizes), 80))[group] + noise * rng.standard_normal((N_TOKENS, 80))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return angular_affinity(points @ points.T)


def normalised_cut(affinity: np.ndarray, labels: np.ndarray) -> float:
    emptied = affinity - np.diag(np.diag(affinity))
    within = [emptied[np.ix_(labels == c, labels == c)].sum() / emptied[labels == c].sum() for c in np.unique(labels)]
    return len(within) - float(sum(within))


def inertia(embedding: Embedding, k: int, labels: np.ndarray) -> float:
    points = embedding.vectors[:, :k]
    return sum(((points[labels == c] - points[labels == c].mean(axis=0)) ** 2).sum() for c in np.unique(labels))


@pytest.fixture(scope="module")
def affinity() -> np.ndarray:
    return published("signed", 200, 1.0)


@pytest.fixture(scope="module")
def embedding(affinity: np.ndarray) -> Embedding:
    return spectral_embedding(affinity, N_TOKENS)


@pytest.mark.parametrize(
    ("kind", "hidden", "noise"), [("signed", 50, 0.7), ("absolute", 100, 1.0), ("signed", 400, 1.3)]
)
def test_parity_mode_has_scikit_learns_labels_on_clusters_of_the_published_sizes(kind, hidden, noise):
    matrix = published(kind, hidden, noise)
    found = cluster_every_k(matrix, (2, 15, 40, 110), n_init=4, seed=5)
    for k, labels in found.items():
        model = SpectralClustering(k, affinity="precomputed", n_init=4, random_state=5)
        assert np.array_equal(labels, model.fit_predict(matrix)), k


@pytest.mark.parametrize("mode", ["parity", "fast"])
@pytest.mark.parametrize("k", [10, 60])
def test_the_number_of_threads_changes_no_label(embedding, mode, k):
    alone, shared = (cluster_k(embedding, k, n_init=6, mode=mode, n_jobs=n) for n in (1, 3))
    assert np.array_equal(alone, shared)


def test_fast_mode_is_as_good_as_thirty_starts(affinity, embedding):
    agreements, floors = [], []
    for k in KS:
        references = [cluster_k(embedding, k, seed=seed) for seed in REFERENCE_SEEDS]
        floors += [agreement(references[a], references[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
        for seed in FAST_SEEDS:
            fast = cluster_k(embedding, k, seed=seed, mode="fast")
            assert sorted(set(fast.tolist())) == list(range(k))
            assert inertia(embedding, k, fast) <= 1.005 * np.mean([inertia(embedding, k, one) for one in references])
            cuts = [normalised_cut(affinity, one) for one in references]
            assert normalised_cut(affinity, fast) <= 1.005 * np.mean(cuts)
            agreements += [agreement(fast, one) for one in references]
    assert np.mean(agreements) >= np.mean(floors) - 0.02


def test_fast_mode_makes_two_thirds_of_the_starts_unless_clusters_are_large(embedding):
    for k, n_starts in ((20, 7), (40, 5)):
        seen: list[tuple[int, int]] = []
        cluster_k(embedding, k, n_init=7, mode="fast", progress=lambda *numbers, seen=seen: seen.append(numbers))
        assert seen == [(n, n_starts) for n in range(1, n_starts + 1)]


def test_fast_labels_of_one_k_do_not_depend_on_the_others(embedding):
    among = cluster_every_k(embedding, KS, n_init=3, mode="fast")
    assert np.array_equal(among[20], cluster_k(embedding, 20, n_init=3, mode="fast"))


def test_progress_counts_the_starts_of_all_ks(embedding):
    seen = []
    cluster_every_k(embedding, [3, 40], n_init=2, progress=lambda n_done, n_total: seen.append((n_done, n_total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("mode", ["parity", "fast"])
def test_two_clusters_and_as_many_as_tokens(mode):
    rng = np.random.default_rng(0)
    matrix = np.exp(-np.abs(np.subtract.outer(*[rng.uniform(0, 3, 12)] * 2)))
    found = cluster_every_k(matrix, [2, 12], n_init=3, mode=mode)
    assert len(set(found[2].tolist())) == 2
    assert len(set(found[12].tolist())) == 12


@pytest.mark.parametrize("mode", ["parity", "fast"])
def test_tokens_with_the_same_affinities_share_a_cluster(mode):
    rng = np.random.default_rng(1)
    points = np.repeat(rng.standard_normal((20, 30)), 3, axis=0)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    labels = cluster_every_k(angular_affinity(points @ points.T), [20], n_init=5, mode=mode)[20]
    assert agreement(labels, np.repeat(np.arange(20), 3)) == 1.0


@pytest.mark.parametrize("mode", ["parity", "fast"])
def test_a_graph_in_pieces_is_cut_along_them(mode):
    group = np.repeat([0, 1, 2], [30, 12, 5])
    matrix = np.where(group[:, None] == group, np.random.default_rng(2).uniform(0.5, 1, (47, 47)), 0)
    matrix = (matrix + matrix.T) / 2
    assert agreement(cluster_every_k(matrix, [3], n_init=5, mode=mode)[3], group) == 1.0


def test_a_token_without_affinity_counts_as_in_scikit_learn():
    matrix = published("signed", 50, 0.7)[::8, ::8].copy()
    matrix[7, :] = matrix[:, 7] = 0
    embedding = spectral_embedding(matrix, len(matrix))
    assert np.isfinite(embedding.vectors).all()
    assert embedding.vectors[7, :4] == pytest.approx(0, abs=1e-12)
    with pytest.warns(UserWarning, match="not fully connected"):
        expected = SpectralClustering(4, affinity="precomputed", n_init=5, random_state=0).fit_predict(matrix)
    assert np.array_equal(cluster_k(embedding, 4, n_init=5), expected)


def test_the_eigenvectors_take_three_matrices_of_memory(affinity):
    tracemalloc.start()
    spectral_embedding(affinity, 60)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.6 * 8 * N_TOKENS**2


def test_an_asymmetry_far_down_is_found_with_its_place(affinity):
    matrix = affinity.copy()
    matrix[590, 3] += 0.25
    with pytest.raises(ClusteringError, match="tokens 3 and 590 have"):
        spectral_embedding(matrix, 2)


@pytest.mark.parametrize(
    ("options", "sentence"), [({"n_init": 0}, "at least one start, but 0"), ({"mode": "exact"}, "no mode 'exact'")]
)
def test_unknown_modes_and_no_starts_are_refused(embedding, options, sentence):
    with pytest.raises(ClusteringError, match=sentence):
        cluster_k(embedding, 3, **options)
