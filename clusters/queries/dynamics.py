"""Reads of how a run's networks learn over training: exponents, near-zero losses, clusters by rank and step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clusters.models import Clustering, Run
from clusters.queries.losses import distributions
from clusters.queries.sequence import cluster_means
from clusters.stored.derived import derived
from clusters.values.distributions import Distribution
from clusters.values.dynamics import Heat
from clusters.values.facts import Scale
from clusters.values.laws import NetworkLaw, Point
from compute.errors import FitError
from compute.numerics.scaling import fit_power_law

SPAN = 2.0  # a local exponent is fitted from x / SPAN to x · SPAN
LEAST_LOCAL = 3  # points
MOST_COLUMNS = 48  # steps of the map of clusters
_NEAR_ZERO = "dynamics/near-zero"


def local_exponents(law: NetworkLaw) -> list[tuple[float, float]]:
    """(step, exponent of the points within a factor of it), where there are three or more."""
    found = []
    for point in law.points:
        inside = [one for one in law.points if point.x / SPAN <= one.x <= point.x * SPAN]
        if len(inside) >= LEAST_LOCAL and _is_between(point, inside):
            try:
                fit = fit_power_law([one.x for one in inside], [one.mean_nats for one in inside])
            except FitError:
                continue
            found.append((point.x, fit.alpha))
    return found


def _is_between(point: Point, inside: Sequence[Point]) -> bool:
    """Whether there are points on both sides: at the ends a window would be half of one."""
    return inside[0].x < point.x < inside[-1].x


def near_zero(run: Run, found: Sequence[Distribution]) -> np.ndarray:
    """By checkpoint: p(L) in the first bin, per nat; the peak of L·p(L) and its ends, nats. float64 (n, 4), nan where
    a checkpoint has no histogram. Worked out once a run."""
    return derived(run, _NEAR_ZERO, lambda: np.array([_near_zero(one) for one in found], np.float64).reshape(-1, 4))


def prepare(run: Run) -> None:
    """Count near zero now, so that no visitor waits for it."""
    found = distributions(run)
    if any(one.has_counts for one in found):
        near_zero(run, found)


def _near_zero(one: Distribution) -> tuple[float, float, float, float]:
    if not one.has_counts:
        return (np.nan,) * 4
    peak = one.integrand.peak
    return float(one.by_step.density[0]), peak.at, peak.low, peak.high


def heat(run: Run, clustering: Clustering, scale: Scale) -> Heat | None:
    """Every cluster's mean loss over a network's steps, the most frequent first; None without two steps above 0."""
    rows = list(clustering.clusters.order_by("rank").values_list("rank", "label", "size"))
    columns = _columns(np.array(scale.values))
    if len(columns) < 2 or not rows:
        return None
    ranks, labels, sizes = (list(one) for one in zip(*rows, strict=True))
    means = cluster_means(run, clustering.affinity, clustering.k, scale)[np.array(labels)][:, columns]
    return Heat(ranks, labels, np.array(sizes), np.array(scale.values)[columns], means)


def _columns(steps: np.ndarray) -> np.ndarray:
    """Of many steps those nearest to an even spacing in the logarithm; step 0 has no place on such an axis."""
    known = np.flatnonzero(steps > 0)
    if len(known) <= MOST_COLUMNS:
        return known
    at = np.log(steps[known])
    wanted = np.linspace(at[0], at[-1], MOST_COLUMNS)
    return known[np.unique(np.abs(at[:, None] - wanted).argmin(axis=0))]
