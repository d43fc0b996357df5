"""Cosine similarity of unit gradients, read once from a store, and the affinities made of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg.blas import ssyrk

from compute.errors import SimilarityError

CHUNK = 32768  # columns at a time: 4 bytes of them for each row, 0.4 GB for 3,000 rows
AffinityKind = Literal["signed", "absolute"]


class GramAccumulator:
    """Sums the Gram matrices G Gᵀ and |G| |G|ᵀ over blocks of columns, so that a store is read once.

    Parameters
    ----------
    n_rows, n_columns : int
        Of the store: S rows in all shards together, P columns in each.
    chunk : int
        Columns summed by one `add`.
    absolute : bool
        Also sum |G| |G|ᵀ. Not for sketches: the absolute values of a sketch are not the sketch of absolute values.
    device : str or torch.device
        Where blocks are multiplied; the sums stay in memory.

    Attributes
    ----------
    signed : ndarray of shape (S, S), float64
        G Gᵀ over the columns added so far; only the upper triangle counts.
    absolute : ndarray of shape (S, S), float64, or None
        The same of |G| |G|ᵀ.
    next_chunk, n_chunks : int
        Blocks added, and blocks in all.

    Raises
    ------
    SimilarityError
        No rows or columns, shards of other shapes, or a row that is not a number (named).

    Notes
    -----
    A block is multiplied in float32 by a symmetric rank-k update (half the work of a product) and added in
    float64, so the result does not depend on the block size beyond float32 rounding within a block. `state`
    and `restore` carry the sums over an interruption: at 3,000 rows a block takes a few seconds.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 5 (quanta discovery from gradients).

    Examples
    --------
    >>> gram = GramAccumulator(2, 3, chunk=2)
    >>> while gram.next_chunk < gram.n_chunks:
    ...     gram.add([np.array([[3, 4, 0], [0, 4, -3]], dtype=np.float32)])
    >>> signed, absolute = gram.finish()
    >>> round(float(signed[0, 1]), 6)
    0.64
    """

    def __init__(
        self,
        n_rows: int,
        n_columns: int,
        chunk: int = CHUNK,
        *,
        absolute: bool = True,
        device: str | torch.device = "cpu",
    ) -> None:
        if n_rows < 1 or n_columns < 1:
            raise SimilarityError(f"there is nothing to compare: {n_rows} gradients of {n_columns} numbers")
        if chunk < 1:
            raise SimilarityError(f"a block must hold at least one column, but {chunk} were asked for")
        self.n_rows, self.n_columns, self.chunk = n_rows, n_columns, min(chunk, n_columns)
        self.n_chunks = -(-n_columns // self.chunk)
        self.next_chunk = 0
        self.signed = np.zeros((n_rows, n_rows))
        self.absolute = np.zeros((n_rows, n_rows)) if absolute else None
        self.device = torch.device(device)
        self._block = torch.empty(0, 0)

    @property
    def done(self) -> bool:
        """Whether every column has been added."""
        return self.next_chunk >= self.n_chunks

    def add(self, shards: Sequence[NDArray[np.floating]]) -> None:
        """Add the next block of columns; nothing once all are in.

        Parameters
        ----------
        shards : sequence of ndarray of shape (n_i, P), float16 or float32
            The rows in order; memory maps are read only where needed.

        Raises
        ------
        SimilarityError
            Shards of other shapes, or a row that is not a number.
        """
        if self.done:
            return
        self._check_shards(shards)
        block = self._read(shards)
        self._update(self.signed, block)
        if self.absolute is not None:
            self._update(self.absolute, block.abs_())
        bad = np.flatnonzero(~np.isfinite(np.diagonal(self.signed)))
        if len(bad):
            raise SimilarityError(f"gradient {bad[0]} is not a number; compute its shard again")
        self.next_chunk += 1

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the cosine matrices of all rows and let go of the sums.

        Returns
        -------
        signed : ndarray of shape (S, S), float32, in [−1, 1]
        absolute : ndarray of shape (S, S), float32, in [0, 1], or None
            Both symmetric, with a diagonal of exactly 1.

        Raises
        ------
        SimilarityError
            Columns are missing, or a row is zero (named).
        """
        if not self.done:
            raise SimilarityError(f"only {self.next_chunk} of {self.n_chunks} blocks of columns are in")
        zero = np.flatnonzero(~(np.diagonal(self.signed) > 0))
        if len(zero):
            raise SimilarityError(f"gradient {zero[0]} is zero and has no direction; leave its token out")
        self._block = torch.empty(0, 0)
        signed, self.signed = _cosine(self.signed), np.empty((0, 0))
        if self.absolute is None:
            return signed, None
        absolute, self.absolute = _cosine(self.absolute), np.empty((0, 0))
        return signed, absolute

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return what `restore` needs, as arrays that `numpy.savez` takes."""
        shape = (self.n_rows, self.n_columns, self.chunk)
        state: dict[str, NDArray[np.generic]] = {
            "shape": np.array(shape), "next_chunk": np.array(self.next_chunk), "signed": self.signed
        }  # fmt: skip
        if self.absolute is not None:
            state["absolute"] = self.absolute
        return state

    @classmethod
    def restore(cls, state: Mapping[str, NDArray[np.generic]], device: str | torch.device = "cpu") -> GramAccumulator:
        """Continue from what `state` returned.

        Raises
        ------
        SimilarityError
            The arrays do not belong together.
        """
        n_rows, n_columns, chunk = (int(value) for value in state["shape"])
        gram = cls(n_rows, n_columns, chunk, absolute="absolute" in state, device=device)
        gram.next_chunk = int(state["next_chunk"])
        gram.signed = np.array(state["signed"], dtype=np.float64)
        if "absolute" in state:
            gram.absolute = np.array(state["absolute"], dtype=np.float64)
        sums = [gram.signed] if gram.absolute is None else [gram.signed, gram.absolute]
        if any(one.shape != (n_rows, n_rows) for one in sums) or not 0 <= gram.next_chunk <= gram.n_chunks:
            raise SimilarityError("the saved sums do not fit the gradients they are of; start again")
        return gram

    def _check_shards(self, shards: Sequence[NDArray[np.floating]]) -> None:
        widths = {shard.shape[1] if shard.ndim == 2 else -1 for shard in shards}
        n_rows = sum(len(shard) for shard in shards)
        if widths != {self.n_columns} or n_rows != self.n_rows:
            raise SimilarityError(
                f"expected {self.n_rows} gradients of {self.n_columns} numbers, "
                f"but the shards have shapes {[shard.shape for shard in shards]}"
            )

    def _read(self, shards: Sequence[NDArray[np.floating]]) -> torch.Tensor:
        """Copy the next columns of all shards into one float32 block (S, width), which the next call overwrites."""
        first = self.next_chunk * self.chunk
        width = min(self.chunk, self.n_columns - first)
        if self._block.shape[1] != width:
            self._block = torch.empty(self.n_rows, width, device=self.device)
        row = 0
        for shard in shards:
            self._block[row : row + len(shard)] = _tensor(shard)[:, first : first + width].to(self.device)
            row += len(shard)
        return self._block

    def _update(self, total: NDArray[np.float64], block: torch.Tensor) -> None:
        if self.device.type == "cpu":
            # The transpose is in Fortran order, so nothing is copied; the result's Fortran-order lower triangle,
            # read in C order through .T, is the upper one.
            total += ssyrk(1.0, block.numpy().T, trans=1, lower=1).T
        else:
            total += (block @ block.T).cpu().numpy()


def accumulate_cosines(
    shards: Sequence[NDArray[np.floating]],
    *,
    absolute: bool = True,
    chunk: int = CHUNK,
    device: str | torch.device = "cpu",
    state: GramAccumulator | Mapping[str, NDArray[np.generic]] | None = None,
    on_chunk: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Compute the cosine of every pair of rows, signed and of absolute values, in one pass over the rows.

    Parameters
    ----------
    shards : sequence of ndarray of shape (n_i, P), float16 or float32
        The rows in order, S in all; of any positive length (the store keeps unit vectors times √P).
    absolute : bool
        Also compute the cosine of |g|.
    chunk : int
        Columns read at a time.
    device : str or torch.device
        Where blocks are multiplied.
    state : GramAccumulator or mapping, optional
        Sums to go on from (a mapping as `GramAccumulator.state` returns); an accumulator is filled in place,
        so that `on_chunk` can save it.
    on_chunk : callable (next_chunk, n_chunks), optional
        Called after every block.

    Returns
    -------
    signed : ndarray of shape (S, S), float32, in [−1, 1]
    absolute : ndarray of shape (S, S), float32, in [0, 1], or None
        Both symmetric, with a diagonal of exactly 1; within 1e-5 of float64 for float32 rows.

    Raises
    ------
    SimilarityError
        Nothing to compare, shards of unequal width, a row that is zero or not a number.

    Notes
    -----
    C = ĝ ĝᵀ and C_abs = |ĝ| |ĝ|ᵀ with ĝ = g / ‖g‖. Lengths are taken from the diagonal of the same sums, so
    that half-precision rows do not leave it off 1.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 5.

    Examples
    --------
    >>> rows = np.array([[3, 4, 0], [0, 4, -3]], dtype=np.float32)
    >>> signed, absolute = accumulate_cosines([rows[:1], rows[1:]])
    >>> absolute.shape
    (2, 2)
    """
    if not len(shards) or any(shard.ndim != 2 for shard in shards):
        raise SimilarityError(f"shards must be tables of gradients, not of shapes {[s.shape for s in shards]}")
    if isinstance(state, GramAccumulator):
        gram = state
    elif state is not None:
        gram = GramAccumulator.restore(state, device)
    else:
        gram = GramAccumulator(sum(map(len, shards)), shards[0].shape[1], chunk, absolute=absolute, device=device)
    while not gram.done:
        gram.add(shards)
        if on_chunk is not None:
            on_chunk(gram.next_chunk, gram.n_chunks)
    return gram.finish()


