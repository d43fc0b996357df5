"""What pages read of an experiment on sparse parity: slices of its arrays, and points of laws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from clusters.models import Experiment
from clusters.stored.arrays import experiment_array, has_array
from clusters.stored.recent import Recent
from clusters.values.parity import (
    LN2,
    Law,
    Measured,
    Network,
    Point,
    Resource,
    Sweep,
    Window,
    network_name,
    sweep_of,
)
from compute.errors import FitError
from compute.numerics.parity_measures import CONVERGED_NATS, finite_prediction, first_below, n_learned_by
from compute.numerics.scaling import PowerLawFit, fit_power_law

BELOW_A_GUESS = 0.95  # of one bit: where a law begins if nothing else says so
KEPT = 64  # networks' lowest losses; 2 kB each at 500 tasks


def sweep(experiment: Experiment) -> Sweep:
    """What the experiment's row says, and how many tasks its arrays hold."""
    n_tasks = experiment_array(experiment, "tasks/probabilities").shape[1]
    return sweep_of(experiment.found, n_tasks)


# ── arrays, one network at a time ──


def steps_of(experiment: Experiment) -> np.ndarray:
    """Logged steps, int64 (n_logs,)."""
    return np.array(experiment_array(experiment, "steps"))


def frequencies(experiment: Experiment, known: Sweep, alpha: float) -> np.ndarray:
    """Of every task, float64 (n_tasks,), by rank."""
    return np.array(experiment_array(experiment, "tasks/probabilities")[known.alphas.index(alpha)])


def mean_losses(experiment: Experiment, network: Network, kind: str = "test") -> np.ndarray:
    """Over steps in nats, float64 (n_logs,); NaN after divergence."""
    return np.array(experiment_array(experiment, f"loss/{kind}")[network.index], np.float64)


def task_losses(experiment: Experiment, network: Network) -> np.ndarray:
    """Test loss of every task over steps in nats, float32 (n_logs, n_tasks)."""
    return np.array(experiment_array(experiment, "loss/tasks")[network.index])


def train_losses(experiment: Experiment, network: Network) -> np.ndarray | None:
    """The same on the network's own samples; None where they were not measured."""
    if not has_array(experiment, "loss/tasks_train"):
        return None
    return np.array(experiment_array(experiment, "loss/tasks_train")[network.index])


def last_losses(experiment: Experiment, networks: Sequence[Network]) -> np.ndarray:
    """Every task's loss at the end, float32 (n_networks, n_tasks)."""
    losses = experiment_array(experiment, "loss/tasks")
    return np.stack([losses[one.index, -1] for one in networks])


def lowest_losses(experiment: Experiment, networks: Sequence[Network]) -> np.ndarray:
    """Every task's lowest loss over training, float32 (n_networks, n_tasks)."""
    return np.stack(
        [
            _lowest.get((experiment.bundle_sha256, one.index), lambda: _read_lowest(experiment, one))  # noqa: B023
            for one in networks
        ]
    )


def _read_lowest(experiment: Experiment, network: Network) -> np.ndarray:
    lowest = np.fmin.reduce(experiment_array(experiment, "loss/tasks")[network.index], axis=0)
    return np.asarray(lowest)


_lowest: Recent[np.ndarray] = Recent(KEPT)


