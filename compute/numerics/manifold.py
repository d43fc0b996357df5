"""The rival reading of a scaling exponent: data on a manifold whose dimension sets how fast loss falls."""

from __future__ import annotations

import math
from dataclasses import dataclass

from compute.errors import FitError


@dataclass(frozen=True)
class Dimension:
    """Dimension of the data manifold that an exponent stands for.

    Attributes
    ----------
    value : float
    low, high : float
        Of the exponent's interval; nan where none was given, `high` infinite where it reaches 0.
    """

    value: float
    low: float
    high: float


def dimension(alpha: float, low: float = math.nan, high: float = math.nan, *, p: float = 2.0) -> Dimension:
    """Dimension that manifold theory reads off an exponent of loss in parameters.

    Parameters
    ----------
    alpha : float
        L ∝ N^−alpha, positive.
    low, high : float
        Its interval, if any.
    p : float
        The loss behaves as the p-th power of the distance to the truth: 2 for squared error, and for cross-entropy
        near its minimum.

    Returns
    -------
    Dimension

    Raises
    ------
    FitError
        alpha or p not positive and finite, or an interval that does not hold alpha.

    Notes
    -----
    A network of N parameters cuts a d-dimensional manifold into N cells of width N^(−1/d) and is linear in each, so
    its distance to the truth falls as N^(−2/d) and the loss as N^(−2p/d): alpha = 2p/d, 4/d for squared error. Ends
    of the interval change places. The reading breaks down with overfitting, a noise floor, or a topology that
    distances do not see.

    References
    ----------
    Sharma and Kaplan, A Neural Scaling Law from the Dimension of the Data Manifold, arXiv:2004.10802.

    Examples
    --------
    >>> round(dimension(0.083).value, 1), round(dimension(0.076).value, 1)
    (48.2, 52.6)
    >>> dimension(0.4, 0.2, 0.8)
    Dimension(value=10.0, low=5.0, high=20.0)
    """
    for name, number in (("exponent", alpha), ("power p", p)):
        if not (number > 0 and math.isfinite(number)):
            raise FitError(f"the {name} is {number:g}; a dimension needs one that is positive and finite")
    if low > alpha or high < alpha:
        raise FitError(f"the interval {low:g} to {high:g} does not hold the exponent {alpha:g}")
    upper = math.nan if math.isnan(low) else 2 * p / low if low > 0 else math.inf
    return Dimension(2 * p / alpha, 2 * p / high, upper)


def dimension_of_fit(alpha: float, low: float, high: float) -> Dimension | None:
    """4/alpha of an exponent that was fitted; an interval that reaches below 0 has no upper end.

    Returns
    -------
    Dimension or None
        None where the loss does not fall, or the exponent is unknown (nan).
    """
    return dimension(alpha, max(low, 0.0), high) if alpha > 0 else None
