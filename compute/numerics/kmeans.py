"""k-means from many starts: scikit-learn's labels, at a fraction of its work where there are many clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import k_means
from threadpoolctl import threadpool_limits

from compute.numerics.partition import Partition, Result, squared_distances

__all__ = ["Progress", "best_start", "lloyd", "plusplus_draws", "plusplus_seeds"]

MAX_ITERATIONS = 300  # of Lloyd's algorithm: scikit-learn's
TOLERANCE = 1e-4  # of the mean variance of a dimension: scikit-learn's

Progress = Callable[[int, int], None]
RandomState = Any  # what numpy.random.RandomState.get_state gives


def best_start(
    points: NDArray[np.floating],
    k: int,
    random_state: np.random.RandomState,
    *,
    n_starts: int,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> Result:
    """Run k-means from several starts and keep the one of least inertia.

    Parameters
    ----------
    points : ndarray of shape (n_points, n_dimensions), float32 or float64, C-contiguous
    k : int
        2 <= k <= n_points.
    random_state : RandomState
        Every start takes `plusplus_draws(k)` uniform numbers.
    n_starts : int
        At least 1.
    n_jobs : int
        Threads among which the starts are shared; the result is the same for any number.
    progress : callable (n_done, n_total), optional
        Called after every start; what it raises stops the work.

    Returns
    -------
    Result
        Of scikit-learn's k_means(points, k, n_init=n_starts, random_state=random_state), for float64 points.

    Notes
    -----
    How many random numbers a start draws is known beforehand, so each starts from where the one before will end.
    With at least √n_points clusters, starts are made on pairwise distances (`lloyd`): some n² additions for a start,
    where centres take 2 n k multiplications a dimension for every iteration. A start that leaves a cluster empty is
    made again by scikit-learn, which then moves a centre.

    Examples
    --------
    >>> line = np.array([[0.0], [1.0], [8.0], [9.0]])
    >>> round(best_start(line, 2, np.random.RandomState(0), n_starts=3).inertia, 9)
    1.0
    """
    with threadpool_limits(1):
        results = _results(points, k, _states(random_state, k, n_starts), n_jobs)
        best: Result | None = None
        for n_done, result in enumerate(results, 1):
            if best is None or (result.inertia < best.inertia and not _is_same(result.labels, best.labels)):
                best = result
            if progress is not None:
                progress(n_done, n_starts)
    if best is None:
        raise ValueError(f"k-means needs at least one start, but n_starts is {n_starts}")
    return best


def plusplus_draws(k: int) -> int:
    """Uniform numbers that `plusplus_seeds` takes from its random state."""
    return 1 + (k - 1) * _n_trials(k)


def plusplus_seeds(distances: NDArray[np.floating], k: int, random_state: np.random.RandomState) -> NDArray[np.intp]:
    """Choose k points far from each other: greedy k-means++.

    Parameters
    ----------
    distances : ndarray of shape (n_points, n_points), float32 or float64
        Squared.
    k : int
        1 <= k <= n_points.
    random_state : RandomState
        `plusplus_draws(k)` uniform numbers are taken, in scikit-learn's order.

    Returns
    -------
    ndarray of shape (k,), int
        Indices of points; scikit-learn's own for the same random state.

    References
    ----------
    Arthur and Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007.

    Examples
    --------
    >>> two = squared_distances(np.array([[0.0], [0.1], [9.0], [9.1]]))
    >>> sorted((plusplus_seeds(two, 2, np.random.RandomState(0)) // 2).tolist())
    [0, 1]
    """
    n = len(distances)
    seeds = np.empty(k, dtype=np.intp)
    seeds[0] = random_state.choice(n, p=np.full(n, 1.0) / n)
    nearest = distances[seeds[0]]
    potential = nearest.sum()
    for c in range(1, k):
        drawn = random_state.uniform(size=_n_trials(k)) * potential
        candidates = np.minimum(np.searchsorted(np.cumsum(nearest), drawn), n - 1)
        reached = np.minimum(nearest, distances[candidates])
        potentials = reached.sum(axis=1)
        best = potentials.argmin()
        potential, nearest, seeds[c] = potentials[best], reached[best], candidates[best]
    return seeds


def lloyd(distances: NDArray[np.floating], seeds: NDArray[np.intp], tolerance: float) -> Result | None:
    """Lloyd's algorithm from seeds that are points.

    Parameters
    ----------
    distances : ndarray of shape (n_points, n_points), float32 or float64
        Squared.
    seeds : ndarray of shape (k,), int
        The points at which centres start.
    tolerance : float
        Stop once the squared shifts of all centres sum to no more, in the unit of `distances`.

    Returns
    -------
    Result or None
        Labels and inertia where scikit-learn's Lloyd would stop; None where a cluster lost all its points.

    References
    ----------
    Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28(2), 1982.

    Examples
    --------
    >>> line = squared_distances(np.array([[0.0], [1.0], [8.0], [9.0]]))
    >>> lloyd(line, np.array([0, 1]), 0.0)
    Result(labels=array([0, 0, 1, 1], dtype=int32), inertia=1.0)
    """
    k, points = len(seeds), np.arange(len(distances))
    to_centre = np.ascontiguousarray(distances[seeds].T)
    partition: Partition | None = None
    for _ in range(MAX_ITERATIONS):
        labels = to_centre.argmin(axis=1)
        sizes = np.bincount(labels, minlength=k)
        if not sizes.all():
            return None
        reached = np.bincount(labels, weights=to_centre[points, labels], minlength=k)
        if partition is None:
            partition = Partition(distances, labels, k)
        else:
            moved = np.flatnonzero(labels != partition.labels)
            if not len(moved):
                break
            partition.move(moved, labels[moved])
        shift = (reached - partition.within / sizes) / sizes  # squared, of each centre
        to_centre = partition.to_centre
        if shift.sum() <= tolerance:
            break
    labels = to_centre.argmin(axis=1)
    return Result(labels.astype(np.int32), float(to_centre[points, labels].sum()))


def _n_trials(k: int) -> int:
    """Candidates for each new centre, of which greedy k-means++ keeps the best: scikit-learn's number."""
    return 2 + int(np.log(k))


def _states(random_state: np.random.RandomState, k: int, n_starts: int) -> list[RandomState]:
    """The state of the random numbers before each start."""
    states = []
    for _ in range(n_starts):
        states.append(random_state.get_state())
        random_state.random_sample(plusplus_draws(k))
    return states


def _results(points: NDArray[np.floating], k: int, states: list[RandomState], n_jobs: int) -> Iterator[Result]:
    """What each start ends with, in order."""
    if k * k < len(points):
        yield from (_plain_start(points, k, state) for state in states)
        return
    tolerance = TOLERANCE * float(points.var(axis=0).mean())
    start = partial(_distance_start, squared_distances(points), k, tolerance)
    for state, result in zip(states, _in_order(start, states, n_jobs), strict=True):
        yield result or _plain_start(points, k, state)


def _distance_start(distances: NDArray[np.floating], k: int, tolerance: float, state: RandomState) -> Result | None:
    return lloyd(distances, plusplus_seeds(distances, k, _restored(state)), tolerance)


def _plain_start(points: NDArray[np.floating], k: int, state: RandomState) -> Result:
    _, labels, inertia = k_means(points, k, random_state=_restored(state), n_init=1, tol=TOLERANCE)
    return Result(labels.astype(np.int32), float(inertia))


def _restored(state: RandomState) -> np.random.RandomState:
    random_state = np.random.RandomState()
    random_state.set_state(state)
    return random_state


def _in_order(
    start: Callable[[RandomState], Result | None], states: list[RandomState], n_jobs: int
) -> Iterator[Result | None]:
    if n_jobs == 1:
        yield from map(start, states)
        return
    pool = ThreadPoolExecutor(n_jobs)
    try:
        yield from pool.map(start, states)
    finally:
        pool.shutdown(cancel_futures=True)


def _is_same(labels: NDArray[np.int32], others: NDArray[np.int32]) -> bool:
    """Whether every cluster of one clustering lies within one of the other: scikit-learn's sign of equal ones."""
    pairs = labels.astype(np.int64) * (int(others.max()) + 1) + others
    return len(np.unique(pairs)) == len(np.unique(labels))
