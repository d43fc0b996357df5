"""Cosines from a store of gradients, and the affinities made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compute.errors import SimilarityError
from compute.numerics.similarity import (
    GramAccumulator,
    accumulate_cosines,
    affinity_matrix,
    angular_affinity,
)


def correlated_rows(n_rows: int = 60, n_columns: int = 5000, seed: int = 0) -> np.ndarray:
    """Rows that share directions, with lengths over four orders of magnitude; float64."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((5, n_columns))
    rows = rng.standard_normal((n_rows, 5)) @ shared + rng.standard_normal((n_rows, n_columns))
    return rows * 10.0 ** rng.uniform(-2, 2, (n_rows, 1))


def stored(rows: np.ndarray) -> np.ndarray:
    """As the store keeps them: unit rows times √P, in half precision."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True) * np.sqrt(rows.shape[1])).astype(np.float16)


def exact_cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return unit @ unit.T


def test_float32_rows_agree_with_float64_to_1e_5_on_200_rows():
    rows = correlated_rows(200)
    signed, absolute = accumulate_cosines([rows[:17].astype(np.float32), rows[17:].astype(np.float32)], chunk=700)
    assert np.abs(signed - exact_cosines(rows)).max() < 1e-5
    assert np.abs(absolute - exact_cosines(np.abs(rows))).max() < 1e-5


def test_half_precision_rows_agree_with_float64_to_5e_4():
    rows = correlated_rows()
    signed, absolute = accumulate_cosines([stored(rows)], chunk=700)
    assert np.abs(signed - exact_cosines(rows)).max() < 5e-4
    assert np.abs(absolute - exact_cosines(np.abs(rows))).max() < 5e-4


@pytest.mark.parametrize("chunk", [1, 333, 5000, 10**6])
def test_the_result_does_not_depend_on_the_block_size(chunk):
    rows = stored(correlated_rows(20, 5000 if chunk > 1 else 300))
    of_blocks = accumulate_cosines([rows], chunk=chunk)
    of_other_blocks = accumulate_cosines([rows], chunk=1024)
    for one, other in zip(of_blocks, of_other_blocks, strict=True):
        assert np.abs(one - other).max() < 1e-6


def test_how_rows_are_cut_into_shards_changes_nothing():
    rows = stored(correlated_rows(20, 1000))
    whole, _ = accumulate_cosines([rows])
    cut, _ = accumulate_cosines([rows[:3], rows[3:4], rows[4:]])
    assert np.array_equal(whole, cut)


def test_the_matrices_are_symmetric_float32_within_bounds_with_a_diagonal_of_exactly_one():
    rows = stored(correlated_rows())
    rows[1] = rows[0]
    rows[2] = -rows[0]
    signed, absolute = accumulate_cosines([rows])
    for matrix in (signed, absolute):
        assert matrix.dtype == np.float32
        assert np.array_equal(matrix, matrix.T)
        assert np.all(np.diagonal(matrix) == 1)
        assert np.abs(matrix).max() <= 1
    assert signed[0, 1] == pytest.approx(1, abs=1e-6)
    assert signed[0, 2] == pytest.approx(-1, abs=1e-6)
    assert absolute.min() >= 0
    assert np.all(absolute >= np.abs(signed) - 1e-6)


def test_the_length_of_a_row_does_not_matter():
    rows = correlated_rows(10, 500)
    scaled = rows * np.arange(1, 11)[:, None]
    one, _ = accumulate_cosines([rows.astype(np.float32)])
    other, _ = accumulate_cosines([scaled.astype(np.float32)])
    assert np.abs(one - other).max() < 1e-6


def test_absolute_cosines_can_be_left_out():
    signed, absolute = accumulate_cosines([stored(correlated_rows(5, 50))], absolute=False)
    assert signed.shape == (5, 5)
    assert absolute is None


def test_a_memory_map_is_read(tmp_path):
    rows = stored(correlated_rows(8, 900))
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert np.array_equal(accumulate_cosines([mapped], chunk=250)[0], accumulate_cosines([rows], chunk=250)[0])


def test_an_interrupted_sum_goes_on_where_it_was_saved(tmp_path):
    rows = stored(correlated_rows(12, 1000))
    gram = GramAccumulator(12, 1000, chunk=300)
    gram.add([rows])
    gram.add([rows])
    np.savez(tmp_path / "sums.npz", **gram.state())
    with np.load(tmp_path / "sums.npz") as saved:
        resumed = GramAccumulator.restore(saved)
    assert (resumed.next_chunk, resumed.n_chunks) == (2, 4)
    calls = []
    result = accumulate_cosines([rows], state=resumed, on_chunk=lambda *at: calls.append(at))
    assert calls == [(3, 4), (4, 4)]
    for one, other in zip(result, accumulate_cosines([rows], chunk=300), strict=True):
        assert np.array_equal(one, other)


def test_saved_sums_of_other_gradients_are_refused():
    state = GramAccumulator(3, 10).state() | {"signed": np.zeros((2, 2))}
    with pytest.raises(SimilarityError, match="do not fit"):
        GramAccumulator.restore(state)


def test_the_sums_are_let_go_at_the_end():
    gram = GramAccumulator(4, 30)
    gram.add([stored(correlated_rows(4, 30))])
    gram.finish()
    assert gram.signed.nbytes == gram.absolute.nbytes == 0


def test_adding_after_the_end_changes_nothing():
    rows = stored(correlated_rows(4, 30))
    gram = GramAccumulator(4, 30)
    gram.add([rows])
    before = gram.signed.copy()
    gram.add([rows])
    assert np.array_equal(gram.signed, before)


def test_an_unfinished_sum_gives_no_cosines():
    with pytest.raises(SimilarityError, match="only 0 of 2 blocks"):
        GramAccumulator(3, 10, chunk=5).finish()


def test_a_row_that_is_not_a_number_is_named():
    rows = stored(correlated_rows(6, 40))
    rows[4, 7] = np.nan
    with pytest.raises(SimilarityError, match="gradient 4 is not a number"):
        accumulate_cosines([rows[:3], rows[3:]], chunk=5)


def test_a_row_of_zeros_is_named():
    rows = stored(correlated_rows(6, 40))
    rows[5] = 0
    with pytest.raises(SimilarityError, match="gradient 5 is zero"):
        accumulate_cosines([rows[:3], rows[3:]])


@pytest.mark.parametrize(
    "shards",
    [[], [np.zeros(3)], [np.zeros((0, 4))], [np.zeros((2, 0))], [np.ones((2, 3)), np.ones((2, 4))]],
)
def test_shards_that_hold_no_comparable_rows_are_refused(shards):
    with pytest.raises(SimilarityError):
        accumulate_cosines([shard.astype(np.float32) for shard in shards])


def test_angles_become_affinities():
    cosine = np.cos(np.pi * np.array([[0, 0.25, 0.5], [0.25, 0, 1], [0.5, 1, 0]]))
    expected = [[1, 0.75, 0.5], [0.75, 1, 0], [0.5, 0, 1]]
    assert angular_affinity(cosine) == pytest.approx(np.array(expected), abs=1e-7)


def test_cosines_that_rounding_pushed_outside_give_no_nan():
    affinity = angular_affinity(np.array([[1.0000002, 1.0000001], [1.0000001, 1.0]], dtype=np.float32))
    assert affinity.dtype == np.float32
    assert affinity.tolist() == [[1, 1], [1, 1]]


def test_the_affinity_is_symmetric_with_a_diagonal_of_exactly_one():
    cosine, _ = accumulate_cosines([stored(correlated_rows(10, 100))])
    cosine[2, 3] += 1e-6
    for kind in ("signed", "absolute"):
        affinity = affinity_matrix(cosine, kind)
        assert np.array_equal(affinity, affinity.T)
        assert np.all(np.diagonal(affinity) == 1)
        assert 0 <= affinity.min() <= affinity.max() <= 1


def test_signed_cosines_go_by_angle_and_absolute_ones_directly():
    cosine = np.array([[1.0, 0.5], [0.5, 1.0]])
    assert affinity_matrix(cosine, "signed")[0, 1] == pytest.approx(2 / 3)
    assert affinity_matrix(cosine, "absolute")[0, 1] == 0.5


def test_another_kind_of_affinity_is_refused():
    with pytest.raises(SimilarityError, match="'signed' or 'absolute', not 'cosine'"):
        affinity_matrix(np.eye(2), "cosine")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["signed", "absolute"])
def test_unsuitable_cosines_are_refused(kind):
    with pytest.raises(SimilarityError, match="square"):
        affinity_matrix(np.ones((2, 3)), kind)
    with pytest.raises(SimilarityError, match="tokens 0 and 1 is nan"):
        affinity_matrix(np.array([[1, np.nan], [np.nan, 1]]), kind)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_sums_on_a_gpu_agree_with_float64():
    rows = correlated_rows(200)
    for given, bound in ((rows.astype(np.float32), 1e-5), (stored(rows), 5e-4)):
        signed, absolute = accumulate_cosines([given[:70], given[70:]], chunk=700, device="cuda")
        assert np.abs(signed - exact_cosines(rows)).max() < bound
        assert np.abs(absolute - exact_cosines(np.abs(rows))).max() < bound
