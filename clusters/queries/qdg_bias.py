"""What pages read of the labs of QDG's bias."""

from __future__ import annotations

import numpy as np

from clusters.models import Experiment
from clusters.queries.access import User
from clusters.queries.experiments import get_experiment, visible_experiments
from clusters.queries.missing import Missing
from clusters.stored.arrays import experiment_array
from clusters.values.facts import ToySlopes
from clusters.values.qdg_bias import Draw, ParityQdg, Toy, World, toy_of
from compute.labs import parity_qdg, toy_qdg
from compute.labs.parity_qdg import ParityQdgConfig
from compute.numerics import mosaic
from compute.numerics.ranks import envelope, fit_envelope

KINDS = (toy_qdg.KIND, parity_qdg.KIND)
MOST_TRIED = 5
SHARE_IN_COLOUR = 0.99  # of the picture's pixels lie within the colours' limits
LEAST_LIMIT = 0.02


def toy(experiment: Experiment) -> Toy:
    return toy_of(experiment.found, experiment.config)


def draw(experiment: Experiment, known: Toy, world: World, number: int) -> Draw:
    """One draw's clusterings; draws count from 1."""
    table = np.asarray(experiment_array(experiment, "sizes")[world.index, number - 1])
    sizes = {
        k: [int(size) for size in row[:k] if size] for k, row in zip(known.config.ks, table, strict=True)
    }  # fmt: skip
    cell = known.config.cells[world.index]
    fit = fit_envelope(envelope(list(sizes.values())), *known.window)
    return Draw(world, number, sizes, fit, known.config.sizes(cell).tolist())


def parity(experiment: Experiment) -> ParityQdg:
    task = np.asarray(experiment_array(experiment, "task"))
    present, counts = np.unique(task, return_counts=True)
    return ParityQdg(
        config=ParityQdgConfig.from_json(experiment.config),
        found=experiment.found,
        sizes=np.asarray(experiment_array(experiment, "sizes")),
        present=present.tolist(),
        counts=counts.tolist(),
        means=np.asarray(experiment_array(experiment, "tasks/means"), np.float64),
    )


def cosine_histograms(experiment: Experiment) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges of bins, and pairs of one task and of two in each."""
    edges, within, between = (
        np.asarray(experiment_array(experiment, f"cosines/{name}")) for name in ("edges", "within", "between")
    )
    return edges, within, between


def picture(experiment: Experiment) -> tuple[np.ndarray, float]:
    """The matrix in the order of tasks, one byte a pixel, and the cosine at the ends of its colours."""
    values = np.asarray(experiment_array(experiment, "picture"))
    limit = float(np.quantile(np.abs(values), SHARE_IN_COLOUR))
    return mosaic.encode(values, "signed"), max(limit, LEAST_LIMIT)


def calibrating(user: User) -> Experiment | None:
    """The newest finished toy experiment that this person may see and that calibrates something."""
    found = visible_experiments(user, [toy_qdg.KIND]).exclude(bundle_sha256="")
    return next((one for one in found[:MOST_TRIED] if toy(one).slopes), None)


def slopes_of(user: User, slug: str) -> ToySlopes:
    """The sweep of an experiment that somebody names; Missing where it calibrates nothing."""
    experiment = get_experiment(user, slug, [toy_qdg.KIND])
    slopes = toy(experiment).slopes if experiment.is_finished else None
    if slopes is None:
        raise Missing(
            f"“{experiment.name}” calibrates no slope",
            "It must be finished, with two exponents and two draws of each at least.",
        )
    return slopes
