"""Reads of how losses fall with size and step, and the laws fitted to them: worked out once, then kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from clusters.models import Clustering, Run
from clusters.queries.losses import by_network, distributions, finals
from clusters.stored.derived import derived, has_derived
from clusters.stored.recent import Recent
from clusters.stored.turns import Turns
from clusters.values.distributions import Distribution
from clusters.values.families import within_family
from clusters.values.laws import (
    PAPER_STEPS,
    ClusterLaws,
    Fitted,
    NetworkLaw,
    Point,
    QuantileLaw,
    Window,
    default_steps,
    packed,
    unpacked,
)
from compute.errors import FitError
from compute.numerics.laws import LAWS, Comparison, compare_laws
from compute.numerics.scaling import PowerLawFit, fit_power_law, fit_power_laws

SHARES = ("0.05", "0.25", "0.5", "0.75", "0.95")  # quantiles that bundles state and that are far from both ends
LEAST_POINTS = 3  # of a window
FEW_PAPER_STEPS = 10
QUICK = ("power", "offset")  # laws that a page can wait for
_recent: Recent[Comparison] = Recent(256)
_fitting = Turns()  # one fit of broken laws at a time


def size_points(networks: Sequence[Distribution]) -> tuple[Point, ...]:
    """Mean losses over parameters, ascending."""
    return tuple(Point(float(one.n_non_embedding), one.mean_nats, one.lm) for one in networks)


def step_points(steps: Sequence[Distribution]) -> tuple[Point, ...]:
    """Mean losses of one network over its steps; step 0 has no place on a logarithmic axis."""
    return tuple(Point(float(one.step), one.mean_nats, f"step {one.step:,}") for one in steps if one.step)


def fitted(
    run: Run, points: tuple[Point, ...], window: Window, *, is_kept: bool, is_whole: bool = True
) -> Fitted | None:
    """All laws over the points in a window; None where there are too few. Unless whole, only what is known or quick.

    What a page itself links to is kept beside the bundle; what somebody typed, in this process for a while.
    """
    inside = [point for point in points if window.holds(point.x)]
    if len({point.x for point in inside}) < LEAST_POINTS:
        return None
    x, y = tuple(point.x for point in inside), tuple(point.mean_nats for point in inside)
    name = f"scaling/judged-laws-4-{hashlib.sha256(repr((x, y)).encode()).hexdigest()[:20]}"
    try:
        if is_kept and (is_whole or has_derived(run, name)):
            comparison = unpacked(derived(run, name, lambda: packed(_all_laws(x, y))))
        elif is_whole or len(x) <= LAWS["break-1"]:
            comparison = _all_laws(x, y)
        else:
            comparison = _recent.known((x, y)) or _recent.get((x, y, QUICK), lambda: compare_laws(x, y, names=QUICK))
    except FitError:
        return None
    return Fitted(points, window, comparison)


def _all_laws(x: tuple[float, ...], y: tuple[float, ...]) -> Comparison:
    known = _recent.known((x, y))
    if known:
        return known
    with _fitting.taken():
        return _recent.get((x, y), lambda: compare_laws(x, y))


def network_laws(
    networks: dict[str, list[Distribution]], window_of: Callable[[list[float]], Window]
) -> list[NetworkLaw]:
    """A power law over the steps of every network, smallest network first."""
    found = []
    for lm, steps in networks.items():
        points = step_points(steps)
        if len(points) < 2:
            continue
        window = window_of([point.x for point in points])
        fit = power_law([point for point in points if window.holds(point.x)])
        found.append(NetworkLaw(lm, steps[0].n_non_embedding, points, window, fit))
    return found


def has_paper_steps(steps: Sequence[float]) -> bool:
    """Whether the window of the paper's Figure 11 can be fitted."""
    first, last = PAPER_STEPS
    return sum(first <= step <= last for step in steps) >= FEW_PAPER_STEPS


def power_law(points: Sequence[Point]) -> PowerLawFit | None:
    """The power law through the points; None where they allow none."""
    try:
        return fit_power_law([point.x for point in points], [point.mean_nats for point in points])
    except FitError:
        return None


def quantile_laws(networks: Sequence[Distribution], window: Window) -> list[QuantileLaw]:
    """A power law for every quantile that all networks state, lowest first."""
    found = []
    for share in SHARES:
        if len(networks) > 1 and all(one.quantiles_nats.get(share, 0.0) > 0 for one in networks):
            points = tuple(Point(float(one.n_non_embedding), one.quantiles_nats[share], one.lm) for one in networks)
            found.append(QuantileLaw(share, points, power_law([p for p in points if window.holds(p.x)])))
    return found


def cluster_laws(
    run: Run, clustering: Clustering, networks: Sequence[Distribution], window: Window
) -> ClusterLaws | None:
    """A power law for the mean curve of every cluster over the sizes in the window; None where there are too few."""
    sizes = run.manifest.get("sizes", [])
    of_family = {one.lm for one in networks}
    columns = [i for i, s in enumerate(sizes) if s["lm"] in of_family and window.holds(s["n_non_embedding"])]
    rows = list(clustering.clusters.order_by("rank").values_list("label", "size", "mean_curve"))
    x = [float(sizes[i]["n_non_embedding"]) for i in columns]
    if len(set(x)) < LEAST_POINTS or not rows:
        return None
    curves = np.array([[np.nan if curve[i] is None else curve[i] for i in columns] for _, _, curve in rows])
    fits = fit_power_laws(x, curves)
    return ClusterLaws(
        clustering.affinity, clustering.k, [label for label, _, _ in rows], [size for _, size, _ in rows],
        fits.alpha, fits.low, fits.high, fits.r_squared,
    )  # fmt: skip


def prepare(run: Run) -> None:
    """Work out what bare addresses show, so that no visitor waits for it."""
    found = distributions(run)
    sizes = size_points(within_family(finals(found)))
    if sizes:
        fitted(run, sizes, whole(sizes), is_kept=True)
    for steps in by_network(found).values():
        points = step_points(steps)
        if points:
            fitted(run, points, default_steps([point.x for point in points]), is_kept=True)


def whole(points: Sequence[Point]) -> Window:
    """All of the points, given by x."""
    return Window(points[0].x, points[-1].x)
