"""Cosines of some pairs of vectors: between two blocks, of nearest neighbours, of one vector with all."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from compute.errors import SimilarityError

COLUMNS = 1 << 14  # of two blocks, in float32 at a time
PAIRS = 1 << 8  # gathered at a time
SKETCHES = 1 << 10  # in float32 at a time
MATRIX_ROWS = 1 << 8


def cross_gram(
    left: torch.Tensor | NDArray[np.floating], right: torch.Tensor, *, absolute: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Compute the cosines between two blocks of vectors.

    Parameters
    ----------
    left : Tensor or ndarray of shape (a, P), float16 or float32
        The block that is held; on the device of ``right`` where it is a tensor.
    right : Tensor of shape (b, P), float32
        The vectors that pass by; neither block need have unit rows.
    absolute : bool
        Also compute the cosines of absolute values.

    Returns
    -------
    signed : ndarray of shape (a, b), float64, in [-1, 1]
    absolute : ndarray of shape (a, b), float64, in [0, 1], or None
        0 where either vector is zero.

    Raises
    ------
    SimilarityError
        Blocks of unequal width, or a vector that is not a number.

    Notes
    -----
    Products are float32 within some columns and float64 over all of them, whatever the precision of the store, so
    a cosine depends on the block that it is computed in by less than 1e-6.

    Examples
    --------
    >>> signed, _ = cross_gram(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]]), absolute=False)
    >>> round(float(signed[0, 0]), 6)
    0.8
    """
    left = _tensor(left, right)
    sums = torch.zeros(1 + absolute, len(left), len(right), dtype=torch.float64, device=right.device)
    squares = [torch.zeros(len(block), dtype=torch.float64, device=right.device) for block in (left, right)]
    largest = _largest(right)
    for part in _columns(left):
        one, other = left[:, part].float(), right[:, part] / largest
        for square, block in zip(squares, (one, other), strict=True):
            square += torch.linalg.vector_norm(block, dim=1).double() ** 2
        sums[0] += one @ other.T
        if absolute:
            sums[1] += one.abs() @ other.abs_().T
    scale = [_inverse_root(square) for square in squares]
    cosines = (sums * scale[0][:, None] * scale[1]).clamp_(-1, 1).cpu().numpy()
    return cosines[0], cosines[1] if absolute else None


def pair_cosines(
    left: torch.Tensor | NDArray[np.floating],
    right: torch.Tensor,
    i: NDArray[np.integer],
    j: NDArray[np.integer],
    *,
    absolute: bool,
) -> NDArray[np.float64]:
    """Compute the cosines of given pairs between two blocks of vectors.

    Parameters
    ----------
    left, right
        As in `cross_gram`.
    i, j : integer ndarray of shape (n,)
        Rows of ``left`` and of ``right``.
    absolute : bool
        Of absolute values instead.

    Returns
    -------
    ndarray of shape (n,), float64, in [-1, 1]
        0 where either vector is zero.

    Raises
    ------
    SimilarityError
        Blocks of unequal width, or a vector that is not a number.

    Examples
    --------
    >>> vectors = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    >>> pair_cosines(vectors, vectors, np.array([0]), np.array([1]), absolute=True).round(6).tolist()
    [0.8]
    """
    left = _tensor(left, right)
    found = np.empty(len(i))
    for first in range(0, len(i), PAIRS):
        some = slice(first, first + PAIRS)
        found[some] = _pair_cosines(left, right, i[some], j[some], absolute)
    return found


