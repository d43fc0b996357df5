"""The quantization model in closed form: Zipfian quanta, the loss they leave, and the scaling they cause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import zeta as hurwitz_zeta

from compute.errors import FitError
from compute.numerics.scaling import fit_power_law

Approximation = Literal["exact", "integral", "midpoint"]
Floats = NDArray[np.float64]

BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)  # B_2, B_4, … B_12
SUMMED_TERMS = 24  # summed one by one before Euler-Maclaurin takes over: an error below 1e-14


@dataclass(frozen=True)
class Exponents:
    """How loss falls with each resource, L ∝ x^(−exponent), and how the number of quanta grows with data.

    Attributes
    ----------
    parameters : float
        alpha_N.
    data : float
        alpha_D, several epochs.
    steps : float
        alpha_S, one epoch.
    quanta_in_data : float
        n ∝ D^this (and n ∝ S^this).
    """

    parameters: float
    data: float
    steps: float
    quanta_in_data: float


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
    _check(alpha, n_quanta)
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
        The two approximations hold for an infinite universe only.

    Returns
    -------
    ndarray of the shape of n, float64
        In [0, 1] if exact; 1 at n = 0, 0 at n >= K.

    Raises
    ------
    FitError
        alpha <= 0, n < 0, the integral at n = 0 (it diverges), or an approximation with a finite universe.

    Notes
    -----
    Exact: T_n = ζ(alpha+1, n+1) / ζ(alpha+1). Integral: n^−alpha / (alpha ζ), too high by about
    alpha/(2n) relative. Midpoint: (n + ½)^−alpha / (alpha ζ), far better.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 2 and appendix A.

    Examples
    --------
    >>> tail([1, 10], 0.4).round(6).tolist(), tail(10, 0.4, approximation="integral").round(6).tolist()
    ([0.677996, 0.31422], 0.320481)
    """
    n = _counts(n)
    total = normaliser(alpha, n_quanta)
    if approximation == "exact":
        return _power_sum_after(n, alpha, n_quanta) / total
    if n_quanta is not None:
        raise FitError(f"the {approximation} approximation is for infinitely many quanta, not for {n_quanta}")
    if approximation == "midpoint":
        return (n + 0.5) ** -alpha / (alpha * total)
    return _above_zero(n) ** -alpha / (alpha * total)


def expected_loss(
    n: ArrayLike,
    alpha: float,
    n_quanta: int | None = None,
    a: float = 0.0,
    b: float = 1.0,
    *,
    approximation: Approximation = "exact",
) -> Floats:
    """Mean loss of a network that has learned the n most frequent quanta.

    Parameters
    ----------
    n : array_like of any shape, float
        Number of quanta learned, >= 0.
    alpha : float
        Positive.
    n_quanta : int, optional
        Size K of the universe of quanta; infinite when absent.
    a, b : float
        Loss where the quantum is learned and where it is not, in any one unit.
    approximation : {"exact", "integral", "midpoint"}
        See `tail`.

    Returns
    -------
    ndarray of the shape of n, float64
        In the unit of a and b; b at n = 0 and a at n >= K, exactly.

    Raises
    ------
    FitError
        As `tail`.

    Notes
    -----
    L_n = a Σ_{k<=n} p_k + b Σ_{k>n} p_k = a + (b − a) T_n.

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 2.

    Examples
    --------
    >>> expected_loss([0, 10, 500], 0.4, 500).round(5).tolist()
    [1.0, 0.26498, 0.0]
    """
    share = tail(n, alpha, n_quanta, approximation=approximation)
    return np.where(share == 1.0, b, a + (b - a) * share)


