"""QDG on data whose quanta are known: points around Zipf-distributed means, clustered as gradients are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compute.errors import FitError
from compute.numerics.ranks import envelope, fit_envelope, sizes_by_rank

MIN_POINTS = 3


@dataclass(frozen=True)
class ToySetting:
    """What is held fixed while the exponent varies.

    Attributes
    ----------
    n_subtasks : int
        N, subtasks before those without a point drop out.
    largest : int
        A, points of the commonest subtask.
    n_dimensions : int
        d, of the space that stands for that of gradients.
    noise : float
        σ, of points around their subtask's mean; means have unit variance in each dimension.
    ks : tuple of int
        Numbers of clusters.
    first_rank, last_rank : int
        Window of the envelope's fit, from 1, both included.
    n_init : int
        Starts of k-means for each k.
    """

    n_subtasks: int = 200
    largest: int = 200
    n_dimensions: int = 200
    noise: float = 2.0
    ks: tuple[int, ...] = (20, 40, 60, 80, 100, 125, 150)
    first_rank: int = 10
    last_rank: int = 100
    n_init: int = 30


REDUCED = ToySetting()  # seconds a run


def subtask_sizes(exponent: float, n_subtasks: int, largest: int) -> NDArray[np.int64]:
    """Count the points of every subtask, commonest first; subtasks without one are left out.

    Parameters
    ----------
    exponent : float
        Of frequency in rank, at least 0. The Quantization Model's α is one less: p_i ∝ i^−(α+1).
    n_subtasks, largest : int
        N and A.

    Returns
    -------
    ndarray of shape (n_kept,), int64, all at least 1

    Raises
    ------
    FitError
        A negative or infinite exponent, or no subtask.

    Notes
    -----
    n_i = ⌊A / i^exponent⌋, i = 1 … N.

    References
    ----------
    Michaud et al., arXiv:2303.13506, appendix D.2.

    Examples
    --------
    >>> subtask_sizes(1.0, 6, 4).tolist()
    [4, 2, 1, 1]
    """
    if not 0 <= exponent < np.inf:
        raise FitError(f"the exponent is {exponent}; it must be a number of at least 0")
    if n_subtasks < 1 or largest < 1:
        raise FitError(f"{n_subtasks} subtasks of at most {largest} points hold nothing; ask for at least 1 of each")
    sizes = np.floor(largest / np.arange(1, n_subtasks + 1) ** exponent).astype(np.int64)
    return sizes[sizes > 0]


def toy_points(
    sizes: NDArray[np.integer], n_dimensions: int, noise: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw points around random means, as many as each subtask has.

    Parameters
    ----------
    sizes : ndarray of shape (n_subtasks,), int
    n_dimensions : int
    noise : float
        σ, at least 0.
    seed : int

    Returns
    -------
    points : ndarray of shape (n_points, n_dimensions), float64
    subtask : ndarray of shape (n_points,), int64
        The subtask of every point, from 0.

    Notes
    -----
    Means m_i ~ N(0, I_d), points m_i + σ N(0, I_d). The expected cosine of two points is about 1/(1 + σ²) within a
    subtask (0.2 at σ = 2), and 0 ± d^−½ between subtasks.

    Examples
    --------
    >>> points, subtask = toy_points(np.array([2, 1]), 3, 0.0, 0)
    >>> points.shape, subtask.tolist(), bool((points[0] == points[1]).all())
    ((3, 3), [0, 0, 1], True)
    """
    rng = np.random.default_rng(seed)
    subtask = np.repeat(np.arange(len(sizes)), sizes)
    means = rng.standard_normal((len(sizes), n_dimensions))
    return means[subtask] + noise * rng.standard_normal((len(subtask), n_dimensions)), subtask


