"""Reads of the similarity matrix in the order of a clustering: tiles, block means, single pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clusters.models import Run
from clusters.queries.clusters import flat_indices, labels_of, ladder
from clusters.stored.arrays import array_of, bundle_of
from clusters.stored.derived import derived
from clusters.stored.recent import Recent
from compute.numerics import mosaic
from compute.numerics.ranks import cluster_order

SIMILARITY, AFFINITY = "similarity", "affinity"
LIMITS = {"99": (2, 4), "99.9": (1, 5), "all": (0, 6)}  # choice → places of its ends in `spread`
PROBABILITIES = np.array([0.0005, 0.005, 0.5, 0.995, 0.9995])
PICTURE_PIXELS = 512  # a side, of the picture that stands in for the canvas
MOST_KEPT = 128  # orderings remembered: 160 kB each at 10,000 tokens


@dataclass(frozen=True)
class Matrix:
    """Which numbers are looked at, and in which order: one run's cosines or affinities, clusters by rank."""

    run: Run
    affinity: str
    k: int
    show: str = SIMILARITY

    @property
    def is_signed(self) -> bool:
        """Whether values lie on both sides of a middle that means 'unrelated'."""
        return self.affinity == "signed"

    @property
    def middle(self) -> float:
        """What orthogonal gradients have: a cosine of 0, an angular affinity of ½."""
        return 0.5 if self.show == AFFINITY else 0.0

    @property
    def code(self) -> mosaic.Kind:
        return "signed" if self.is_signed else "unsigned"

    @property
    def values(self) -> np.ndarray:
        """Cosines, float32 (n, n), memory-mapped; rows as in `selection/flat_index`."""
        return np.asarray(array_of(self.run, f"similarity/{self.affinity}"))

    @property
    def transform(self) -> mosaic.Transform:
        return mosaic.affinity_of if self.show == AFFINITY else mosaic.same

    @property
    def ordering(self) -> Ordering:
        key = (self.run.bundle_sha256, self.affinity, self.k)
        return _orderings.get(key, lambda: _ordering(labels_of(self.run, self.affinity, self.k)))

    def encoded(self, values: np.ndarray) -> np.ndarray:
        """One byte a value; affinities as their distance from ½."""
        return mosaic.encode(2 * values - 1 if self.show == AFFINITY else values, self.code)

    def decoded(self) -> np.ndarray:
        """The value of each of the 256 codes."""
        values = mosaic.decode(self.code)
        return (values + 1) / 2 if self.show == AFFINITY else values


@dataclass(frozen=True, eq=False)
class Ordering:
    """The clustered tokens along the matrix: clusters by rank, within a cluster by first appearance in the corpus."""

    rows: np.ndarray  # of the matrix, by place
    places: np.ndarray  # by row of the matrix
    labels: np.ndarray  # by rank
    starts: np.ndarray  # place at which each rank begins, and the end of the last

    @property
    def n(self) -> int:
        return len(self.rows)

    @property
    def sizes(self) -> np.ndarray:
        return np.diff(self.starts)

    def rank_at(self, place: int) -> int:
        """The rank, from 1, of the cluster at a place."""
        return int(np.searchsorted(self.starts, place, side="right"))

    def span(self, first_rank: int, last_rank: int) -> tuple[int, int]:
        """The places of the clusters of these ranks, the end not included."""
        return int(self.starts[first_rank - 1]), int(self.starts[last_rank])


@dataclass(frozen=True)
class Pair:
    """Two tokens and how alike their gradients are."""

    places: tuple[int, int]
    indices: tuple[int, int]  # flat indices
    ranks: tuple[int, int]
    labels: tuple[int, int]
    sizes: tuple[int, int]
    cosine: float
    affinity: float
    mean: float | None  # over the pairs of both clusters, in the terms the page shows
    n_pairs: int


def affinities_with_matrix(run: Run) -> dict[str, list[int]]:
    """The ks of every affinity whose similarity matrix is in the bundle."""
    bundle = bundle_of(run)
    return {affinity: ks for affinity, ks in ladder(run).items() if bundle.has(f"similarity/{affinity}")}


