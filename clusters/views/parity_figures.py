"""The figures of an experiment on sparse parity: what makes each, and why one is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from clusters.charts import parity_curves as curves
from clusters.charts import parity_exponents as exponents
from clusters.charts import parity_heat as heat
from clusters.charts import parity_laws as laws
from clusters.charts import parity_learned as learned
from clusters.charts import parity_samples as samples
from clusters.charts.chart import Chart
from clusters.forms.parity import Asked
from clusters.models import Experiment
from clusters.queries import parity as queries
from clusters.values.parity import RESOURCES, Law, Measured, Network, Resource, Sweep, network_name

Maker = Callable[[], Chart | None]
LATER = (
    "heat",
    "convergence",
    "learned-n",
    "learned-s",
    "learned-d",
    "exponents-n",
    "exponents-s",
    "exponents-d",
    "stopping",
    "overfitting",
    "grokking",
)  # below the first screens: fetched when they are seen


@dataclass(frozen=True)
class Read:
    """An experiment, and what the address asks of it."""

    experiment: Experiment
    known: Sweep
    asked: Asked

    @property
    def alpha(self) -> float:
        return self.asked.alpha

    @property
    def networks(self) -> tuple[Network, ...]:
        return self.known.at(self.alpha)

    @cached_property
    def network(self) -> Network:
        """The one asked for; else the one that learned most on new batches, or at all."""
        online = queries.online(self.known, self.alpha)
        choice = online or [one for one in self.networks if one.is_sound] or list(self.networks)
        return self.asked.network or max(choice, key=lambda one: (one.n_learned, one.width, -one.seed))

    @cached_property
    def finite(self) -> Network | None:
        """The one asked for; else one from the middle of the sweep over samples."""
        if self.asked.finite or self.network.n_samples is not None:
            return self.asked.finite or self.network
        found = queries.sampled(self.known, self.alpha)
        return found[len(found) // 2] if found else None

    @cached_property
    def measured(self) -> Mapping[Resource, Measured | None]:
        """The law over every resource."""
        return {
            one: queries.measured(self.experiment, self.known, one, self.alpha, self.asked.windows.get(one))
            for one in RESOURCES
        }

    @cached_property
    def theory(self) -> laws.Theory:
        return laws.Theory(self.alpha, self.known.n_tasks)

    @cached_property
    def sweeps(self) -> dict[Resource, list[Law]]:
        """Fitted laws by α, of every resource that was measured at two values of α or more."""
        found = {
            one: [law for alpha in sorted(self.known.alphas) if (law := self.known.law(one, alpha)) and law.is_fitted]
            for one in RESOURCES
        }
        return {one: fitted for one, fitted in found.items() if len(fitted) > 1}

    @cached_property
    def heats(self) -> list[Resource]:
        """Resources over which tasks can be shown."""
        has = {"N": len({one.n_parameters for one in queries.online(self.known, self.alpha)}) > 1,
               "S": bool(queries.online(self.known, self.alpha)),
               "D": len({one.n_samples for one in queries.sampled(self.known, self.alpha)}) > 1}  # fmt: skip
        return [one for one in RESOURCES if has[one]]

    @property
    def heat(self) -> Resource | None:
        if self.asked.heat in self.heats:
            return self.asked.heat
        return self.heats[0] if self.heats else None

    def name(self, network: Network) -> str:
        return network_name(network, self.networks)

    @cached_property
    def steps(self) -> np.ndarray:
        return queries.steps_of(self.experiment)


def makers(read: Read) -> dict[str, Maker]:
    """What makes each figure, by slug and numbered as it is read; None comes of one that has nothing to draw."""
    found: dict[str, Callable[..., Chart | None]] = {"tasks": partial(_tasks, read), "sum": partial(_sum, read)}
    unit = read.asked.unit
    for one in RESOURCES:
        if measured := read.measured[one]:
            found[f"loss-{one.lower()}"] = partial(laws.law_chart, measured, read.theory, unit=unit)
    if read.heat:
        found["heat"] = partial(_heat, read, read.heat)
    if queries.online(read.known, read.alpha):
        found["convergence"] = partial(_convergence, read)
    for one in RESOURCES:
        if read.measured[one]:
            found[f"learned-{one.lower()}"] = partial(_learned, read, one)
    for one, fitted in read.sweeps.items():
        chart = partial(exponents.exponents_chart, one, fitted, with_paper=read.asked.with_paper)
        found[f"exponents-{one.lower()}"] = chart
    if read.finite:
        found["stopping"] = partial(_stopping, read, read.finite)
        if read.measured["D"]:
            found["overfitting"] = partial(samples.overfit_chart, queries.sampled(read.known, read.alpha), unit=unit)
        found["grokking"] = partial(_grokking, read, read.finite)
    return {slug: partial(make, number=i) for i, (slug, make) in enumerate(found.items(), 1)}


def _tasks(read: Read, *, number: int) -> Chart:
    network = read.network
    losses = queries.task_losses(read.experiment, network)
    return curves.tasks_chart(
        read.steps, losses, rho=read.known.rho(network), name=read.name(network), unit=read.asked.unit, number=number
    )


def _sum(read: Read, *, number: int) -> Chart:
    network, experiment = read.network, read.experiment
    own = queries.measured_of(experiment, read.known, network, read.asked.windows.get("S"))
    return curves.sum_chart(
        read.steps, queries.task_losses(experiment, network), queries.mean_losses(experiment, network),
        weights=queries.frequencies(experiment, read.known, read.alpha), measured=own, name=read.name(network),
        unit=read.asked.unit, number=number,
    )  # fmt: skip


def _heat(read: Read, resource: Resource, *, number: int) -> Chart | None:
    found = queries.heat(read.experiment, read.known, resource, read.alpha)
    if found is None:
        return None
    xs, losses = found
    kept = heat.chosen_columns(xs)
    return heat.heat_chart(resource, xs[kept], losses[kept], read.theory, unit=read.asked.unit, number=number)


def _convergence(read: Read, *, number: int) -> Chart:
    network = queries.widest(queries.online(read.known, read.alpha))[0]
    found = queries.learning_steps(read.steps, queries.task_losses(read.experiment, network))
    return learned.convergence_chart(
        queries.frequencies(read.experiment, read.known, read.alpha),
        found,
        read.known.tau("S", read.alpha),
        name=read.name(network),
        number=number,
    )


def _learned(read: Read, resource: Resource, *, number: int) -> Chart:
    points = queries.learned_points(read.experiment, read.known, resource, read.alpha)
    law = read.known.law("n_of_D", read.alpha) if resource == "D" else None
    return learned.learned_chart(resource, points, read.theory, law, number=number)


def _stopping(read: Read, network: Network, *, number: int) -> Chart:
    train, test = (queries.mean_losses(read.experiment, network, kind) for kind in ("train", "test"))
    name, unit = read.name(network), read.asked.unit
    return samples.stopping_chart(network, read.steps, train, test, name=name, unit=unit, number=number)


def _grokking(read: Read, network: Network, *, number: int) -> Chart | None:
    train = queries.train_losses(read.experiment, network)
    if train is None:
        return None
    test = queries.task_losses(read.experiment, network)
    fitted, general = (queries.learning_steps(read.steps, losses) for losses in (train, test))
    return samples.grokking_chart(fitted, general, name=read.name(network), number=number)


def payload(read: Read, charts: list[Chart]) -> dict[str, Any]:
    """Everything that the page shows, for its JSON twin."""
    return {
        "experiment": read.experiment.slug,
        "unit": read.asked.unit,
        "alpha": read.alpha,
        "alphas": read.known.alphas,
        "network": read.network.index,
        "finite": read.finite.index if read.finite else None,
        "laws": {
            one: None if measured is None else {
                "window": [measured.window.first, measured.window.last] if measured.window else None,
                "points": [[point.x, point.y, point.name] for point in measured.points],
                **vars(measured.law),
            }
            for one, measured in read.measured.items()
        },
        "found": read.experiment.found,
        "figures": charts,
    }  # fmt: skip