def entropy(alpha: float) -> float:
    """Entropy of the infinite Zipfian distribution over quanta.

    Parameters
    ----------
    alpha : float
        Positive.

    Returns
    -------
    float
        Nats.

    Raises
    ------
    FitError
        alpha <= 0.

    Notes
    -----
    H = ln ζ − (alpha+1) ζ′(alpha+1) / ζ, exact; the paper prints the integral approximation.

    References
    ----------
    Michaud et al., arXiv:2303.13506, appendix A.

    Examples
    --------
    >>> round(entropy(1.0), 6)
    1.637622
    """
    zeta = normaliser(alpha)
    return math.log(zeta) + (alpha + 1) * float(_log_power_sum_after(np.zeros(()), alpha)) / zeta


def loss_surprise_removed(n: ArrayLike, alpha: float, *, approximation: Approximation = "exact") -> Floats:
    """Mean loss when a quantum takes its whole surprise away (appendix A, case 1).

    Parameters
    ----------
    n : array_like of any shape, float
        Number of quanta learned, >= 0 (above 0 for the approximation).
    alpha : float
        Positive.
    approximation : {"exact", "integral"}

    Returns
    -------
    ndarray of the shape of n, float64
        Nats; `entropy(alpha)` at n = 0.

    Raises
    ------
    FitError
        alpha <= 0, n < 0, the integral at n = 0, or another approximation.

    Notes
    -----
    a_k = 0 and b_k = −ln p_k, so L_n = Σ_{k>n} p_k (−ln p_k) = ln ζ · T_n − (alpha+1) ζ′(alpha+1, n+1) / ζ.
    Integral: L_n ≈ n^−alpha (1 + alpha + alpha ln ζ) / (alpha² ζ) + (alpha+1) n^−alpha ln n / (alpha ζ).

    References
    ----------
    Michaud et al., arXiv:2303.13506, appendix A.

    Examples
    --------
    >>> bool(loss_surprise_removed(0, 0.4) == entropy(0.4))
    True
    """
    n, zeta = _counts(n), normaliser(alpha)
    if approximation == "integral":
        at = _above_zero(n)
        constant = (1 + alpha + alpha * math.log(zeta)) / (alpha**2 * zeta)
        return at**-alpha * (constant + (alpha + 1) * np.log(at) / (alpha * zeta))
    _only_exact(approximation)
    return math.log(zeta) * tail(n, alpha) + (alpha + 1) * _log_power_sum_after(n, alpha) / zeta


def loss_surprise_lowered(n: ArrayLike, alpha: float, gain: float) -> Floats:
    """Mean loss when a quantum multiplies its token's probability by a constant (appendix A, case 2).

    Parameters
    ----------
    n : array_like of any shape, float
        Number of quanta learned, >= 0.
    alpha : float
        Positive.
    gain : float
        The factor C > 1.

    Returns
    -------
    ndarray of the shape of n, float64
        Nats.

    Raises
    ------
    FitError
        alpha <= 0, n < 0 or gain <= 1.

    Notes
    -----
    a_k = −ln(C p_k) and b_k = −ln p_k, so L_n = H − ln C + ln C · T_n.

    References
    ----------
    Michaud et al., arXiv:2303.13506, appendix A.

    Examples
    --------
    >>> bool(loss_surprise_lowered(0, 0.4, 2.0) == entropy(0.4))
    True
    """
    if not gain > 1:
        raise FitError(f"the gain C must be above 1, but is {gain:g}")
    return entropy(alpha) - math.log(gain) * (1.0 - tail(n, alpha))


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
    return np.floor(_resource(n_parameters, "parameters") / _positive(capacity, "parameters a quantum takes"))


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
    scale = _positive(threshold, "samples a quantum takes") * normaliser(alpha, n_quanta)
    return _learned((_resource(n_samples, "samples") / scale) ** (1 / (alpha + 1)), n_quanta)


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
    _check(alpha, n_quanta)
    ratio = _resource(n_steps, "steps") / _positive(first_steps, "steps the first quantum takes")
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
    samples = _positive(threshold, "samples a quantum takes")
    return samples * normaliser(alpha, n_quanta) / _positive(batch_size, "batch size")


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


