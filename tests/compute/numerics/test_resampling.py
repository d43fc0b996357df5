"""The bootstrap over tokens: draws are multinomial, fits those of single envelopes; the interval holds the slope."""

from __future__ import annotations

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics.ranks import envelope, fit_envelope, sizes_by_rank
from compute.numerics.resampling import resampled_envelopes, resampled_slopes, slope_interval


def zipf_labels(n_tokens: int = 3000, seed: int = 5) -> list[np.ndarray]:
    p = np.arange(1, 61.0) ** -1.5
    fine = np.random.default_rng(seed).choice(60, n_tokens, p=p / p.sum())
    return [fine % 20, fine]


def test_a_draw_keeps_the_number_of_tokens_and_its_order_of_sizes():
    draws = resampled_envelopes([zipf_labels()[1]], n_resamples=50)
    assert draws.shape == (50, len(np.unique(zipf_labels()[1])))
    assert (draws.sum(axis=1) == 3000).all()
    assert (np.diff(draws, axis=1) <= 0).all()


def test_the_sizes_of_a_draw_are_multinomial():
    draws = resampled_envelopes([np.repeat([3, 9], [900, 100])], n_resamples=2000, seed=2)
    assert draws[:, 1].mean() == pytest.approx(100, abs=1)
    assert draws[:, 1].std() == pytest.approx(np.sqrt(1000 * 0.1 * 0.9), rel=0.06)


def test_one_draw_serves_every_k():
    labels = zipf_labels()[1]
    both = resampled_envelopes([labels, labels + 7], n_resamples=20)
    assert np.array_equal(both, resampled_envelopes([labels], n_resamples=20))


def test_the_same_seed_gives_the_same_draws_and_another_gives_others():
    first, again, other = (resampled_envelopes(zipf_labels(), n_resamples=20, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_the_labels_are_called_does_not_matter():
    labels, names = zipf_labels()[1], np.random.default_rng(0).permutation(60)
    assert np.array_equal(
        resampled_envelopes([names[labels]], n_resamples=5), resampled_envelopes([labels], n_resamples=5)
    )


def test_slopes_are_those_of_the_single_fits():
    draws = resampled_envelopes(zipf_labels(), n_resamples=30)
    alone = [fit_envelope(one, 3, 40).slope for one in draws]
    assert resampled_slopes(draws, 3, 40) == pytest.approx(alone)


def test_a_draw_with_fewer_clusters_is_fitted_up_to_its_last():
    draws = np.array([[8, 4, 2, 2, 0], [9, 5, 0, 0, 0]])
    found = resampled_slopes(draws, 1, 5)
    assert found[0] == pytest.approx(fit_envelope([8, 4, 2, 2], 1, 4).slope)
    assert np.isnan(found[1])


def test_the_interval_is_centred_on_the_slope_and_as_wide_as_samples_differ():
    slopes = []
    for seed in range(40):
        curve = envelope([sizes_by_rank(one) for one in zipf_labels(seed=seed)])
        slopes.append(fit_envelope(curve, 3, 30).slope)
    labels = zipf_labels()
    slope = fit_envelope(envelope([sizes_by_rank(one) for one in labels]), 3, 30).slope
    found = slope_interval(slope, resampled_envelopes(labels), 3, 30)
    assert (found.low + found.high) / 2 == pytest.approx(slope)
    assert found.standard_error == pytest.approx(np.std(slopes), rel=0.4)


def test_a_window_over_single_tokens_shifts():
    labels = np.repeat(np.arange(140), [400, *([20] * 39), *([1] * 100)])
    curve = sizes_by_rank(labels)
    found = slope_interval(fit_envelope(curve, 5, 140).slope, resampled_envelopes([labels]), 5, 140)
    assert abs(found.shift) > found.standard_error
    assert found.mean == pytest.approx(fit_envelope(curve, 5, 140).slope + found.shift)


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(FitError, match="same tokens"):
        resampled_envelopes([np.array([0, 1, 2]), np.array([0, 1])])
    with pytest.raises(FitError, match="same tokens"):
        resampled_envelopes([])
    draws = resampled_envelopes(zipf_labels(), n_resamples=5)
    with pytest.raises(FitError, match="do not lie within"):
        resampled_slopes(draws, 3, 400)
    with pytest.raises(FitError, match="start earlier"):
        slope_interval(-1.0, np.array([[3, 2, 0], [4, 1, 0]]), 1, 3)