def tile(matrix: Matrix, level: int, column: int, row: int) -> np.ndarray:
    """Codes of one tile, uint8 of at most 256 × 256; level 0 has one pixel a pair."""
    n = matrix.ordering.n
    if level >= mosaic.OVERVIEW_LEVEL and mosaic.n_levels(n) > mosaic.OVERVIEW_LEVEL:
        whole = _overview_level(matrix, level)
        return np.asarray(whole[_pixels(row), _pixels(column)])
    side = mosaic.TILE << level
    return _read(matrix, (row * side, min((row + 1) * side, n)), (column * side, min((column + 1) * side, n)), level)


def is_tile(n: int, level: int, column: int, row: int) -> bool:
    """Whether a matrix of n × n pairs has this tile."""
    if level >= mosaic.n_levels(n):
        return False
    return max(column, row) * mosaic.TILE < mosaic.width_at(n, level)


def picture(matrix: Matrix, first: int, last: int) -> np.ndarray:
    """Codes of the square block of places `first` to `last`, at most 512 pixels a side."""
    level = 0
    while mosaic.width_at(last - first, level) > PICTURE_PIXELS:
        level += 1
    if level >= mosaic.OVERVIEW_LEVEL:
        whole = _overview_level(matrix, level)
        across = slice(first >> level, -(-last >> level))
        return np.asarray(whole[across, across])
    return _read(matrix, (first, last), (first, last), level)


