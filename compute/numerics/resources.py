"""How many quanta a network's size, its data or its training steps allow it to learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from compute.errors import FitError
from compute.numerics.zipf import Floats, check_universe, normaliser, positive, resource


def quanta_from_parameters(n_parameters: ArrayLike, capacity: float) -> Floats:
    """Quanta that fit into a network: n = ⌊N / C⌋.

    Parameters
    ----------
    n_parameters : array_like of any shape, float
        N >= 0.
    capacity : float
        Parameters one quantum takes, C > 0.

    Returns
    -------
    ndarray of the shape of n_parameters, float64
        Whole numbers >= 0.

    Raises
    ------
    FitError
        A negative N, or C <= 0.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 2.

    Examples
    --------
    >>> float(quanta_from_parameters(1050, 100))
    10.0
    """
    return np.floor(resource(n_parameters, "parameters") / positive(capacity, "parameters a quantum takes"))


def quanta_from_data(n_samples: ArrayLike, threshold: float, alpha: float, n_quanta: int | None = None) -> Floats:
    """Quanta that data of a given size can teach, over several epochs.

    Parameters
    ----------
    n_samples : array_like of any shape, float
        D >= 0.
    threshold : float
        Samples τ > 0 that use a quantum before it can be learned.
    alpha : float
        Positive.
    n_quanta : int, optional
        Size K of the universe of quanta; infinite when absent.

    Returns
    -------
    ndarray of the shape of n_samples, float64
        0, or at least 1 and at most K; not rounded.

    Raises
    ------
    FitError
        A negative D, τ <= 0 or alpha <= 0.

    Notes
    -----
    D p_n = τ, hence n = (D / (τ ζ))^(1/(alpha+1)); below 1 nothing is learned.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 2.

    Examples
    --------
    >>> float(quanta_from_data(1000, 10, 1.0).round(3))
    7.797
    """
    scale = positive(threshold, "samples a quantum takes") * normaliser(alpha, n_quanta)
    return _learned((resource(n_samples, "samples") / scale) ** (1 / (alpha + 1)), n_quanta)


def quanta_from_steps(n_steps: ArrayLike, first_steps: float, alpha: float, n_quanta: int | None = None) -> Floats:
    """Quanta learned after a number of steps, in a single epoch.

    Parameters
    ----------
    n_steps : array_like of any shape, float
        S >= 0.
    first_steps : float
        Steps T > 0 that the most frequent quantum takes (see `first_quantum_steps`).
    alpha : float
        Positive.
    n_quanta : int, optional
        Size K of the universe of quanta; infinite when absent.

    Returns
    -------
    ndarray of the shape of n_steps, float64
        0, or at least 1 and at most K; not rounded.

    Raises
    ------
    FitError
        A negative S, T <= 0 or alpha <= 0.

    Notes
    -----
    Quantum k takes T k^(alpha+1) steps, hence n = (S/T)^(1/(alpha+1)).

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 2.

    Examples
    --------
    >>> float(quanta_from_steps(900, 100, 1.0))
    3.0
    """
    check_universe(alpha, n_quanta)
    ratio = resource(n_steps, "steps") / positive(first_steps, "steps the first quantum takes")
    return _learned(ratio ** (1 / (alpha + 1)), n_quanta)


def first_quantum_steps(threshold: float, batch_size: float, alpha: float, n_quanta: int | None = None) -> float:
    """Steps T that the most frequent quantum takes at a given batch size: S · B · p_1 = τ.

    Parameters
    ----------
    threshold : float
        Samples τ > 0 that use a quantum before it is learned.
    batch_size : float
        Samples B > 0 a step.
    alpha : float
        Positive.
    n_quanta : int, optional

    Returns
    -------
    float
        T = τ ζ / B, in steps.

    Raises
    ------
    FitError
        τ <= 0, B <= 0 or alpha <= 0.

    Examples
    --------
    >>> round(first_quantum_steps(100, 10, 1.0), 4)
    16.4493
    """
    samples = positive(threshold, "samples a quantum takes")
    return samples * normaliser(alpha, n_quanta) / positive(batch_size, "batch size")


def bottleneck(quanta: Sequence[ArrayLike]) -> Floats:
    """Quanta learned when several resources limit at once: the scarcest decides.

    Parameters
    ----------
    quanta : sequence of array_like that broadcast together, float
        Quanta that each resource alone would allow.

    Returns
    -------
    ndarray of the broadcast shape, float64

    Raises
    ------
    FitError
        No resource was given.

    Examples
    --------
    >>> bottleneck([[1, 50], 20]).tolist()
    [1.0, 20.0]
    """
    if not len(quanta):
        raise FitError("a bottleneck needs at least one resource")
    arrays = np.broadcast_arrays(*[np.asarray(one, dtype=np.float64) for one in quanta])
    return np.min(np.stack(arrays), axis=0)


def _learned(n: Floats, n_quanta: int | None) -> Floats:
    learned = np.where(n < 1, 0.0, n)
    return learned if n_quanta is None else np.minimum(learned, n_quanta)
