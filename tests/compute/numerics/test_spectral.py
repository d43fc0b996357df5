"""Spectral clustering at every k from one eigendecomposition, against scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from compute.errors import ClusteringError
from compute.numerics.similarity import accumulate_cosines, affinity_matrix
from compute.numerics.spectral import agreement, cluster_every_k, cluster_k, spectral_embedding

N_TOKENS = 220
KS = (2, 3, 8, 20, 30)


@pytest.fixture(scope="module")
def affinities() -> dict[str, np.ndarray]:
    """Both affinities of noisy rows around Zipf-sized groups."""
    rng = np.random.default_rng(3)
    group = np.minimum(rng.zipf(1.5, N_TOKENS), 30) - 1
    rows = rng.standard_normal((30, 400))[group] + rng.standard_normal((N_TOKENS, 400))
    signed, absolute = accumulate_cosines([rows.astype(np.float32)])
    return {"signed": affinity_matrix(signed, "signed"), "absolute": affinity_matrix(absolute, "absolute")}


def reference(affinity: np.ndarray, k: int, *, n_init: int, seed: int) -> np.ndarray:
    model = SpectralClustering(
        n_clusters=k, affinity="precomputed", n_init=n_init, assign_labels="kmeans", random_state=seed
    )
    return model.fit(affinity).labels_


@pytest.mark.parametrize("kind", ["signed", "absolute"])
@pytest.mark.parametrize("seed", [0, 7])
def test_labels_equal_those_of_scikit_learn_for_every_k(affinities, kind, seed):
    found = cluster_every_k(affinities[kind], KS, n_init=10, seed=seed)
    for k in KS:
        assert np.array_equal(found[k], reference(affinities[kind], k, n_init=10, seed=seed)), k


def test_labels_equal_those_of_scikit_learn_with_the_papers_thirty_starts(affinities):
    found = cluster_every_k(affinities["signed"], [10])
    assert np.array_equal(found[10], reference(affinities["signed"], 10, n_init=30, seed=0))


def test_labels_are_int32_and_name_every_cluster(affinities):
    for k, labels in cluster_every_k(affinities["signed"], KS, n_init=2).items():
        assert labels.dtype == np.int32
        assert sorted(set(labels.tolist())) == list(range(k))


def test_labels_of_one_k_do_not_depend_on_the_others(affinities):
    alone = cluster_every_k(affinities["signed"], [8], n_init=3)
    among = cluster_every_k(affinities["signed"], KS, n_init=3)
    assert np.array_equal(alone[8], among[8])


def test_a_saved_embedding_gives_the_same_labels(affinities):
    embedding = spectral_embedding(affinities["signed"], 20)
    assert np.array_equal(
        cluster_every_k(embedding, [8], n_init=3)[8], cluster_every_k(affinities["signed"], [8], n_init=3)[8]
    )
    assert np.array_equal(cluster_k(embedding, 8, n_init=3), cluster_every_k(affinities["signed"], [8], n_init=3)[8])


def test_smaller_embeddings_are_prefixes(affinities):
    few, many = (spectral_embedding(affinities["absolute"], n) for n in (5, 40))
    assert many.vectors[:, :5] == pytest.approx(few.vectors, abs=1e-9)
    assert many.eigenvalues[:5] == pytest.approx(few.eigenvalues, abs=1e-12)


def test_the_first_vector_is_constant_with_eigenvalue_zero(affinities):
    embedding = spectral_embedding(affinities["signed"], 2)
    first = embedding.vectors[:, 0]
    assert np.ptp(first) / np.abs(first).max() < 1e-9
    assert embedding.eigenvalues[0] == pytest.approx(0, abs=1e-12)
    assert np.all(np.diff(spectral_embedding(affinities["signed"], 30).eigenvalues) >= 0)


def test_the_diagonal_of_the_affinity_does_not_matter(affinities):
    emptied = affinities["signed"].copy()
    np.fill_diagonal(emptied, 0)
    one, other = spectral_embedding(emptied, 5), spectral_embedding(affinities["signed"], 5)
    assert one.vectors == pytest.approx(other.vectors, abs=1e-12)


def test_separate_blocks_are_told_apart():
    group = np.repeat([0, 1, 2], [5, 9, 4])
    affinity = np.where(group[:, None] == group, 1.0, 0.01)
    assert agreement(cluster_every_k(affinity, [3], n_init=5)[3], group) == 1.0


def test_every_token_alone_when_there_are_as_many_clusters():
    rng = np.random.default_rng(0)
    affinity = np.exp(-np.abs(np.subtract.outer(*[rng.uniform(0, 3, 6)] * 2)))
    assert len(set(cluster_every_k(affinity, [6], n_init=2)[6].tolist())) == 6


def test_known_ks_are_skipped_and_new_ones_announced(affinities):
    seen = []
    found = cluster_every_k(
        affinities["signed"], [8, 3, 2], n_init=2, skip={3}, on_k=lambda k, labels: seen.append((k, len(labels)))
    )
    assert list(found) == [2, 8]
    assert seen == [(2, N_TOKENS), (8, N_TOKENS)]
    assert cluster_every_k(affinities["signed"], [3], skip={3}) == {}


@pytest.mark.parametrize(("k", "sentence"), [(1, "1 clusters"), (0, "0 clusters"), (5, "4 tokens .* into 5 clusters")])
def test_an_impossible_k_is_refused_with_its_number(k, sentence):
    with pytest.raises(ClusteringError, match=sentence):
        cluster_every_k(np.ones((4, 4)), [2, k])


def test_more_components_than_tokens_are_refused():
    with pytest.raises(ClusteringError, match="3 tokens cannot be split into 4"):
        spectral_embedding(np.ones((3, 3)), 4)


def test_more_clusters_than_the_embedding_has_are_refused(affinities):
    with pytest.raises(ClusteringError, match="5 components cannot give 6"):
        cluster_k(spectral_embedding(affinities["signed"], 5), 6)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(np.nan, "tokens 0 and 2 is nan"), (-0.5, "0 and 2 .* -0.5"), (0.3, "not symmetric: tokens 0 and 2 have 0.3")],
)
def test_an_unsuitable_affinity_is_refused_with_the_place_and_the_number(value, sentence):
    affinity = np.ones((4, 4))
    affinity[0, 2] = value
    with pytest.raises(ClusteringError, match=sentence):
        cluster_every_k(affinity, [2])


def test_an_affinity_that_is_not_square_is_refused():
    with pytest.raises(ClusteringError, match=r"\(3, 4\)"):
        cluster_every_k(np.ones((3, 4)), [2])


def test_agreement_is_the_adjusted_rand_index():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 9, 500), rng.integers(0, 5, 500)
    b[:250] = a[:250] % 5
    assert agreement(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)
    with pytest.raises(ClusteringError, match="500 and 3"):
        agreement(a, b[:3])
