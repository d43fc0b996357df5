"""CountSketch of gradients: a short vector for each long one, whose cosines are those of the long ones, nearly."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from compute.errors import SimilarityError

SIZE = 1 << 16
N_TABLES = 512  # 8 bytes for each bucket of each: 0.27 GB at the default size, however long the gradient
BATCH_BYTES = 1 << 28  # of rows in single precision at a time
ROWS_COMPARED = 1024
NORM_ENTRIES = 1 << 14  # summed by one thread, so that the last bit does not depend on how many there are


class CountSketch:
    """A seeded linear map from gradients of P entries to vectors of ``size`` entries.

    Parameters
    ----------
    n_entries : int
        P, the length of a gradient.
    size : int
        k, the length of a sketch; 4 ln S / k is the square of the largest error to expect among S gradients.
    seed : int
        At least 0. The same seed gives the same sketch on every machine and device, with any number of threads.

    Raises
    ------
    SimilarityError
        A length below 1 or a negative seed.

    Notes
    -----
    Every entry i has a bucket h(i) and a sign s(i), and the sketch is y_b = sum over h(i) = b of s(i) x_i. Here the
    gradient is cut into blocks of k entries, and h is one to one within a block: block b goes through a random
    permutation and random signs (table b mod 512), a rotation by r_b and a sign e_b, and is added to the sketch. So
    a sketch is P / k gathers from a block that stays in cache and as many sums, always in the same order: a row's
    bits depend on nothing but the row and the seed.

    Two entries of one block never meet, two of different blocks meet with a probability of exactly 1 / k (r_b is
    uniform), and the signs make every meeting's mean zero. Hence E<y, y'> = <x, x'>, and the variance is about
    (|x|^2 |x'|^2 + <x, x'>^2) / k as for independent buckets; beyond 512 blocks, the share of it that is due to two
    blocks with one table is at most tripled. Divided by the sketches' own lengths, the cosine c has a standard
    deviation of (1 - c^2) / sqrt(k); divided by the true lengths it would be sqrt((1 + c^2) / k), so
    `accumulate_cosines` divides by their own. One seed's errors are not independent: absolute values share a direction,
    and the mean error of all their pairs is about 1e-3 at the default size, of either sign.

    All random numbers are raw 64-bit words of Philox with the key (seed, table), or (seed, 2^63) for the blocks: a
    permutation is the order of a table's words and a sign the lowest bit of each; r_b and e_b likewise. Raw words
    of Philox are the same in every release of numpy, which its samplers need not be.

    References
    ----------
    Charikar, Chen, Farach-Colton, Finding frequent items in data streams, 2002 (the sketch);
    Weinberger et al., arXiv:0902.2206, lemma 2 (mean and variance).

    Examples
    --------
    >>> sketch = CountSketch(6, size=4)
    >>> signed, absolute = sketch.apply(torch.tensor([[3.0, 0.0, 0.0, 0.0, 0.0, -4.0]]), absolute=True)
    >>> signed.shape, absolute.shape
    (torch.Size([1, 4]), torch.Size([1, 4]))
    """

    def __init__(self, n_entries: int, size: int = SIZE, seed: int = 0) -> None:
        if n_entries < 1 or size < 1 or seed < 0:
            raise SimilarityError(
                f"a sketch needs gradients of at least 1 entry, a size of at least 1 and a seed of at least 0, "
                f"not {n_entries}, {size} and {seed}"
            )
        self.n_entries, self.size, self.seed = n_entries, size, seed
        n_blocks = -(-n_entries // size)
        words = _words(seed, 1 << 63, n_blocks)
        self._rotations = ((words >> np.uint64(1)) % np.uint64(size)).astype(np.int64).tolist()
        self._block_signs = _signs(words).tolist()
        tables = [_words(seed, table, size) for table in range(min(n_blocks, N_TABLES))]
        self._orders = np.stack([np.argsort(table).astype(np.int32) for table in tables])
        self._signs = np.stack([_signs(table)[order] for table, order in zip(tables, self._orders, strict=True)])
        self._placed: dict[torch.device, tuple[torch.Tensor, ...]] = {}  # the two tables on other devices

    def apply(
        self, rows: torch.Tensor, *, absolute: bool, norms: NDArray[np.float64] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Sketch unit gradients and their absolute values.

        Parameters
        ----------
        rows : Tensor of shape (n, P), float32
            Gradients of any length, on any device; they are not changed.
        absolute : bool
            Also sketch |g|.
        norms : ndarray of shape (n,), float64, optional
            Their Euclidean norms where they are known.

        Returns
        -------
        signed : Tensor of shape (n, size), float32
            Of g / |g|; zeros for a gradient of zeros.
        absolute : Tensor of shape (n, size), float32, or None
            Of the absolute values of g / |g|, with the same buckets and signs.

        Raises
        ------
        SimilarityError
            Rows of another length or type, or a row that is not a number (named).
        """
        if rows.ndim != 2 or rows.shape[1] != self.n_entries or rows.dtype != torch.float32:
            raise SimilarityError(
                f"expected float32 gradients of {self.n_entries} entries, not {rows.dtype} of shape {tuple(rows.shape)}"
            )
        lengths = torch.from_numpy(_norms(rows) if norms is None else np.asarray(norms, dtype=np.float64))
        bad = torch.nonzero(~torch.isfinite(lengths))
        if len(bad):
            raise SimilarityError(f"gradient {int(bad[0])} is not a number; compute it again")
        scale = torch.where(lengths > 0, 1 / lengths, 0.0).to(rows)[:, None]
        sketches = [torch.zeros(len(rows), self.size, device=rows.device) for _ in range(1 + absolute)]
        if rows.device.type == "cpu":
            self._add_on_processor(rows.numpy(), [sketch.numpy() for sketch in sketches])
        else:
            self._add_on_device(rows, sketches)
        for sketch in sketches:
            sketch.mul_(scale)
        return sketches[0], sketches[1] if absolute else None

    def _add_on_device(self, rows: torch.Tensor, sketches: list[torch.Tensor]) -> None:
        """Add all blocks of all rows to the sketches (n, size), the second of absolute values."""
        if rows.device not in self._placed:
            tables = (torch.from_numpy(table).to(rows.device) for table in (self._orders, self._signs))
            self._placed[rows.device] = tuple(tables)
        orders, signs = self._placed[rows.device]
        for block, (rotation, sign) in enumerate(zip(self._rotations, self._block_signs, strict=True)):
            entries = rows[:, block * self.size : (block + 1) * self.size]
            entries = torch.nn.functional.pad(entries, (0, self.size - entries.shape[1]))
            table, cut = block % N_TABLES, self.size - rotation
            mixed = entries.index_select(1, orders[table])
            for kind, sketch in enumerate(sketches):
                signed = (mixed.abs() if kind else mixed) * (sign * signs[table])
                sketch[:, rotation:] += signed[:, :cut]
                sketch[:, :rotation] += signed[:, cut:]

    def _add_on_processor(self, rows: NDArray[np.float32], sketches: list[NDArray[np.float32]]) -> None:
        """The same, rows shared out among threads: the blocks are too small to share out."""
        n_shares = max(1, min(torch.get_num_threads(), len(rows)))
        shares = [slice(share, None, n_shares) for share in range(n_shares)]
        with ThreadPoolExecutor(n_shares) as pool:
            list(pool.map(lambda share: self._add_share(rows[share], [sketch[share] for sketch in sketches]), shares))

    def _add_share(self, rows: NDArray[np.float32], sketches: list[NDArray[np.float32]]) -> None:
        mixed, signed = np.empty((2, self.size), np.float32)
        for block, (rotation, sign) in enumerate(zip(self._rotations, self._block_signs, strict=True)):
            entries = rows[:, block * self.size : (block + 1) * self.size]
            if entries.shape[1] < self.size:
                entries = np.pad(entries, ((0, 0), (0, self.size - entries.shape[1])))
            order, signs = self._orders[block % N_TABLES].astype(np.intp), self._signs[block % N_TABLES]
            add, cut = (np.add if sign > 0 else np.subtract), self.size - rotation
            for place, row in enumerate(entries):
                np.take(row, order, out=mixed, mode="clip")  # without it, out is copied
                for kind, sketch in enumerate(sketches):
                    np.multiply(np.abs(mixed, out=mixed) if kind else mixed, signs, out=signed)
                    target = sketch[place]
                    add(target[rotation:], signed[:cut], out=target[rotation:])
                    add(target[:rotation], signed[cut:], out=target[:rotation])