def numbers(matrix: Matrix, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """Values of single pairs between two ranges of places, float32."""
    ordering = matrix.ordering
    return mosaic.part(matrix.values, ordering.rows[slice(*rows)], ordering.rows[slice(*columns)], matrix.transform)


def cluster_means(matrix: Matrix) -> np.ndarray:
    """Mean over the pairs of every two clusters, by rank, float32 (k, k); NaN within a cluster of one token."""
    ordering = matrix.ordering

    def make() -> np.ndarray:
        return mosaic.cluster_means(matrix.values, ordering.rows, ordering.starts[:-1], matrix.transform)

    return derived(matrix.run, f"{_name(matrix)}-means", make)


@dataclass(frozen=True)
class Contrast:
    """How alike tokens of one cluster are, and tokens of two; None where there are no such pairs."""

    within: float | None
    between: float | None
    n_within: int
    n_between: int


def contrast(matrix: Matrix) -> Contrast:
    """Means over all pairs within a cluster and over all between two."""
    sums = derived(matrix.run, f"{_name(matrix)}-contrast", lambda: _sums(matrix))
    within, between, n_within, n_between = (float(value) for value in sums)
    return Contrast(
        within / n_within if n_within else None,
        between / n_between if n_between else None,
        round(n_within / 2),
        round(n_between / 2),
    )


def _sums(matrix: Matrix) -> np.ndarray:
    """Sums within and between, and how many ordered pairs each is."""
    sizes = matrix.ordering.sizes.astype(np.float64)
    means = np.nan_to_num(cluster_means(matrix).astype(np.float64))
    n_within = float(np.sum(sizes * (sizes - 1)))
    within = float(np.diagonal(means) @ (sizes * (sizes - 1)))
    between = float(sizes @ means @ sizes - np.diagonal(means) @ sizes**2)
    return np.array([within, between, n_within, sizes.sum() * (sizes.sum() - 1) - n_within])


def colour_limits(matrix: Matrix, choice: str) -> tuple[float, float]:
    """The values at the ends of the colour scale; about the middle where values have a sign."""
    spread = derived(
        matrix.run,
        f"similarity/{matrix.affinity}-spread",
        lambda: mosaic.spread(matrix.values, PROBABILITIES),
    )
    low, high = (float(matrix.transform(np.array([spread[place]]))[0]) for place in LIMITS[choice])
    if matrix.is_signed:
        half = max(abs(low - matrix.middle), abs(high - matrix.middle)) or 1e-6
        return matrix.middle - half, matrix.middle + half
    return (low, high) if high > low else (low, low + 1e-6)


def pair(matrix: Matrix, row: int, column: int) -> Pair:
    """The pair at two places."""
    ordering = matrix.ordering
    at = (row, column)
    rows = [int(ordering.rows[place]) for place in at]
    ranks = (ordering.rank_at(row), ordering.rank_at(column))
    cosine = float(matrix.values[rows[0], rows[1]])
    sizes = [int(ordering.sizes[rank - 1]) for rank in ranks]
    mean = float(cluster_means(matrix)[ranks[0] - 1, ranks[1] - 1])
    flat = flat_indices(matrix.run)
    affinity = float(mosaic.affinity_of(np.array([cosine]))[0]) if matrix.is_signed else max(cosine, 0.0)
    return Pair(
        places=at,
        indices=(int(flat[rows[0]]), int(flat[rows[1]])),
        ranks=ranks,
        labels=(int(ordering.labels[ranks[0] - 1]), int(ordering.labels[ranks[1] - 1])),
        sizes=(sizes[0], sizes[1]),
        cosine=cosine,
        affinity=affinity,
        mean=None if np.isnan(mean) else mean,
        n_pairs=sizes[0] * (sizes[0] - 1) // 2 if ranks[0] == ranks[1] else sizes[0] * sizes[1],
    )


def most_alike(matrix: Matrix, place: int, n: int) -> list[tuple[int, int, float]]:
    """Place, flat index and cosine of the n tokens most like the one at a place, the most alike first."""
    ordering, flat = matrix.ordering, flat_indices(matrix.run)
    row = int(ordering.rows[place])
    cosines = np.array(matrix.values[row])
    cosines[row] = -np.inf
    n = min(n, len(cosines) - 1)
    best = np.argpartition(-cosines, np.arange(n))[:n] if n else np.empty(0, int)
    return [(int(ordering.places[one]), int(flat[one]), float(cosines[one])) for one in best]


def place_of(matrix: Matrix, flat_index: int | None) -> int | None:
    """Where a clustered token stands along the matrix; None for any other."""
    if flat_index is None:
        return None
    flat = flat_indices(matrix.run)
    row = int(np.searchsorted(flat, flat_index))
    return int(matrix.ordering.places[row]) if row < len(flat) and flat[row] == flat_index else None


def matrices(run: Run) -> Iterator[Matrix]:
    """Every matrix that the page can show of a run."""
    for affinity, ks in affinities_with_matrix(run).items():
        for show in (SIMILARITY, AFFINITY) if affinity == "signed" else (SIMILARITY,):
            for k in ks:
                yield Matrix(run, affinity, k, show)


def make_overviews(run: Run) -> int:
    """Work out what the page would otherwise on first sight: coarse levels, means, colour limits; how many matrices."""
    found = list(matrices(run))
    for matrix in found:
        colour_limits(matrix, "all")
        contrast(matrix)
        _overview(matrix)
    return len(found)


def _read(matrix: Matrix, rows: tuple[int, int], columns: tuple[int, int], level: int) -> np.ndarray:
    means = mosaic.block_means(numbers(matrix, rows, columns), 1 << level, rows[0], columns[0])
    return matrix.encoded(means)


def _overview(matrix: Matrix) -> np.ndarray:
    """Codes of level 3 and all coarser ones, end to end."""
    ordering = matrix.ordering

    def make() -> np.ndarray:
        levels = mosaic.overview_means(matrix.values, ordering.rows, matrix.transform)
        flat = [matrix.encoded(level).ravel() for level in levels]
        return np.concatenate(flat) if flat else np.empty(0, np.uint8)

    return derived(matrix.run, f"{_name(matrix)}-overview", make)


def _overview_level(matrix: Matrix, level: int) -> np.ndarray:
    widths = [mosaic.width_at(matrix.ordering.n, one) for one in range(mosaic.OVERVIEW_LEVEL, level + 1)]
    start = sum(width * width for width in widths[:-1])
    return np.asarray(_overview(matrix))[start : start + widths[-1] ** 2].reshape(widths[-1], widths[-1])


def _pixels(place: int) -> slice:
    return slice(place * mosaic.TILE, (place + 1) * mosaic.TILE)


def _name(matrix: Matrix) -> str:
    return f"similarity/{matrix.affinity}-{matrix.show}-k{matrix.k}"


def _ordering(labels: np.ndarray) -> Ordering:
    by_rank = cluster_order(labels)
    rank = np.empty(int(by_rank.max()) + 1, np.int64)
    rank[by_rank] = np.arange(len(by_rank))
    ranks = rank[labels]
    rows = np.argsort(ranks, kind="stable")
    places = np.empty_like(rows)
    places[rows] = np.arange(len(rows))
    starts = np.concatenate([[0], np.cumsum(np.bincount(ranks, minlength=len(by_rank)))])
    return Ordering(rows, places, by_rank, starts)


_orderings: Recent[Ordering] = Recent(MOST_KEPT)  # by bundle, affinity and k
