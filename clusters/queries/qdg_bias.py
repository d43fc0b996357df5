"""What pages read of the labs of QDG's bias."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from clusters.models import Experiment
from clusters.queries.access import User
from clusters.queries.experiments import visible_experiments
from clusters.stored.arrays import experiment_array
from clusters.values.facts import ToySlopes
from clusters.values.qdg_bias import Draw, ParityQdg, Toy, World, toy_of
from compute.labs import parity_qdg, toy_qdg
from compute.labs.parity_qdg import ParityQdgConfig
from compute.numerics import mosaic
from compute.numerics.ranks import envelope, fit_envelope

KINDS = (toy_qdg.KIND, parity_qdg.KIND)
TOY_TABLE = Path(__file__).resolve().parents[1] / "data" / "toy_bias.json"
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


@cache
def shipped() -> ToySlopes:
    """The table that benchmarks/toy_bias.py writes."""
    table = json.loads(TOY_TABLE.read_text())
    return ToySlopes(table["exponents"], table["slopes"], table["setting"])


def calibrating(user: User) -> tuple[Experiment, ToySlopes] | None:
    """The newest finished toy experiment that this person may see and that calibrates something."""
    found = visible_experiments(user, [toy_qdg.KIND]).exclude(bundle_sha256="")
    for one in found[:5]:
        slopes = toy(one).slopes
        if slopes is not None:
            return one, slopes
    return None