def stored_sketch(sketches: torch.Tensor) -> NDArray[np.float16]:
    """Return sketches as they are kept: half precision, times the root of their size.

    Parameters
    ----------
    sketches : Tensor of shape (n, size), float32
        From `CountSketch.apply`.

    Returns
    -------
    ndarray of shape (n, size), float16
        Entries are about 1 in size, which half precision holds to 5e-4 each and their cosines to 1e-5.
    """
    return (sketches * math.sqrt(sketches.shape[1])).half().cpu().numpy()


def sketch_rows(
    sketch: CountSketch,
    rows: torch.Tensor,
    *,
    device: str | torch.device = "cpu",
    progress: Callable[[], None] = lambda: None,
) -> NDArray[np.float16]:
    """Sketch rows that are kept in half precision, a few at a time.

    Parameters
    ----------
    sketch : CountSketch
    rows : Tensor of shape (n, P), float16
        Of any length and on any device.
    device : str or torch.device
        Where they are sketched.
    progress : callable
        Called after every few rows.

    Returns
    -------
    ndarray of shape (n, size), float16
        As `stored_sketch` gives them; zeros for a row of zeros.

    Raises
    ------
    SimilarityError
        As `CountSketch.apply`.
    """
    step = max(1, BATCH_BYTES // (4 * sketch.n_entries))
    made = np.zeros((len(rows), sketch.size), np.float16)
    for first in range(0, len(rows), step):
        batch = rows[first : first + step].to(device).float()
        made[first : first + step] = stored_sketch(sketch.apply(batch, absolute=False)[0])
        progress()
    return made


def sketch_cosines(stored: NDArray[np.float16], sketches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compare a few sketches with many stored ones.

    Parameters
    ----------
    stored : ndarray of shape (n, size), float16
        From `stored_sketch`; may be memory-mapped.
    sketches : ndarray of shape (m, size), float32
        Of any length.

    Returns
    -------
    ndarray of shape (m, n), float32
        Cosines, divided by the sketches' own lengths; 0 where a sketch is of zeros. Their standard deviation is
        (1 − c²) / √size.

    Raises
    ------
    SimilarityError
        Sketches of different sizes.

    Examples
    --------
    >>> sketch_cosines(np.array([[2, 0], [1, 1]], np.float16), np.array([[3, 0]], np.float32)).round(3).tolist()
    [[1.0, 0.7070000171661377]]
    """
    if stored.ndim != 2 or sketches.ndim != 2 or stored.shape[1] != sketches.shape[1]:
        raise SimilarityError(f"sketches of shape {sketches.shape} cannot be compared with those of {stored.shape}")
    cosines = np.zeros((len(sketches), len(stored)), np.float32)
    left = _unit(sketches)
    for first in range(0, len(stored), ROWS_COMPARED):
        cosines[:, first : first + ROWS_COMPARED] = left @ _unit(stored[first : first + ROWS_COMPARED]).T
    return np.clip(cosines, -1, 1)


def sketch_error(n_tokens: int, size: int = SIZE) -> dict[str, float]:
    """Errors to expect of cosines and affinities from sketches.

    Parameters
    ----------
    n_tokens : int
        S, at least 2.
    size : int
        k.

    Returns
    -------
    dict
        ``rms`` : bound of a cosine's root mean square error, 1 / sqrt(k), reached at c = 0;
        ``largest`` : bound of the largest error of all pairs to expect, sqrt(4 ln S / k);
        ``rms_at_0.9`` : root mean square error of a cosine of 0.9, 0.19 / sqrt(k);
        ``affinity_rms`` : root mean square error of an angular affinity, at c = 0 (it falls towards c = 1).

    Raises
    ------
    SimilarityError
        Fewer than 2 tokens, or a size below 1.

    Notes
    -----
    The angle's error is Delta c / (pi sqrt(1 - c^2)), which grows without bound as c nears 1 for a fixed Delta c; but
    Delta c itself is (1 - c^2) / sqrt(k), so the affinity's error is sqrt(1 - c^2) / (pi sqrt(k)) and falls.

    Examples
    --------
    >>> round(sketch_error(10_000)["largest"], 3)
    0.024
    """
    if n_tokens < 2 or size < 1:
        raise SimilarityError(f"there are no pairs to err on: {n_tokens} tokens, sketches of size {size}")
    rms = 1 / math.sqrt(size)
    return {
        "rms": rms,
        "largest": math.sqrt(4 * math.log(n_tokens) / size),
        "rms_at_0.9": (1 - 0.9**2) * rms,
        "affinity_rms": rms / math.pi,
    }


def _words(seed: int, stream: int, count: int) -> NDArray[np.uint64]:
    """Raw words of the generator with the key (seed, stream)."""
    return np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)).random_raw(count)


def _signs(words: NDArray[np.uint64]) -> NDArray[np.float32]:
    """+1 or -1 by the lowest bit of each word."""
    return (1 - 2 * (words & np.uint64(1)).astype(np.float32)).astype(np.float32)


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows of length 1; a row of zeros stays one."""
    whole = np.asarray(rows, np.float32)
    norms = np.linalg.norm(whole, axis=1, keepdims=True)
    return np.divide(whole, norms, out=np.zeros_like(whole), where=norms > 0)


def _norms(rows: torch.Tensor) -> NDArray[np.float64]:
    """Euclidean norms of float32 rows (n, P), accumulated in float64, each row by itself."""
    if rows.device.type != "cpu":
        return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64).cpu().numpy()
    norms = np.empty(len(rows))
    for i, row in enumerate(rows):
        parts = [torch.linalg.vector_norm(part, dtype=torch.float64) for part in row.split(NORM_ENTRIES)]
        norms[i] = math.sqrt(sum(float(part) ** 2 for part in parts))
    return norms
