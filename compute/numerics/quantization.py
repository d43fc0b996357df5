"""The quantization model with its knobs set: what it says of n quanta, of N, D and S, and of what one would measure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from compute.errors import FitError
from compute.numerics.knobs import Knobs
from compute.numerics.resources import (
    bottleneck,
    first_quantum_steps,
    quanta_from_data,
    quanta_from_parameters,
    quanta_from_steps,
)
from compute.numerics.theory import (
    Exponents,
    expected_loss,
    exponents,
    local_exponent,
    loss_surprise_lowered,
    loss_surprise_removed,
    true_alpha,
    window_exponent,
)
from compute.numerics.zipf import Approximation, Floats, entropy, probabilities

Resource = Literal["parameters", "samples", "steps"]
RESOURCES: dict[Resource, str] = {"parameters": "N", "samples": "D", "steps": "S"}
N_STAIRS = 24  # quanta whose steps a curve over parameters shows one by one
N_POINTS = 48  # of a smooth curve
REACH = 1e4  # n up to which an infinite universe is drawn
START = 0.4  # n at which a curve over a resource begins


@dataclass(frozen=True)
class Joint:
    """What one network learns when parameters, samples and steps limit it at once.

    Attributes
    ----------
    quanta : dict
        n that each resource alone would allow.
    n : float
        The least of them.
    limited_by : tuple of str
        The resources that allow no more.
    loss : float
        L_n.
    next_use : float
        p of the next quantum, 0 beyond the last.
    """

    quanta: dict[Resource, float]
    n: float
    limited_by: tuple[Resource, ...]
    loss: float
    next_use: float


@dataclass(frozen=True, eq=False)
class ResourceCurve:
    """Loss over one resource.

    Attributes
    ----------
    x, n, loss : ndarray of shape (m,), float64
        Amount of the resource, quanta learned, and loss where nothing else limits; where a step is, x stands twice.
    joint : ndarray of shape (m,), float64
        Loss with the two other resources as the knobs have them.
    """

    x: Floats
    n: Floats
    loss: Floats
    joint: Floats


def loss(knobs: Knobs, n: ArrayLike, approximation: Approximation = "exact") -> Floats:
    """Mean loss when the n most frequent quanta are learned.

    Parameters
    ----------
    knobs : Knobs
    n : array_like of any shape, float
        >= 0.
    approximation : {"exact", "integral", "midpoint"}

    Returns
    -------
    ndarray of the shape of n, float64
        In the unit of a and b, or in nats.

    Raises
    ------
    FitError
        n < 0, or the integral at n = 0.

    Examples
    --------
    >>> loss(Knobs(n_quanta=500), [10, 500]).round(5).tolist()
    [0.26498, 0.0]
    """
    how: dict[str, Any] = {"approximation": approximation}
    if knobs.case == "removed":
        return loss_surprise_removed(n, knobs.alpha, knobs.n_quanta, **how)
    if knobs.case == "lowered":
        return loss_surprise_lowered(n, knobs.alpha, knobs.gain, knobs.n_quanta, **how)
    return expected_loss(n, knobs.alpha, knobs.n_quanta, knobs.a, knobs.b, **how)


def floor(knobs: Knobs) -> float:
    """Return the loss that is left when all quanta are learned; case 2's can be below 0."""
    if knobs.case == "lowered":
        return entropy(knobs.alpha, knobs.n_quanta) - math.log(knobs.gain)
    return knobs.a if knobs.case == "constant" else 0.0


def first_steps(knobs: Knobs) -> float:
    """Return T, the steps of the first quantum: as set, or τ ζ / B."""
    if knobs.first_steps is not None:
        return knobs.first_steps
    return first_quantum_steps(knobs.tau, knobs.batch_size, knobs.alpha, knobs.n_quanta)


def quanta_from(knobs: Knobs, resource: Resource, amount: ArrayLike) -> Floats:
    """Quanta that an amount of one resource allows to learn, at most K.

    Examples
    --------
    >>> quanta_from(Knobs(n_quanta=50), "parameters", [6700, 1e9]).tolist()
    [1.0, 50.0]
    """
    if resource == "samples":
        return quanta_from_data(amount, knobs.tau, knobs.alpha, knobs.n_quanta)
    if resource == "steps":
        return quanta_from_steps(amount, first_steps(knobs), knobs.alpha, knobs.n_quanta)
    held = quanta_from_parameters(amount, knobs.capacity)
    return held if knobs.n_quanta is None else np.minimum(held, knobs.n_quanta)


