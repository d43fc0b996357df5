"""Tiny experiments of the labs of QDG's bias, really computed: seconds, once for all tests of a process."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from clusters.models import Experiment
from clusters.services.experiments import receive
from compute.labs import parity_qdg, toy_qdg
from compute.labs.frame import Lab, run_lab
from compute.labs.parity_qdg import ParityQdgConfig
from compute.labs.settings import LabConfig
from compute.labs.toy_qdg import ToyQdgConfig

TOY = ToyQdgConfig(
    name="tiny-toy",
    n_subtasks=30,
    largest=60,
    n_dimensions=(60,),
    noises=(0.0, 1.0),
    exponents=(0.8, 1.0, 1.6),
    sweep_dimensions=60,
    sweep_noise=1.0,
    ks=(10, 20, 30),
    first_rank=2,
    last_rank=20,
    n_init=2,
    n_seeds=2,
)
PARITY = ParityQdgConfig(
    name="tiny-parity",
    n_tasks=8,
    n_bits=8,
    subset_bits=2,
    width=64,
    n_steps=500,
    batch_size=256,
    learning_rate=0.01,
    n_samples=120,
    ks=(2, 4, 8, 12),
    n_init=2,
)


@cache
def tiny_bundle(kind: str) -> Path:
    """The bundle of a tiny experiment."""
    labs: dict[str, tuple[Lab, LabConfig]] = {
        "toy-qdg": (toy_qdg.LAB, TOY),
        "parity-qdg": (parity_qdg.LAB, PARITY),
    }
    lab, config = labs[kind]
    folder = Path(tempfile.mkdtemp(prefix="qdg-bias-"))
    return run_lab(lab, config, folder / "work", folder / "bundles")


def make_experiment(kind: str, **fields: Any) -> Experiment:
    """A finished tiny experiment's row, everybody's unless `fields` say otherwise."""
    experiment = receive(tiny_bundle(kind))
    if fields:
        Experiment.objects.filter(pk=experiment.pk).update(**fields)
        experiment.refresh_from_db()
    return experiment
