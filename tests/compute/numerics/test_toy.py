"""The toy model of appendix D.2: its data, and the slopes that QDG measures on it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics.ranks import adjusted_rand_index
from compute.numerics.toy import REDUCED, ToySetting, subtask_sizes, toy_labels, toy_points, toy_slope

TABLE = Path(__file__).parents[3] / "clusters/data/toy_bias.json"
SMALL = ToySetting(30, 60, 60, 0.0, (10, 20, 30), 2, 20, 5)


@pytest.fixture(scope="module")
def table() -> dict[str, list]:
    return json.loads(TABLE.read_text())


def test_the_paper_s_toy_has_7069_points():
    assert subtask_sizes(1.0, 1000, 1000).sum() == 7069


def test_subtasks_without_a_point_drop_out():
    assert subtask_sizes(1.5, 200, 200)[-1] == 1
    assert len(subtask_sizes(1.5, 200, 200)) == 34


def test_points_lie_as_far_from_their_means_as_the_noise_says():
    sizes = np.full(40, 50)
    points, subtask = toy_points(sizes, 400, 2.0, 0)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    cosine, same = unit @ unit.T, subtask[:, None] == subtask
    np.fill_diagonal(same, val=False)
    assert cosine[same].mean() == pytest.approx(0.2, abs=0.01)
    assert cosine[subtask[:, None] != subtask].std() == pytest.approx(400**-0.5, rel=0.1)


def test_without_noise_the_right_k_finds_the_subtasks():
    sizes = subtask_sizes(1.0, SMALL.n_subtasks, SMALL.largest)
    labels = toy_labels(1.0, SMALL, 0)[30]
    assert adjusted_rand_index(labels, np.repeat(np.arange(len(sizes)), sizes)) == 1.0


def test_the_same_seed_measures_the_same_slope():
    noisy = ToySetting(30, 60, 60, 2.0, (10, 20), 2, 15, 3)
    assert toy_slope(1.0, noisy, 3) == toy_slope(1.0, noisy, 3) != toy_slope(1.0, noisy, 4)


@pytest.mark.parametrize(("exponent", "expected"), [(0.8, -1.00), (1.0, -1.21), (1.2, -1.23), (1.5, -1.31)])
def test_the_reduced_setting_measures_what_was_seen_before(table, exponent, expected):
    slopes = table["slopes"][table["exponents"].index(exponent)]
    assert len(slopes) >= 8
    assert np.mean(slopes) == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize(("noise", "expected"), [(0.0, -1.24), (0.5, -1.20)])
def test_less_noise_measures_what_was_seen_before(noise, expected):
    assert toy_slope(1.0, replace(REDUCED, noise=noise, n_init=3)) == pytest.approx(expected, abs=0.15)


def test_the_mean_slope_falls_with_the_true_exponent(table):
    means = dict(zip(table["exponents"], np.mean(table["slopes"], axis=1), strict=True))
    assert means[0.8] > means[1.0] > means[1.2] > means[1.5]


def test_between_neighbours_of_the_grid_it_never_rises_beyond_chance(table):
    """From 1.3 on it levels off: fewer than 60 subtasks have a point, and what is ranked are pieces of large ones."""
    means = np.mean(table["slopes"], axis=1)
    errors = np.std(table["slopes"], axis=1, ddof=1) / np.sqrt(len(table["seeds"]))
    assert (np.diff(means) < 2 * np.hypot(errors[1:], errors[:-1])).all()
    assert means[-1] - means[0] < -0.3


def test_the_committed_table_is_that_of_this_code(table):
    at = table["exponents"].index(1.5)
    assert toy_slope(1.5, REDUCED, 0) == pytest.approx(table["slopes"][at][0], abs=0.02)
    assert table["setting"] == json.loads(json.dumps(REDUCED.__dict__))


def test_a_toy_without_points_is_refused():
    with pytest.raises(FitError, match="at least 0"):
        subtask_sizes(-1.0, 10, 10)
    with pytest.raises(FitError, match="at least 1 of each"):
        subtask_sizes(1.0, 0, 10)
    with pytest.raises(FitError, match="cannot be clustered"):
        toy_labels(1.0, ToySetting(n_subtasks=2, largest=1), 0)