def joint(knobs: Knobs) -> Joint:
    """What a network of N parameters learns from D samples in S steps: the scarcest resource decides.

    Examples
    --------
    >>> joint(Knobs(n_parameters=67_000)).limited_by
    ('parameters',)
    """
    amounts = _amounts(knobs)
    quanta = {resource: float(quanta_from(knobs, resource, amounts[resource])) for resource in RESOURCES}
    n = float(bottleneck(list(quanta.values())))
    limited_by = tuple(resource for resource, one in quanta.items() if one == n)
    following = float(probabilities(math.floor(n) + 1, knobs.alpha, knobs.n_quanta))
    return Joint(quanta, n, limited_by, float(loss(knobs, n)), following)


def reach(knobs: Knobs) -> float:
    """Return the largest n worth drawing: K, or far enough beyond what is asked about."""
    n = max(REACH, 3 * joint(knobs).n, 3 * float(knobs.window[1] if knobs.window else 1))
    return min(n, knobs.n_quanta or n)


def n_grid(last: float) -> Floats:
    """Whole numbers from 1 to `last`, evenly in the logarithm: each at first, fewer later."""
    grid = np.unique(np.round(np.geomspace(1, max(last, 1), N_POINTS)))
    return np.unique(np.append(grid, float(math.floor(last))))


def resource_curve(knobs: Knobs, resource: Resource) -> ResourceCurve:
    """Loss over one resource, from less than the first quantum takes to where `reach` quanta are learned."""
    last = reach(knobs)
    n = n_grid(last)
    smooth = n[n > N_STAIRS] if resource == "parameters" else n[n > 1]
    n_steps = min(N_STAIRS, math.floor(last)) if resource == "parameters" else 1
    stairs = np.arange(1.0, n_steps + 1)
    learned = np.concatenate([[0.0], np.ravel(np.column_stack([stairs - 1, stairs])), smooth])
    at = np.concatenate([[START], np.repeat(stairs, 2), smooth])
    x = at * knobs.capacity
    if resource != "parameters":
        first = knobs.tau * knobs.total if resource == "samples" else first_steps(knobs)
        x = first * at ** (knobs.alpha + 1)
    others = [one for name, one in joint(knobs).quanta.items() if name != resource]
    return ResourceCurve(x, learned, loss(knobs, learned), loss(knobs, bottleneck([learned, *others])))


def measured_exponents(knobs: Knobs) -> Exponents | None:
    """Exponents that a fit over the window finds in what an observer sees; None where `unmeasured` says why.

    Notes
    -----
    alpha_D and alpha_S follow with n ∝ D^(1/(1+alpha)).
    """
    if knobs.window is None or unmeasured(knobs):
        return None
    slope = window_exponent(of(knobs.seen), *knobs.window)
    exact = exponents(knobs.alpha)
    return Exponents(slope, slope / (1 + knobs.alpha), slope / (1 + knobs.alpha), exact.quanta_in_data)


def unmeasured(knobs: Knobs) -> str:
    """Why a fit over the window finds no exponent; empty where it finds one."""
    seen = "a single quantum" if knobs.n_seen == 1 else f"{knobs.n_seen:,} quanta"
    if knobs.window is None:
        return f"a fit needs two n with a loss to fit, which {seen} cannot give"
    first, last = knobs.window
    if float(loss(knobs.seen, last)) <= 0:
        return f"over n = {first} to {last} the loss that is seen of {seen} does not stay above 0"
    return ""


def measured_over_alpha(knobs: Knobs, alphas: ArrayLike) -> Floats:
    """Return the exponent that the window would show at every alpha of `alphas`; nan where it shows none."""
    return _measured_over(replace(knobs, alpha=1.0), tuple(np.asarray(alphas, dtype=np.float64).tolist())).copy()