def toy_affinity(exponent: float, setting: ToySetting, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw a toy data set and compare all of its points.

    Parameters
    ----------
    exponent : float
        True exponent of frequency in rank.
    setting : ToySetting
    seed : int
        Of means and noise.

    Returns
    -------
    affinity : ndarray of shape (n_points, n_points), float64, in [0, 2]
        Symmetric, with a diagonal of exactly 2.
    subtask : ndarray of shape (n_points,), int64
        The subtask of every point, from 0: the partition that a perfect clustering would find.

    Raises
    ------
    FitError
        Fewer than three points.

    Notes
    -----
    A_ij = 1 + cos(x_i, x_j).

    Examples
    --------
    >>> affinity, subtask = toy_affinity(1.0, ToySetting(3, 4, 50, 0.0), 0)
    >>> affinity.shape, subtask.tolist(), round(float(affinity[0, 3]), 6)
    ((7, 7), [0, 0, 0, 0, 1, 1, 2], 2.0)
    """
    sizes = subtask_sizes(exponent, setting.n_subtasks, setting.largest)
    if sizes.sum() < MIN_POINTS:
        raise FitError(f"{sizes.sum()} points cannot be clustered; ask for more subtasks or a smaller exponent")
    points, subtask = toy_points(sizes, setting.n_dimensions, setting.noise, seed)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    affinity = np.maximum(1.0 + points @ points.T, 0.0)
    np.fill_diagonal(affinity, 2.0)
    return (affinity + affinity.T) / 2, subtask


def toy_labels(exponent: float, setting: ToySetting, seed: int) -> dict[int, NDArray[np.int32]]:
    """Cluster a toy data set spectrally at every k.

    Parameters
    ----------
    exponent : float
        True exponent of frequency in rank.
    setting : ToySetting
    seed : int
        Of means, noise and k-means.

    Returns
    -------
    dict of int to ndarray of shape (n_points,), int32
        Labels by k; of the setting's ks those that the points allow.

    Raises
    ------
    FitError
        Fewer than three points.

    Examples
    --------
    >>> sorted(toy_labels(1.0, ToySetting(3, 4, 50, 0.0, (2, 3, 100), n_init=2), 0))
    [2, 3]
    """
    from compute.numerics.spectral import cluster_every_k  # brings scikit-learn, which the rest does without

    affinity, _ = toy_affinity(exponent, setting, seed)
    ks = [k for k in setting.ks if k <= len(affinity)]
    return cluster_every_k(affinity, ks, n_init=setting.n_init, seed=seed)


def toy_slope(exponent: float, setting: ToySetting = REDUCED, seed: int = 0) -> float:
    """Measure the envelope's slope that QDG finds where the true exponent is known.

    Parameters
    ----------
    exponent : float
        True exponent of frequency in rank; a perfect measurement would return its negative.
    setting : ToySetting
    seed : int

    Returns
    -------
    float
        Slope of ln size on ln rank over the setting's window; negative.

    Raises
    ------
    FitError
        Too few points for the window.

    References
    ----------
    Michaud et al., arXiv:2303.13506, appendix D.2.

    Examples
    --------
    >>> tiny = ToySetting(20, 40, 30, 0.5, (5, 10, 20), 2, 15, 3)
    >>> -2 < toy_slope(1.0, tiny) < -0.5
    True
    """
    labels = toy_labels(exponent, setting, seed)
    curve = envelope([sizes_by_rank(one) for one in labels.values()])
    return fit_envelope(curve, setting.first_rank, setting.last_rank).slope


def toy_slopes(exponents: Sequence[float], seeds: Sequence[int], setting: ToySetting = REDUCED) -> NDArray[np.float64]:
    """Measure slopes over a grid of true exponents and seeds.

    Parameters
    ----------
    exponents : sequence of float
    seeds : sequence of int
    setting : ToySetting

    Returns
    -------
    ndarray of shape (n_exponents, n_seeds), float64
    """
    return np.array([[toy_slope(exponent, setting, seed) for seed in seeds] for exponent in exponents])