def exponents(alpha: float) -> Exponents:
    """Scaling exponents that infinitely many Zipfian quanta cause.

    Parameters
    ----------
    alpha : float
        Positive.

    Returns
    -------
    Exponents

    Raises
    ------
    FitError
        alpha <= 0.

    Notes
    -----
    alpha_N = alpha; alpha_D = alpha_S = alpha/(1 + alpha); n ∝ D^(1/(1 + alpha)).

    References
    ----------
    Michaud et al., arXiv:2303.13506, section 2.

    Examples
    --------
    >>> round(exponents(0.4).data, 4)
    0.2857
    """
    _check(alpha, None)
    return Exponents(alpha, alpha / (1 + alpha), alpha / (1 + alpha), 1 / (1 + alpha))


def finite_exponents(alpha: float, n_quanta: int, first: int, last: int, a: float = 0.0, b: float = 1.0) -> Exponents:
    """Scaling exponents that one would measure where quanta are finite in number.

    Parameters
    ----------
    alpha : float
        Positive.
    n_quanta : int
        Size K of the universe of quanta.
    first, last : int
        Range of n over which loss is fitted, 1 <= first < last, both included; `last` below K if a = 0.
    a, b : float
        Losses as in `expected_loss`.

    Returns
    -------
    Exponents
        `parameters` is the slope of −ln L_n on ln n over the range; data and steps are that over 1 + alpha.

    Raises
    ------
    FitError
        alpha <= 0, a range without two numbers, or one that reaches a loss of zero.

    Notes
    -----
    L_n reaches a at n = K, so its log-log curve bends down, and for small alpha the measured exponent exceeds
    alpha. Over n = 1 to 20 at K = 500 this comes within .02 of the measured alpha_D for alpha >= .2.

    References
    ----------
    Michaud et al., arXiv:2303.13506, appendix B, measures what this predicts.

    Examples
    --------
    >>> round(finite_exponents(0.4, 500, 1, 50).parameters, 4)
    0.4934
    """
    if not 1 <= first < last:
        raise FitError(f"a range of quanta must start at 1 or later and hold two, not {first} to {last}")
    n = np.arange(first, last + 1)
    slope = fit_power_law(n, expected_loss(n, alpha, n_quanta, a, b)).alpha
    return Exponents(slope, slope / (1 + alpha), slope / (1 + alpha), 1 / (1 + alpha))


def _power_sum_after(n: Floats, alpha: float, n_quanta: int | None) -> Floats:
    """Return Σ_{n<k<=K} k^−(alpha+1) = ζ(alpha+1, n+1) − ζ(alpha+1, K+1)."""
    rest = hurwitz_zeta(alpha + 1, n + 1)
    if n_quanta is None:
        return rest
    return np.where(n >= n_quanta, 0.0, rest - hurwitz_zeta(alpha + 1, n_quanta + 1.0))


def _log_power_sum_after(n: Floats, alpha: float) -> Floats:
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


def _learned(n: Floats, n_quanta: int | None) -> Floats:
    learned = np.where(n < 1, 0.0, n)
    return learned if n_quanta is None else np.minimum(learned, n_quanta)


def _check(alpha: float, n_quanta: int | None) -> None:
    _positive(alpha, "exponent alpha")
    if n_quanta is not None and not n_quanta >= 1:
        raise FitError(f"the number of quanta must be at least 1, but is {n_quanta:g}")


def _positive(value: float, name: str) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise FitError(f"the {name} must be positive and finite, but is {value:g}")
    return value


def _resource(values: ArrayLike, name: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if not np.all(array >= 0):
        raise FitError(f"the number of {name} cannot be {array[~(array >= 0)].flat[0]:g}")
    return array


def _counts(n: ArrayLike) -> Floats:
    return _resource(n, "quanta learned")


def _above_zero(n: Floats) -> Floats:
    if not np.all(n > 0):
        raise FitError("the integral approximation diverges at n = 0; use the exact form there")
    return n


def _only_exact(approximation: str) -> None:
    if approximation != "exact":
        raise FitError(f"this loss has an exact and an integral form, not {approximation!r}")
