"""How often quanta are used: a Zipfian distribution over infinitely many of them, or over K."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import zeta as hurwitz_zeta

from compute.errors import FitError

Approximation = Literal["exact", "integral", "midpoint"]
Floats = NDArray[np.float64]

APPROXIMATIONS: tuple[Approximation, ...] = ("exact", "integral", "midpoint")
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)  # B_2, B_4, … B_12
SUMMED_TERMS = 24  # summed one by one before Euler-Maclaurin takes over: an error below 1e-14


def normaliser(alpha: float, n_quanta: int | None = None) -> float:
    """Sum k^−(alpha+1) over all quanta.

    Parameters
    ----------
    alpha : float
        Positive.
    n_quanta : int, optional
        Size K of the universe of quanta; infinite when absent.

    Returns
    -------
    float
        ζ(alpha + 1), or Z_K = Σ_{k<=K} k^−(alpha+1).

    Raises
    ------
    FitError
        alpha <= 0 or n_quanta < 1.

    Examples
    --------
    >>> round(normaliser(0.083), 6), round(normaliser(0.4, 500), 6)
    (12.631419, 2.897492)
    """
    check_universe(alpha, n_quanta)
    return float(_power_sum_after(np.zeros(()), alpha, n_quanta))


def probabilities(k: ArrayLike, alpha: float, n_quanta: int | None = None) -> Floats:
    """How often quantum k is what a sample needs.

    Parameters
    ----------
    k : array_like of any shape, int
        Index of the quantum, from 1 (most frequent).
    alpha : float
        Positive.
    n_quanta : int, optional
        Size K of the universe of quanta; infinite when absent.

    Returns
    -------
    ndarray of the shape of k, float64
        In [0, 1]; 0 beyond K.

    Raises
    ------
    FitError
        alpha <= 0, n_quanta < 1, or k < 1.

    Notes
    -----
    p_k = k^−(alpha+1) / ζ(alpha+1).

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 2.

    Examples
    --------
    >>> float(probabilities(1, 0.4, 500).round(6))
    0.345126
    """
    k = np.asarray(k, dtype=np.float64)
    total = normaliser(alpha, n_quanta)
    if not np.all(k >= 1):
        raise FitError(f"quanta are counted from 1, but k = {k[~(k >= 1)].flat[0]:g} was asked for")
    p = k ** -(alpha + 1) / total
    return p if n_quanta is None else np.where(k <= n_quanta, p, 0.0)


def tail(n: ArrayLike, alpha: float, n_quanta: int | None = None, *, approximation: Approximation = "exact") -> Floats:
    """Share of samples whose quantum is not among the n most frequent.

    Parameters
    ----------
    n : array_like of any shape, float
        Number of quanta learned, >= 0; between integers the Hurwitz zeta interpolates.
    alpha : float
        Positive.
    n_quanta : int, optional
        Size K of the universe of quanta; infinite when absent.
    approximation : {"exact", "integral", "midpoint"}

    Returns
    -------
    ndarray of the shape of n, float64
        In [0, 1] if exact; 1 at n = 0 if exact, 0 at n >= K.

    Raises
    ------
    FitError
        alpha <= 0, n_quanta < 1, n < 0, the integral at n = 0 (it diverges), or an unknown approximation.

    Notes
    -----
    Exact: T_n = ζ(alpha+1, n+1) / ζ(alpha+1), and with K quanta (ζ(alpha+1, n+1) − ζ(alpha+1, K+1)) / Z_K.
    Integral: n^−alpha / (alpha ζ), too high by about alpha/(2n) relative. Midpoint: (n + ½)^−alpha / (alpha ζ),
    far better. With K quanta both lose the same at K, and Z_K replaces ζ.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 2 and appendix A.

    Examples
    --------
    >>> tail([1, 10], 0.4).round(6).tolist(), tail(10, 0.4, approximation="integral").round(6).tolist()
    ([0.677996, 0.31422], 0.320481)
    """
    n, total = counts(n), normaliser(alpha, n_quanta)
    if approximation == "exact":
        return _power_sum_after(n, alpha, n_quanta) / total
    return _between(lambda x: x**-alpha / (alpha * total), n, n_quanta, approximation)


def surprise_tail(
    n: ArrayLike, alpha: float, n_quanta: int | None = None, *, approximation: Approximation = "exact"
) -> Floats:
    """Part of the entropy that the quanta beyond the n most frequent hold.

    Parameters
    ----------
    n : array_like of any shape, float
        Number of quanta learned, >= 0 (above 0 for the integral).
    alpha : float
        Positive.
    n_quanta : int, optional
        Size K of the universe of quanta; infinite when absent.
    approximation : {"exact", "integral", "midpoint"}

    Returns
    -------
    ndarray of the shape of n, float64
        Nats; the whole entropy at n = 0 if exact, 0 at n >= K.

    Raises
    ------
    FitError
        As `tail`.

    Notes
    -----
    Σ_{k>n} p_k (−ln p_k) = ln ζ · T_n − (alpha+1) ζ′(alpha+1, n+1) / ζ. Integral:
    n^−alpha (1 + alpha + alpha ln ζ) / (alpha² ζ) + (alpha+1) n^−alpha ln n / (alpha ζ); midpoint: the same at n + ½.

    References
    ----------
    Michaud et al., arXiv:2303.13506, appendix A.

    Examples
    --------
    >>> float(surprise_tail(0, 1.0).round(6)), float(surprise_tail(2, 1.0, 2))
    (1.637622, 0.0)
    """
    n, total = counts(n), normaliser(alpha, n_quanta)
    if approximation == "exact":
        share = _power_sum_after(n, alpha, n_quanta) / total
        return math.log(total) * share + (alpha + 1) * _log_power_sum_after(n, alpha, n_quanta) / total
    constant = (1 + alpha + alpha * math.log(total)) / alpha

    def integral(x: Floats) -> Floats:
        return x**-alpha * (constant + (alpha + 1) * np.log(x)) / (alpha * total)

    return _between(integral, n, n_quanta, approximation)


def entropy(alpha: float, n_quanta: int | None = None, *, approximation: Approximation = "exact") -> float:
    """Entropy of the distribution over quanta.

    Parameters
    ----------
    alpha : float
        Positive.
    n_quanta : int, optional
        Size K of the universe of quanta; infinite when absent.
    approximation : {"exact", "integral"}
        The integral is taken from the first quantum on, as the paper prints it.

    Returns
    -------
    float
        Nats.

    Raises
    ------
    FitError
        alpha <= 0 or n_quanta < 1.

    Notes
    -----
    H = ln ζ − (alpha+1) ζ′(alpha+1) / ζ. The paper's integral is (1 + alpha + alpha ln ζ) / (alpha² ζ).

    References
    ----------
    Michaud et al., arXiv:2303.13506, appendix A.

    Examples
    --------
    >>> round(entropy(1.0), 6), round(entropy(1.0, 1), 6), round(entropy(1.0, approximation="integral"), 6)
    (1.637622, 0.0, 1.51842)
    """
    first = 0.0 if approximation == "exact" else 1.0
    return float(surprise_tail(first, alpha, n_quanta, approximation=approximation))


def _power_sum_after(n: Floats, alpha: float, n_quanta: int | None) -> Floats:
    """Return Σ_{n<k<=K} k^−(alpha+1) = ζ(alpha+1, n+1) − ζ(alpha+1, K+1)."""
    rest = hurwitz_zeta(alpha + 1, n + 1)
    if n_quanta is None:
        return rest
    return np.where(n >= n_quanta, 0.0, rest - hurwitz_zeta(alpha + 1, n_quanta + 1.0))


def _log_power_sum_after(n: Floats, alpha: float, n_quanta: int | None = None) -> Floats:
    """Return Σ_{n<k<=K} ln k · k^−s with s = alpha + 1, which is −ζ′(s, n+1) + ζ′(s, K+1)."""
    rest = _log_hurwitz(n, alpha)
    if n_quanta is None:
        return rest
    return np.where(n >= n_quanta, 0.0, rest - _log_hurwitz(np.asarray(float(n_quanta)), alpha))


def _log_hurwitz(n: Floats, alpha: float) -> Floats:
    """Return −ζ′(s, n+1) = Σ_{k>n} ln k · k^−s with s = alpha + 1, by Euler-Maclaurin.

    The j-th derivative of ln x · x^−s is x^(−s−j) (c_j + d_j ln x) with c_0 = 0, d_0 = 1,
    c_{j+1} = d_j − (s+j) c_j and d_{j+1} = −(s+j) d_j.
    """
    s, k = alpha + 1, n[..., None] + np.arange(1, SUMMED_TERMS + 1)
    total = np.sum(np.log(k) * k**-s, axis=-1)
    x = n + SUMMED_TERMS + 1
    log = np.log(x)
    total = total + x ** (1 - s) * (log / (s - 1) + 1 / (s - 1) ** 2) + 0.5 * log * x**-s
    c, d, factorial = 0.0, 1.0, 1.0
    for order in range(1, 2 * len(BERNOULLI)):
        c, d = d - (s + order - 1) * c, -(s + order - 1) * d
        factorial *= order
        if order % 2:
            weight = BERNOULLI[order // 2] / (factorial * (order + 1))
            total = total - weight * x ** (-s - order) * (c + d * log)
    return total


def _between(
    integral: Callable[[Floats], Floats], n: Floats, n_quanta: int | None, approximation: Approximation
) -> Floats:
    """Return an integral over what lies between n and K, both moved up by a half for the midpoint form."""
    if approximation not in APPROXIMATIONS:
        raise FitError(f"the approximation is {approximation!r}; there are {', '.join(APPROXIMATIONS)}")
    if approximation == "integral" and not np.all(n > 0):
        raise FitError("the integral approximation diverges at n = 0; use the exact form there")
    shift = 0.5 if approximation == "midpoint" else 0.0
    if n_quanta is None:
        return integral(n + shift)
    left = integral(np.minimum(n, n_quanta) + shift) - integral(np.asarray(n_quanta + shift))
    return np.where(n >= n_quanta, 0.0, left)


def check_universe(alpha: float, n_quanta: int | None) -> None:
    """Refuse what is no Zipfian distribution."""
    positive(alpha, "exponent alpha")
    if n_quanta is not None and not n_quanta >= 1:
        raise FitError(f"the number of quanta must be at least 1, but is {n_quanta:g}")


def positive(value: float, name: str) -> float:
    """Return the value if it is above 0."""
    if not (value > 0 and math.isfinite(value)):
        raise FitError(f"the {name} must be positive and finite, but is {value:g}")
    return value


def resource(values: ArrayLike, name: str) -> Floats:
    """Return amounts of something as float64; none is below 0."""
    array = np.asarray(values, dtype=np.float64)
    if not np.all(array >= 0):
        raise FitError(f"the number of {name} cannot be {array[~(array >= 0)].flat[0]:g}")
    return array


def counts(n: ArrayLike) -> Floats:
    """Return numbers of quanta as float64; none is below 0."""
    return resource(n, "quanta learned")
