"""Rank correlation: against scipy, with ties and infinities, its interval and its test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from compute.errors import FitError
from compute.numerics.correlation import midranks, rank_correlation, spearman


def pairs(n: int = 80, slope: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 12, n).astype(float)
    return x, np.round(slope * x + rng.normal(0, 4, n), 0)


def test_midranks_share_the_mean_of_equal_values():
    x, _ = pairs()
    assert midranks(x) == pytest.approx(rankdata(x))


def test_rho_is_that_of_scipy_with_ties():
    x, y = pairs()
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)


def test_infinities_tie_beyond_all_the_rest():
    x = np.arange(8.0)
    y = np.array([-np.inf, -np.inf, 3, 4, 5, 9, np.inf, np.inf])
    assert spearman(x, y) == pytest.approx(spearmanr(x, [0, 0, 3, 4, 5, 9, 99, 99]).statistic)


def test_any_growing_function_leaves_rho_as_it_is():
    x, y = pairs()
    assert spearman(np.exp(x), y**3) == pytest.approx(spearman(x, y))
    assert spearman(x, -y) == pytest.approx(-spearman(x, y))


def test_the_interval_is_that_of_pairs_drawn_again_one_by_one():
    x, y = pairs(40)
    rng, found = np.random.default_rng(0), []
    for _ in range(3000):
        drawn = rng.integers(0, 40, 40)
        found.append(spearmanr(x[drawn], y[drawn]).statistic)
    ours = rank_correlation(x, y, n_resamples=3000, n_permutations=0)
    assert (ours.low, ours.high) == pytest.approx(np.percentile(found, [2.5, 97.5]), abs=0.02)
    assert ours.low < ours.rho < ours.high


def test_the_interval_covers_a_known_correlation_about_as_often_as_it_says():
    hits = 0
    for seed in range(200):
        x, y = np.random.default_rng(seed).normal(size=(2, 60))
        found = rank_correlation(x, y, n_resamples=200, n_permutations=0)
        hits += found.low <= 0 <= found.high
    assert 0.89 <= hits / 200 <= 0.99


def test_the_test_rejects_unrelated_lists_about_as_often_as_it_should():
    p = [
        rank_correlation(*np.random.default_rng(seed).normal(size=(2, 30)), n_resamples=0, n_permutations=199).p_value
        for seed in range(300)
    ]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


def test_a_clear_order_has_the_smallest_p_that_the_permutations_allow():
    assert rank_correlation(range(50), range(50), n_permutations=199).p_value == pytest.approx(1 / 200)


def test_the_same_seed_gives_the_same_interval_and_p():
    x, y = pairs()
    assert rank_correlation(x, y, seed=3) == rank_correlation(x, y, seed=3) != rank_correlation(x, y, seed=4)


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        ([1, 2], [1, 2], "too few"),
        ([1, 2, 3], [1, 2], "one length"),
        ([1, 2, np.nan], [1, 2, 3], "nan"),
        ([1, 2, 3], [np.inf] * 3, "all 3 values are inf"),
    ],
)
def test_what_has_no_rank_correlation_is_refused(x, y, sentence):
    with pytest.raises(FitError, match=sentence):
        rank_correlation(x, y)
