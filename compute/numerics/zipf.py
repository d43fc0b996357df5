"""How often quanta are used: a Zipfian distribution over infinitely many of them, or over K."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc

from compute.errors import FitError

Approximation = Literal["exact", "integral", "midpoint"]
Floats = NDArray[np.float64]

APPROXIMATIONS: tuple[Approximation, ...] = ("exact", "integral", "midpoint")
ORDERS = np.arange(1, 12, 2)  # of the derivatives that Euler-Maclaurin takes
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)  # B_2, B_4, … B_12
BERNOULLI_OVER_FACTORIAL = np.array(
    [b / math.factorial(j + 1) for b, j in zip(BERNOULLI, ORDERS.tolist(), strict=True)]
)
SUMMED_TERMS = 10  # summed one by one before Euler-Maclaurin takes over: an error below 1e-14


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
    return _whole_sum(alpha, n_quanta)


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
        return np.where(n == 0, 1.0, _sum_after(n, alpha, n_quanta, (1.0, 0.0)) / total)
    return _approximate(n, alpha, n_quanta, approximation, (1.0, 0.0)) / total


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
    surprise = (math.log(total), alpha + 1)  # of quantum k: the first plus the second times ln k
    if approximation == "exact":
        return _sum_after(n, alpha, n_quanta, surprise) / total
    return _approximate(n, alpha, n_quanta, approximation, surprise) / total


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


@lru_cache(maxsize=256)  # a page asks for the same many times
def _whole_sum(alpha: float, n_quanta: int | None) -> float:
    return float(_sum_after(np.zeros(()), alpha, n_quanta, (1.0, 0.0)))


def _sum_after(n: Floats, alpha: float, n_quanta: int | None, weights: tuple[float, float]) -> Floats:
    """Return Σ_{n<k<=K} (c + d ln k) k^−s of weights c, d by Euler-Maclaurin, without the cancellation at small alpha.

    What two ends differ by is summed apart from the integral between them, which `_integral` has to full precision.
    """
    span = None if n_quanta is None else np.maximum(n_quanta - n, 0.0)
    total = _integral(n + SUMMED_TERMS + 1, alpha, span, weights) + _besides_integral(n, alpha, weights)
    if n_quanta is None:
        return total
    last = np.asarray(float(n_quanta))
    return np.where(n >= n_quanta, 0.0, np.maximum(total - _besides_integral(last, alpha, weights), 0.0))


def _besides_integral(n: Floats, alpha: float, weights: tuple[float, float]) -> Floats:
    """Return what Σ_{k>n} (c + d ln k) k^−s has besides the integral from n + 1 + `SUMMED_TERMS` on."""
    k = n[..., None] + np.arange(1, SUMMED_TERMS + 2)
    c, d = weights
    terms = k ** -(alpha + 1) * (c + d * np.log(k) if d else c)
    x, by_order = k[..., -1:], _derivatives(alpha + 1, weights)
    corrections = (by_order[0] + by_order[1] * np.log(x)) * x**-ORDERS * x ** -(alpha + 1)
    return terms[..., :-1].sum(axis=-1) + 0.5 * terms[..., -1] - corrections.sum(axis=-1)


def _derivatives(s: float, weights: tuple[float, float]) -> Floats:
    """Return c_j and d_j of every odd j of `ORDERS`, shape (2, 6), times Euler-Maclaurin's B_{j+1} / (j+1)!.

    The j-th derivative of (c + d ln x) x^−s is x^(−s−j) (c_j + d_j ln x) with c_0 = c, d_0 = d,
    c_{j+1} = d_j − (s+j) c_j and d_{j+1} = −(s+j) d_j.
    """
    (c, d), found = weights, []
    for j in range(int(ORDERS[-1])):
        c, d = d - (s + j) * c, -(s + j) * d
        if j % 2 == 0:
            found.append((c, d))
    return np.array(found).T * BERNOULLI_OVER_FACTORIAL


def _integral(x: Floats, alpha: float, span: Floats | None, weights: tuple[float, float]) -> Floats:
    """Return ∫ (c + d ln t) t^−s dt from x over a span, or without end; s = alpha + 1.

    With t = x e^u it is x^−alpha ∫ (c + d ln x + d u) e^(−alpha u) du, an incomplete gamma function.
    """
    c, d = weights
    whole, mean = 1 / alpha, 1 / alpha**2  # ∫ e^(−alpha u) du and ∫ u e^(−alpha u) du
    if span is None:
        return x**-alpha * ((c + d * np.log(x)) * whole + d * mean)
    z = alpha * _log_growth(x, span)
    return x**-alpha * ((c + d * np.log(x)) * -np.expm1(-z) * whole + d * gammainc(2, z) * mean)


def _log_growth(x: Floats, span: Floats) -> Floats:
    """Return ln((x + span) / x), exact for short spans and for tiny x."""
    return np.where(span < x, np.log1p(np.minimum(span, x) / x), np.log(x + span) - np.log(x))


def _approximate(
    n: Floats, alpha: float, n_quanta: int | None, approximation: Approximation, weights: tuple[float, float]
) -> Floats:
    """Return the integral over what lies between n and K, both moved up by a half for the midpoint form."""
    if approximation not in APPROXIMATIONS:
        raise FitError(f"the approximation is {approximation!r}; there are {', '.join(APPROXIMATIONS)}")
    if approximation == "integral" and not np.all(n > 0):
        raise FitError("the integral approximation diverges at n = 0; use the exact form there")
    span = None if n_quanta is None else np.maximum(n_quanta - n, 0.0)
    return _integral(n + (0.5 if approximation == "midpoint" else 0.0), alpha, span, weights)


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
