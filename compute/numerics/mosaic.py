"""A large similarity matrix in the order of its clusters: parts of it, block means, and codes of one byte a pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

OVERVIEW_LEVEL = 3  # from here on block means are worked out beforehand: one pixel is 2³ × 2³ pairs
TILE = 256  # pixels a side; the coarsest level fits one tile
ROWS_AT_ONCE = 256  # rows held in memory while a whole matrix is summed

Kind = Literal["signed", "unsigned"]
Floats = NDArray[np.floating]
Transform = Callable[[Floats], Floats]


def same(values: Floats) -> Floats:
    """Return the values as they are: the transform of cosines shown as cosines."""
    return values


def affinity_of(cosine: Floats) -> Floats:
    """Turn cosines into angular affinities, one by one.

    Parameters
    ----------
    cosine : ndarray of any shape, float32 or float64
        Clipped to [−1, 1] first.

    Returns
    -------
    ndarray of the same shape and dtype, in [0, 1]

    Notes
    -----
    Ĉ = 1 − arccos(C) / π: 1 for equal directions, ½ for orthogonal ones, 0 for opposite ones.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 5.

    Examples
    --------
    >>> affinity_of(np.array([1.0, 0.0, -1.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    angle = np.arccos(np.clip(cosine, -1, 1))
    angle *= -1 / np.pi
    angle += 1
    return angle


def n_levels(n: int) -> int:
    """Count the levels of a matrix of n × n pairs: at level l a pixel is 2^l × 2^l pairs, the last fits one tile.

    Examples
    --------
    >>> n_levels(256), n_levels(257), n_levels(10_000)
    (1, 2, 7)
    """
    levels = 1
    while -(-n >> (levels - 1)) > TILE:
        levels += 1
    return levels


def width_at(n: int, level: int) -> int:
    """Count the pixels a side of level `level`: n / 2^level, rounded up.

    Examples
    --------
    >>> width_at(1000, 3)
    125
    """
    return -(-n // (1 << level))


def part(
    matrix: Floats, rows: NDArray[np.integer], columns: NDArray[np.integer], transform: Transform = same
) -> NDArray[np.float32]:
    """Read the pairs of some rows and columns of a memory-mapped matrix, touching those rows alone.

    Parameters
    ----------
    matrix : ndarray of shape (n, n), float32
    rows, columns : ndarray of shape (r,) and (c,), int
    transform : callable
        Applied to the values read (`same` or `affinity_of`).

    Returns
    -------
    ndarray of shape (r, c), float32

    Examples
    --------
    >>> part(np.eye(3, dtype=np.float32), np.array([2, 0]), np.array([0, 2])).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    read = np.empty((len(rows), len(columns)), np.float32)
    for place, row in enumerate(rows.tolist()):
        np.take(matrix[row], columns, out=read[place], mode="clip")
    return np.asarray(transform(read), np.float32)


def block_means(values: Floats, factor: int, first_row: int = 0, first_column: int = 0) -> NDArray[np.float32]:
    """Average blocks of factor × factor pairs, leaving out the pairs of a token with itself.

    Parameters
    ----------
    values : ndarray of shape (r, c), float
        A part of the ordered matrix; blocks at its ends may be smaller.
    factor : int
        Pairs a side of one block; 1 returns the values.
    first_row, first_column : int
        Where the part begins in the ordered matrix, so that its diagonal is known; multiples of `factor`.

    Returns
    -------
    ndarray of shape (⌈r / factor⌉, ⌈c / factor⌉), float32
        A block that holds nothing but one token's pair with itself has that pair's value.

    Notes
    -----
    The mean over i in block a, j in block b with i ≠ j. With the self-pairs, which are 1 whatever the run, blocks of
    8 × 8 pairs on the diagonal would seem alike by 1/8 more than they are.

    Examples
    --------
    >>> block_means(np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]), 2).tolist()
    [[0.5, 0.0], [0.0, 1.0]]
    """
    if factor == 1:
        return np.asarray(values, np.float32)
    n_rows, n_columns = values.shape
    at_rows, at_columns = np.arange(0, n_rows, factor), np.arange(0, n_columns, factor)
    sums = np.add.reduceat(np.add.reduceat(values, at_rows, axis=0), at_columns, axis=1, dtype=np.float64)
    start, end = max(first_row, first_column), min(first_row + n_rows, first_column + n_columns)
    selves = np.arange(start, max(start, end))
    rows, columns = selves - first_row, selves - first_column
    blocks = (len(at_rows), len(at_columns))
    flat = (rows // factor) * blocks[1] + columns // factor
    own = np.bincount(flat, values[rows, columns], minlength=blocks[0] * blocks[1]).reshape(blocks)
    n_own = np.bincount(flat, minlength=blocks[0] * blocks[1]).reshape(blocks)
    counts = np.outer(_lengths(n_rows, factor), _lengths(n_columns, factor))
    return _means(sums, counts, own, n_own)


def overview_means(
    matrix: Floats, order: NDArray[np.integer], transform: Transform = same
) -> list[NDArray[np.float32]]:
    """Average the whole ordered matrix in blocks of 8 × 8 pairs and coarser, in one pass over its rows.

    Parameters
    ----------
    matrix : ndarray of shape (n, n), float32
    order : ndarray of shape (n,), int
        The row of the matrix at every place.
    transform : callable

    Returns
    -------
    list of ndarray of shape (⌈n / 2^l⌉, ⌈n / 2^l⌉), float32
        For l = 3 and every coarser level; empty where n is so small that no such level is needed.

    Notes
    -----
    The rows of a block are summed before columns are put in order, so that 8 times fewer values move. Self-pairs are
    left out, as in `block_means`.

    Examples
    --------
    >>> [level.shape for level in overview_means(np.ones((2100, 2100), np.float32), np.arange(2100))]
    [(263, 263), (132, 132)]
    """
    n, levels = len(order), n_levels(len(order))
    if levels <= OVERVIEW_LEVEL:
        return []
    factor = 1 << OVERVIEW_LEVEL
    starts = np.arange(0, n, factor)
    sums = np.empty((len(starts), len(starts)))
    for block, start in enumerate(starts.tolist()):
        total = transform(matrix[order[start : start + factor]]).sum(axis=0)
        sums[block] = np.add.reduceat(total[order], starts, dtype=np.float64)
    selves = np.asarray(transform(np.asarray(matrix[order, order])), np.float64)
    own, lengths = np.add.reduceat(selves, starts), _lengths(n, factor)
    found = []
    for _ in range(OVERVIEW_LEVEL, levels):
        found.append(_means(sums, np.outer(lengths, lengths), np.diag(own), np.diag(lengths)))
        pairs = np.arange(0, len(sums), 2)
        sums = np.add.reduceat(np.add.reduceat(sums, pairs, axis=0), pairs, axis=1)
        own, lengths = np.add.reduceat(own, pairs), np.add.reduceat(lengths, pairs)
    return found


def cluster_means(
    matrix: Floats, order: NDArray[np.integer], starts: NDArray[np.integer], transform: Transform = same
) -> NDArray[np.float32]:
    """Average the pairs between every two clusters, without a token's pair with itself.

    Parameters
    ----------
    matrix : ndarray of shape (n, n), float32
    order : ndarray of shape (n,), int
        Rows of the matrix, cluster by cluster.
    starts : ndarray of shape (k,), int
        The place at which each cluster begins, ascending from 0; none is empty.
    transform : callable

    Returns
    -------
    ndarray of shape (k, k), float32
        Symmetric; NaN within a cluster of one token, which has no pair.

    Examples
    --------
    >>> table = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 1.0]], np.float32)
    >>> cluster_means(table, np.arange(3), np.array([0, 2])).round(2).tolist()
    [[0.5, 0.10000000149011612], [0.10000000149011612, nan]]
    """
    n, k = len(order), len(starts)
    sizes = np.diff(starts, append=n)
    sums = np.empty((k, k))
    for cluster, (start, size) in enumerate(zip(starts.tolist(), sizes.tolist(), strict=True)):
        total = np.zeros(n)
        for first in range(start, start + size, ROWS_AT_ONCE):
            last = min(first + ROWS_AT_ONCE, start + size)
            total += transform(matrix[order[first:last]]).sum(axis=0, dtype=np.float64)
        sums[cluster] = np.add.reduceat(total[order], starts)
    sums = (sums + sums.T) / 2  # rounding of the two halves
    selves = np.asarray(transform(np.asarray(matrix[order, order])), np.float64)
    counts = np.outer(sizes, sizes).astype(np.float64) - np.diag(sizes)
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((sums - np.diag(np.add.reduceat(selves, starts))) / counts).astype(np.float32)


def spread(matrix: Floats, probabilities: NDArray[np.floating], most_rows: int = 1000) -> NDArray[np.float64]:
    """Find the ends and the quantiles of the pairs of different tokens.

    Parameters
    ----------
    matrix : ndarray of shape (n, n), float32, n ≥ 2
    probabilities : ndarray of shape (q,), float, in (0, 1)
    most_rows : int
        Quantiles are those of an even sample of at most so many rows; the ends are of all pairs.

    Returns
    -------
    ndarray of shape (q + 2,), float64
        Smallest value, the quantiles, largest value.

    Examples
    --------
    >>> spread(np.array([[1, 0.2], [0.2, 1]], np.float32), np.array([0.5])).round(2).tolist()
    [0.2, 0.2, 0.2]
    """
    n = len(matrix)
    low, high = np.inf, -np.inf
    for first in range(0, n, ROWS_AT_ONCE):
        rows = _without_selves(matrix, np.arange(first, min(first + ROWS_AT_ONCE, n)))
        low, high = min(low, float(rows.min())), max(high, float(rows.max()))
    sample = np.unique(np.linspace(0, n - 1, min(n, most_rows)).round().astype(int))
    inner = np.quantile(_without_selves(matrix, sample).ravel(), probabilities)
    return np.concatenate([[low], inner, [high]]).astype(np.float64)


def encode(values: Floats, kind: Kind) -> NDArray[np.uint8]:
    """Write values as one byte each, finest around zero.

    Parameters
    ----------
    values : ndarray of any shape, float
        "signed" in [−1, 1], "unsigned" in [0, 1]; what lies outside is clipped.
    kind : {"signed", "unsigned"}

    Returns
    -------
    ndarray of the same shape, uint8
        From 1 on; 0 is left for places outside the matrix and for values that are not numbers.

    Notes
    -----
    128 + round(127 · sign(v) √|v|), or 1 + round(254 √v): most similarities are small, and a step of the code is
    √|v| / 64 of a signed value.

    Examples
    --------
    >>> encode(np.array([-1.0, 0.0, 0.25, 1.0]), "signed").tolist()
    [1, 128, 192, 255]
    """
    if kind == "signed":
        roots = 128 + 127 * np.copysign(np.sqrt(np.minimum(np.abs(values), 1)), values)
    else:
        roots = 1 + 254 * np.sqrt(np.clip(values, 0, 1))
    return np.where(np.isnan(roots), 0, np.rint(roots)).astype(np.uint8)


def decode(kind: Kind) -> NDArray[np.float64]:
    """Return the value of every code: shape (256,), NaN for 0, which stands for nothing.

    Examples
    --------
    >>> decode("signed")[[1, 128, 255]].tolist()
    [-1.0, 0.0, 1.0]
    """
    codes = np.arange(256.0)
    roots = (codes - 128) / 127 if kind == "signed" else (codes - 1) / 254
    values = np.sign(roots) * roots**2
    values[0] = np.nan
    return values


def _lengths(n: int, factor: int) -> NDArray[np.int64]:
    """How many places each block of `factor` has: the last may have fewer."""
    return np.diff(np.append(np.arange(0, n, factor), n)).astype(np.int64)


def _means(sums: Floats, counts: NDArray[Any], own: NDArray[Any], n_own: NDArray[Any]) -> NDArray[np.float32]:
    is_alone = counts == n_own  # one token's pair with itself and nothing else
    rest = np.where(is_alone, sums, sums - own)
    return (rest / np.where(is_alone, counts, counts - n_own)).astype(np.float32)


def _without_selves(matrix: Floats, rows: NDArray[np.integer]) -> Floats:
    """Copies of some rows in which every token's pair with itself has given way to the pair beside it."""
    read = np.array(matrix[rows])
    beside = np.where(rows > 0, rows - 1, 1)
    read[np.arange(len(rows)), rows] = read[np.arange(len(rows)), beside]
    return read
