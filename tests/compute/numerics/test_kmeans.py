"""k-means from many starts, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import k_means, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning

from compute.numerics.kmeans import best_start, lloyd, plusplus_draws, plusplus_seeds
from compute.numerics.partition import squared_distances

N = 300


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    rng = np.random.default_rng(2)
    group = np.minimum(rng.zipf(1.4, N), 60) - 1
    return rng.standard_normal((60, 12))[group] + 0.5 * rng.standard_normal((N, 12))


@pytest.mark.parametrize("k", [1, 2, 25, 150])
def test_seeds_and_random_numbers_are_those_of_scikit_learn(points, k):
    ours, theirs, counted = (np.random.RandomState(4) for _ in range(3))
    assert plusplus_seeds(squared_distances(points), k, ours).tolist() == (
        kmeans_plusplus(points, k, random_state=theirs)[1].tolist()
    )
    counted.random_sample(plusplus_draws(k))
    assert ours.random_sample() == theirs.random_sample() == counted.random_sample()


@pytest.mark.parametrize("k", [2, 10, 17, 18, 40, 100, 150, N])  # pairwise distances are used from 18 on
def test_labels_and_inertia_are_those_of_scikit_learn(points, k):
    _, labels, inertia = k_means(points, k, n_init=6, random_state=np.random.RandomState(9))
    found = best_start(points, k, np.random.RandomState(9), n_starts=6)
    assert np.array_equal(found.labels, labels)
    assert found.inertia == pytest.approx(inertia, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("n_jobs", [2, 3, 8])
def test_the_number_of_threads_changes_nothing(points, n_jobs):
    alone, shared = (best_start(points, 30, np.random.RandomState(1), n_starts=7, n_jobs=n) for n in (1, n_jobs))
    assert np.array_equal(alone.labels, shared.labels)
    assert alone.inertia == shared.inertia


def test_a_start_more_never_gives_more_inertia(points):
    inertias = [best_start(points, 40, np.random.RandomState(3), n_starts=n).inertia for n in range(1, 8)]
    assert np.all(np.diff(inertias) <= 0)
    assert inertias[-1] < inertias[0]


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("k", [5, 30])
def test_progress_counts_the_starts(points, k, n_jobs):
    seen = []
    best_start(points, k, np.random.RandomState(0), n_starts=4, n_jobs=n_jobs, progress=lambda *n: seen.append(n))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_progress_may_stop_the_work(points, n_jobs):
    def stop(n_done: int, n_total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        best_start(points, 30, np.random.RandomState(0), n_starts=50, n_jobs=n_jobs, progress=stop)


def test_an_emptied_cluster_is_left_to_scikit_learn():
    twice = np.repeat([-4.0, -2.0, 0.0, 2.0, 4.0], 2)[:, None]
    assert lloyd(squared_distances(twice), np.array([0, 1, 5]), 0.0) is None
    with pytest.warns(ConvergenceWarning, match="duplicate points"):
        found = best_start(twice, 8, np.random.RandomState(0), n_starts=2)
    with pytest.warns(ConvergenceWarning, match="duplicate points"):
        expected = k_means(twice, 8, n_init=2, random_state=np.random.RandomState(0))[1]
    assert np.array_equal(found.labels, expected)


def test_no_start_is_refused(points):
    with pytest.raises(ValueError, match="n_starts is 0"):
        best_start(points, 3, np.random.RandomState(0), n_starts=0)
