"""Cluster order, envelope and its slope, against the published clusterings' sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compute.errors import FitError
from compute.numerics.ranks import (
    adjusted_rand_index,
    cluster_order,
    default_window,
    envelope,
    fit_envelope,
    sizes_by_rank,
)

PUBLISHED = Path(__file__).parents[2] / "data" / "published_cluster_sizes.json"


@pytest.fixture(scope="module")
def published() -> dict[str, dict[int, list[int]]]:
    """Sizes, largest first, by affinity and number of clusters."""
    sizes = json.loads(PUBLISHED.read_text())["sizes"]
    return {kind: {int(k): both[kind] for k, both in sizes.items()} for kind in ("signed", "absolute")}


def test_clusters_come_by_size_and_ties_by_first_appearance():
    labels = [4, 9, 9, 2, 4, 7, 2, 1, 9]
    assert cluster_order(labels).tolist() == [9, 4, 2, 7, 1]
    assert sizes_by_rank(labels).tolist() == [3, 2, 2, 1, 1]


def test_renaming_the_labels_renames_the_order():
    rng = np.random.default_rng(0)
    labels, names = rng.integers(0, 12, 300), rng.permutation(100)[:12]
    assert np.array_equal(cluster_order(names[labels]), names[cluster_order(labels)])
    assert np.array_equal(sizes_by_rank(names[labels]), sizes_by_rank(labels))


def test_labels_that_are_no_list_of_integers_are_refused():
    for labels in ([[1, 2]], [0.5, 1.5]):
        with pytest.raises(ValueError, match="labels must be a list of integers"):
            cluster_order(labels)


def test_the_envelope_takes_the_largest_cluster_at_every_rank():
    assert envelope([[9, 1], [4, 3, 3], [5, 2, 1, 1]]).tolist() == [9, 3, 3, 1]
    with pytest.raises(FitError, match="at least one clustering"):
        envelope([])


def test_the_order_of_the_clusterings_does_not_change_the_envelope(published):
    sizes = list(published["signed"].values())
    assert np.array_equal(envelope(sizes), envelope(sizes[::-1]))


@pytest.mark.parametrize(
    ("kind", "at_ranks", "top_400", "alone_400", "top_1100", "alone_1100"),
    [
        ("signed", [4165, 3477, 1216, 252, 32, 4, 2], [344, 299, 281, 251, 241], 3, [927, 829, 702, 479, 389], 53),
        ("absolute", [3568, 3303, 1273, 341, 36, 5, 2], [323, 211, 192, 153, 117], 5, [851, 770, 382, 257, 176], 35),
    ],
)
def test_the_published_envelope(published, kind, at_ranks, top_400, alone_400, top_1100, alone_1100):
    sizes = published[kind]
    curve = envelope(sizes.values())
    assert len(curve) == 1100
    assert [curve[r - 1] for r in (1, 2, 3, 10, 100, 500, 1000)] == at_ranks
    assert (sizes[400][:5], sizes[400].count(1)) == (top_400, alone_400)
    assert (sizes[1100][:5], sizes[1100].count(1)) == (top_1100, alone_1100)
    assert all(len(one) == k and sum(one) == 10_000 for k, one in sizes.items())


@pytest.mark.parametrize(
    ("kind", "window", "slope"),
    [
        ("signed", (101, 1000), -1.2374),
        ("signed", (101, 900), -1.2528),
        ("signed", (11, 1000), -1.1687),
        ("signed", (101, 500), -1.2779),
        ("absolute", (101, 1000), -1.3175),
        ("absolute", (101, 900), -1.2979),
        ("absolute", (11, 1000), -1.2243),
        ("absolute", (101, 500), -1.2516),
    ],
)
def test_the_slope_of_the_published_envelope(published, kind, window, slope):
    fit = fit_envelope(envelope(published[kind].values()), *window)
    assert fit.slope == pytest.approx(slope, abs=5.1e-5)
    assert (fit.first_rank, fit.last_rank, fit.n_ranks) == (*window, window[1] - window[0] + 1)


@pytest.mark.parametrize(("kind", "slope"), [("signed", -1.3269), ("absolute", -1.3636)])
def test_the_published_slope_hangs_on_the_largest_k(published, kind, slope):
    without = envelope(sizes for k, sizes in published[kind].items() if k != 1100)
    assert fit_envelope(without, 101, 1000).slope == pytest.approx(slope, abs=5.1e-5)


def test_the_constant_and_fit_of_the_published_envelope(published):
    curve = envelope(published["signed"].values())
    fit = fit_envelope(curve, 101, 1000)
    assert fit.intercept == pytest.approx(9217, abs=1)
    assert fit.r_squared == pytest.approx(0.987, abs=5e-4)
    assert fit.low < fit.slope < fit.high
    assert fit.slope - fit.low == pytest.approx(1.96 * fit.standard_error, rel=2e-3)
    assert fit_envelope(curve, 100, 1000).slope == pytest.approx(fit.slope, abs=3e-4)


def test_the_published_fits_window_is_the_default_where_there_are_a_thousand_ranks(published):
    assert default_window(envelope(published["signed"].values())) == (101, 1000)


@pytest.mark.parametrize(
    ("curve", "window"),
    [
        (np.arange(999, 0, -1), (5, 997)),
        ([90, 50, 30, 20, 9, 8, 7, 3, 2, 1], (5, 8)),
        ([90, 50, 30, 20, 9, 8, 2, 2, 2, 1], (1, 10)),
        ([5, 4], (1, 2)),
    ],
)
def test_smaller_envelopes_have_a_window_by_rule(curve, window):
    assert default_window(curve) == window


def test_an_exact_power_law_is_recovered():
    fit = fit_envelope(7000 * np.arange(1, 51.0) ** -1.4, 3, 40)
    assert (fit.slope, fit.intercept, fit.r_squared) == pytest.approx((-1.4, 7000, 1))
    assert fit.standard_error == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("window", [(0, 5), (3, 11), (6, 5), (-2, 4)])
def test_a_window_outside_the_envelope_is_refused(window):
    with pytest.raises(FitError, match="do not lie within the envelope's ranks 1 to 10"):
        fit_envelope(np.arange(10, 0, -1), *window)


def test_too_few_ranks_or_empty_ones_are_refused():
    with pytest.raises(FitError, match="at least 3"):
        fit_envelope([5, 4, 3], 2, 3)
    with pytest.raises(FitError, match="0 at rank 3"):
        fit_envelope([5, 4, 0], 1, 3)


def test_equal_partitions_agree_fully_whatever_their_names():
    assert adjusted_rand_index([0, 0, 1, 2], [7, 7, 3, 1]) == 1.0
    assert adjusted_rand_index([0, 0, 0], [4, 4, 4]) == 1.0
    assert adjusted_rand_index([0, 1, 2], [2, 0, 1]) == 1.0


def test_the_adjusted_rand_index_by_hand():
    # pairs together in both 2, only in the first 4, only in the second 1, apart in both 8
    assert adjusted_rand_index([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2]) == pytest.approx(
        2 * (2 * 8 - 4) / (6 * 12 + 3 * 9)
    )


def test_unrelated_partitions_agree_about_zero():
    rng = np.random.default_rng(2)
    assert adjusted_rand_index(rng.integers(0, 20, 20_000), rng.integers(0, 30, 20_000)) == pytest.approx(0, abs=0.005)


def test_partitions_of_different_tokens_are_refused():
    with pytest.raises(ValueError, match="2 and 3"):
        adjusted_rand_index([0, 1], [0, 1, 2])


def test_what_the_web_process_uses_imports_neither_scikit_learn_nor_torch():
    code = (
        "import sys; from compute.numerics import ranks, curves, scaling, theory; "
        "sys.exit(any(name in sys.modules for name in ('sklearn', 'torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0


def test_a_steep_end_of_an_envelope_has_a_slope_and_no_constant():
    fit = fit_envelope([*[3] * 998, 2, 1], 998, 1000)
    assert fit.slope == pytest.approx(-548, abs=1)
    assert fit.intercept is None
    assert fit.size_at(999) == pytest.approx(6 ** (1 / 3), rel=0.01)