def learning_steps(steps: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """The first step at which every task is below a tenth of a bit, int64 (n_tasks,); −1 where none is."""
    return first_below(steps, losses, CONVERGED_NATS)


# ── which networks a law is over ──


def online(known: Sweep, alpha: float) -> list[Network]:
    """Networks that saw every batch once, and did not diverge, by parameters."""
    found = [one for one in known.at(alpha) if one.n_samples is None and one.is_sound]
    return sorted(found, key=lambda one: (one.n_parameters, one.seed))


def widest(networks: Sequence[Network]) -> list[Network]:
    """Those of the largest width, every seed."""
    most = max((one.width for one in networks), default=0)
    return [one for one in networks if one.width == most]


def sampled(known: Sweep, alpha: float) -> list[Network]:
    """Networks of the width that most were trained at on finitely many samples, by samples."""
    found = [one for one in known.at(alpha) if one.n_samples is not None and one.is_sound]
    if not found:
        return []
    widths = [one.width for one in found]
    common = max(set(widths), key=lambda width: (widths.count(width), width))
    return sorted((one for one in found if one.width == common), key=lambda one: (one.n_samples or 0, one.seed))


# ── laws ──


def law_points(experiment: Experiment, known: Sweep, resource: Resource, alpha: float) -> tuple[Point, ...]:
    """Losses in nats by parameters, steps or samples."""
    if resource == "N":
        networks = online(known, alpha)
        return _points(networks, [one.n_parameters for one in networks], [one.test_loss_nats for one in networks])
    if resource == "D":
        networks = sampled(known, alpha)
        return _points(networks, [one.n_samples for one in networks], [one.best_test_loss_nats for one in networks])
    networks, steps = widest(online(known, alpha)), steps_of(experiment)
    points = [
        Point(float(step), float(loss), network_name(one, networks) + f", step {step:,}")
        for one in networks
        for step, loss in zip(steps.tolist(), mean_losses(experiment, one).tolist(), strict=True)
        if step > 0 and loss > 0
    ]
    return tuple(sorted(points, key=lambda one: one.x))


def _points(networks: Sequence[Network], xs: Sequence[int | None], ys: Sequence[float | None]) -> tuple[Point, ...]:
    return tuple(
        Point(float(x), y, network_name(one, networks))
        for one, x, y in zip(networks, xs, ys, strict=True) if x and y is not None and y > 0
    )  # fmt: skip


def measured(
    experiment: Experiment, known: Sweep, resource: Resource, alpha: float, asked: Window | None
) -> Measured | None:
    """The law over one resource as the experiment fitted it, or over the window asked for; None without two x."""
    points = law_points(experiment, known, resource, alpha)
    if len({one.x for one in points}) < 2:
        return None
    own = known.law(resource, alpha)
    theory = alpha if resource == "N" else alpha / (1 + alpha)
    usual = _usual(own, points)
    window = asked or usual
    inside = [one for one in points if window.holds(one.x)]
    fit, reason = _fit(inside)
    if fit is None:
        return Measured(resource, points, window, Law(alpha, theory=theory, reason=reason), None, asked is not None)
    if asked is None and own is not None and own.is_fitted:
        return Measured(resource, points, window, own, _through(own, inside), False)
    if asked is None and own is not None:  # it says why it has none
        return Measured(resource, points, None, own, None, False)
    has_interval = math.isfinite(fit.low)
    law = Law(
        alpha,
        exponent=fit.alpha,
        low=fit.low if has_interval else None,
        high=fit.high if has_interval else None,
        theory=theory,
        finite_k=_finite(experiment, known, resource, alpha, window),
        first=inside[0].x,
        last=inside[-1].x,
        n_points=fit.n_points,
        r_squared=fit.r_squared,
    )
    return Measured(resource, points, window, law, fit, asked is not None)


def measured_of(experiment: Experiment, known: Sweep, network: Network, asked: Window | None) -> Measured:
    """The law over the steps of one network, over the window asked for or the one of the experiment's own law."""
    steps, losses = steps_of(experiment).tolist(), mean_losses(experiment, network).tolist()
    points = tuple(
        Point(float(step), loss, f"step {step:,}")
        for step, loss in zip(steps, losses, strict=True)
        if step > 0 and loss > 0
    )
    theory = network.alpha / (1 + network.alpha)
    if not points:
        return Measured("S", (), None, Law(network.alpha, theory=theory, reason="it has no loss at any step"), None)
    window = asked or _usual(known.law("S", network.alpha), points)
    fit, reason = _fit([one for one in points if window.holds(one.x)])
    return Measured("S", points, window, Law(network.alpha, theory=theory, reason=reason), fit, asked is not None)


def _usual(own: Law | None, points: Sequence[Point]) -> Window:
    """What the experiment fitted; else from where the loss is below a guess."""
    if own is not None and own.first is not None and own.last is not None:
        return Window(own.first, own.last)
    below = [one.x for one in points if one.y < BELOW_A_GUESS * LN2]
    return Window(min(below, default=points[0].x), points[-1].x)


def _fit(inside: Sequence[Point]) -> tuple[PowerLawFit | None, str]:
    try:
        return fit_power_law([one.x for one in inside], [one.y for one in inside]), ""
    except FitError as error:
        return None, str(error)


def _through(law: Law, inside: Sequence[Point]) -> PowerLawFit:
    """The experiment's own line: its slope, through the middle of its points, as least squares put it."""
    x0, y0 = (float(np.mean(np.log(values))) for values in ([one.x for one in inside], [one.y for one in inside]))
    low, high = (math.nan if value is None else value for value in (law.low, law.high))
    return PowerLawFit(law.exponent, y0 + law.exponent * x0, law.r_squared or 0.0, math.nan, low, high, law.n_points)


def _finite(experiment: Experiment, known: Sweep, resource: Resource, alpha: float, window: Window) -> float | None:
    """What so many tasks expect over the numbers of tasks that were learned within a window."""
    learned = [round(one.y) for one in learned_points(experiment, known, resource, alpha) if window.holds(one.x)]
    return finite_prediction(alpha, known.n_tasks, min(learned), max(learned), resource) if learned else None


def learned_points(experiment: Experiment, known: Sweep, resource: Resource, alpha: float) -> tuple[Point, ...]:
    """Numbers of tasks that were below 0.1 nats at any time, by parameters, steps or samples; also where it is none."""
    if resource == "N":
        return tuple(Point(float(one.n_parameters), float(one.n_learned), network_name(one, online(known, alpha)))
                     for one in online(known, alpha))  # fmt: skip
    if resource == "D":
        networks = sampled(known, alpha)
        return tuple(
            Point(float(one.n_samples or 0), float(one.n_learned), network_name(one, networks)) for one in networks
        )
    found = widest(online(known, alpha))[:1]
    if not found:
        return ()
    steps = steps_of(experiment)
    counts = n_learned_by(task_losses(experiment, found[0])).tolist()
    return tuple(
        Point(float(step), float(n), f"step {step:,}")
        for step, n in zip(steps.tolist(), counts, strict=True) if step > 0
    )  # fmt: skip


def heat(
    experiment: Experiment, known: Sweep, resource: Resource, alpha: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Rising x and every task's loss in nats, float (n_columns, n_tasks), seeds in the mean; None without two x."""
    if resource == "S":
        found = widest(online(known, alpha))[:1]
        if not found:
            return None
        steps = steps_of(experiment)
        kept = steps > 0
        return (steps[kept], task_losses(experiment, found[0])[kept]) if kept.sum() > 1 else None
    networks = online(known, alpha) if resource == "N" else sampled(known, alpha)
    if not networks:
        return None
    losses = last_losses(experiment, networks) if resource == "N" else lowest_losses(experiment, networks)
    of = np.array([one.n_parameters if resource == "N" else one.n_samples or 0 for one in networks])
    xs = np.unique(of)
    if len(xs) < 2:
        return None
    return xs, np.stack([losses[of == x].mean(axis=0) for x in xs])
