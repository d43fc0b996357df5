"""Cosines block by block, of chosen pairs, and of one vector with all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compute.errors import SimilarityError
from compute.numerics import pairs
from compute.numerics.pairs import cosines_to, cross_gram, pair_cosines, replace_pairs, top_pairs
from compute.numerics.sketch import CountSketch, stored_sketch


def correlated_rows(n_rows: int = 40, n_columns: int = 5000, seed: int = 0) -> torch.Tensor:
    """Rows that share directions, with lengths over eight orders of magnitude."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((3, n_columns))
    rows = rng.standard_normal((n_rows, 3)) @ shared + rng.standard_normal((n_rows, n_columns))
    return torch.from_numpy(rows * 10.0 ** rng.uniform(-6, 2, (n_rows, 1))).float()


def exact_cosines(rows: torch.Tensor) -> np.ndarray:
    unit = rows.double().numpy()
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    return unit @ unit.T


def halves(rows: torch.Tensor) -> torch.Tensor:
    """As a store keeps them: unit rows times √P, in half precision."""
    return (rows / rows.norm(dim=1, keepdim=True) * rows.shape[1] ** 0.5).half()


def test_float32_blocks_agree_with_float64_to_1e_5_on_200_rows():
    rows = correlated_rows(200)
    signed, absolute = cross_gram(rows[:120], rows[80:], absolute=True)
    assert np.abs(signed - exact_cosines(rows)[:120, 80:]).max() < 1e-5
    assert np.abs(absolute - exact_cosines(rows.abs())[:120, 80:]).max() < 1e-5


@pytest.mark.parametrize("as_array", [False, True])
def test_a_half_precision_block_agrees_with_float64_to_5e_4(as_array):
    rows = correlated_rows()
    left = halves(rows[:20])
    signed, absolute = cross_gram(left.numpy() if as_array else left, rows[20:], absolute=True)
    assert np.abs(signed - exact_cosines(rows)[:20, 20:]).max() < 5e-4
    assert np.abs(absolute - exact_cosines(rows.abs())[:20, 20:]).max() < 5e-4


def test_how_rows_and_columns_are_cut_changes_nothing_beyond_1e_6(monkeypatch):
    rows = correlated_rows(24)
    whole = cross_gram(rows, rows, absolute=True)
    monkeypatch.setattr(pairs, "COLUMNS", 300)
    for table, kind in zip(whole, range(2), strict=True):
        cut = [
            np.concatenate([cross_gram(left, right, absolute=True)[kind] for right in rows.split(5)], axis=1)
            for left in rows.split(7)
        ]
        assert np.abs(np.concatenate(cut) - table).max() < 1e-6


def test_absolute_cosines_can_be_left_out():
    assert cross_gram(torch.ones(2, 3), torch.ones(1, 3), absolute=False)[1] is None


def test_a_vector_of_zeros_has_cosines_of_0():
    rows = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert cross_gram(rows, rows, absolute=False)[0].tolist() == [[0, 0], [0, 1]]
    assert pair_cosines(rows, rows, np.array([0, 1]), np.array([1, 1]), absolute=False).tolist() == [0, 1]


def test_vectors_too_short_or_too_long_for_float32_squares_have_cosines_too():
    rows = torch.tensor([[3e-30, 4e-30], [5e30, 0.0]])
    for absolute, found in enumerate(cross_gram(torch.tensor([[1.0, -1.0]]), rows, absolute=True)):
        expected = [[(1.4 if absolute else -0.2) / 2**0.5, 0.5**0.5]]
        assert found == pytest.approx(np.array(expected), abs=1e-6)


@pytest.mark.parametrize("absolute", [False, True])
def test_chosen_pairs_have_the_cosines_of_their_blocks(absolute, monkeypatch):
    monkeypatch.setattr(pairs, "PAIRS", 7)
    rows = correlated_rows()
    rng = np.random.default_rng(1)
    i, j = rng.integers(0, 15, 50), rng.integers(0, 25, 50)
    found = pair_cosines(halves(rows[:15]), rows[15:], i, j, absolute=absolute)
    assert np.abs(found - cross_gram(halves(rows[:15]), rows[15:], absolute=True)[int(absolute)][i, j]).max() < 1e-6


def test_no_pairs_have_no_cosines():
    none = np.empty(0, dtype=np.int64)
    assert pair_cosines(torch.ones(2, 3), torch.ones(1, 3), none, none, absolute=False).shape == (0,)


