"""What training on sparse parity shows: tasks learned, when, and the power laws that their sum follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compute.errors import FitError
from compute.numerics.correlation import spearman
from compute.numerics.scaling import fit_power_law
from compute.numerics.theory import finite_exponents

LEARNED_NATS = 0.1  # a task's loss below this, at any time, counts it as learned
CONVERGED_NATS = 0.1 * math.log(2)  # a tenth of a bit
BEGUN_NATS = 0.95 * math.log(2)  # of mean loss: something has been learned
STILL_FALLING = 1.1  # times the smallest loss: steps after the last such loss are a plateau
NEVER = -1

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """A power law y ∝ x^(−exponent) with the range that it was fitted over.

    Attributes
    ----------
    exponent, low, high : float
        And its 95% interval of least squares; nan where two points leave no degree of freedom. Logs of one training
        are not independent: over steps the interval is too narrow.
    r_squared : float
    first, last : float
        Smallest and largest x that were fitted.
    n_points : int
    """

    exponent: float
    low: float
    high: float
    r_squared: float
    first: float
    last: float
    n_points: int


def first_below(steps: ArrayLike, losses: ArrayLike, threshold: float) -> NDArray[np.int64]:
    """Find the first logged step at which each loss is below a threshold.

    Parameters
    ----------
    steps : array_like of shape (n_logs,), int
    losses : array_like of shape (n_logs,) or (n_logs, n), float
        Nan is never below.
    threshold : float
        In the unit of `losses`.

    Returns
    -------
    ndarray of shape () or (n,), int64
        −1 where no loss is below.

    Examples
    --------
    >>> first_below([0, 10, 20], [[1.0, 1.0], [0.2, 1.0], [0.4, 0.9]], 0.5).tolist()
    [10, -1]
    """
    below = np.asarray(losses) < threshold
    return np.where(below.any(axis=0), np.asarray(steps, np.int64)[below.argmax(axis=0)], NEVER)


def n_learned(losses: ArrayLike) -> int:
    """Count the tasks whose smallest loss is below 0.1 nats.

    Parameters
    ----------
    losses : array_like of shape (n_logs, n_tasks), float
        In nats; nan is ignored.

    References
    ----------
    Michaud et al., arXiv:2303.13506, appendix B.

    Examples
    --------
    >>> n_learned([[0.69, 0.69, 0.69], [0.05, 0.3, 0.11], [0.2, 0.09, 0.1]])
    2
    """
    return int((np.asarray(losses) < LEARNED_NATS).any(axis=0).sum())


def n_learned_by(losses: ArrayLike) -> NDArray[np.int64]:
    """Count the tasks that were below 0.1 nats at every log or before it.

    Examples
    --------
    >>> n_learned_by([[0.69, 0.69], [0.05, 0.3], [0.2, 0.09]]).tolist()
    [0, 1, 2]
    """
    below = np.asarray(losses) < LEARNED_NATS
    return np.logical_or.accumulate(below, axis=0).sum(axis=1)


def early_stop(steps: ArrayLike, losses: ArrayLike) -> tuple[int, float]:
    """Find the step with the smallest test loss, the first of several, and that loss.

    Parameters
    ----------
    steps : array_like of shape (n_logs,), int
    losses : array_like of shape (n_logs,), float
        Nan (after divergence) is ignored.

    Raises
    ------
    FitError
        There is no loss that is a number.

    Examples
    --------
    >>> early_stop([0, 10, 20], [0.7, 0.5, 0.9])
    (10, 0.5)
    """
    losses = np.asarray(losses, np.float64)
    if np.isnan(losses).all():
        raise FitError("no loss is a number, so none is the smallest")
    best = int(np.nanargmin(losses))
    return int(np.asarray(steps)[best]), float(losses[best])


def power_law(x: ArrayLike, y: ArrayLike) -> Law:
    """Fit y ∝ x^(−exponent) to all points whose x and y are positive numbers.

    Raises
    ------
    FitError
        Fewer than two such points, or one x only.

    Examples
    --------
    >>> law = power_law([0, 1, 10, 100], [9, 8, 4, 2])
    >>> round(law.exponent, 3), law.first, law.n_points
    (0.301, 1.0, 3)
    """
    x, y = np.asarray(x, np.float64).ravel(), np.asarray(y, np.float64).ravel()
    kept = (x > 0) & (y > 0) & np.isfinite(x) & np.isfinite(y)
    fit = fit_power_law(x[kept], y[kept])
    return Law(fit.alpha, fit.low, fit.high, fit.r_squared, float(x[kept].min()), float(x[kept].max()), int(kept.sum()))


def data_law(n_samples: ArrayLike, losses: ArrayLike) -> Law:
    """Fit loss against training samples from the smallest set that teaches anything.

    Parameters
    ----------
    n_samples : array_like of shape (n,), int
        May repeat (several seeds).
    losses : array_like of shape (n,), float
        Smallest test loss of each training, nats.

    Returns
    -------
    Law

    Raises
    ------
    FitError
        Fewer than two different sizes reach a loss below 0.95 bits.

    Notes
    -----
    The paper fits from the first D whose mean loss is below 0.95 bits.

    References
    ----------
    Michaud et al., arXiv:2303.13506, appendix B, Figure 9.

    Examples
    --------
    >>> round(data_law([1e3, 1e4, 1e5, 1e6], [0.69, 0.6, 0.3, 0.15]).exponent, 3)
    0.301
    """
    sizes, losses = np.asarray(n_samples, np.float64), np.asarray(losses, np.float64)
    begun = [size for size in np.unique(sizes) if np.nanmean(losses[sizes == size]) < BEGUN_NATS]
    if len(begun) < 2:
        raise FitError(f"{len(begun)} of the training sets bring the loss below 0.95 bits; a law needs two of them")
    kept = sizes >= begun[0]
    return power_law(sizes[kept], losses[kept])


def steps_window(steps: ArrayLike, losses: ArrayLike) -> tuple[int, int]:
    """Choose the steps over which loss falls: from the first below 0.95 bits to the last 10% above the smallest.

    Parameters
    ----------
    steps : array_like of shape (n_logs,), int
    losses : array_like of shape (n_logs,), float
        Mean test loss, nats.

    Raises
    ------
    FitError
        Loss is never below 0.95 bits.

    Examples
    --------
    >>> steps_window([0, 10, 20, 30, 40, 50], [0.69, 0.6, 0.4, 0.2, 0.1, 0.1])
    (10, 30)
    """
    steps, losses = np.asarray(steps), np.asarray(losses, np.float64)
    begun = np.flatnonzero((losses < BEGUN_NATS) & (steps > 0))
    if not len(begun):
        raise FitError("loss is never below 0.95 bits, so there is nothing to fit over steps; train longer")
    falling = np.flatnonzero(losses >= STILL_FALLING * np.nanmin(losses))
    return int(steps[begun[0]]), int(steps[max(falling[-1] if len(falling) else 0, begun[0])])


def order_agreement(probabilities: ArrayLike, converged: ArrayLike) -> float:
    """Correlate how often tasks are asked with how early they are learned, among learned ones.

    Parameters
    ----------
    probabilities : array_like of shape (n_tasks,), float
    converged : array_like of shape (n_tasks,), int
        Step of learning; −1 for tasks that were not.

    Returns
    -------
    float
        Spearman's ρ, in [−1, 1]; 1 where the most frequent are learned first.

    Raises
    ------
    FitError
        Fewer than three learned tasks, or all learned at one step.

    Examples
    --------
    >>> round(order_agreement([0.5, 0.3, 0.1, 0.1], [10, 20, 40, -1]), 6)
    1.0
    """
    known = np.asarray(converged) != NEVER
    return spearman(np.asarray(probabilities)[known], -np.asarray(converged)[known])


def convergence_law(probabilities: ArrayLike, converged: ArrayLike) -> Law:
    """Fit the step of learning against frequency; its exponent is the slope, −1 in theory.

    Parameters
    ----------
    probabilities : array_like of shape (n,), float
        May repeat (several seeds).
    converged : array_like of shape (n,), int
        −1 for tasks that were not learned; those, and tasks learned before the first step, are left out.

    Returns
    -------
    Law
        Over frequencies.

    Raises
    ------
    FitError
        Fewer than two learned tasks.

    References
    ----------
    Michaud et al., arXiv:2303.13506, Figure 8.

    Examples
    --------
    >>> round(convergence_law([0.4, 0.2, 0.1], [10, 20, -1]).exponent, 6)
    -1.0
    """
    law = power_law(probabilities, np.asarray(converged, np.float64))
    return Law(-law.exponent, -law.high, -law.low, law.r_squared, law.first, law.last, law.n_points)


def growth_law(x: ArrayLike, counts: ArrayLike) -> Law:
    """Fit n ∝ x^exponent to the numbers of learned tasks that are above 0.

    Raises
    ------
    FitError
        Fewer than two different x with a learned task.

    Examples
    --------
    >>> round(growth_law([1e3, 1e4, 1e5], [0, 2, 8]).exponent, 3)
    0.602
    """
    law = power_law(x, counts)
    return Law(-law.exponent, -law.high, -law.low, law.r_squared, law.first, law.last, law.n_points)


def finite_prediction(alpha: float, n_tasks: int, fewest: int, most: int, resource: str) -> float | None:
    """Exponent that so many tasks give over the range of learned tasks, instead of infinitely many.

    Parameters
    ----------
    alpha : float
    n_tasks : int
        K.
    fewest, most : int
        Learned tasks at both ends of the fitted range.
    resource : {"N", "S", "D"}

    Returns
    -------
    float or None
        None where the range holds fewer than two numbers of tasks.

    Examples
    --------
    >>> round(finite_prediction(0.4, 500, 0, 20, "D"), 3)
    0.311
    """
    first, last = max(1, fewest), min(most, n_tasks - 1)
    if last <= first:
        return None
    found = finite_exponents(alpha, n_tasks, first, last)
    return {"N": found.parameters, "S": found.steps, "D": found.data}[resource]


def samples_per_task(probabilities: ArrayLike, converged: ArrayLike, batch_size: int) -> Floats:
    """Samples of each learned task that were seen until it was learned: estimates of the threshold τ.

    Returns
    -------
    ndarray of shape (n_learned,), float64
        S_i · B · p_i.

    Examples
    --------
    >>> samples_per_task([0.5, 0.25, 0.25], [10, 30, -1], 100).tolist()
    [500.0, 750.0]
    """
    converged = np.asarray(converged)
    known = converged != NEVER
    return converged[known] * batch_size * np.asarray(probabilities, np.float64)[known]


def grokking_gaps(steps: ArrayLike, train: ArrayLike, test: ArrayLike) -> Floats:
    """How much later each task is answered for new samples than for those of the training set.

    Parameters
    ----------
    steps : array_like of shape (n_logs,), int
    train, test : array_like of shape (n_logs, n_tasks), float
        Nats.

    Returns
    -------
    ndarray of shape (n_tasks,), float64
        t_test/t_train of the first logs below 0.1 bits; nan where either is never reached, or t_train is 0.

    References
    ----------
    Power et al., Grokking, arXiv:2201.02177.

    Examples
    --------
    >>> grokking_gaps([0, 10, 20, 40], [[0.7], [0.01], [0.0], [0.0]], [[0.7], [0.9], [0.5], [0.01]]).tolist()
    [4.0]
    """
    t_train, t_test = (first_below(steps, one, CONVERGED_NATS).astype(np.float64) for one in (train, test))
    known = (t_train > 0) & (t_test > 0)
    return np.divide(t_test, t_train, out=np.full(len(t_train), np.nan), where=known)