def top_pairs(cosine: NDArray[np.floating], m: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of each row and its nearest others.

    Parameters
    ----------
    cosine : ndarray of shape (S, S)
        Symmetric; the diagonal is left out.
    m : int
        Neighbours of each row, at most S - 1 of which there are.

    Returns
    -------
    i, j : ndarray of shape (n,), int64
        Every pair once, i < j, in ascending order; between S m / 2 and S m pairs.

    Raises
    ------
    SimilarityError
        The matrix is not square, or no neighbours are asked for.

    Examples
    --------
    >>> [side.tolist() for side in top_pairs(np.array([[1, 0.5, 0.1], [0.5, 1, 0.2], [0.1, 0.2, 1]]), 1)]
    [[0, 1], [1, 2]]
    """
    if cosine.ndim != 2 or cosine.shape[0] != cosine.shape[1] or m < 1:
        raise SimilarityError(f"there are no {m} nearest neighbours in a matrix of shape {cosine.shape}")
    n = len(cosine)
    m = min(m, n - 1)
    keys = [np.empty(0, dtype=np.int64)]
    for first in range(0, n if m else 0, MATRIX_ROWS):
        block = np.array(cosine[first : first + MATRIX_ROWS])
        rows = np.arange(first, first + len(block))
        block[np.arange(len(block)), rows] = -np.inf
        nearest = np.argpartition(block, n - m, axis=1)[:, n - m :]
        one, other = np.minimum(rows[:, None], nearest), np.maximum(rows[:, None], nearest)
        keys.append((one * n + other).ravel())
    i, j = np.divmod(np.unique(np.concatenate(keys)), n)
    return i, j


def replace_pairs(
    cosine: NDArray[np.floating], i: NDArray[np.integer], j: NDArray[np.integer], values: NDArray[np.floating]
) -> None:
    """Write cosines of pairs into a symmetric matrix, in place and on both sides of the diagonal.

    Parameters
    ----------
    cosine : ndarray of shape (S, S)
    i, j : integer ndarray of shape (n,)
    values : ndarray of shape (n,), in [-1, 1]

    Raises
    ------
    SimilarityError
        A value that is not a number.
    """
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise SimilarityError(f"the cosine of rows {i[bad[0]]} and {j[bad[0]]} is {values[bad[0]]}; compute it again")
    cosine[i, j] = values
    cosine[j, i] = values


def cosines_to(rows: NDArray[np.floating], one: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute the cosine of one vector with every row, such as a new token's sketch with those of clustered tokens.

    Parameters
    ----------
    rows : ndarray of shape (S, k), float16 or float32
        A memory map is read once.
    one : ndarray of shape (k,), float16 or float32
        Sketched with the same seed and size as the rows.

    Returns
    -------
    ndarray of shape (S,), float64, in [-1, 1]
        0 where either vector is zero.

    Raises
    ------
    SimilarityError
        Vectors of unequal length, or one that is not a number.

    Examples
    --------
    >>> cosines_to(np.array([[3, 4], [0, 0]], dtype=np.float16), np.array([0, 1], dtype=np.float16)).round(3).tolist()
    [0.8, 0.0]
    """
    if rows.ndim != 2 or one.shape != (rows.shape[1],):
        raise SimilarityError(f"one vector of shape {one.shape} cannot be compared with rows of shape {rows.shape}")
    right = torch.from_numpy(one.astype(np.float32))[None]
    blocks = [rows[first : first + SKETCHES].astype(np.float32) for first in range(0, len(rows), SKETCHES)]
    return np.concatenate([np.empty(0), *(cross_gram(block, right, absolute=False)[0][:, 0] for block in blocks)])


def _pair_cosines(
    left: torch.Tensor, right: torch.Tensor, i: NDArray[np.integer], j: NDArray[np.integer], absolute: bool
) -> NDArray[np.float64]:
    """Of a few pairs."""
    rows, others = (torch.from_numpy(np.asarray(side, dtype=np.int64)).to(right.device) for side in (i, j))
    sums = torch.zeros(3, len(i), dtype=torch.float64, device=right.device)  # of products, squares, other squares
    largest = _largest(right)
    for part in _columns(left):
        one, other = left[:, part][rows].float(), (right[:, part] / largest)[others]
        if absolute:
            one, other = one.abs(), other.abs()
        for total, product in zip(sums, (one * other, one * one, other * other), strict=True):
            total += product.sum(1, dtype=torch.float64)
    return (sums[0] * _inverse_root(sums[1]) * _inverse_root(sums[2])).clamp_(-1, 1).cpu().numpy()


def _tensor(left: torch.Tensor | NDArray[np.floating], right: torch.Tensor) -> torch.Tensor:
    """The left block as a tensor, after a look at both."""
    shapes = tuple(left.shape), tuple(right.shape)
    if len(shapes[0]) != 2 or len(shapes[1]) != 2 or shapes[0][1] != shapes[1][1] or not shapes[0][1]:
        raise SimilarityError(f"blocks of shapes {shapes[0]} and {shapes[1]} cannot be compared")
    return left if isinstance(left, torch.Tensor) else torch.from_numpy(left).to(right.device)


def _columns(block: torch.Tensor) -> list[slice]:
    return [slice(first, first + COLUMNS) for first in range(0, block.shape[1], COLUMNS)]


def _largest(block: torch.Tensor) -> torch.Tensor:
    """The largest size of each row's entries (n, 1): divided by it, no square of float32 vanishes or overflows."""
    largest = torch.linalg.vector_norm(block, ord=torch.inf, dim=1, keepdim=True)
    return torch.where(largest > 0, largest, 1.0)


def _inverse_root(squares: torch.Tensor) -> torch.Tensor:
    """1 over the length of each vector; 0 for one of zeros."""
    bad = torch.nonzero(~torch.isfinite(squares))
    if len(bad):
        raise SimilarityError(f"vector {int(bad[0])} of a block is not a number; compute it again")
    return torch.where(squares > 0, squares.rsqrt(), 0.0)