def test_the_nearest_pairs_are_each_row_s_own_and_named_once():
    cosine = np.array([[1, 0.9, 0.1, 0.2], [0.9, 1, 0.3, 0], [0.1, 0.3, 1, 0.4], [0.2, 0, 0.4, 1]])
    i, j = top_pairs(cosine, 1)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == [(0, 1), (2, 3)]
    i, j = top_pairs(cosine, 2)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == [(0, 1), (0, 3), (1, 2), (2, 3)]


def test_all_pairs_are_nearest_where_enough_are_asked_for(monkeypatch):
    monkeypatch.setattr(pairs, "MATRIX_ROWS", 3)
    i, j = top_pairs(exact_cosines(correlated_rows(8)), 50)
    assert [i.tolist(), j.tolist()] == [side.tolist() for side in np.triu_indices(8, 1)]


def test_one_row_has_no_neighbours():
    assert [side.tolist() for side in top_pairs(np.ones((1, 1)), 3)] == [[], []]


def test_the_matrix_is_not_changed_by_looking_for_neighbours():
    cosine = np.eye(5)
    top_pairs(cosine, 2)
    assert np.array_equal(cosine, np.eye(5))


@pytest.mark.parametrize(("shape", "m"), [((2, 3), 1), ((3, 3), 0)])
def test_neighbours_that_cannot_be_are_refused(shape, m):
    with pytest.raises(SimilarityError, match="nearest neighbours"):
        top_pairs(np.ones(shape), m)


def test_exact_cosines_replace_those_of_neighbours_and_leave_the_rest():
    rows = correlated_rows()
    sketched = stored_sketch(CountSketch(5000, 512).apply(rows, absolute=False)[0]).astype(np.float64)
    rough = exact_cosines(torch.from_numpy(sketched)).astype(np.float32)
    cosine, exact = rough.copy(), exact_cosines(rows)
    i, j = top_pairs(cosine, 3)
    replace_pairs(cosine, i, j, pair_cosines(rows, rows, i, j, absolute=False))
    assert np.array_equal(cosine, cosine.T)
    assert np.abs(cosine[i, j] - exact[i, j]).max() < 1e-5
    others = np.ones_like(cosine, dtype=bool)
    others[i, j] = others[j, i] = False
    assert np.array_equal(cosine[others], rough[others])
    assert np.abs(rough[i, j] - exact[i, j]).max() > 1e-3


def test_a_cosine_that_is_not_a_number_replaces_nothing():
    cosine = np.eye(3)
    with pytest.raises(SimilarityError, match="rows 0 and 2 is nan"):
        replace_pairs(cosine, np.array([0, 0]), np.array([1, 2]), np.array([0.5, np.nan]))
    assert np.array_equal(cosine, np.eye(3))


def test_a_new_vector_is_placed_among_sketched_ones(monkeypatch):
    monkeypatch.setattr(pairs, "SKETCHES", 6)
    rows = correlated_rows()
    sketches = stored_sketch(CountSketch(5000, 4000).apply(rows, absolute=False)[0])
    found = cosines_to(sketches, sketches[3])
    assert found[3] == pytest.approx(1, abs=1e-6)
    assert np.abs(found - exact_cosines(torch.from_numpy(sketches))[3]).max() < 1e-6


def test_vectors_of_another_length_are_refused():
    with pytest.raises(SimilarityError, match="cannot be compared"):
        cosines_to(np.ones((3, 4)), np.ones(5))
    with pytest.raises(SimilarityError, match="cannot be compared"):
        cross_gram(torch.ones(3, 4), torch.ones(2, 5), absolute=False)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_vector_that_is_not_a_number_is_named(side):
    blocks = {"left": torch.ones(3, 4), "right": torch.ones(3, 4)}
    blocks[side][2, 1] = torch.nan
    with pytest.raises(SimilarityError, match="vector 2 of a block is not a number"):
        cross_gram(blocks["left"], blocks["right"], absolute=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cosines_on_a_gpu_agree_with_float64():
    rows = correlated_rows(200)
    for left, bound in ((rows[:120].cuda(), 1e-5), (halves(rows[:120]).cuda(), 5e-4)):
        signed, absolute = cross_gram(left, rows[80:].cuda(), absolute=True)
        assert np.abs(signed - exact_cosines(rows)[:120, 80:]).max() < bound
        assert np.abs(absolute - exact_cosines(rows.abs())[:120, 80:]).max() < bound
        i, j = np.arange(50), np.arange(50, 100)
        of_pairs = pair_cosines(left, rows[80:].cuda(), i, j, absolute=False)
        assert np.abs(of_pairs - signed[i, j]).max() < 1e-6
