"""How far a share of few trials can be trusted."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054


def wilson(n_right: int, n: int, *, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share.

    Parameters
    ----------
    n_right : int
        Trials that came out so, 0 to n.
    n : int
        Trials, at least 1.
    z : float, default 1.96
        Standard deviations of the normal distribution on either side; 1.96 gives 95 %.

    Returns
    -------
    (float, float)
        Lower and upper end, within [0, 1].

    Raises
    ------
    ValueError
        If there are no trials, or `n_right` is not among 0 to n.

    Notes
    -----
    With p = n_right / n, the shares q for which |p - q| <= z sqrt(q (1 - q) / n): centre
    (p + z²/2n) / (1 + z²/n), half width z sqrt(p (1 - p)/n + z²/4n²) / (1 + z²/n). Trials count as independent.

    References
    ----------
    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. JASA 22.
    https://doi.org/10.1080/01621459.1927.10502953

    Examples
    --------
    >>> [round(end, 2) for end in wilson(17, 20)]
    [0.64, 0.95]
    """
    if not 0 <= n_right <= n or n < 1:
        raise ValueError(f"n_right is {n_right} and n is {n}; there must be at least one trial, and 0 <= n_right <= n.")
    share = n_right / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if n_right == 0 else max(centre - half, 0.0)
    high = 1.0 if n_right == n else min(centre + half, 1.0)
    return low, high


def at_least(n_right: int, n: int, chance: float) -> float:
    """The chance that guessing is right as often.

    Parameters
    ----------
    n_right : int
        Right answers, 0 to n.
    n : int
        Answers, at least 1.
    chance : float
        Of one guess, in (0, 1).

    Returns
    -------
    float
        P(X >= n_right) for X binomial, in [0, 1].

    Notes
    -----
    Sum of C(n, i) chance^i (1 - chance)^(n - i) over i from n_right to n: exact for however few answers, where an
    interval is rough. Answers count as independent.

    Examples
    --------
    >>> round(at_least(2, 2, 0.2), 3)
    0.04
    """
    terms = (
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
        + i * math.log(chance) + (n - i) * math.log1p(-chance)
        for i in range(n_right, n + 1)
    )  # fmt: skip
    return min(math.fsum(map(math.exp, terms)), 1.0)
