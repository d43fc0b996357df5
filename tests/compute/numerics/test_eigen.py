"""The lowest eigenvectors, against NumPy's of the whole matrix."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from compute.errors import ClusteringError
from compute.numerics.eigen import lowest_eigenvectors


def symmetric(n: int) -> np.ndarray:
    matrix = np.random.default_rng(n).standard_normal((n, n))
    return matrix + matrix.T


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 1), (3, 3), (40, 7), (200, 200)])
def test_they_are_orthonormal_and_solve_the_equation(n, k):
    matrix = symmetric(n)
    values, vectors = lowest_eigenvectors(matrix.copy(), k)
    assert values == pytest.approx(np.linalg.eigvalsh(matrix)[:k], abs=1e-11)
    assert matrix @ vectors == pytest.approx(vectors * values, abs=1e-11)
    assert vectors.T @ vectors == pytest.approx(np.eye(k), abs=1e-12)


def test_equal_eigenvalues_get_orthonormal_vectors():
    values, vectors = lowest_eigenvectors(np.eye(30), 30)
    assert values == pytest.approx(np.ones(30))
    assert vectors.T @ vectors == pytest.approx(np.eye(30), abs=1e-12)


def test_too_large_a_matrix_is_refused_before_any_work():
    endless = np.broadcast_to(0.0, (50_000, 50_000))
    with pytest.raises(ClusteringError, match="50000 tokens are too many"):
        lowest_eigenvectors(endless, 2)


def test_other_threads_go_on_meanwhile():
    def longest_pause() -> float:
        """Share of the time in which this thread could not run."""
        work = threading.Thread(target=lowest_eigenvectors, args=(symmetric(1200), 50))
        ticks = [time.perf_counter()]
        work.start()
        while work.is_alive():
            time.sleep(0.002)
            ticks.append(time.perf_counter())
        return float(np.diff(ticks).max() / (ticks[-1] - ticks[0]))

    assert min(longest_pause() for _ in range(3)) < 0.3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_finds_the_same_spaces():
    matrix = symmetric(300)
    values, vectors = lowest_eigenvectors(matrix.copy(), 40, device="cuda")
    expected, space = lowest_eigenvectors(matrix.copy(), 40)
    assert values == pytest.approx(expected, abs=1e-10)
    assert np.abs(space.T @ vectors) == pytest.approx(np.eye(40), abs=1e-9)