@lru_cache(maxsize=64)  # the same while somebody drags alpha
def _measured_over(knobs: Knobs, alphas: tuple[float, ...]) -> Floats:
    found = [measured_exponents(replace(knobs, alpha=alpha)) for alpha in alphas]
    return np.array([math.nan if one is None else one.parameters for one in found])


def corrected(knobs: Knobs) -> float | None:
    """Alpha that shows the measured exponent over the window, among the quanta that an observer sees.

    Returns
    -------
    float or None
        None where nothing was measured.

    Raises
    ------
    FitError
        No alpha shows it, no window to have measured it over, or losses that are not constant or have a floor.
    """
    if knobs.measured is None:
        return None
    if knobs.case != "constant" or knobs.a > 0:
        raise FitError("the way back from a measured exponent is known for constant losses with a = 0 only")
    if knobs.window is None or unmeasured(knobs):
        raise FitError(unmeasured(knobs))
    return true_alpha(knobs.measured, knobs.n_seen, *knobs.window)


def slopes(knobs: Knobs, n: ArrayLike) -> Floats:
    """Local exponent of the whole loss at every n."""
    return local_exponent(of(knobs), n)


def of(knobs: Knobs) -> Callable[[Floats], Floats]:
    """Return the loss as a function of n alone."""
    return lambda n: loss(knobs, n)


def summary(knobs: Knobs) -> dict[str, Any]:
    """All single numbers that the model says, JSON-safe, by plain names."""
    exact, measured, learned = exponents(knobs.alpha), measured_exponents(knobs), joint(knobs)
    alpha, why_none = None, ""
    try:
        alpha = corrected(knobs)
    except FitError as error:
        why_none = str(error)
    return {
        "knobs": knobs.as_dict(),
        "zeta": knobs.total,
        "entropy_nats": entropy(knobs.alpha, knobs.n_quanta),
        "entropy_integral_nats": entropy(knobs.alpha, knobs.n_quanta, approximation="integral"),
        "first_steps": first_steps(knobs),
        "unlearned_loss": float(loss(knobs, 0)),
        "floor": floor(knobs),
        "unit": knobs.unit,
        "exponents": vars(exact),
        "measured_exponents": vars(measured) if measured else None,
        "measured_exponents_problem": unmeasured(knobs),
        "true_alpha": alpha,
        "true_alpha_problem": why_none,
        "joint": {
            "quanta": dict(learned.quanta), "n": learned.n, "limited_by": list(learned.limited_by),
            "loss": learned.loss, "next_use": learned.next_use,
        },
    }  # fmt: skip


def table_over_n(knobs: Knobs, n: ArrayLike) -> dict[str, list[float]]:
    """Use, loss and its approximations at every n, as columns; the integral has nan at n = 0."""
    n = np.asarray(n, dtype=np.float64)
    positive = np.where(n > 0, n, 1.0)
    use = np.where(n >= 1, probabilities(np.maximum(n, 1), knobs.alpha, knobs.n_quanta), math.nan)
    integral = np.where(n > 0, loss(knobs, positive, "integral"), math.nan)
    columns = {
        "n": n, "use": use, "loss": loss(knobs, n), "loss_integral": integral,
        "loss_midpoint": loss(knobs, n, "midpoint"),
        "local_exponent": np.where(n > 0, slopes(knobs, np.maximum(n, 1e-9)), math.nan),
    }  # fmt: skip
    return {name: column.tolist() for name, column in columns.items()}


def table_over(knobs: Knobs, resource: Resource, amounts: ArrayLike) -> dict[str, list[float]]:
    """Quanta and loss at every amount of one resource: alone, and with the others as the knobs have them."""
    n = quanta_from(knobs, resource, amounts)
    others = [one for name, one in joint(knobs).quanta.items() if name != resource]
    limited = bottleneck([n, *others])
    return {
        RESOURCES[resource]: np.asarray(amounts, dtype=np.float64).tolist(), "n": n.tolist(),
        "loss": loss(knobs, n).tolist(), "joint_n": limited.tolist(), "joint_loss": loss(knobs, limited).tolist(),
    }  # fmt: skip


def _amounts(knobs: Knobs) -> dict[Resource, float]:
    return {"parameters": knobs.n_parameters, "samples": knobs.n_samples, "steps": knobs.n_steps}