def angular_affinity(cosine: NDArray[np.floating]) -> NDArray[np.floating]:
    """Turn cosines into affinities by their angle.

    Parameters
    ----------
    cosine : ndarray of shape (S, S), float32 or float64
        Clipped to [−1, 1] first: rounding leaves values just outside, whose arccos is not a number.

    Returns
    -------
    ndarray of shape (S, S), of the same dtype, in [0, 1]
        Symmetric, with a diagonal of exactly 1.

    Raises
    ------
    SimilarityError
        The matrix is not square or holds values that are not numbers.

    Notes
    -----
    Ĉ = 1 − arccos(C) / π: 1 for equal directions, ½ for orthogonal ones, 0 for opposite ones.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 5.

    Examples
    --------
    >>> angular_affinity(np.array([[1.0, 0.0], [0.0, 1.0000001]])).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    _check_square(cosine)
    affinity = np.clip(cosine, -1, 1)
    np.arccos(affinity, out=affinity)
    affinity *= -1 / np.pi
    affinity += 1
    return _symmetric(affinity)


def affinity_matrix(cosine: NDArray[np.floating], kind: AffinityKind) -> NDArray[np.floating]:
    """Return what is clustered for a cosine matrix of the given kind.

    Parameters
    ----------
    cosine : ndarray of shape (S, S), float32 or float64
    kind : {"signed", "absolute"}
        Signed cosines become `angular_affinity`; those of absolute gradients are clustered as they are,
        clipped to [0, 1].

    Returns
    -------
    ndarray of shape (S, S), of the same dtype, in [0, 1]
        Symmetric, with a diagonal of exactly 1.

    Raises
    ------
    SimilarityError
        Another kind, a matrix that is not square, or values that are not numbers.

    Examples
    --------
    >>> affinity_matrix(np.array([[1.0, 0.25], [0.25, 1.0]]), "absolute").tolist()
    [[1.0, 0.25], [0.25, 1.0]]
    """
    if kind == "signed":
        return angular_affinity(cosine)
    if kind == "absolute":
        _check_square(cosine)
        return _symmetric(np.clip(cosine, 0, 1))
    raise SimilarityError(f"the affinity must be 'signed' or 'absolute', not {kind!r}")


def _tensor(array: NDArray[np.floating]) -> torch.Tensor:
    """The same memory as a tensor, which converts half precision several times as fast; it is only read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)


def _cosine(upper: NDArray[np.float64]) -> NDArray[np.float32]:
    """Normalise a Gram matrix, of which the upper triangle is given, to float32 cosines."""
    scale = 1.0 / np.sqrt(np.diagonal(upper))
    cosine = np.empty(upper.shape, dtype=np.float32)
    for row in range(len(upper)):
        cosine[row, row:] = np.clip(upper[row, row:] * (scale[row] * scale[row:]), -1.0, 1.0)
        cosine[row:, row] = cosine[row, row:]
        cosine[row, row] = 1.0
    return cosine


def _check_square(matrix: NDArray[np.floating]) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise SimilarityError(f"similarities must be a square matrix, but have shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise SimilarityError(f"the similarity of tokens {row} and {column} is {matrix[row, column]}")


def _symmetric(matrix: NDArray[np.floating]) -> NDArray[np.floating]:
    result = (matrix + matrix.T) / 2
    np.fill_diagonal(result, 1)
    return result
