"""The quantization model in closed form: the loss that Zipfian quanta leave, and the exponents they cause."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from compute.errors import FitError
from compute.numerics.scaling import fit_power_law
from compute.numerics.zipf import Approximation, Floats, check_universe, entropy, surprise_tail, tail

LEAST_ALPHA, MOST_ALPHA = 1e-6, 20.0  # between which a true alpha is looked for


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


def loss_surprise_removed(
    n: ArrayLike, alpha: float, n_quanta: int | None = None, *, approximation: Approximation = "exact"
) -> Floats:
    """Mean loss when a quantum takes its whole surprise away (appendix A, case 1).

    Parameters
    ----------
    n : array_like of any shape, float
        Number of quanta learned, >= 0 (above 0 for the integral).
    alpha : float
        Positive.
    n_quanta : int, optional
        Size K of the universe of quanta; infinite when absent.
    approximation : {"exact", "integral", "midpoint"}
        See `surprise_tail`.

    Returns
    -------
    ndarray of the shape of n, float64
        Nats; `entropy` at n = 0, 0 at n >= K.

    Raises
    ------
    FitError
        As `surprise_tail`.

    Notes
    -----
    a_k = 0 and b_k = −ln p_k, so L_n = Σ_{k>n} p_k (−ln p_k).

    References
    ----------
    Michaud et al., arXiv:2303.13506, appendix A.

    Examples
    --------
    >>> bool(loss_surprise_removed(0, 0.4) == entropy(0.4))
    True
    """
    return surprise_tail(n, alpha, n_quanta, approximation=approximation)


def loss_surprise_lowered(
    n: ArrayLike, alpha: float, gain: float, n_quanta: int | None = None, *, approximation: Approximation = "exact"
) -> Floats:
    """Mean loss when a quantum multiplies its token's probability by a constant (appendix A, case 2).

    Parameters
    ----------
    n : array_like of any shape, float
        Number of quanta learned, >= 0 (above 0 for the integral).
    alpha : float
        Positive.
    gain : float
        The factor C > 1. Above 1 / p_1 the most frequent quantum's loss would be below 0.
    n_quanta : int, optional
        Size K of the universe of quanta; infinite when absent.
    approximation : {"exact", "integral", "midpoint"}
        Of T_n; the entropy is exact in all three.

    Returns
    -------
    ndarray of the shape of n, float64
        Nats.

    Raises
    ------
    FitError
        gain <= 1, or as `tail`.

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
    unlearned = tail(n, alpha, n_quanta, approximation=approximation)
    return entropy(alpha, n_quanta) - math.log(gain) * (1.0 - unlearned)


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
    check_universe(alpha, None)
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
    slope = window_exponent(lambda n: expected_loss(n, alpha, n_quanta, a, b), first, last)
    return Exponents(slope, slope / (1 + alpha), slope / (1 + alpha), 1 / (1 + alpha))


def window_exponent(loss: Callable[[Floats], Floats], first: int, last: int) -> float:
    """Exponent that one would measure over a range of n: the least-squares slope of −ln L_n on ln n.

    Parameters
    ----------
    loss : callable
        Mean loss of n quanta, n an ndarray of shape (last − first + 1,), float64.
    first, last : int
        Range of n, 1 <= first < last, both included.

    Returns
    -------
    float

    Raises
    ------
    FitError
        A range without two numbers, or one in which the loss is not positive.

    Examples
    --------
    >>> round(window_exponent(lambda n: expected_loss(n, 0.4, 500), 1, 50), 4)
    0.4934
    """
    if not 1 <= first < last:
        raise FitError(f"a range of quanta must start at 1 or later and hold two, not {first} to {last}")
    n = np.arange(first, last + 1, dtype=np.float64)
    return fit_power_law(n, loss(n)).alpha


def local_exponent(loss: Callable[[Floats], Floats], n: ArrayLike) -> Floats:
    """Slope of −ln L_n on ln n at every n: what a measurement over a very short range finds.

    Parameters
    ----------
    loss : callable
        Mean loss of n quanta, smooth in n.
    n : array_like of any shape, float
        Positive.

    Returns
    -------
    ndarray of the shape of n, float64
        nan where the loss is not positive.

    Notes
    -----
    A central difference over a relative step of 2e-5: the error is below 1e-6.

    Examples
    --------
    >>> float(local_exponent(lambda n: n**-0.3, 7.0).round(6))
    0.3
    """
    n, step = np.asarray(n, dtype=np.float64), 1e-5
    low, high = (np.asarray(loss(n * math.exp(side * step))) for side in (-1, 1))
    is_known = (low > 0) & (high > 0)
    ratio = np.where(is_known, low, 1.0) / np.where(is_known, high, 1.0)
    return np.where(is_known, np.log(ratio) / (2 * step), np.nan)


def true_alpha(measured: float, n_quanta: int, first: int, last: int) -> float:
    """Alpha whose finite universe shows a measured exponent over a range of n.

    Parameters
    ----------
    measured : float
        Exponent of loss in the number of quanta (alpha_N), positive.
    n_quanta : int
        Size K of the universe of quanta.
    first, last : int
        Range of n over which it was measured, 1 <= first < last < K, with a = 0.

    Returns
    -------
    float
        alpha, to 1e-9.

    Raises
    ------
    FitError
        An exponent that no alpha between 0 and 20 shows over this range, or as `finite_exponents`.

    Notes
    -----
    The measured exponent rises with alpha, so there is one answer. Near alpha = 0 the universe is p_k ∝ 1/k, whose
    curve bends as well: even there a fit finds a positive exponent.

    Examples
    --------
    >>> round(true_alpha(0.4934, 500, 1, 50), 3)
    0.4
    """

    def missed(alpha: float) -> float:
        return finite_exponents(alpha, n_quanta, first, last).parameters - measured

    low, high = LEAST_ALPHA, MOST_ALPHA
    least, most = missed(low) + measured, missed(high) + measured
    if not least <= measured <= most:
        raise FitError(
            f"with K = {n_quanta} and n from {first} to {last} the model shows exponents from {least:.3g} to "
            f"{most:.3g}, never {measured:g}; change K or the range"
        )
    return float(brentq(missed, low, high, xtol=1e-10))
